"""The drawings of the series: plain functions of arrays, in one style, with one colour for space and one for time."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours, which also those tell apart who do not see red or green.
SPACE = "#0072B2"
TIME = "#D55E00"
ANSWER = "#009E73"  # what a network says
INK = "#333333"
PALE = "#D9D9D9"

STYLE = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
}


def new_figure(width, height):
    """An empty figure in the style of the series, `width` x `height` inches, that pyplot does not know of."""
    with plt.rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def show(figure, alt):
    """Display a figure with a sentence for those who cannot see it.

    The sentence is the picture's alt text on a page, and stands in its place where only text is shown.

    Raises:
        ValueError: without such a sentence.
    """
    if not alt.strip():
        raise ValueError("say in a sentence what the figure shows")
    with io.BytesIO() as full, io.BytesIO() as small:
        figure.savefig(full, format="png")
        # 256 colours look the same here and make a stored page a third of the size.
        few = Image.open(full).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(small, format="png", optimize=True)
        picture = base64.b64encode(small.getvalue()).decode()
    display({"image/png": picture, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})


def add_axes(figure, *where, **how):
    """Axes in the style of the series; `where` and `how` as for matplotlib's `add_subplot`."""
    with plt.rc_context(STYLE):
        return figure.add_subplot(*where, **how)


def film_strip(frames, labels=None, columns=8, title=None):
    """Frames side by side, in the order of time, in rows of `columns`.

    Args:
        frames: uint8 (T, H, W, 3).
        labels: one text for each frame, its time for example.
        title: above all of them.
    """
    frames = np.asarray(frames)
    rows = -(-len(frames) // columns)
    width = 9.6
    height = rows * (width / columns * frames.shape[1] / frames.shape[2] + (0.25 if labels else 0.05)) + 0.4 * bool(title)
    figure = new_figure(width, height)
    for k, frame in enumerate(frames):
        draw_frame(add_axes(figure, rows, columns, k + 1), frame, labels[k] if labels else None)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def draw_frame(axes, frame, label=None):
    """One frame on axes of its own, without ticks; the label below it, in the colour of time."""
    axes.imshow(np.asarray(frame))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if label is not None:
        axes.set_xlabel(label, color=TIME, fontsize=9, labelpad=2)


def draw_answers(axes, answers):
    """The best answers as bars, best on top; `answers` are pairs of label and probability."""
    labels, values = zip(*answers)
    places = np.arange(len(answers))[::-1]
    axes.barh(places, values, height=0.62, color=[ANSWER] + [PALE] * (len(answers) - 1))
    for place, label, value in zip(places, labels, values):
        axes.text(value + 0.02, place, f"{value:.0%}", va="center", fontsize=10)
    axes.set_yticks(places, labels, fontsize=11)
    axes.set(xlim=(0, 1.15), xticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def answers_beside_frames(frames, answers, title=None):
    """Four frames of a clip, from its first to its last, and what a network answers."""
    frames = np.asarray(frames)
    figure = new_figure(9.6, 1.9 + 0.3 * bool(title))
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1))
    for column, k in enumerate(np.linspace(0, len(frames) - 1, 4).round().astype(int)):
        draw_frame(add_axes(left, 1, 4, column + 1), frames[k], f"frame {k + 1}")
    draw_answers(add_axes(right), answers)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def shares_by_clip(shares, labels, starts, keep=4):
    """What a network gives to each label in each clip of a video: a column a clip, in the order of time.

    Args:
        shares: (clips, labels), 0 to 1.
        labels: a text for each column of `shares`.
        starts: seconds at which the clips begin.
        keep: how many labels are drawn, those with the largest mean.
    """
    shares = np.asarray(shares)
    best = np.argsort(-shares.mean(0), kind="stable")[:keep]
    picture = shares[:, best].T
    figure = new_figure(9.6, 0.8 + 0.4 * len(best))
    axes = add_axes(figure)
    axes.imshow(picture, cmap="Greens", vmin=0, vmax=1.3, aspect="auto")
    for row, column in np.ndindex(picture.shape):
        axes.text(column, row, f"{picture[row, column]:.0%}", ha="center", va="center", fontsize=10)
    axes.set_yticks(range(len(best)), [labels[k] for k in best])
    axes.set_xticks(range(len(starts)), [f"{start:.1f} s" for start in starts], color=TIME)
    axes.set_xlabel("clip that begins at", color=TIME)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
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
    frames, height, width = film.shape[:3]
    figure = new_figure(8.4, 7.2)
    grid = dict(width_ratios=(1, 1), height_ratios=(1, 0.72))
    with plt.rc_context(STYLE):
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
    y_t.set_xlabel("t", color=TIME)
    x_t.set_ylabel("t", color=TIME)
    x_t.set_xlabel("x", color=SPACE)
    frame.set_ylabel("y", color=SPACE)
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
