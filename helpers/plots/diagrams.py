"""Networks: as rows of boxes, as blocks of layers, and by how far they see."""

import numpy as np
from matplotlib import patheffects
from matplotlib.patches import Circle, FancyArrowPatch, Polygon, Rectangle

from helpers.plots.films import draw_answers
from helpers.plots.style import ANSWER, INK, PALE, SPACE, TIME, add_axes, new_figure


def residual_block(layers, shortcut="identity"):
    """The layers of a residual block from left to right, and the shortcut around them.

    Args:
        layers: for each layer on the straight path a text, the colour of its box, and a text below it or None.
        shortcut: what is written on the way around.
    """
    figure = new_figure(9.6, 2)
    axes = add_axes(figure)
    x, middle = 0.55, 0.9
    _arrow(axes, (0, middle), (x, middle))
    for text, color, below in layers:
        width = 0.95 if color in (SPACE, TIME) else 0.52
        axes.add_patch(Rectangle((x, middle - 0.28), width, 0.56, color=color, lw=0))
        ink = "white" if color in (SPACE, TIME) else INK
        axes.text(x + width / 2, middle, text, color=ink, ha="center", va="center", fontsize=9)
        if below:
            axes.text(x + width / 2, middle - 0.42, below, ha="center", va="top", fontsize=9)
        x += width + 0.1
    plus = x + 0.3
    _arrow(axes, (x - 0.1, middle), (plus - 0.17, middle))
    axes.add_patch(Circle((plus, middle), 0.17, fill=False, color=INK, lw=1.2))
    axes.text(plus, middle, "+", ha="center", va="center", fontsize=13)
    _arrow(axes, (plus + 0.17, middle), (plus + 0.5, middle))
    axes.add_patch(Rectangle((plus + 0.5, middle - 0.28), 0.52, 0.56, color=PALE, lw=0))
    axes.text(plus + 0.76, middle, "ReLU", ha="center", va="center", fontsize=9)
    _arrow(axes, (plus + 1.02, middle), (plus + 1.4, middle))
    axes.plot((0.25, 0.25, plus, plus), (middle, 1.75, 1.75, 1.3), color=INK, lw=1.2, solid_joinstyle="miter")
    _arrow(axes, (plus, 1.4), (plus, middle + 0.17))
    axes.text((plus + 0.25) / 2, 1.8, shortcut, ha="center", va="bottom", fontsize=10)
    axes.set(xlim=(0, plus + 1.4), ylim=(0.2, 2.1), xticks=[], yticks=[], aspect="equal")
    axes.set_axis_off()
    figure.set_size_inches(9.6, 0.1 + 9.6 * 1.9 / (plus + 1.4))
    return figure


def _arrow(axes, start, end):
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK, lw=1.2, shrinkA=0, shrinkB=0)
    )


PARTS = {  # of a network: width and height of its box, for draw_network
    "clip": (0.5, 1.5),
    "stem": (0.4, 1.3),
    "layer1": (0.5, 1.3),
    "layer2": (0.5, 1.05),
    "layer3": (0.5, 0.8),
    "layer4": (0.5, 0.6),
    "mean": (0.2, 0.6),
    "fc": (0.2, 0.45),
}


FULL_SHAPES = dict(zip(PARTS, "3x16x112x112 64x16x56x56 64x16x56x56 128x8x28x28 256x4x14x14 512x2x7x7 512 400".split()))


def draw_network(axes, shapes=FULL_SHAPES, lit=(), kinds=None):
    """A video ResNet from the clip to its logits, eight boxes in a row, one unit of the axes an inch.

    Args:
        shapes: for each of `PARTS` what is written below its box.
        lit: names of the parts in the colour of an answer.
        kinds: for the parts that convolve their kind, "2D", "3D" or "(2+1)D", as which they are coloured.
    """
    x = 0.55
    for k, (name, (width, height)) in enumerate(PARTS.items()):
        corner = (x - width / 2, 1.3 - height / 2)
        if kinds and name in kinds:
            _kind_box(axes, *corner, width, height, kinds[name])
        else:
            axes.add_patch(Rectangle(corner, width, height, color=ANSWER if name in lit else PALE, lw=0))
        axes.text(x, 0.38, name, ha="center", va="center", fontsize=10.5, weight="bold" if name in lit else "normal")
        axes.text(x, 0.14, shapes[name], ha="center", va="center", fontsize=9)
        if k + 1 < len(PARTS):
            next_width = list(PARTS.values())[k + 1][0]
            _arrow(axes, (x + width / 2 + 0.08, 1.3), (x + 1.32 - next_width / 2 - 0.08, 1.3))
            x += 1.32
    axes.set(xlim=(0, 10.4), ylim=(0, 2.3), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()


def _kind_box(axes, x, y, width, height, kind):
    """Blue for space, orange for time: side by side where one comes after the other, across where both are one."""
    if kind == "(2+1)D":
        axes.add_patch(Rectangle((x, y), 0.46 * width, height, color=SPACE, lw=0))
        axes.add_patch(Rectangle((x + 0.54 * width, y), 0.46 * width, height, color=TIME, lw=0))
        return
    axes.add_patch(Rectangle((x, y), width, height, color=SPACE, lw=0))
    if kind == "3D":
        axes.add_patch(Polygon([(x, y), (x + width, y), (x + width, y + height)], color=TIME, lw=0))


def family(members):
    """Networks side by side, the stem of each on top and its four groups below; colours as in `draw_network`.

    Args:
        members: for each name five kinds, "2D", "3D" or "(2+1)D"; an R2D stem is 2D, with 3L on it.
    """
    figure = new_figure(9.6, 3.6)
    axes = add_axes(figure)
    for column, (name, kinds) in enumerate(members.items()):
        for row, kind in enumerate(kinds):
            width, height = 0.34 + 0.07 * row, 0.4
            x, y = column - width / 2, -0.52 * row
            _kind_box(axes, x, y, width, height, kind)
            if kind not in ("2D", "3D", "(2+1)D"):
                axes.text(column, y + height / 2, "3L", color="white", ha="center", va="center", fontsize=9)
        axes.text(column, 0.62, name, ha="center", va="center", fontsize=10)
    for row, place in enumerate(("stem", "layer1", "layer2", "layer3", "layer4")):
        axes.text(-0.75, 0.2 - 0.52 * row, place, ha="right", va="center", fontsize=10)
    for x, kind, text in (
        (-0.6, "2D", "2D: space"),
        (1.4, "2D", "3L: all frames at once"),
        (4.8, "3D", "3D: space and time at once"),
        (8.7, "(2+1)D", "(2+1)D: space, then time"),
    ):
        _kind_box(axes, x, -2.85, 0.4, 0.3, kind)
        if text.startswith("3L"):
            axes.text(x + 0.2, -2.7, "3L", color="white", ha="center", va="center", fontsize=9)
        axes.text(x + 0.5, -2.7, text, va="center", fontsize=10)
    axes.set(xlim=(-1.6, len(members) - 0.4), ylim=(-2.95, 0.8), xticks=[], yticks=[])
    axes.set_axis_off()
    return figure


def receptive_fields(film, fields):
    """What one place of each stage sees, around the middle of a clip: in space on the left, in time on the right.

    Args:
        film: uint8 (T, H, W, 3).
        fields: for the name of each stage (T, H, W), in frames and pixels.
    """
    film = np.asarray(film)
    frames, height, width = film.shape[:3]
    slices = film[frames // 2], film[:, height // 2]
    figure = new_figure(9.6, 4.8)
    for number, (picture, down, color) in enumerate(zip(slices, (1, 0), (SPACE, TIME)), start=1):
        axes = add_axes(figure, 1, 2, number)
        tall, small = picture.shape[0], 0
        axes.imshow(
            picture, extent=(-width / 2, width / 2, tall / 2, -tall / 2), aspect="auto", interpolation="nearest"
        )
        for name, field in fields.items():
            high, wide = field[down], field[2]
            axes.add_patch(Rectangle((-wide / 2, -high / 2), wide, high, fill=False, color=color, lw=1.8))
            if wide < 0.15 * max(field[2] for field in fields.values()):  # no room for its name
                small += 1
                white = [patheffects.withStroke(linewidth=3, foreground="white")]  # below the line
                line = dict(arrowstyle="-", color=color, lw=0.8, shrinkA=0, shrinkB=0, path_effects=white)
                where = dict(xytext=(0.06, 0.3 - 0.1 * small), textcoords="axes fraction", va="center", arrowprops=line)
                axes.annotate(name, (-wide / 2, high / 2), fontsize=9, color=color, **where)
                continue
            back = dict(fc="white", ec="none", pad=0.6, alpha=0.75)
            where = dict(xytext=(0, 1), textcoords="offset points", va="bottom", ha="center", bbox=back)
            axes.annotate(name, (0, -high / 2), fontsize=9, color=color, **where)
        axes.text(0.93, 0.08, "nothing but padding", transform=axes.transAxes, ha="right", fontsize=9)
        limit = 0.54 * max(field[down] for field in fields.values()), 0.54 * max(field[2] for field in fields.values())
        axes.set(xlim=(-limit[1], limit[1]), ylim=(limit[0] * 1.04, -limit[0] * 1.04))
        axes.set_xlabel("x, pixels", color=SPACE)
        axes.set_ylabel("y, pixels" if down else "t, frames", color=color)
        axes.set_title("in space: the middle frame" if down else "in time: the middle row")
    return figure


def stage(shapes, name, pictures, labels=(), heads=()):
    """A network with one of its parts lit, and below what is there.

    Args:
        shapes, name: as for `draw_network`.
        pictures: (count, H, W) from 0 to 1 or (count, H, W, 3), drawn eight in a row; or values, drawn as bars.
        labels: of the pictures, their times; of values where they are answers, of which the five best are drawn.
        heads: texts above the pictures, "" where there is none.
    """
    pictures = np.asarray(pictures)
    rows = 2 if pictures.ndim == 1 else -(-len(pictures) // 8)
    high = (1.55 if len(heads) else 1.35) * rows
    figure = new_figure(9.6, 2.2 + high)
    above, below = figure.subfigures(2, 1, height_ratios=(2.2, high))
    draw_network(add_axes(above), shapes, lit=(name,))
    if pictures.ndim == 1:
        axes = add_axes(below)
        if len(labels):
            draw_answers(axes, [(labels[k], pictures[k]) for k in np.argsort(-pictures, kind="stable")[:5]])
        else:
            axes.bar(range(len(pictures)), pictures, color=ANSWER)
        return figure
    for k, picture in enumerate(pictures):
        axes = add_axes(below, rows, 8, k + 1)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_xlabel(labels[k], color=TIME, fontsize=9, labelpad=2)
        if len(heads):
            axes.set_title(heads[k], fontsize=10, pad=3)
    return figure
