"""The figures, explorers and exercise checks of notebook 01."""

from fractions import Fraction

import ipywidgets
import numpy as np
import torch

from helpers import plots
from helpers.lessons.exercises import check
from helpers.plots import (
    PALE,
    SPACE,
    TIME,
    new_figure,
)


def timeline(shown, asked, rows):
    """Which frames of a file a clip takes: ticks for the frames of the file, dots for the moments asked for.

    Args:
        shown: times of the file's frames, in seconds.
        asked: for each row the moments that a clip asks for.
        rows: a text for each row.
    """
    figure = new_figure(9.6, 0.9 + 0.42 * len(rows))
    axes = figure.add_subplot()
    for place, moments in enumerate(asked):
        axes.vlines(shown, place - 0.18, place + 0.18, color=PALE, lw=1)
        axes.plot(moments, [place] * len(moments), "o", color=TIME, ms=5)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlabel("seconds", color=TIME)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def slices(film, time, row, column):
    """One frame of a film, and what one of its rows and one of its columns show in the course of time.

    To the right of the frame stands the y-t slice (the column, time running to the right), below it the x-t slice
    (the row, time running down).

    Args:
        film: uint8 (T, H, W, 3).
        time, row, column: indices into its first three axes.
    """
    film = np.asarray(film)
    figure = new_figure(8.4, 7.2)
    grid = dict(width_ratios=(1, 1), height_ratios=(1, 0.72))
    ((frame, y_t), (x_t, empty)) = figure.subplots(2, 2, gridspec_kw=grid)
    empty.set_axis_off()
    pictures = ((frame, film[time]), (y_t, film[:, :, column].swapaxes(0, 1)), (x_t, film[:, row]))
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


def slice_explorer(film):
    """Sliders for the moment, the row and the column of `slices`; (T, H, W, 3) uint8.

    Returns:
        The widget; `.children[0]` to `[2]` are its sliders.
    """
    frames, height, width = film.shape[:3]

    def draw(time, row, column):
        alt = f"Frame {time} with row {row} and column {column} marked, and how these two look in all frames."
        plots.show(slices(film, time, row, column), alt)

    def slider(count, value):
        return ipywidgets.IntSlider(value, 0, count - 1, continuous_update=False)

    sliders = dict(time=slider(frames, frames // 2), row=slider(height, height // 2), column=slider(width, width // 2))
    return ipywidgets.interactive(draw, **sliders)


def check_frame_at(answer):
    """Notebook 01: the index of the frame that is shown at a moment, given the times of all frames."""

    def attempt():
        assert answer([0.0, 0.1, 0.2], 0.1) == 1, "At the very moment at which frame 1 appears, frame 1 is shown."
        assert answer([0.0, 0.1, 0.2], 0.19) == 1, "Frame 1 stays until frame 2 comes; the nearest frame is not meant."
        assert answer([0.0, 0.1, 0.2], 5.0) == 2, "After the last frame has come, it stays."
        rng = np.random.default_rng(0)
        for _ in range(200):
            times = np.cumsum(rng.integers(1, 9, 30)).tolist()
            moment = int(rng.integers(times[0], times[-1] + 5))
            right = sum(time <= moment for time in times) - 1
            assert answer(times, moment) == right, f"For times {times[:6]}... and moment {moment} it is {right}."

    return check("frame_at", answer, attempt)


def check_clip_seconds(answer):
    """Notebook 01: how many seconds lie between the first and the last frame of a clip."""

    def attempt():
        assert answer(2, 1) == 1, "Two frames at one a second are one second apart: count the gaps, not the frames."
        for frames, rate in [(16, 15), (1, 30), (32, 30), (8, 7.5)]:
            right = float((frames - 1) / Fraction(rate))
            assert abs(answer(frames, rate) - right) < 1e-9, f"{frames} frames at {rate} a second: {right:.4g} s."

    return check("clip_seconds", answer, attempt)


def check_y_t_slice(answer):
    """Notebook 01: one column of a normalised clip (C, T, H, W) in the course of time, as (H, T, C)."""

    def attempt():
        clip = torch.randn(3, 7, 11, 13, generator=torch.Generator().manual_seed(0))
        result = answer(clip, 4)
        assert isinstance(result, torch.Tensor), "Return a tensor."
        assert result.shape == (11, 7, 3), f"Its shape is {tuple(result.shape)}, not (H, T, C) = (11, 7, 3)."
        for y, t, c in [(0, 0, 0), (10, 6, 2), (3, 5, 1)]:
            assert result[y, t, c] == clip[c, t, y, 4], "The shape is right, but a value stands in the wrong place."

    return check("y_t_slice", answer, attempt)
