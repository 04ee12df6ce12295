"""From a video file to predictions. Built in notebook 07; the command is `python -m helpers.classify FILE...`.

`predict_video` is the short way. What it does, in order: `video.read_clips` decodes clips, `Pretrained.preprocess`
prepares them, the network gives logits, their softmax is averaged over the clips, and `top_k` names the largest.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import Any, NamedTuple

import torch
from torch import nn

from helpers import video, weights

__all__ = [
    "Prediction",
    "Segment",
    "VideoClassifier",
    "ahead",
    "average_probs",
    "device_name",
    "evaluate_torchvision_protocol",
    "extract_features",
    "get_device",
    "main",
    "median_time",
    "mps_convolves",
    "predict_clips",
    "predict_stream",
    "predict_video",
    "segments",
    "top_k",
]

PRECISIONS = ("float32", "bfloat16", "float16")
Device = torch.device | str | None


class Prediction(NamedTuple):
    """A label and the probability that the network gives it, 0 to 1."""

    label: str
    probability: float

    def __str__(self) -> str:
        return f"{self.probability:7.1%}  {self.label}"


class Segment(NamedTuple):
    """A part of a video in which one label is the best."""

    start: float  #: seconds
    end: float
    label: str
    probability: float  #: of the label, the mean over the clips of the segment

    def __str__(self) -> str:
        return f"{self.start:7.1f} to {self.end:6.1f} s {self.probability:7.1%}  {self.label}"


def get_device() -> torch.device:
    """The device that the variable VIDEO_RESNET_DEVICE names; without it the GPU if it can run 3D convolutions, else the CPU."""
    if name := os.environ.get("VIDEO_RESNET_DEVICE"):
        return torch.device(name)
    gpu = torch.accelerator.current_accelerator(check_available=True)
    if gpu is None or (gpu.type == "mps" and not mps_convolves()):
        return torch.device("cpu")
    return gpu


def mps_convolves() -> bool:
    """Whether the Apple GPU of this machine can run 3D convolutions; prints a sentence if it cannot."""
    try:
        return _convolves("mps")
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        print(f"The Apple GPU cannot run 3D convolutions here, so the CPU is used, which is slower: {reason}", file=sys.stderr)
        return False


def _convolves(device: Device) -> bool:
    x = torch.ones(1, 1, 1, 1, 1, device=device)
    return nn.functional.conv3d(x, x).item() == 1


def device_name(device: torch.device | str) -> str:
    """The maker's name of a device; for the CPU also how many of its threads torch uses."""
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
    return f"{name}, {torch.get_num_threads()} threads"


def median_time(function: Callable[[], Any], device: torch.device | str, repeats: int = 5) -> float:
    """The median of the seconds that a function takes, after one call that does not count.

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


def _wait_for(device: torch.device | str) -> None:
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)


def ahead(items: Iterable) -> Iterator:
    """The same items in the same order; while one is used, a thread makes the next. Built in notebook 13."""
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item


def _batches(clips: Iterable[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """Batches (B, 3, T, H, W) of at most `size` clips. The clips before a damaged place come before the error."""
    clips, error = iter(clips), None
    while error is None:
        batch = []
        try:
            batch.extend(itertools.islice(clips, size))
        except video.VideoError as damage:
            error = damage
        if batch:
            yield torch.stack(batch)
        elif error is None:
            return
    raise error


def _outputs(network: nn.Module, clips: Iterable, device: Device, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    """For each preprocessed clip (3, T, H, W) what the network gives, float32 on the CPU; the next one is made meanwhile."""
    device = torch.device(device or get_device())
    network = network.to(device)
    for x in _batches(ahead(clips), 1 if device.type == "cpu" else 8):  # a CPU is no faster with more clips at once
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            outputs = network(x.to(device)).float().cpu()
        yield from outputs


def predict_clips(
    pretrained: weights.Pretrained,
    clips: Iterable[torch.Tensor],
    device: Device = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[torch.Tensor]:
    """For each clip the softmax of the network's logits.

    Args:
        pretrained: its network is moved to the device.
        clips: of uint8 frames (T, H, W, 3); at most ten of them are in memory, on a CPU two.
        device: by default that of `get_device`.
        dtype: torch.bfloat16 and torch.float16 compute in reduced precision, by autocast.

    Yields:
        Probabilities, a float32 tensor (labels,) on the CPU.
    """
    for logits in _outputs(pretrained.network, map(pretrained.preprocess, clips), device, dtype):
        yield logits.softmax(0)


def average_probs(
    pretrained: weights.Pretrained,
    clips: Iterable[torch.Tensor],
    device: Device = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """The mean of `predict_clips` over the clips of a video, (labels,); the arguments are the same."""
    return torch.stack(list(predict_clips(pretrained, clips, device, dtype))).mean(0)


def top_k(probs: torch.Tensor, labels: tuple[str, ...], k: int = 5) -> list[Prediction]:
    """The `k` labels with the largest probabilities (labels,), largest first."""
    best = probs.topk(min(k, len(labels)))
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [Prediction(labels[index], prob) for index, prob in pairs]


class VideoClassifier:
    """A function from a video file to its predictions, prepared once for any number of files.

    Args:
        pretrained: its network is moved to the device.
        clips: how many clips of a video are averaged; they are spread evenly over it.
        k: how many predictions.
        device, dtype: as for `predict_clips`.
        fast: the network is prepared by `scale.inference.optimize_for_inference`, and frames are scaled while they are
            converted. Probabilities differ in the third digit. See notebook 13.

    Raises:
        ValueError: the weights have no labels.
    """

    def __init__(
        self,
        pretrained: weights.Pretrained,
        clips: int = 5,
        k: int = 5,
        device: Device = None,
        dtype: torch.dtype = torch.float32,
        fast: bool = False,
    ) -> None:
        _require_labels(pretrained)
        self.pretrained, self.clips, self.k = pretrained, clips, k
        self.device, self.dtype, self._read_clips = torch.device(device or get_device()), dtype, video.read_clips
        if fast:
            from helpers.scale import inference, preprocessing

            size = (3, pretrained.frames, pretrained.crop_size, pretrained.crop_size)
            network = inference.optimize_for_inference(pretrained.network.to(self.device), dtype, size)
            self.pretrained = dataclasses.replace(pretrained, network=network, preprocess=lambda clip: clip)
            self.dtype = torch.float32  # of what the prepared network takes and gives
            self._read_clips = functools.partial(preprocessing.read_clips, crop_size=pretrained.crop_size)

    def __call__(self, path: str | PathLike) -> list[Prediction]:
        """The predictions for a video, best first. Raises video.VideoError: the file cannot be read."""
        return self.predict(self.read(path))

    def read(self, path: str | PathLike) -> Iterator[torch.Tensor]:
        """The clips of a video, decoded one after another; for whoever decodes and predicts in different places."""
        return self._read_clips(path, self.clips, self.pretrained.frames, self.pretrained.fps)

    def predict(self, clips: Iterable[torch.Tensor]) -> list[Prediction]:
        """The predictions for the clips that `read` gave."""
        probs = average_probs(self.pretrained, clips, self.device, self.dtype)
        return top_k(probs, self.pretrained.labels, self.k)


def predict_video(
    path: str | PathLike,
    pretrained: weights.Pretrained,
    clips: int = 5,
    k: int = 5,
    device: Device = None,
    dtype: torch.dtype = torch.float32,
    fast: bool = False,
) -> list[Prediction]:
    """The predictions for a video, best first; for the arguments and errors see `VideoClassifier`."""
    return VideoClassifier(pretrained, clips, k, device, dtype, fast)(path)


def _require_labels(pretrained: weights.Pretrained) -> None:
    if pretrained.labels is None:
        raise ValueError(
            f"{pretrained.name} has no labels: nobody has published what its classes are. It is good for features, "
            "to train a last layer of your own on: classify.extract_features(...)"
        )


def predict_stream(
    path: str | PathLike,
    pretrained: weights.Pretrained,
    step: int = 8,
    device: Device = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[tuple[float, torch.Tensor]]:
    """Classify a video of any length clip by clip, in constant memory; it is decoded once.

    Args:
        path: a video file.
        pretrained, device, dtype: as for `predict_clips`.
        step: a clip begins every so many frames.

    Yields:
        The second at which a clip begins, and its probabilities (labels,).

    Raises:
        video.VideoError: the file cannot be read, or not to its end; what comes before a damaged place is given first.
        ValueError: the weights have no labels.
    """
    _require_labels(pretrained)
    starts = deque()

    def clips():
        for start, clip in video.stream_clips(path, pretrained.frames, pretrained.fps, step):
            starts.append(start)
            yield clip

    for probs in predict_clips(pretrained, clips(), device, dtype):
        yield starts.popleft(), probs


def segments(rows: list[tuple[float, torch.Tensor]], labels: tuple[str, ...], clip_seconds: float) -> list[Segment]:
    """Join the rows of `predict_stream` where the same label is the best of clips in a row; without gaps.

    Args:
        rows: pairs of a start in seconds and of probabilities (labels,), in the order of time.
        labels: what each probability stands for.
        clip_seconds: how long a clip is. Its label holds around its middle, half way to the middles beside it.
    """
    if not rows:
        return []
    starts = [start for start, _ in rows]
    borders = [0.0, *((a + b + clip_seconds) / 2 for a, b in itertools.pairwise(starts)), starts[-1] + clip_seconds]
    joined = []
    for best, group in itertools.groupby(range(len(rows)), key=lambda clip: int(rows[clip][1].argmax())):
        first, *_, last = group = list(group) * 2
        mean = statistics.fmean(float(rows[clip][1][best]) for clip in group)
        joined.append(Segment(borders[first], borders[last + 1], labels[best], mean))
    return joined


def evaluate_torchvision_protocol(
    path: str | PathLike, pretrained: weights.Pretrained, device: Device = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """The probabilities (5, labels) of the five clips by which torchvision evaluates; see `video.protocol_clips`.

    The prediction for the video is the largest of their sum. Raises video.VideoError: the file cannot be read.
    """
    clips = video.protocol_clips(path, 5, pretrained.frames, pretrained.fps)
    return torch.stack(list(predict_clips(pretrained, clips, device, dtype)))


def extract_features(
    pretrained: weights.Pretrained, clips: Iterable[torch.Tensor], device: Device = None
) -> torch.Tensor:
    """What global average pooling gives, before the last layer: features (clips, channels), float32 on the CPU.

    Args:
        pretrained, clips, device: as for `predict_clips`.
    """
    *body, _ = pretrained.network.children()  # all but the linear layer
    network, clips = nn.Sequential(*body, nn.Flatten()), map(pretrained.preprocess, clips)
    return torch.stack(list(_outputs(network, clips, device, torch.float32)))


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 if every file was classified, 1 if some could not be, 2 if it could not begin, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m helpers.classify", description="Predict the action in video files.")
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a video; with --out a folder of videos")
    names = f"one of {', '.join(weights.NAMES)}, or a file of your own training"
    add("--weights", default="stickfigures", help=f"{names}; default: %(default)s")
    add("--clips", type=at_least_one, default=5, help="clips of a video that are averaged, default: %(default)s")
    add("--top", type=at_least_one, default=5, help="predictions a video, default: %(default)s")
    device = os.environ.get("VIDEO_RESNET_DEVICE") or None
    add("--device", type=named_device, default=device, help="cuda, mps or cpu; default: the first that is there")
    add("--precision", default="float32", choices=PRECISIONS, help="default: %(default)s")
    add("--fast", action="store_true", help="prepare the network first, and scale frames as they are decoded")
    add("--timeline", action="store_true", help="what happens when, in a video of any length")
    add("--json", action="store_true", help="one JSON object a line")
    add("--out", help="for a folder of any size: the file to which a row for each video is added")
    options = parser.parse_args(arguments)
    if options.out and (len(options.files) > 1 or options.timeline):
        parser.error("--out goes with one folder, and not with --timeline")
    if options.fast and options.timeline:
        parser.error("--fast does not go with --timeline")
    for stream in (sys.stdout, sys.stderr):  # a file name that the terminal cannot show must not end the run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        pretrained = weights.load(options.weights)
        _require_labels(pretrained)
    except (weights.WeightsError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if not options.json:
        print(f"Weights {pretrained.name!r}. {pretrained.trained_on}")
    settings = options.clips, options.top, options.device, getattr(torch, options.precision), options.fast
    if options.out:
        from helpers.scale import folder

        return folder.follow(folder.classify_folder(*options.files, options.out, pretrained, *settings), options.out)
    if options.timeline:
        key, classify = "segments", functools.partial(_timeline, pretrained=pretrained, options=options)
    else:
        key, classify = "predictions", VideoClassifier(pretrained, *settings)
    try:
        return max([_classify_and_print(file, key, classify, pretrained, options) for file in options.files])
    except KeyboardInterrupt:
        return 130


def _classify_and_print(file: str, key: str, classify: Callable, pretrained, options) -> int:
    """0, or 1 if the file could not be read."""
    try:
        results = classify(file)
    except video.VideoError as error:
        if options.json:
            print(json.dumps(dict(file=file, error=str(error))), flush=True)
        else:
            print(f"\n{error}", file=sys.stderr, flush=True)
        return 1
    if options.json:
        row = dict(file=file, weights=pretrained.name) | (dict(clips=options.clips) if key == "predictions" else {})
        print(json.dumps(row | {key: [result._asdict() for result in results]}), flush=True)
    else:
        print(f"\n{file}", *results, sep="\n", flush=True)
    return 0


def _timeline(file: str, pretrained, options) -> list[Segment]:
    from tqdm import tqdm

    seconds, dtype = video.probe(file).seconds, getattr(torch, options.precision)
    rows = []
    with tqdm(total=round(seconds), unit="s", disable=None) as bar:
        for start, probs in predict_stream(file, pretrained, device=options.device, dtype=dtype):
            rows.append((start, probs))
            bar.update(int(start) - bar.n)
    return segments(rows, pretrained.labels, pretrained.frames / pretrained.fps)


def named_device(text: str) -> torch.device:
    """The torch.device of this name, for argparse, which reports a device that cannot be used here."""
    try:
        assert _convolves(text)
    except Exception as error:  # every backend has its own kind of error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{text} cannot be used here: {reason}") from None
    return torch.device(text)


def at_least_one(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
