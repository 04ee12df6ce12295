"""Frames of films, beside each other, in slices, under heat, and with what a network answers to them."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from helpers.plots.style import ANSWER, INK, PALE, SHADES, SPACE, TIME, add_axes, new_figure


def film_strip(frames, labels=None, columns=8, title=None, color=TIME, rows=None):
    """Frames side by side, in the order of time, in rows of `columns`.

    Args:
        frames: uint8 (T, H, W, 3).
        labels: one text for each frame, its time for example.
        title: above all of them.
        color: of the labels; `INK` where they are no times.
        rows: a text for each row, at its left.
    """
    frames = np.asarray(frames)
    count, room, gap = -(-len(frames) // columns), 0.1 * max(map(len, rows or [""])), 0.085  # of inches
    wide = (9.6 - room) / columns - gap  # a frame
    columns = min(columns, len(frames))
    high = wide * frames.shape[1] / frames.shape[2] + gap + (0.16 if labels else 0)
    figure = new_figure(columns * (wide + gap) + room, count * high + 0.26 * bool(title))
    for k, frame in enumerate(frames):
        axes = add_axes(figure, count, columns, k + 1)
        draw_frame(axes, frame, labels[k] if labels else None, color)
        if rows and k % columns == 0:
            axes.set_ylabel(rows[k // columns], rotation=0, ha="right", va="center", fontsize=10)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def overlaid(frames, heat):
    """Frames in grey with heat laid over them, from violet to yellow; where there is none they stay grey.

    Args:
        frames: uint8 (T, H, W, 3).
        heat: (T, H, W); the largest value is drawn brightest, what is not positive not at all.

    Returns:
        uint8 (T, H, W, 3).
    """
    frames, heat = np.asarray(frames), np.clip(np.asarray(heat, dtype=np.float32), 0, None)
    share = heat / (heat.max() or 1)
    grey = frames.mean(-1, keepdims=True) / 255
    colour = plt.get_cmap("plasma")(0.3 + 0.7 * share)[..., :3]
    mixed = grey + 0.9 * share[..., None] ** 0.8 * (colour - grey)
    return (255 * mixed).round().astype(np.uint8)


def films_beside_values(films, rows, columns, values, write="{:.0%}".format):
    """A row for each film: eight of its frames, and numbers beside them, the larger the darker.

    Args:
        films: for each row uint8 (T, H, W, 3), T at least 8.
        rows, columns: a text for each film, and for each column of `values`.
        values: (rows, columns), 0 to 1.
    """
    values = np.asarray(values)
    wide, gap = 1.6, 0.3  # of a number's cell, and between frames and numbers; a frame is 1 wide and 1 high
    figure = new_figure(9.6, 0.5 + 0.62 * len(rows))
    axes = add_axes(figure)
    for row, film in enumerate(films):
        chosen = np.linspace(0, len(film) - 1, 8).round().astype(int)
        for column, k in enumerate(chosen):
            axes.imshow(np.asarray(film)[k], extent=(column + 0.04, column + 0.96, row + 0.96, row + 0.04))
        for column, value in enumerate(values[row]):
            left = 8 + gap + column * wide
            axes.add_patch(Rectangle((left, row), wide, 1, color=SHADES(value / 1.3), lw=0))
            axes.text(left + wide / 2, row + 0.5, write(value), ha="center", va="center", fontsize=10)
    axes.set(xlim=(0, 8 + gap + wide * len(columns)), ylim=(len(rows), 0), aspect="equal")
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    places = [0.5, 7.5] + [8 + gap + wide * (k + 0.5) for k in range(len(columns))]
    axes.set_xticks(places, ["first", "last", *columns], fontsize=9)
    for k, label in enumerate(axes.get_xticklabels()):
        label.set(color=TIME if k < 2 else INK, va="baseline")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", pad=12)
    return figure


def draw_frame(axes, frame, label=None, color=TIME):
    """One frame on axes of its own, without ticks; the label below it, in the colour of time if it is one."""
    axes.imshow(np.asarray(frame))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if label is not None:
        axes.set_xlabel(label, color=color, fontsize=9, va="baseline", labelpad=11)


def draw_answers(axes, answers):
    """The best answers as bars, best on top; `answers` are pairs of label and probability."""
    labels, values = zip(*answers)
    places = np.arange(len(answers))[::-1]
    axes.barh(places, values, height=0.62, color=[ANSWER] + [PALE] * (len(answers) - 1))
    for place, value in zip(places, values):
        axes.text(value + 0.02, place, f"{value:.0%}", va="center", fontsize=10)
    axes.set_yticks(places, labels, fontsize=11)
    axes.set(xlim=(0, 1.15), xticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def answers_beside_frames(frames, answers, title=None):
    """Four frames of a clip, from its first to its last, and what a network answers."""
    frames = np.asarray(frames)
    figure = new_figure(9.6, 1.9 + 0.26 * bool(title))
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1))
    for column, k in enumerate(np.linspace(0, len(frames) - 1, 4).round().astype(int)):
        draw_frame(add_axes(left, 1, 4, column + 1), frames[k], f"frame {k + 1}")
    draw_answers(add_axes(right), answers)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
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


def timeline(shown, asked, rows):
    """Which frames of a file a clip takes: ticks for the frames of the file, dots for the moments asked for.

    Args:
        shown: times of the file's frames, in seconds.
        asked: for each row the moments that a clip asks for.
        rows: a text for each row.
    """
    figure = new_figure(9.6, 0.9 + 0.42 * len(rows))
    axes = add_axes(figure)
    for place, moments in enumerate(asked):
        axes.vlines(shown, place - 0.18, place + 0.18, color=PALE, lw=1)
        axes.plot(moments, [place] * len(moments), "o", color=TIME, ms=5)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlabel("seconds", color=TIME)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def ribbon(frames, stretches, seconds):
    """What happens when: frames of a video above, and below them a ribbon of answers, the surer the darker.

    Args:
        frames: uint8 (count, H, W, 3), evenly spread over the video.
        stretches: tuples of a start and an end in seconds, a label and its share, 0 to 1.
        seconds: how long the video is.
    """
    frames = np.asarray(frames)
    high = 9.2 / len(frames) * frames.shape[1] / frames.shape[2]
    figure = new_figure(9.6, high + 1.9)
    above, below = figure.subfigures(2, 1, height_ratios=(high + 0.1, 1.8))
    film, answers = add_axes(above), add_axes(below)
    width = seconds / len(frames)
    for k, frame in enumerate(frames):
        film.imshow(frame, extent=(k * width, (k + 0.97) * width, 0, 1), aspect="auto")
    film.set(xlim=(0, seconds), ylim=(0, 1), xticks=[], yticks=[])
    film.spines[:].set_visible(False)
    for number, (start, end, label, share) in enumerate(stretches):
        answers.add_patch(
            Rectangle(
                (start, 0), end - start, 1, facecolor=ANSWER, alpha=0.15 + 0.75 * share, edgecolor="white", lw=1.5
            )
        )
        place = (
            0.5 if (end - start) / seconds > 0.012 * len(label) else (1.25, 1.65, 2.05)[number % 3]
        )  # no room inside
        answers.text((start + end) / 2, place, label, ha="center", va="center", fontsize=9)
        if place > 1:
            answers.plot([(start + end) / 2] * 2, (1, place - 0.17), color=INK, lw=0.8)
    answers.set(xlim=(0, seconds), ylim=(0, 2.3), yticks=[])
    answers.set_title("the darker, the surer", loc="right", fontsize=9)
    answers.set_xlabel("seconds", color=TIME)
    answers.spines["left"].set_visible(False)
    return figure
