"""One style, and the drawings that more than one notebook needs: plain functions of arrays.

One colour for space and one for time everywhere; every figure is shown with a sentence for those who cannot see it.
"""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox
from PIL import Image

# Okabe and Ito's colours, which also those tell apart who do not see red or green.
SPACE = "#0072B2"
TIME = "#D55E00"
ANSWER = "#009E73"  # what a network says
INK = "#333333"
PALE = "#D9D9D9"
OURS = SPACE, TIME, ANSWER, INK, PALE, "white"
SHADES = LinearSegmentedColormap.from_list("shades", ["white", ANSWER])  # of cells, the larger the darker
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
    """An empty figure in the style of the series, `width` x `height` inches, that pyplot does not know of.

    The style stays matplotlib's own from here on, so that it also holds for what is drawn on the figure later.
    """
    plt.rcParams.update(STYLE)
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
        _in_few_colours(np.asarray(Image.open(full).convert("RGB"))).save(small, format="png", optimize=True)
        picture = base64.b64encode(small.getvalue()).decode()
    display({"image/png": picture, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})


def _in_few_colours(pixels, colours=192, common=12):
    """A picture in so few colours that a stored page has a third of the size.

    The colours of the series and the most common ones stay as they are, the others are rounded.

    Args:
        pixels: uint8 (H, W, 3).
        colours: how many there are to be at most, 256 or fewer.
        common: how many of them are kept because they are common.
    """
    codes = pixels.astype(int) @ (256**2, 256, 1)  # (H, W), a number for each colour
    found, counts = np.unique(codes, return_counts=True)
    ours = [round(255 * r) * 256**2 + round(255 * g) * 256 + round(255 * b) for r, g, b in map(to_rgb, OURS)]
    kept = np.union1d(ours, found[np.argsort(-counts, kind="stable")[:common]])
    index = np.searchsorted(kept, codes)
    palette = np.stack([kept // 256**2, kept // 256 % 256, kept % 256], axis=-1).flatten().tolist()
    others = ~np.isin(codes, kept)
    if others.any():
        few = Image.fromarray(pixels[others][None]).quantize(
            colours - len(kept), Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        index[others] = len(kept) + np.asarray(few)[0]
        palette += few.getpalette()
    picture = Image.fromarray(index.astype(np.uint8))
    picture.putpalette(palette)
    return picture


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
        axes = figure.add_subplot(count, columns, k + 1)
        draw_frame(axes, frame, labels[k] if labels else None, color)
        if rows and k % columns == 0:
            axes.set_ylabel(rows[k // columns], rotation=0, ha="right", va="center", fontsize=10)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def draw_frame(axes, frame, label=None, color=TIME):
    """One frame on axes of its own, without ticks; the label below it, in the colour of time if it is one."""
    axes.imshow(np.asarray(frame))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if label is not None:
        axes.set_xlabel(label, color=color, fontsize=9, va="baseline", labelpad=11)


def draw_predictions(axes, answers):
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


def predictions_beside_frames(frames, answers, title=None):
    """Four frames of a clip, from its first to its last, and what a network answers."""
    frames = np.asarray(frames)
    figure = new_figure(9.6, 1.9 + 0.26 * bool(title))
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1))
    for column, k in enumerate(np.linspace(0, len(frames) - 1, 4).round().astype(int)):
        draw_frame(left.add_subplot(1, 4, column + 1), frames[k], f"frame {k + 1}")
    draw_predictions(right.add_subplot(), answers)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def matrix(values, rows, columns, write="{:.0%}".format, shades=None, title="", xlabel="", ylabel="", color=INK):
    """A table of numbers, the larger the darker.

    Args:
        values: (rows, columns).
        rows, columns: a text for each.
        write: from a number to what stands in its cell.
        shades: 0 to 1 for each cell where the numbers are not.
        title: what the numbers are.
        xlabel, ylabel: what the columns and the rows are.
        color: of the columns' texts; `TIME` where they are times.
    """
    values = np.asarray(values)
    shades = values if shades is None else np.asarray(shades)
    long = max(map(len, columns)) * len(columns) > 70  # no room side by side
    figure = new_figure(9.6, 0.4 + 0.4 * len(rows) + 0.9 * long + 0.3 * bool(title) + 0.25 * bool(xlabel))
    axes = figure.add_subplot()
    axes.imshow(shades, cmap=SHADES, vmin=0, vmax=1.3, aspect="auto")
    for row, column in np.ndindex(values.shape):
        text = write(values[row, column]).replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", fontsize=10)
    axes.set_title(title)
    axes.set_xlabel(xlabel, color=color)
    axes.set_ylabel(ylabel)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(
        range(len(columns)), columns, **(dict(rotation=30, ha="right", rotation_mode="anchor") if long else {})
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=color)
    return figure


def curves(panels):
    """Lines side by side, a panel each.

    Args:
        panels: for each panel a dict of title, xlabel, ylabel, log (a logarithmic y axis), beside (the names stand
            beside it), from_zero (the y axis begins there), like (the number of an earlier panel whose y axis it shares,
            the first is 0), xticks (places on the x axis), xcolor (of the x label; `TIME` for times) and lines, a dict
            that gives for each name x, y and how matplotlib is to draw them.
    """
    figure = new_figure(9.6, 3.4)
    for number, panel in enumerate(panels, start=1):
        like = figure.get_axes()[panel["like"]] if "like" in panel else None
        axes = figure.add_subplot(1, len(panels), number, sharey=like)
        for name, (x, y, how) in panel["lines"].items():
            axes.plot(x, y, label=name, lw=1.8, **how)
        if panel.get("log"):
            axes.set_yscale("log")
        if panel.get("from_zero"):
            axes.set_ylim(0, 1.1 * max(max(y) for _, y, _ in panel["lines"].values()))
        if panel.get("xticks"):
            axes.set_xticks(panel["xticks"])
        axes.set_title(panel["title"])
        axes.set_xlabel(panel["xlabel"], color=panel.get("xcolor", INK))
        axes.set_ylabel(panel["ylabel"])
        if any(panel["lines"]):  # a single line may go without a name
            beside = dict(loc="center left", bbox_to_anchor=(1, 0.5)) if panel.get("beside") else {}
            axes.legend(frameon=False, fontsize=9, **beside)
    return figure


def bars(names, panels, shared=False):
    """Horizontal bars, a panel for each quantity.

    Args:
        names: of the rows, from top to bottom.
        panels: for each title the values, and a function that writes one of them down.
        shared: whether all panels have one scale, for values that are to be compared.
    """
    largest = max(max(values) for values, _ in panels.values())
    figure = new_figure(9.6, 0.8 + 0.3 * len(names))
    for number, (title, (values, write)) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        places = np.arange(len(names))[::-1]
        axes.barh(places, values, height=0.66, color=PALE)
        for place, value in zip(places, values):
            axes.text(value, place, f" {write(value)}", va="center", fontsize=9)
        axes.set_yticks(places, names if number == 1 else [""] * len(names))
        axes.set(xlim=(0, 1.35 * (largest if shared else max(values))), xticks=[])
        axes.set_title(title)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


def scatter(panels, columns=2):
    """Named points, a panel for each pair of quantities.

    Args:
        panels: for each a dict of title, xlabel, ylabel and points, a dict that gives x and y for each name; and lit, the
            names in the colour of an answer.
    """
    figure = new_figure(9.6, 3.7 * -(-len(panels) // columns))
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(-(-len(panels) // columns), columns, number)
        for name, point in panel["points"].items():
            axes.plot(*point, "o", color=ANSWER if name in panel["lit"] else INK, ms=6)
        axes.margins(0.2, 0.2)
        axes.set_title(panel["title"])
        axes.set(xlabel=panel["xlabel"], ylabel=panel["ylabel"])
    figure.draw_without_rendering()  # so that every point has its place
    for axes, panel in zip(figure.get_axes(), panels):
        _name_points(axes, panel["points"])
    return figure


def _name_points(axes, points, size=9):
    """Write the name of each point as near as there is room; a line leads to it if that is more than 10 pt away or
    nearer to another point.

    Neither names nor lines lie on another name, point or line.
    """
    scale = axes.figure.dpi / 72  # pixels a point
    inside = axes.get_window_extent().padded(-4)
    places = axes.transData.transform(list(points.values()))
    dots = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in places]
    names, lines = [], []  # what is taken, as boxes
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    for number in np.argsort(np.minimum(apart, 60 * scale).sum(1), kind="stable"):  # the most crowded ones first
        name, point = list(points.items())[number]
        width, height = (TextPath((0, 0), name, size).get_extents().width + 6) * scale, 1.25 * size * scale
        others = dots[:number] + dots[number + 1 :]
        for box, end in _boxes_around(places[number], width, height, scale):
            gaps = np.hypot(*np.maximum(0, np.maximum(box.p0 - places, places - box.p1)).T)
            led = gaps[number] > min(10 * scale, gaps.min() + 1)
            line = _line_to(box, places[number], end) if led else []
            free = not any(box.overlaps(one) for one in dots + names + lines)
            free = free and not any(one.overlaps(other) for one in line for other in others + names + lines)
            if free and inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1:
                break
        names.append(box)
        lines += line
        how = dict(textcoords="offset points", ha="center", va="center", fontsize=size)
        if led:
            relpos = (end[0] - box.x0) / width, 0.5
            how |= dict(arrowprops=dict(arrowstyle="-", color=INK, lw=0.6, shrinkA=0, shrinkB=3, relpos=relpos))
        axes.annotate(name, point, ((box.p0 + box.p1) / 2 - places[number]) / scale, **how)


def _boxes_around(place, width, height, scale):
    """Boxes in all directions from a place, the nearest first, and for each where a line in that direction ends."""
    for radius in range(8, 120, 4):
        for angle in np.linspace(0, 2 * np.pi, 32, endpoint=False):
            x, y = end = place + radius * scale * np.array((np.cos(angle), np.sin(angle)))
            yield Bbox.from_bounds(x - (1 - np.cos(angle)) / 2 * width, y - height / 2, width, height), end


def _line_to(box, place, end):
    """Small boxes along the line from a place to an end in a box, without its first 8 pixels and what is inside."""
    length = np.hypot(*(end - place))
    boxes = [Bbox.from_bounds(*(place + k / length * (end - place) - 1), 2, 2) for k in np.arange(8, length, 2)]
    return [one for one in boxes if not one.overlaps(box)]


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


def _arrow(axes, start, end):
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK, lw=1.2, shrinkA=0, shrinkB=0)
    )
