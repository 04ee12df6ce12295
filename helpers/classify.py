"""From a video file to predictions. Built in notebook 07; the command is `video-resnet FILE...`.

`predict_video` in order: `video.read_clips` decodes clips, `Pretrained.preprocess` prepares them, the network gives logits,
the mean of their softmax over the clips gives the video's probabilities, and `top_k` names the largest.
"""

import argparse
import dataclasses
import glob
import json
import os
import platform
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from helpers import transforms, video, weights
from helpers.camera import newest_clips
from helpers.commands import CLOSED, called, named_device, number, terminal
from helpers.weights import Pretrained

__all__ = ("PRECISIONS Prediction Segment VideoClassifier ahead average_probs device_name "
           "evaluate_torchvision_protocol extract_features get_device main median_time mps_convolves "
           "predict_clips predict_stream predict_video segments top_k").split()  # fmt: skip

PRECISIONS = ("float32", "bfloat16", "float16")
Path, Clips, DType = str | os.PathLike, Iterable[Tensor], torch.dtype
Device = torch.device | str | None


class Prediction(NamedTuple):
    """A label and the probability that the network gives it, 0 to 1."""

    label: str
    probability: float

    def __str__(self) -> str:
        return f"{self.probability:7.1%}  {self.label}"


class Segment(NamedTuple):
    """A part of a video in which the same label has the largest probability."""

    start: float  #: seconds
    end: float
    label: str
    probability: float  #: of the label, the mean over the clips of the segment

    def __str__(self) -> str:
        return f"{self.start:7.1f} to {self.end:6.1f} s {self.probability:7.1%}  {self.label}"


def get_device() -> torch.device:
    """The device that the variable VIDEO_RESNET_DEVICE names; without it a GPU that runs 3D convolutions, else the CPU."""
    if name := os.environ.get("VIDEO_RESNET_DEVICE"):
        return torch.device(name)
    gpu = torch.accelerator.current_accelerator(check_available=True)
    if gpu is None or (gpu.type == "mps" and not mps_convolves()):
        return torch.device("cpu")
    return gpu


def mps_convolves() -> bool:
    """Whether the Apple GPU of this machine can run 3D convolutions; prints a sentence if it cannot."""
    try:
        return bool(named_device("mps"))
    except argparse.ArgumentTypeError as error:
        print(f"{error} Going on with the CPU, which is slower.", file=sys.stderr)
        return False


def device_name(device: Device) -> str:
    """What the maker calls a device; for the CPU also how many threads torch uses."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{device.type} GPU of {platform.machine()}"
    try:  # Linux
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"


def median_time(function: Callable, device: Device, repeats: int = 5) -> float:
    """The median of the seconds that a function without arguments takes on a device; one more call comes first."""
    taken = []
    for _ in range(repeats + 1):
        _wait_for(device)
        begun = time.perf_counter()
        function()
        _wait_for(device)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def _wait_for(device: Device) -> None:
    if torch.device(device).type != "cpu":  # a GPU returns before it has finished
        torch.accelerator.synchronize(device)


def ahead(items: Iterable) -> Iterator:
    """The same items in the same order; while one is used, a thread makes the next."""
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item


def _batches(clips: Clips, size: int) -> Iterator[Tensor]:
    """Batches (B, 3, T, H, W) of at most `size` clips. The clips before a damaged place come before the error."""
    batch, shape = [], None
    try:
        for clip in clips:
            if clip.shape != (shape := shape or clip.shape):
                raise ValueError(f"clips have one shape: this one is {tuple(clip.shape)}, the first is {tuple(shape)}")
            batch.append(clip)
            if len(batch) == size:
                yield torch.stack(batch)
                batch = []
    except video.VideoError:
        if batch:
            yield torch.stack(batch)
        raise
    if batch:
        yield torch.stack(batch)


def _outputs(network: nn.Module, clips: Clips, device: Device, dtype: DType) -> Iterator[Tensor]:
    """What the network gives for each preprocessed clip (3, T, H, W), float32 on the CPU."""
    device = torch.device(device or get_device())
    network = network.to(device)
    for x in _batches(ahead(clips), 1 if device.type == "cpu" else 8):  # a CPU is no faster with several at once
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            outputs = network(x.to(device)).float().cpu()
        yield from outputs


def predict_clips(
    pretrained: Pretrained, clips: Clips, device: Device = None, dtype: DType = torch.float32
) -> Iterator[Tensor]:
    """For each clip its probabilities, the softmax of the network's logits: float32 (labels,), on the CPU.

    Args:
        pretrained: its network is moved to the device. ValueError if it is in train mode, in which batches change it.
        clips: of uint8 frames (T, H, W, 3); while one is computed, the next is decoded.
        device: by default that of `get_device`.
        dtype: torch.bfloat16 and torch.float16 compute in reduced precision, by autocast.
    """
    _require_eval(pretrained)
    logits = _outputs(pretrained.network, map(pretrained.preprocess, clips), device, dtype)
    return (row.softmax(0) for row in logits)


def average_probs(pretrained: Pretrained, clips: Clips, device: Device = None, dtype: DType = torch.float32) -> Tensor:
    """The mean of `predict_clips` over the clips of a video, (labels,); the arguments are the same."""
    return torch.stack(list(predict_clips(pretrained, clips, device, dtype))).mean(0)


def top_k(probs: Tensor, labels: tuple[str, ...], k: int = 5) -> list[Prediction]:
    """The `k` labels with the largest probabilities (labels,), largest first."""
    best = probs.topk(min(k, len(labels)))
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [Prediction(labels[index], prob) for index, prob in pairs]


class VideoClassifier:
    """A function from a video file to its predictions, prepared once for any number of files.

    Args:
        pretrained, device, dtype: as for `predict_clips`; a ValueError refuses weights without labels.
        clips, k: how many clips are averaged, spread evenly over the video; how many predictions there are.
        fast: prepare the network by `scale.inference.optimize_for_inference`, and scale frames while they are converted.
            Probabilities then differ in the third digit. See notebook 13.
    """

    def __init__(
        self, pretrained: Pretrained, clips: int = 5, k: int = 5, device: Device = None,
        dtype: DType = torch.float32, fast: bool = False,
    ) -> None:  # fmt: skip
        _require_labels(pretrained)
        self.pretrained, self.clips, self.k = pretrained, clips, k
        self.device, self.dtype = torch.device(device or get_device()), dtype
        self.read_clips = partial(video.read_clips, size=_decoded_size(pretrained))
        if fast:
            if weights.crop_size_of(pretrained) != pretrained.crop_size:
                raise ValueError("fast has a preprocessing of its own, which is not that of this network")
            from helpers.scale import inference, preprocessing

            size = (3, pretrained.frames, pretrained.crop_size, pretrained.crop_size)
            network = inference.optimize_for_inference(pretrained.network.to(self.device), dtype, size)
            self.pretrained = dataclasses.replace(pretrained, network=network, preprocess=lambda clip: clip)
            self.dtype = torch.float32  # the prepared network takes and gives it, whatever it computes in
            self.read_clips = partial(preprocessing.read_clips, crop_size=pretrained.crop_size)

    def __call__(self, path: Path) -> list[Prediction]:
        """The predictions for a video, best first. Raises video.VideoError: the file cannot be read."""
        return self.predict(self.read(path))

    def read(self, path: Path) -> Iterator[Tensor]:
        """The clips of a video, decoded one after another."""
        return self.read_clips(path, self.clips, self.pretrained.frames, self.pretrained.fps)

    def predict(self, clips: Clips) -> list[Prediction]:
        """The predictions for the clips that `read` gave, which a thread may have decoded before."""
        return top_k(average_probs(self.pretrained, clips, self.device, self.dtype), self.pretrained.labels, self.k)


def predict_video(
    path: Path, pretrained: Pretrained, clips: int = 5, k: int = 5, device: Device = None,
    dtype: DType = torch.float32, fast: bool = False,
) -> list[Prediction]:  # fmt: skip
    """The predictions for a video file, best first; arguments and errors are those of `VideoClassifier`."""
    return VideoClassifier(pretrained, clips, k, device, dtype, fast)(path)


def _decoded_size(pretrained: Pretrained) -> video.Size:
    """The size to which frames may be scaled while they are decoded, as the preprocessing does; None if it is another one."""
    crop_size = weights.crop_size_of(pretrained)
    return transforms.resized_size(crop_size) if crop_size else None


def _require_eval(pretrained: Pretrained) -> None:
    if any(module.training for module in pretrained.network.modules()):
        raise ValueError("the network is in train mode, in which each batch changes it: call network.eval() first")


def _require_labels(pretrained: Pretrained) -> None:
    if pretrained.labels is None:
        remedy = "It is good for features, to train a last layer of your own on: classify.extract_features(...)"
        raise ValueError(f"{pretrained.name} has no labels: nobody has published what its classes are. {remedy}")


def predict_stream(
    path: Path, pretrained: Pretrained, step: int = 8, device: Device = None, dtype: DType = torch.float32
) -> Iterator[tuple[float, Tensor]]:
    """For each clip of a video the second at which it begins, and its probabilities (labels,).

    The video may have any length: it is decoded once, in constant memory. A clip begins every `step` frames. If the video
    is damaged, the clips before that place come before the video.VideoError. Other arguments as of `predict_clips`.
    """
    _require_labels(pretrained)
    starts, size = deque(), _decoded_size(pretrained)

    def clips():
        for start, clip in video.stream_clips(path, pretrained.frames, pretrained.fps, step, size):
            starts.append(start)
            yield clip

    for probs in predict_clips(pretrained, clips(), device, dtype):
        yield starts.popleft(), probs


def segments(rows: list[tuple[float, Tensor]], labels: tuple[str, ...], clip_seconds: float) -> list[Segment]:
    """Join the rows of `predict_stream` wherever neighbors agree on the best label; the segments have no gaps.

    The label of a clip, which is so many seconds long, holds around its middle, half way to the middles beside it.
    """
    return list(_segments(rows, labels, clip_seconds))


def _segments(rows: Iterable[tuple[float, Tensor]], labels: tuple[str, ...], clip_seconds: float) -> Iterator[Segment]:
    """Each segment as soon as it is known. Where the rows end with an error, the segment up to there comes before it."""
    begun, last, best, probs, damage = 0.0, 0.0, None, [], None
    try:
        for start, row in rows:
            if int(row.argmax()) != best and probs:
                border = (last + start + clip_seconds) / 2
                yield Segment(begun, border, labels[best], statistics.fmean(probs))
                begun, probs = border, []
            last, best = start, int(row.argmax())
            probs.append(float(row[best]))
    except video.VideoError as error:
        damage = error
    if probs:
        yield Segment(begun, last + clip_seconds, labels[best], statistics.fmean(probs))
    if damage:
        raise damage


def evaluate_torchvision_protocol(path: Path, pretrained: Pretrained, device: Device = None) -> Tensor:
    """Probabilities (5, labels) of torchvision's five clips, see `video.protocol_clips`; it predicts the largest sum."""
    clips = video.protocol_clips(path, 5, pretrained.frames, pretrained.fps, _decoded_size(pretrained))
    return torch.stack(list(predict_clips(pretrained, clips, device)))


def extract_features(pretrained: Pretrained, clips: Clips, device: Device = None) -> Tensor:
    """The output of global average pooling, (clips, channels), for networks of your own; arguments as of `predict_clips`."""
    _require_eval(pretrained)
    *body, (last, _) = pretrained.network.named_children()
    if last != "fc":
        raise TypeError(f"a {type(pretrained.network).__name__} does not end in fc: give the network that is inside it")
    body = nn.Sequential(*(layer for _, layer in body), nn.Flatten())  # all but the linear layer
    return torch.stack(list(_outputs(body, map(pretrained.preprocess, clips), device, torch.float32)))


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 if every file was classified, 1 if some could not be, 2 if it could not begin; else as of `terminal`."""
    with terminal():
        return _run(_options(arguments))


def _run(options: argparse.Namespace) -> int:
    try:
        pretrained = weights.load(options.weights)
        _require_labels(pretrained)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not options.json:
        print(f"Weights {pretrained.name!r}. {pretrained.trained_on}")
    settings = options.clips, options.top, options.device, getattr(torch, options.precision), options.fast
    if options.camera is not None:
        return _watch(pretrained, options)
    if options.out is not None:
        from helpers.scale import folder

        rows = folder.classify_folder(*options.files, options.out, pretrained, *settings, options.retry)
        return folder.follow(rows, options.out)
    row, classify = dict(weights=pretrained.name), partial(_timeline, pretrained, options)
    if not options.timeline:
        row, classify = row | dict(clips=options.clips), VideoClassifier(pretrained, *settings)
    return max([_print_row(file, row, classify, options) for file in options.files])


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=called("helpers.classify"), description="Predict the action in videos.",
        epilog="A FILE may begin with -, and may be a pattern such as *.mp4, where the terminal does not resolve it.",
    )  # fmt: skip
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="a video; with --out a folder of videos")
    add("--weights", default="stickfigures", help=f"{', '.join(weights.NAMES)}, or your file; default: %(default)s")
    add("--clips", type=number(1, 100_000), default=5, help="clips of a video that are averaged, default: %(default)s")
    add("--top", type=number(1), default=5, help="predictions for a video, default: %(default)s")
    device = os.environ.get("VIDEO_RESNET_DEVICE") or None  # checked here, so that a wrong one gives a sentence, too
    add("--device", type=named_device, default=device, help="cuda, mps or cpu; default: the first that is there")
    add("--precision", default="float32", choices=PRECISIONS, help="default: %(default)s")
    add("--fast", action="store_true", help="prepare the network first, and scale frames as they are decoded")
    add("--timeline", action="store_true", help="what happens when, in a video of any length")
    add("--camera", metavar="NUMBER", help="what a camera shows, until Ctrl-C: 0 is the first one; or its address")
    add("--json", action="store_true", help="one JSON object a line")
    add("--out", help="for a folder of any size: the file to which a row for each video is added")
    add("--retry", action="store_true", help="with --out: try the files again whose rows hold an error")
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args([_named_file(argument) for argument in arguments])
    options.files = [file for pattern in options.files for file in _matches(pattern)]
    if bool(options.files) == (options.camera is not None):
        parser.error("name a FILE, or a --camera, and not both")
    if options.camera is not None and (options.timeline or options.fast or options.out is not None):
        parser.error("--camera does not go with --timeline, --fast or --out")
    if options.out is not None and (len(options.files) > 1 or options.timeline):
        parser.error("--out goes with one folder, and not with --timeline")
    if options.retry and options.out is None:
        parser.error("--retry goes with --out")
    if options.fast and options.timeline:
        parser.error("--fast does not go with --timeline")
    return options


def _named_file(argument: str) -> str:
    """An argument as argparse is to see it: the name of a file that begins with - is no option."""
    return os.path.join(".", argument) if argument.startswith("-") and os.path.isfile(argument) else argument


def _matches(pattern: str) -> list[str]:
    """The files that fit a pattern, which some terminals do not resolve; a name without files stays, to be reported."""
    return (not os.path.exists(pattern) and sorted(glob.glob(pattern))) or [pattern]


def _print_row(file: str, row: dict, classify: Callable, options: argparse.Namespace) -> int:
    """Classify a file and print what comes of it as soon as it is known; 1 if it cannot be read to its end."""
    results, problem = [], {}
    try:
        for result in classify(file):
            if not options.json:
                with tqdm.external_write_mode():  # beside the bar
                    print(*([] if results else ["", file]), result, sep="\n", flush=True)
            results.append(result._asdict())
    except Exception as error:  # one file must not end the run
        if getattr(error, "errno", None) in CLOSED:
            raise
        problem = dict(error=video.explain(file, error))
    if options.json:
        found = {"segments" if options.timeline else "predictions": results} if results else {}
        print(json.dumps(dict(file=file) | row | found | problem), flush=True)
    elif problem:
        print("", problem["error"], sep="\n", file=sys.stderr, flush=True)
    return len(problem)


def _watch(pretrained: Pretrained, options: argparse.Namespace) -> int:
    """Say what a camera shows, whenever the answer changes; with --json each answer."""
    source, last = int(options.camera) if options.camera.isdecimal() else options.camera, None
    try:
        for clip in newest_clips(source, pretrained.frames, pretrained.fps):
            (probs,) = predict_clips(pretrained, [clip], options.device, getattr(torch, options.precision))
            predictions = top_k(probs, pretrained.labels, options.top)
            if options.json:
                row = dict(camera=options.camera, predictions=[p._asdict() for p in predictions])
                print(json.dumps(row), flush=True)
            elif predictions[0].label != last:
                print(predictions[0], flush=True)
            last = predictions[0].label
    except video.VideoError as error:
        print(error, file=sys.stderr)
    return 1


def _timeline(pretrained: Pretrained, options: argparse.Namespace, file: str) -> Iterator[Segment]:
    count, seconds = video.probe(file).seconds * pretrained.fps // 8, pretrained.frames / pretrained.fps
    clips = predict_stream(file, pretrained, 8, options.device, getattr(torch, options.precision))
    return _segments(tqdm(clips, file, count, unit="clip", disable=None), pretrained.labels, seconds)


if __name__ == "__main__":
    os._exit(main())  # without the clean-up of PyTorch's libraries, which takes a second and 0.1 GB
