"""The figures, explorers and exercise checks of notebook 01."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from helpers import plots
from helpers.explorers import front, mosaic
from helpers.lessons.exercises import exercise, require
from helpers.plots import PALE, SPACE, TIME, new_figure
from helpers.stickfigures import scene

__all__ = [
    "SliceExplorer",
    "check_clip_seconds",
    "check_frame_at",
    "check_y_t_slice",
    "histograms_figure",
    "sampling_figure",
    "slice_explorer",
    "slice_figure",
    "x_t_slices_figure",
]


@plots.style()
def sampling_figure(frame_times: ArrayLike, moments: Sequence[ArrayLike], rows: Sequence[str]) -> Figure:
    """The frames of a file as ticks, and above them, a row for each clip, the moments that the clip samples as dots.

    Args:
        frame_times: the presentation times of the frames, in seconds.
        moments: for each row the moments of a clip, in seconds.
        rows: a text for each row.
    """
    figure = new_figure(9.6, 0.9 + 0.42 * len(rows))
    axes = figure.add_subplot()
    for row, sampled in enumerate(moments):
        axes.vlines(frame_times, row - 0.18, row + 0.18, color=PALE, lw=1)
        axes.plot(sampled, [row] * len(sampled), "o", color=TIME, ms=5)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlabel("seconds", color=TIME)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _draw_cut(axes: Axes, picture: np.ndarray, x: str, y: str, title: str) -> None:
    """Draw one cut through a video. `x` and `y` are the letters of its axes: x, y or t."""
    axes.imshow(picture, aspect="auto", interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.locator_params(integer=True)
    axes.set_title(title)
    for label, letter in ((axes.set_xlabel, x), (axes.set_ylabel, y)):
        label("t, frames" if letter == "t" else f"{letter}, pixels", color=TIME if letter == "t" else SPACE)


@plots.style()
def slice_figure(frames: ArrayLike, time: int, row: int | None = None, column: int | None = None) -> Figure:
    """One frame of a video, and beside it what one of its rows or one of its columns shows over time.

    In an x-t slice (of a row) time runs down. In a y-t slice (of a column) it runs to the right, so that the rows of the
    slice are level with those of the frame.

    Args:
        frames: uint8 (T, H, W, 3).
        time: an index into the first axis.
        row, column: an index into the second or the third axis. Give one of them.
    """
    frames = np.asarray(frames)
    figure = new_figure(8.4, 3.9)
    frame, cut = figure.subplots(1, 2)
    _draw_cut(frame, frames[time], "x", "y", f"frame {time}")
    if column is None:
        _draw_cut(cut, frames[:, row], "x", "t", f"x-t slice: row {row}")
        frame.axhline(row, color=SPACE, lw=1.6)
        cut.axhline(time, color=TIME, lw=1.6)
    else:
        _draw_cut(cut, frames[:, :, column].swapaxes(0, 1), "t", "y", f"y-t slice: column {column}")
        frame.axvline(column, color=SPACE, lw=1.6)
        cut.axvline(time, color=TIME, lw=1.6)
    return figure


@plots.style()
def x_t_slices_figure(clips: Mapping[str, ArrayLike], row: int) -> Figure:
    """The x-t slices of one row in several clips, side by side, with time downwards.

    Args:
        clips: uint8 (T, H, W, 3), by name.
        row: an index into the second axis.
    """
    figure = new_figure(9.6, 2.6)
    for axes, (name, frames) in zip(figure.subplots(1, len(clips), squeeze=False)[0], clips.items()):
        _draw_cut(axes, np.asarray(frames)[:, row], "x", "t", name)
    return figure


@plots.style()
def histograms_figure(frames: torch.Tensor, clip: torch.Tensor) -> Figure:
    """How the values of each color channel are distributed, before and after they are normalized.

    Args:
        frames: uint8 (T, H, W, 3).
        clip: the same frames, normalized, (3, T, H, W).
    """
    figure = new_figure(9.6, 2.7)
    before, after = figure.subplots(1, 2)
    for channel, (name, line) in enumerate({"red": "-", "green": "--", "blue": ":"}.items()):
        look = dict(bins=64, histtype="step", color=name, ls=line, lw=1.5, label=name)
        before.hist(frames[..., channel].flatten().numpy(), range=(0, 255), **look)
        after.hist(clip[channel].flatten().numpy(), range=(-2.6, 2.6), **look)
    before.set(title="bytes", yticks=[], xlabel="value of a channel", ylabel="pixels")
    after.set(title="normalized", yticks=[], xlabel="value of a channel", ylabel="pixels")
    before.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


class SliceExplorer(anywidget.AnyWidget):
    """A video as a block that can be turned, and its cuts at `time`, `row` and `column`. `film` is its `mosaic`."""

    _esm, _css = front("slices")
    film = traitlets.Bytes().tag(sync=True)
    shape = traitlets.List().tag(sync=True)  # T, H, W
    time, row, column = (traitlets.Int().tag(sync=True) for _ in range(3))
    yaw, pitch = traitlets.Float(0.5).tag(sync=True), traitlets.Float(0.4).tag(sync=True)


def slice_explorer(frames: ArrayLike | None = None) -> SliceExplorer:
    """The explorer of notebook 01.

    Args:
        frames: uint8 (T, H, W, 3); by default the walk that the notebook draws.
    """
    if frames is None:
        frames = scene("walk", 3, 12, frames=64, size=112, seconds=64 / 30).frames
    middle = dict(zip(("time", "row", "column"), (n // 2 for n in frames.shape)))
    return SliceExplorer(film=mosaic(frames), shape=list(frames.shape[:3]), **middle)


@exercise
def check_frame_at(solution: Callable) -> None:
    """Notebook 01: the index of the frame that is shown at a moment, from the presentation times of all frames."""
    require(solution([0.0, 0.1, 0.2], 0.1) == 1, "At its presentation time, frame 1 is already shown.")
    require(
        solution([0.0, 0.1, 0.2], 0.19) == 1,
        "Frame 1 is shown until the time of frame 2. Return the last frame, not the nearest.",
    )
    require(solution([0.0, 0.1, 0.2], 5.0) == 2, "After its presentation time the last frame stays.")
    rng = np.random.default_rng(0)
    for _ in range(200):
        times = np.cumsum(rng.integers(1, 9, 30)).tolist()
        moment = int(rng.integers(times[0], times[-1] + 5))
        right = sum(time <= moment for time in times) - 1
        require(solution(times, moment) == right, f"For times {times[:6]}... and moment {moment} it is frame {right}.")


@exercise
def check_clip_seconds(solution: Callable) -> None:
    """Notebook 01: the seconds from the first to the last frame of a clip, from their number and the frame rate."""
    hint = "Two frames at 1 fps are one second apart: count the gaps, not the frames."
    require(solution(2, 1) == 1, hint)
    for frames, fps in [(16, 15), (1, 30), (32, 30), (8, 7.5)]:
        right = float((frames - 1) / Fraction(fps))
        require(abs(solution(frames, fps) - right) < 1e-9, f"{frames} frames at {fps} fps: {right:.4g} s.")


@exercise
def check_y_t_slice(solution: Callable) -> None:
    """Notebook 01: one column of a normalized clip (C, T, H, W) over time, as (H, T, C)."""
    clip = torch.randn(3, 7, 11, 13)
    result = solution(clip, 4)
    require(isinstance(result, torch.Tensor), "Return a tensor.")
    require(result.shape == (11, 7, 3), f"Its shape is {tuple(result.shape)}, not (H, T, C) = (11, 7, 3).")
    for y, t, c in [(0, 0, 0), (10, 6, 2), (3, 5, 1)]:
        require(bool(result[y, t, c] == clip[c, t, y, 4]), "The shape is right, but a value is in the wrong place.")
