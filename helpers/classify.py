"""From a video file to what happens in it. Built in notebook 07; `python -m helpers.classify FILE...` does the same."""

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import nn

from helpers import video, weights

# What torch says when a device has too little memory, and when MPS lacks 3D convolutions.
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "ALLOC_FAILED",
    "nable to find an engine",
)
NOT_ON_MPS = ("not supported on MPS", "only supported on MPS", "for the MPS device")
PRECISIONS = ("float32", "bfloat16", "float16")


class Prediction(NamedTuple):
    """One label and the share that the network gives it, 0 to 1."""

    label: str
    probability: float

    def __str__(self):
        return f"{self.probability:7.1%}  {self.label}"


def get_device():
    """CUDA where there is one, else Apple's MPS if it can do 3D convolutions, else the CPU; the CPU if VIDEO_RESNET_OFFLINE=1."""
    if weights.offline():
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    apple = torch.backends.mps.is_available() and mps_convolves()
    return torch.device("mps" if apple else "cpu")


def mps_convolves():
    """Whether the Apple GPU of this machine can run 3D convolutions; says so if it cannot."""
    try:
        one = torch.ones(1, 1, 1, 1, 1, device="mps")
        return torch.nn.functional.conv3d(one, one).item() == 1
    except RuntimeError as error:
        print(f"{str(error).splitlines()[0]} Going on with the CPU, which is slower.", file=sys.stderr)
        return False


def device_name(device):
    """What a device is called by its maker, and for the CPU how many threads torch uses of it."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU of {platform.machine()}"
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def _cpu_name():
    try:  # Linux
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def median_time(function, device, repeats=5):
    """The median of how long a function takes, after one call that does not count.

    Args:
        function: without arguments.
        device: on which it computes. A GPU returns before it has finished, so the clock waits for it.
        repeats: how many calls are measured.
    """
    taken = []
    for _ in range(repeats + 1):
        _wait_for(device)
        begun = time.perf_counter()
        function()
        _wait_for(device)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def _wait_for(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    elif torch.device(device).type == "mps":
        torch.mps.synchronize()


class Runner:
    """A network on a device, which makes do: with less memory, and with a device that cannot run it; and says so.

    Args:
        network: in eval mode; it is moved to the device.
        device: by default `get_device()`.
        dtype: torch.float32, or torch.bfloat16 or torch.float16 for half precision, by autocast.
        batch: how many clips at once; by default 1 on a CPU, where more are not faster, and 8 elsewhere.
    """

    def __init__(self, network, device=None, dtype=torch.float32, batch=None):
        self.device = torch.device(device or get_device())
        self.dtype = dtype
        self.batch = batch or (1 if self.device.type == "cpu" else 8)
        self.network = network.to(self.device)

    def logits(self, clips):
        """For each of some clips (3, T, H, W) its logits, a float32 tensor on the CPU, in order; no more than a batch waits."""
        clips, waiting, failed = iter(clips), [], None
        while failed is None:
            try:
                waiting.extend(itertools.islice(clips, self.batch))
            except Exception as error:  # a damaged file, for one: first what came before the damage
                failed = error
            if not waiting and failed is None:
                return
            while waiting:
                rows = self._attempt(torch.stack(waiting[: self.batch]))
                yield from rows
                del waiting[: len(rows)]
        raise failed

    def _attempt(self, x):
        """The logits of a batch, or none where something had to be changed before the next attempt."""
        half = self.dtype != torch.float32
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=half):
                return self.network(x.to(self.device)).float().cpu()
        except RuntimeError as error:  # torch's OutOfMemoryError and NotImplementedError are of this kind, too
            told = str(error)
            if self.device.type == "mps" and any(sign in told for sign in NOT_ON_MPS):
                print(f"{told.splitlines()[0]} Going on with the CPU, which is slower.", file=sys.stderr)
                self.device, self.batch = torch.device("cpu"), 1
            elif len(x) > 1 and any(sign in told for sign in OUT_OF_MEMORY):
                self.batch = len(x) // 2
                print(f"{len(x)} clips at once do not fit into memory; trying {self.batch}.", file=sys.stderr)
            else:
                raise
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.network.to(self.device)
        return []


def ahead(items):
    """The same items, in order; while one is used, the next is in the making, in a thread."""
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item


def predict_clips(pretrained, clips, device=None, dtype=torch.float32):
    """For each clip the softmax of the network's logits.

    Args:
        pretrained: a `weights.Pretrained`; its network is moved to `device`.
        clips: uint8 clips (T, H, W, 3), one after another; they are not all kept.
        device, dtype: as for `Runner`.

    Yields:
        Float tensors (labels,) on the CPU; the sum of each is 1.
    """
    yield from _shares(Runner(pretrained.network, device, dtype), map(pretrained.preprocess, clips))


def _shares(runner, clips):
    """The softmax of the logits of clips that are preprocessed already, one after another."""
    return (logits.softmax(0) for logits in runner.logits(clips))


def average_probs(pretrained, clips, device=None, dtype=torch.float32):
    """The mean of `predict_clips`: what a network says to a video, of which it has seen these clips; (labels,)."""
    return torch.stack(list(predict_clips(pretrained, clips, device, dtype))).mean(0)


def predict_stream(path, pretrained, step=8, device=None, dtype=torch.float32):
    """What happens when: a video of any length, decoded once and classified as it comes.

    Args:
        path: a video file.
        pretrained, device, dtype: as for `predict_clips`.
        step: a clip begins every so many frames.

    Yields:
        The second at which a clip begins, and the share of each label in it, a float tensor (labels,).

    Raises:
        video.VideoError: the file cannot be read, or not to its end.
        ValueError: the weights have no labels.
    """
    _refuse_without_labels(pretrained)
    starts, clips = deque(), video.stream_clips(path, pretrained.frames, pretrained.fps, step)

    def noted():
        for start, clip in clips:
            starts.append(start)
            yield clip

    for shares in predict_clips(pretrained, noted(), device, dtype):
        yield starts.popleft(), shares


class Segment(NamedTuple):
    """A part of a video in which one answer holds."""

    start: float  #: seconds
    end: float
    label: str
    probability: float  #: the mean share of the label over its clips

    def __str__(self):
        return f"{self.start:7.1f} to {self.end:6.1f} s {self.probability:7.1%}  {self.label}"


def segments(rows, labels, clip_seconds):
    """Join the answers of `predict_stream` where the same label is the best of clips in a row.

    Args:
        rows: pairs of a start and of shares, in the order of time.
        labels: what each share stands for.
        clip_seconds: how long a clip is. An answer holds around the middle of its clip, half way to the next one's.

    Returns:
        A list of `Segment`, without gaps.
    """
    if not rows:
        return []
    starts, shares = [start for start, _ in rows], [share for _, share in rows]
    borders = [0.0, *((a + b + clip_seconds) / 2 for a, b in itertools.pairwise(starts)), starts[-1] + clip_seconds]
    found, first = [], 0
    best = [int(share.argmax()) for share in shares]
    for k in range(1, len(rows) + 1):
        if k == len(rows) or best[k] != best[first]:
            mean = float(torch.stack(shares[first:k])[:, best[first]].mean())
            found.append(Segment(borders[first], borders[k], labels[best[first]], mean))
            first = k
    return found


def evaluate_torchvision_protocol(path, pretrained, device=None, dtype=torch.float32):
    """A video judged as torchvision judges those by which it publishes accuracies: five clips, softmaxes summed.

    Returns:
        The shares by clip (5, labels). The video's answer is the largest of their sum; see `video.protocol_clips`.

    Raises:
        video.VideoError: the file cannot be read.
    """
    clips = video.protocol_clips(path, 5, pretrained.frames, pretrained.fps)
    return torch.stack(list(predict_clips(pretrained, clips, device, dtype)))


def extract_features(pretrained, clips, device=None):
    """What a network knows of clips before its last layer: the means of the last maps, for networks of one's own.

    Args:
        pretrained, clips, device: as for `predict_clips`.

    Returns:
        A float tensor (clips, channels) on the CPU.
    """
    network = pretrained.network
    parts = (
        network.stem,
        network.layer1,
        network.layer2,
        network.layer3,
        network.layer4,
        network.avgpool,
        nn.Flatten(),
    )
    runner = Runner(nn.Sequential(*parts), device)
    return torch.stack(list(runner.logits(pretrained.preprocess(clip) for clip in clips)))


def top_k(shares, labels, k=5):
    """The `k` labels with the largest shares, largest first, as a list of `Prediction`."""
    best = shares.topk(min(k, len(labels)))
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [Prediction(labels[index], share) for index, share in pairs]


class VideoClassifier:
    """From a file to its best answers, averaged over clips spread over its length; made once for any number of files.

    Args:
        pretrained: a `weights.Pretrained`.
        clips: how many of a video; one is taken from the beginning.
        k: how many answers.
        device, dtype: as for `Runner`.
        fast: frames are scaled while they are converted, and the network is one of `inference.optimize_for_inference`: what comes out differs
            in the third digit of a share. See notebook 13.

    Raises:
        ValueError: nobody has told what the network's logits stand for.
    """

    def __init__(self, pretrained, clips=5, k=5, device=None, dtype=torch.float32, fast=False):
        _refuse_without_labels(pretrained)
        self.pretrained, self.clips, self.fast = pretrained, clips, fast
        precision = str(dtype).removeprefix("torch.")
        self.how = dict(weights=pretrained.name, clips=clips, top=k, precision=precision, fast=fast)
        network = pretrained.network
        if fast:
            from helpers.scale import inference

            # which takes and gives float32, whatever it computes in
            device, crop_size = torch.device(device or get_device()), pretrained.crop_size
            network = inference.optimize_for_inference(
                network.to(device), dtype, (3, pretrained.frames, crop_size, crop_size)
            )
            dtype = torch.float32
        self.runner = Runner(network, device, dtype)

    def classify(self, path):
        """A list of `Prediction`, best first; while one clip is classified, the next is decoded. VideoError: it cannot be read."""
        return self._best(ahead(self._read(path)))

    def read(self, path):
        """The clips of a file, preprocessed, or the `video.VideoError` that says why there are none."""
        try:
            return list(self._read(path))
        except video.VideoError as error:
            return error

    def answer(self, seen):
        """The end of a row: answers, best first, or error, the reason why there are none."""
        if isinstance(seen, video.VideoError):
            return dict(error=str(seen))
        return dict(answers=[answer._asdict() for answer in self._best(seen)])

    def _read(self, path):
        where = path, self.clips, self.pretrained.frames, self.pretrained.fps
        if self.fast:
            from helpers.scale import preprocessing

            return preprocessing.read_clips(*where, self.pretrained.crop_size)
        return map(self.pretrained.preprocess, video.read_clips(*where))

    def _best(self, clips):
        shares = torch.stack(list(_shares(self.runner, clips))).mean(0)
        return top_k(shares, self.pretrained.labels, self.how["top"])


def predict_video(path, pretrained, clips=5, k=5, device=None, dtype=torch.float32, fast=False):
    """What happens in a video: its best answers; see `VideoClassifier` for the arguments.

    Args:
        path: a video file.

    Returns:
        A list of `Prediction`, best first.

    Raises:
        video.VideoError: the file cannot be read.
        ValueError: the weights have no labels.
    """
    return VideoClassifier(pretrained, clips, k, device, dtype, fast).classify(path)


def classify_folder(folder, out, pretrained, clips=5, k=5, device=None, dtype=torch.float32, fast=False):
    """Classify every file below a folder; see `folder_job.collect` for the file of rows, and for how a killed run goes on.

    A row holds file, weights, clips, top, precision, fast, and either answers, best first, or error, why there are none.

    Args:
        folder: with videos, at any depth.
        out: the file of rows.
        pretrained, clips, k, device, dtype, fast: as for `VideoClassifier`.

    Yields:
        A `folder_job.Progress` at the beginning and after each file. While one is classified the next are decoded.

    Raises:
        NotADirectoryError, ValueError, OSError: as `folder_job.collect`.
        ValueError: the weights have no labels.
    """
    classifier = VideoClassifier(pretrained, clips, k, device, dtype, fast)
    from helpers.scale import folder as folder_job

    yield from folder_job.write_rows(folder, out, classifier.how, classifier.read, classifier.answer)


def _refuse_without_labels(pretrained):
    if pretrained.labels is None:
        raise ValueError(
            f"{pretrained.name} has no labels: nobody has published what its classes are. It is good for features, "
            "to train a last layer of your own on: classify.extract_features(...)"
        )


def main(arguments=None):
    """The command; 0 if every file was classified, 1 if some could not be, 2 if it could not begin, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m helpers.classify", description="Say what happens in video files.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a video; with --out a folder of videos")
    known = f"one of {', '.join(weights.NAMES)}, or a file of your own training; default: %(default)s"
    parser.add_argument("--weights", default="stickfigures", help=known)
    parser.add_argument(
        "--clips", type=at_least_one, default=5, help="clips of a video that are averaged, default: %(default)s"
    )
    parser.add_argument("--top", type=at_least_one, default=5, help="answers a video, default: %(default)s")
    parser.add_argument(
        "--device", type=named_device, help="cuda, mps or cpu, default: the first of these that is there"
    )
    parser.add_argument("--precision", default="float32", choices=PRECISIONS, help="default: %(default)s")
    parser.add_argument(
        "--fast", action="store_true", help="prepare the network first, and scale frames as they are decoded"
    )
    parser.add_argument("--over-time", action="store_true", help="what happens when, for a video of any length")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--out", help="for a folder of any size: the file to which a row for each video is added")
    options = parser.parse_args(arguments)
    if options.out and (len(options.files) > 1 or options.predict_stream):
        parser.error("--out goes with one folder, and not with --over-time")
    if options.fast and options.predict_stream:
        parser.error("--fast does not go with --over-time")
    for stream in (sys.stdout, sys.stderr):  # a file name that the terminal cannot show must not end the run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        pretrained = weights.load(options.weights)
        _refuse_without_labels(pretrained)
    except (weights.WeightsError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if not options.json:
        print(f"Weights {pretrained.name!r}. {pretrained.trained_on}")
    if options.out:
        return follow(classify_folder(*options.files, options.out, pretrained, *_how(options)), options.out)
    failed = 0
    classifier = None if options.predict_stream else VideoClassifier(pretrained, *_how(options))
    for file in options.files:
        try:
            if options.predict_stream:
                _print_stretches(file, pretrained, options)
                continue
            answers = classifier.classify(file)
            _print_answers(file, pretrained, options, answers)
        except video.VideoError as error:
            failed += 1
            if options.json:
                print(json.dumps({"file": file, "error": str(error)}), flush=True)
            else:
                print(f"\n{error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _print_answers(file, pretrained, options, answers):
    if options.json:
        row = {"file": file, "weights": pretrained.name, "clips": options.clips}
        print(json.dumps(row | {"answers": [answer._asdict() for answer in answers]}), flush=True)
    else:
        print(f"\n{file}", *answers, sep="\n", flush=True)


def _how(options):
    """What `VideoClassifier` takes after the weights."""
    return options.clips, options.top, options.device, getattr(torch, options.precision), options.fast


def _print_stretches(file, pretrained, options):
    rows, seconds, dtype = [], video.probe(file).seconds, getattr(torch, options.precision)
    for start, shares in predict_stream(file, pretrained, device=options.device, dtype=dtype):
        rows.append((start, shares))
        if sys.stderr.isatty():
            print(f"\r{file}: {start:.0f} of {seconds:.0f} s", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    found = segments(rows, pretrained.labels, pretrained.frames / pretrained.fps)
    if options.json:
        row = {"file": file, "weights": pretrained.name}
        print(json.dumps(row | {"segments": [stretch._asdict() for stretch in found]}), flush=True)
    else:
        print(f"\n{file}", *found, sep="\n", flush=True)


def follow(run, out):
    """Go through a run over a folder, telling how far it is every ten seconds, or all the time on a terminal.

    Args:
        run: a generator of `folder_job.Progress`.
        out: where its rows are.

    Returns:
        What the command is to end with; see `main`.
    """
    told, terminal = time.monotonic(), sys.stderr.isatty()
    try:
        for progress in run:
            if terminal:
                print(f"\r{progress}    ", end="", file=sys.stderr, flush=True)
            elif time.monotonic() - told > 10:
                told = time.monotonic()
                print(progress, file=sys.stderr, flush=True)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nInterrupted. The rows so far are in {out}; the same command goes on.", file=sys.stderr)
        return 130
    print(f"\n{progress}" if terminal else progress, file=sys.stderr)
    return 1 if progress.failed else 0


def named_device(text):
    """The torch.device of this name, for argparse, which reports what cannot be used here."""
    try:
        return torch.zeros(0, device=text).device
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be used here: {str(error).splitlines()[0]}") from None


def at_least_one(text):
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
