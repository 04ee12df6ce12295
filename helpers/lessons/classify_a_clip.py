"""The figures, explorers and exercise checks of notebook 07."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from helpers import classify, plots, video, weights
from helpers.explorers import front, mosaic
from helpers.intervals import wilson_interval
from helpers.lessons.exercises import exercise, require
from helpers.plots import ANSWER, INK, PALE, TIME, matrix, new_figure
from helpers.stickfigures import scene
from helpers.transforms import denormalize
from helpers.weights import Pretrained

__all__ = ["TimelineExplorer", "check_choose_threshold", "check_predict_from_clips", "check_protocol_starts", "four_things",
           "probs_by_clip_figure", "reliability_figure", "threshold_figure", "timeline_explorer", "timeline_figure",
           "upload_button"]  # fmt: skip

UPLOAD_LIMIT = 500_000_000  #: bytes; the Makefile raises JupyterLab's own limit of 10 MB to it


def probs_by_clip_figure(probs: ArrayLike, labels: Sequence[str], starts: Sequence[float], keep: int = 4) -> Figure:
    """The probability of each label in each clip of a video: a column for each clip, in temporal order.

    Args:
        probs: (clips, labels), 0 to 1.
        labels: a text for each column of `probs`.
        starts: seconds at which the clips begin.
        keep: how many labels are drawn: those with the largest mean.
    """
    probs = np.asarray(probs)
    best = np.argsort(-probs.mean(0), kind="stable")[:keep]
    names, times = [labels[k] for k in best], [f"{start:.1f} s" for start in starts]
    return matrix(probs[:, best].T, names, times, xlabel="clip that begins at", color=TIME)


@plots.style()
def reliability_figure(panels: Mapping[str, Sequence[tuple[float, int, float]]]) -> Figure:
    """Reliability diagrams side by side: the accuracy of each bin, with its Wilson interval, over its mean confidence.

    Args:
        panels: for each title the bins: how many clips are right, how many there are, their mean confidence.
    """
    figure = new_figure(9.6, 4.4)
    for number, (title, bins) in enumerate(panels.items(), start=1):
        labels = dict(xlabel="mean confidence of a bin", ylabel="accuracy of the bin" if number == 1 else "")
        axes = figure.add_subplot(1, len(panels), number, title=title, aspect="equal", **labels)
        axes.plot((0, 1), (0, 1), color=PALE, lw=1.8)
        for right, of, confidence in bins:
            axes.plot([confidence] * 2, wilson_interval(right, of), color=ANSWER, lw=1.8)
            axes.plot(confidence, right / of, "o", color=ANSWER, ms=7)
        axes.text(0.04, 0.93, "underconfident", fontsize=10)
        axes.text(0.96, 0.04, "overconfident", fontsize=10, ha="right")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return figure


def threshold_figure(known: torch.Tensor, unknown: torch.Tensor, chosen: float) -> Figure:
    """The known clips kept over the unknown clips rejected, by any threshold and by the chosen one; confidences (clips,)."""
    steps = torch.linspace(0, 1, 1001)[:, None], torch.tensor([[chosen]])
    every, one = (((unknown < t).float().mean(1), (known >= t).float().mean(1)) for t in steps)
    lines = {
        "any threshold": (*every, dict(color=ANSWER)),
        f"threshold {chosen:.2f}": (*one, dict(marker="o", ls="", color=INK, ms=8)),
        "by chance": ((0, 1), (1, 0), dict(color=PALE)),
    }
    labels = dict(xlabel="unknown clips rejected", ylabel="known clips kept")
    return plots.curves([dict(title="What a threshold costs", lines=lines, beside=True) | labels])


@plots.style()
def timeline_figure(frames: ArrayLike, segments: Sequence[classify.Segment], seconds: float) -> Figure:
    """Frames of a video, and below them a timeline of its segments with their labels and probabilities.

    Args:
        frames: uint8 (count, H, W, 3), evenly spaced over the video.
        segments: start and end in seconds, label and probability of each segment.
        seconds: the duration of the video.
    """
    frames = np.asarray(frames)
    height = 9.2 / len(frames) * frames.shape[1] / frames.shape[2]
    figure = new_figure(9.6, height + 1.9)
    above, below = figure.subfigures(2, 1, height_ratios=(height + 0.1, 1.8))
    strip, timeline = above.add_subplot(), below.add_subplot()
    width, center = seconds / len(frames), dict(ha="center", va="center", fontsize=9)
    for k, frame in enumerate(frames):
        strip.imshow(frame, extent=(k * width, (k + 0.97) * width, 0, 1), aspect="auto")
    strip.set(xlim=(0, seconds), ylim=(0, 1), xticks=[], yticks=[])
    strip.spines[:].set_visible(False)
    for number, (start, end, label, probability) in enumerate(segments):
        look = dict(facecolor=ANSWER, alpha=0.15 + 0.75 * probability, edgecolor="white", lw=1.5)
        timeline.add_patch(Rectangle((start, 0), end - start, 1, **look))
        fits, middle = (end - start) / seconds > 0.012 * len(label), (start + end) / 2
        timeline.text(middle, 0.5, f"{label}\n" * fits + f"{probability:.0%}", **center)
        if not fits:
            y = (1.25, 1.65, 2.05)[number % 3]
            timeline.text(middle, y, label, **center)
            timeline.plot([middle] * 2, (1, y - 0.17), color=INK, lw=0.8)
    timeline.set(xlim=(0, seconds), ylim=(0, 2.3), yticks=[])
    timeline.set_xlabel("seconds", color=TIME)
    timeline.spines["left"].set_visible(False)
    return figure


def upload_button(function: Callable[[Path], None]) -> ipywidgets.VBox:
    """A button that takes a file from the reader's computer and calls `function` with its path.

    What `function` prints and draws appears below the button. If it fails, one sentence says so, and the button still works.
    A text beside the button gives the largest size of a file: a larger one never arrives here.
    The widget returned has `.button`, the upload button, and `.output`, the place of the results.
    """
    limit = ipywidgets.Label(
        f"Up to {UPLOAD_LIMIT // 10**6} MB if JupyterLab was started by make lab, else 10 MB. A larger one: copy it beside "
        "this notebook, and name it as MY_FILE above."
    )
    button = ipywidgets.FileUpload(accept="video/*,.avi,.mkv,.mov,.mp4,.webm", multiple=False, description="Your video")
    output = ipywidgets.Output()

    def uploaded(change):
        if not change["new"]:
            return
        file = change["new"][0]
        output.clear_output()
        with output, tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(file["name"]).name)
            path.write_bytes(file["content"])
            try:
                function(path)
            except Exception as error:  # the button has to go on
                print(video.explain(path, error).replace(str(path), path.name))
            finally:
                button.value = ()  # the same file can be sent again, and its bytes are freed

    button.observe(uploaded, names="value")
    box = ipywidgets.VBox([ipywidgets.HBox([button, limit]), output])
    box.button, box.output = button, output
    return box


def four_things(path: str | PathLike) -> np.ndarray:
    """Write a synthetic video of a wave, jumping jacks, a cartwheel and a kick; its frames, uint8 (180, 256, 342, 3), 15 fps."""
    parts = [("wave", 3), ("jumping jacks", 8), ("cartwheel", 2), ("kick", 9)]
    three_seconds = dict(frames=45, size=(256, 342), seconds=3.0, stage=0.875)
    frames = np.concatenate([scene(action, seed, k, **three_seconds).frames for k, (action, seed) in enumerate(parts)])
    video.write_video(path, frames, fps=15)
    return frames


class TimelineExplorer(anywidget.AnyWidget):
    """A video as a network reads it, and the probabilities of its clips.

    `film` is a `mosaic` of the frames, of `shape` (T, H, W) at `fps`. For each clip of so many `frames` there are its first
    frame in `starts` and its probabilities in `probs`, (labels,).
    """

    _esm, _css = front("timeline")
    film, shape = traitlets.Bytes().tag(sync=True), traitlets.List().tag(sync=True)
    fps, frames = traitlets.Float().tag(sync=True), traitlets.Int().tag(sync=True)
    starts, probs = traitlets.List().tag(sync=True), traitlets.List().tag(sync=True)
    labels = traitlets.List().tag(sync=True)
    moment = traitlets.Float().tag(sync=True)


def timeline_explorer(
    path: str | PathLike | None = None, pretrained: Pretrained | None = None, step: int = 8
) -> TimelineExplorer:
    """A player of the first two minutes of a video, with their predictions. VideoError: the video cannot be read.

    Args:
        path: a video file; by default the video of `four_things`.
        pretrained: weights with labels, by default those of this repository; moved to the device of `classify.get_device`.
        step: a clip begins every so many frames.
    """
    if path is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "four_things.mp4")
            four_things(path)
            return timeline_explorer(path, pretrained, step)
    pretrained = pretrained or weights.load("stickfigures")
    starts, seen = [], []

    def clips():
        for start, clip in video.stream_clips(path, pretrained.frames, pretrained.fps, step):
            if start > 120:
                return
            starts.append(round(start * pretrained.fps))
            seen.append(denormalize(pretrained.preprocess(clip)))
            yield clip

    # Without a notebook the bar appears only on a terminal (disable=None). It goes away at the end (leave=False).
    with tqdm(desc="classifying", unit=" clips", leave=False, disable=None) as bar:
        probs = []
        for row in classify.predict_clips(pretrained, clips()):
            probs.append([round(p, 4) for p in row.tolist()])
            bar.update()
    film = torch.zeros(starts[-1] + pretrained.frames, *seen[0].shape[1:], dtype=torch.uint8)
    for start, frames in zip(starts, seen):
        film[start : start + len(frames)] = frames
    clip = dict(fps=pretrained.fps, frames=pretrained.frames, labels=list(pretrained.labels))
    return TimelineExplorer(film=mosaic(film), shape=list(film.shape[:3]), starts=starts, probs=probs, **clip)


@exercise
def check_protocol_starts(solution: Callable) -> None:
    """Notebook 07: the first frames of torchvision's five clips of 16, from the number of frames of a video."""
    require(list(solution(16)) == [0] * 5, "A video of 16 frames has one clip, from frame 0. Take it five times.")
    last = list(solution(60))[-1]
    require(last == 44, f"Of 60 frames the last clip begins at 44 and ends with the video; yours begins at {last}.")
    for n in (60, 17, 20, 31, 100, 6751):
        right, starts = [k * (n - 16) // 4 for k in range(5)], list(solution(n))
        require(len(starts) == 5, f"Return five starts, not {starts}.")
        require(starts == right, f"Of {n} frames they begin at {right}: evenly spaced, rounded down. Yours: {starts}.")


@exercise
def check_predict_from_clips(solution: Callable) -> None:
    """Notebook 07: the predicted class of a video, an index, from the logits of its clips (clips, classes)."""
    single = torch.tensor([[1.0, 3.0, 2.0]])
    require(solution(single) == 1, "With a single clip it is the class with the highest logit.")
    loud = torch.tensor([[30.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0]])
    require(solution(loud) == 1, "One clip with large logits has overruled two: average after the softmax.")
    undecided = torch.tensor([[2.0, 1.9, 0], [2.0, 1.9, 0], [0, 3.0, 0]])
    require(solution(undecided) == 1, "Do not count the best class of each clip: average the probabilities.")


@exercise
def check_choose_threshold(solution: Callable) -> None:
    """Notebook 07: the threshold of the lowest cost, from the confidences of known and unknown clips (clips,) and the cost of
    an unknown clip that is kept, where a known clip that is rejected costs 1. What reaches the threshold is kept."""
    for cost in (0.0, 0.3, 1.0, 5.0):
        known, unknown = 1 - 0.6 * torch.rand(40) ** 2, 0.2 + 0.75 * torch.rand(30)

        def price(threshold):
            return ((known < threshold).sum() + cost * (unknown >= threshold).sum()).item()  # noqa: B023

        best, yours = min(map(price, [*known, *unknown, 2.0])), price(solution(known, unknown, cost))
        hint = f"With a cost of {cost:g} your threshold costs {yours:.1f}, and there is one that costs {best:.1f}."
        require(yours <= best + 1e-4, hint)
