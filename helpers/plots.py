"""One style, and the drawings that more than one notebook needs: plain functions of arrays.

Space has one color and time another, in every figure. Every figure is shown with a sentence for readers who cannot see it.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import matplotlib
import numpy as np
from IPython.display import display
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

__all__ = (
    "ANSWER FULL_SHAPES INK PALE PARTS SHADES SPACE STYLE TIME bars curves draw_arrow draw_frame draw_kind draw_network "
    "draw_predictions film_strip matrix new_figure play predictions_beside_frames scatter show style"
).split()

Texts = Sequence[str]
# The colors of Okabe and Ito: readers with any kind of color vision can tell them apart.
SPACE, TIME = "#0072B2", "#D55E00"
ANSWER = "#009E73"  # what a network predicts
INK, PALE = "#333333", "#D9D9D9"
SHADES = LinearSegmentedColormap.from_list("shades", ["white", ANSWER])  # of table cells: the larger, the darker
STYLE = {"font.family": "DejaVu Sans", "font.size": 11, "axes.titlesize": 12, "axes.titlelocation": "left"}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False}
STYLE |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
# `with style():` or `@style()` draws in the style of the series and leaves matplotlib's global settings as they are.
style = partial(matplotlib.rc_context, STYLE)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, `width` x `height` inches, that pyplot does not manage. Draw on it within `with style():`."""
    return Figure(figsize=(width, height), dpi=100, facecolor="white", layout="constrained")


@style()
def show(figure: Figure, alt: str) -> None:
    """Display a figure, in 192 colors so that a stored notebook stays small; ValueError if `alt` does not say what it shows."""
    if not alt.strip():
        raise ValueError("describe in a sentence what the figure shows")
    with io.BytesIO() as full, io.BytesIO() as small:
        figure.savefig(full, format="png")
        picture = Image.open(full).convert("RGB")
        few = picture.quantize(192, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(small, format="png", optimize=True)
        data = base64.b64encode(small.getvalue()).decode()
    display({"image/png": data, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})


def play(
    films: ArrayLike | Mapping[str, ArrayLike], alt: str, fps: float = 15.0, width: int = 224, limit: int = 150_000
) -> None:
    """Display a clip that moves, or several side by side with a name above each, as an animated PNG that begins again.

    The colors are reduced, from 128 to 8, until the picture has at most `limit` bytes; ValueError if that is not enough, or if
    `alt` does not say what it shows.

    Args:
        films: uint8 (T, H, W, 3), or such by name, all of as many frames of one size.
        fps: frames a second.
        width: of a clip, in pixels; a multiple of its own looks best.
    """
    if not alt.strip():
        raise ValueError("describe in a sentence what the clip shows")
    films = films if isinstance(films, Mapping) else {"": films}
    frames = [_side_by_side(films, t, width) for t in range(len(next(iter(films.values()))))]
    some = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames[:: -(-len(frames) // 16)]]))
    for colors in (128, 64, 32, 16, 8):
        palette = some.quantize(colors, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        with io.BytesIO() as file:
            few[0].save(file, "png", save_all=True, append_images=few[1:], duration=1000 / fps, loop=0, optimize=True)
            if len(data := file.getvalue()) <= limit:
                data = base64.b64encode(data).decode()
                return display({"image/png": data, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})
    raise ValueError(f"{len(data):,} bytes in 8 colors are more than {limit:,}: take fewer or smaller frames")


def _side_by_side(films, t, width):
    """Frame t of each film, with its name above, in one picture."""
    longest = max(map(len, films))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), min(14, 1.7 * width / max(1, longest)))
    pictures = [Image.fromarray(np.asarray(film[t])) for film in films.values()]
    height = round(width * pictures[0].height / pictures[0].width)
    top, gap = (22 if any(films) else 0), 8
    whole = Image.new("RGB", (len(pictures) * (width + gap) - gap, top + height), "white")
    for k, (name, picture) in enumerate(zip(films, pictures)):
        whole.paste(picture.resize((width, height), Image.Resampling.NEAREST), (k * (width + gap), top))
        ImageDraw.Draw(whole).text((k * (width + gap), 2), name, fill=INK, font=font)
    return whole


@style()
def film_strip(
    frames: ArrayLike, labels: Texts = (), columns: int = 8, title: str = "", color: str = TIME, rows: Texts = ()
) -> Figure:
    """Frames side by side in temporal order, in rows of `columns`.

    Args:
        frames: uint8 (T, H, W, 3).
        labels: a text below each frame, for example its time.
        color: of the labels. Use `INK` if they are not times.
        rows: a text to the left of each row.
    """
    frames = np.asarray(frames)
    count, room, gap = -(-len(frames) // columns), 0.1 * max(map(len, rows), default=0), 0.085  # inches
    frame_width = (9.6 - room) / columns - gap
    columns = min(columns, len(frames))
    row_height = frame_width * frames.shape[1] / frames.shape[2] + gap + (0.16 if labels else 0)
    figure = new_figure(columns * (frame_width + gap) + room, count * row_height + 0.26 * bool(title))
    for k, frame in enumerate(frames):
        axes = figure.add_subplot(count, columns, k + 1)
        draw_frame(axes, frame, labels[k] if labels else "", color)
        if rows and k % columns == 0:
            axes.set_ylabel(rows[k // columns], rotation=0, ha="right", va="center", fontsize=10)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def draw_frame(axes: Axes, frame: ArrayLike, label: str = "", color: str = TIME) -> None:
    """Draw one frame (H, W, 3) on its own axes without ticks, and a label below it."""
    axes.imshow(np.asarray(frame))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(label, color=color, fontsize=9, va="baseline", labelpad=11)


def draw_predictions(axes: Axes, predictions: Sequence[tuple[str, float]]) -> None:
    """Draw pairs of a label and its probability as horizontal bars, the first pair on top."""
    labels, values = zip(*predictions)
    positions = np.arange(len(predictions))[::-1]
    drawn = axes.barh(positions, values, height=0.62, color=[ANSWER] + [PALE] * (len(predictions) - 1))
    axes.bar_label(drawn, [f"{value:.0%}" for value in values], padding=4, fontsize=10)
    axes.set_yticks(positions, labels, fontsize=11)
    axes.set(xlim=(0, 1.15), xticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


@style()
def predictions_beside_frames(frames: ArrayLike, predictions: Sequence[tuple[str, float]]) -> Figure:
    """Four frames of a clip (T, H, W, 3), evenly spaced from first to last, and a network's predictions."""
    figure = new_figure(9.6, 1.9)
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1))
    for column, k in enumerate(np.linspace(0, len(frames) - 1, 4).round().astype(int)):
        draw_frame(left.add_subplot(1, 4, column + 1), frames[k], f"frame {k + 1}")
    draw_predictions(right.add_subplot(), predictions)
    return figure


@style()
def matrix(
    values: ArrayLike,
    rows: Texts,
    columns: Texts,
    write: Callable[[float], str] = "{:.0%}".format,
    shades: ArrayLike | None = None,
    color: str = INK,
    **labels: str,
) -> Figure:
    """A table of numbers. The larger a number is, the darker is its cell.

    Args:
        values: (rows, columns).
        write: a function from a number to the text in its cell.
        shades: how dark each cell is, 0 to 1, if `values` are not in this range.
        color: of the column names. Use `TIME` if they are times.
        labels: title, xlabel, ylabel.
    """
    values = np.asarray(values)
    too_long = max(map(len, columns)) * len(columns) > 70  # the names do not fit side by side
    height = 0.4 + 0.4 * len(rows) + 0.9 * too_long + 0.3 * ("title" in labels) + 0.25 * ("xlabel" in labels)
    figure = new_figure(9.6, height)
    axes = figure.add_subplot(**labels)
    axes.imshow(values if shades is None else np.asarray(shades), cmap=SHADES, vmin=0, vmax=1.3, aspect="auto")
    for row, column in np.ndindex(values.shape):
        text = write(values[row, column]).replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", fontsize=10)
    axes.xaxis.label.set_color(color)
    axes.set_yticks(range(len(rows)), rows)
    slanted = dict(rotation=30, ha="right", rotation_mode="anchor") if too_long else {}
    axes.set_xticks(range(len(columns)), columns, color=color, **slanted)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


@style()
def curves(panels: Sequence[Mapping]) -> Figure:
    """Curves in panels side by side.

    Args:
        panels: a dict for each panel. Required are title, xlabel, ylabel, and lines: for each name a tuple of x, y, and
            matplotlib's keywords for the line. Optional are log (a logarithmic y axis), like (the number of an earlier
            panel with the same y axis, counted from 0), xticks (positions, or a text for each), xcolor (of the x label:
            `TIME` for times), legend (False for none), and beside (the legend stands beside the panel).
    """
    figure = new_figure(9.6, 3.4)
    for number, panel in enumerate(panels, start=1):
        like = figure.get_axes()[panel["like"]] if "like" in panel else None
        axes = figure.add_subplot(1, len(panels), number, sharey=like, title=panel["title"], ylabel=panel["ylabel"])
        for name, (x, y, look) in panel["lines"].items():
            axes.plot(x, y, label=name, **dict(lw=1.8) | look)
        axes.set_xlabel(panel["xlabel"], color=panel.get("xcolor", INK))
        if panel.get("log"):
            axes.set_yscale("log")
        if panel.get("xticks"):
            ticks = panel["xticks"]
            axes.set_xticks(list(ticks), ticks.values() if isinstance(ticks, Mapping) else None)
        if any(panel["lines"]) and panel.get("legend", True):  # a single curve may have the empty name
            beside = dict(loc="center left", bbox_to_anchor=(1, 0.5)) if panel.get("beside") else {}
            axes.legend(frameon=False, fontsize=9, **beside)
    return figure


@style()
def bars(names: Texts, panels: Mapping[str, tuple], shared: bool = False) -> Figure:
    """Horizontal bars with names from top to bottom, a panel for each quantity.

    Args:
        panels: for each title the values, and a function from a value to its text.
        shared: whether all panels have the same scale.
    """
    largest = max(max(values) for values, _ in panels.values())
    figure = new_figure(9.6, 0.8 + 0.3 * len(names))
    for number, (title, (values, write)) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number, title=title)
        positions = np.arange(len(names))[::-1]
        axes.bar_label(axes.barh(positions, values, height=0.66, color=PALE), map(write, values), padding=3, fontsize=9)
        axes.set_yticks(positions, names if number == 1 else [""] * len(names))
        axes.set(xlim=(0, 1.35 * (largest if shared else max(values))), xticks=[])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


@style()
def scatter(panels: Sequence[Mapping], looks: Mapping[str, Mapping] = {}, columns: int = 2) -> Figure:
    """Named points, a panel for each pair of quantities, and one legend for all panels.

    Args:
        panels: dicts of title, xlabel, ylabel, and points: x and y for each name. All panels have the same names.
        looks: for some names matplotlib's keywords for the marker. Other points get a marker in `INK` that no other has.
    """
    rows = -(-len(panels) // columns)
    figure = new_figure(9.6, 3.5 * rows)
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number, title=panel["title"])
        for k, (name, (x, y)) in enumerate(panel["points"].items()):
            look = dict(marker="osD^vP*X<>"[k % 10], color=INK, ms=7) | looks.get(name, {})
            axes.plot(x, y, label=name, ls="", **look)
        axes.set(xlabel=panel["xlabel"], ylabel=panel["ylabel"])
        axes.margins(0.1)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=10)
    return figure


_SIZES = (0.5, 1.5), (0.4, 1.3), (0.5, 1.3), (0.5, 1.05), (0.5, 0.8), (0.5, 0.6), (0.2, 0.6), (0.2, 0.45)
PARTS = dict(zip("clip stem layer1 layer2 layer3 layer4 avgpool fc".split(), _SIZES))  # width and height of the boxes
FULL_SHAPES = dict(zip(PARTS, "3x16x112x112 64x16x56x56 64x16x56x56 128x8x28x28 256x4x14x14 512x2x7x7 512 400".split()))


def draw_network(axes: Axes, shapes: Mapping = FULL_SHAPES, lit: Texts = (), kinds: Mapping[str, str] = {}) -> None:
    """Draw a video ResNet from the clip to its logits as eight boxes in a row; one unit of the axes is an inch.

    Args:
        shapes: the text below the box of each of `PARTS`.
        lit: names of the parts that are drawn in color.
        kinds: for parts with convolutions "2D", "3D" or "(2+1)D", see `draw_kind`.
    """
    for k, (name, (width, height)) in enumerate(PARTS.items()):
        x = 0.55 + 1.32 * k
        corner = (x - width / 2, 1.3 - height / 2)
        if name in kinds:
            draw_kind(axes, *corner, width, height, kinds[name])
        else:
            axes.add_patch(Rectangle(corner, width, height, color=ANSWER if name in lit else PALE, lw=0))
        axes.text(x, 0.38, name, ha="center", va="center", fontsize=10.5, weight="bold" if name in lit else "normal")
        axes.text(x, 0.14, shapes[name], ha="center", va="center", fontsize=9)
        if k > 0:
            draw_arrow(axes, (x - 1.24 + _SIZES[k - 1][0] / 2, 1.3), (x - width / 2 - 0.08, 1.3))
    axes.set(xlim=(0, 10.4), ylim=(0, 2.3), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()


def draw_kind(axes: Axes, x: float, y: float, width: float, height: float, kind: str) -> None:
    """Draw a box for a kind of convolution. 2D is blue, 3D is split blue and orange, (2+1)D is two boxes."""
    split = kind == "(2+1)D"
    axes.add_patch(Rectangle((x, y), (0.46 if split else 1) * width, height, color=SPACE, lw=0))
    if split:
        axes.add_patch(Rectangle((x + 0.54 * width, y), 0.46 * width, height, color=TIME, lw=0))
    elif kind == "3D":
        axes.add_patch(Polygon([(x, y), (x + width, y), (x + width, y + height)], color=TIME, lw=0))


def draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow from one point (x, y) to another."""
    how = dict(arrowstyle="-|>", mutation_scale=10, color=INK, lw=1.2, shrinkA=0, shrinkB=0)
    axes.add_patch(FancyArrowPatch(start, end, **how))
