"""The figures, explorers and exercise checks of notebook 01."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import anywidget
import numpy as np
import torch
import traitlets
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
    "sampling_figure",
    "slice_explorer",
    "slices_figure",
]


@plots.style()
def sampling_figure(frame_times: ArrayLike, moments: Sequence[ArrayLike], rows: Sequence[str]) -> Figure:
    """Which frames of a file a clip samples: ticks for the frames of the file, dots for the sampled moments.

    Args:
        frame_times: when the file shows its frames, in seconds.
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


@plots.style()
def slices_figure(frames: ArrayLike, time: int, row: int, column: int) -> Figure:
    """One frame of a video, and what one of its rows and one of its columns show over time.

    The y-t slice (the column, with time to the right) is to the right of the frame. The x-t slice (the row, with time
    downwards) is below it.

    Args:
        frames: uint8 (T, H, W, 3).
        time, row, column: indices into its first three axes.
    """
    frames = np.asarray(frames)
    figure = new_figure(8.4, 7.2)
    grid = dict(width_ratios=(1, 1), height_ratios=(1, 0.72))
    ((frame, y_t), (x_t, empty)) = figure.subplots(2, 2, gridspec_kw=grid)
    empty.set_axis_off()
    pictures = ((frame, frames[time]), (y_t, frames[:, :, column].swapaxes(0, 1)), (x_t, frames[:, row]))
    for axes, picture in pictures:
        axes.imshow(picture, aspect="auto", interpolation="nearest")
        axes.spines[:].set_visible(False)
        axes.tick_params(labelsize=9)
    frame.axhline(row, color=SPACE, lw=1.6)
    frame.axvline(column, color=SPACE, lw=1.6, ls="--")
    y_t.axvline(time, color=TIME, lw=1.6)
    x_t.axhline(time, color=TIME, lw=1.6)
    frame.set_title(f"frame {time}, row {row}, column {column}")
    y_t.set_title(f"y-t slice: column {column}")
    x_t.set_title(f"x-t slice: row {row}")
    for axes, x, y in ((frame, "x", "y"), (y_t, "t", "y"), (x_t, "x", "t")):
        for label, letter in ((axes.set_xlabel, x), (axes.set_ylabel, y)):
            label("t, frames" if letter == "t" else f"{letter}, pixels", color=TIME if letter == "t" else SPACE)
    return figure


class SliceExplorer(anywidget.AnyWidget):
    """A clip as a block that can be turned, and its cuts; `time`, `row` and `column` say where. `film` is a `mosaic`."""

    _esm, _css = front("slices")
    film = traitlets.Bytes().tag(sync=True)
    shape = traitlets.List().tag(sync=True)  # T, H, W
    time, row, column = (traitlets.Int().tag(sync=True) for _ in range(3))
    yaw, pitch = traitlets.Float(0.5).tag(sync=True), traitlets.Float(0.4).tag(sync=True)


def slice_explorer(frames: ArrayLike | None = None) -> SliceExplorer:
    """The explorer of notebook 01.

    Args:
        frames: uint8 (T, H, W, 3); without them the walk that the notebook draws.
    """
    if frames is None:
        frames = scene("walk", 3, 12, frames=64, size=112, seconds=64 / 30).frames
    middle = dict(zip(("time", "row", "column"), (n // 2 for n in frames.shape)))
    return SliceExplorer(film=mosaic(frames), shape=list(frames.shape[:3]), **middle)


@exercise
def check_frame_at(solution: Callable) -> None:
    """Notebook 01: the index of the frame that is shown at a moment, from the times of all frames."""
    require(solution([0.0, 0.1, 0.2], 0.1) == 1, "At the very moment at which frame 1 appears, frame 1 is shown.")
    require(solution([0.0, 0.1, 0.2], 0.19) == 1, "Frame 1 stays until frame 2 comes; the nearest frame is not meant.")
    require(solution([0.0, 0.1, 0.2], 5.0) == 2, "The last frame stays after it has come.")
    rng = np.random.default_rng(0)
    for _ in range(200):
        times = np.cumsum(rng.integers(1, 9, 30)).tolist()
        moment = int(rng.integers(times[0], times[-1] + 5))
        right = sum(time <= moment for time in times) - 1
        require(solution(times, moment) == right, f"For times {times[:6]}... and moment {moment} it is {right}.")


@exercise
def check_clip_seconds(solution: Callable) -> None:
    """Notebook 01: the seconds between the first and the last frame of a clip, from its frames and its frame rate."""
    hint = "Two frames at 1 frame per second are one second apart: count the gaps, not the frames."
    require(solution(2, 1) == 1, hint)
    for frames, fps in [(16, 15), (1, 30), (32, 30), (8, 7.5)]:
        right = float((frames - 1) / Fraction(fps))
        require(
            abs(solution(frames, fps) - right) < 1e-9, f"{frames} frames at {fps} frames per second: {right:.4g} s."
        )


@exercise
def check_y_t_slice(solution: Callable) -> None:
    """Notebook 01: one column of a normalized clip (C, T, H, W) over time, as (H, T, C)."""
    clip = torch.randn(3, 7, 11, 13)
    result = solution(clip, 4)
    require(isinstance(result, torch.Tensor), "Return a tensor.")
    require(result.shape == (11, 7, 3), f"Its shape is {tuple(result.shape)}, not (H, T, C) = (11, 7, 3).")
    for y, t, c in [(0, 0, 0), (10, 6, 2), (3, 5, 1)]:
        require(bool(result[y, t, c] == clip[c, t, y, 4]), "The shape is right, but a value is in the wrong place.")
