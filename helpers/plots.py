"""The drawings of the series: plain functions of arrays, in one style, with one colour for space and one for time."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Polygon, Rectangle
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection
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


def film_strip(frames, labels=None, columns=8, title=None, color=TIME):
    """Frames side by side, in the order of time, in rows of `columns`.

    Args:
        frames: uint8 (T, H, W, 3).
        labels: one text for each frame, its time for example.
        title: above all of them.
        color: of the labels; `INK` where they are no times.
    """
    frames = np.asarray(frames)
    rows = -(-len(frames) // columns)
    width = 9.6
    height = rows * (width / columns * frames.shape[1] / frames.shape[2] + (0.25 if labels else 0.05)) + 0.4 * bool(title)
    figure = new_figure(width, height)
    for k, frame in enumerate(frames):
        draw_frame(add_axes(figure, rows, columns, k + 1), frame, labels[k] if labels else None, color)
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
            axes.add_patch(Rectangle((left, row), wide, 1, color=plt.get_cmap("Greens")(value / 1.3), lw=0))
            axes.text(left + wide / 2, row + 0.5, write(value), ha="center", va="center", fontsize=10)
    axes.set(xlim=(0, 8 + gap + wide * len(columns)), ylim=(len(rows), 0), aspect="equal")
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    places = [0.5, 7.5] + [8 + gap + wide * (k + 0.5) for k in range(len(columns))]
    axes.set_xticks(places, ["first", "last", *columns], fontsize=9)
    for label in axes.get_xticklabels()[:2]:
        label.set_color(TIME)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def draw_frame(axes, frame, label=None, color=TIME):
    """One frame on axes of its own, without ticks; the label below it, in the colour of time if it is one."""
    axes.imshow(np.asarray(frame))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if label is not None:
        axes.set_xlabel(label, color=color, fontsize=9, labelpad=2)


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
    figure = matrix(shares[:, best].T, [labels[k] for k in best], [f"{start:.1f} s" for start in starts])
    (axes,) = figure.get_axes()
    axes.set_xlabel("clip that begins at", color=TIME)
    axes.tick_params(axis="x", colors=TIME)
    return figure


def matrix(values, rows, columns, write="{:.0%}".format, shades=None):
    """A table of numbers, the larger the darker.

    Args:
        values: (rows, columns).
        rows, columns: a text for each.
        write: from a number to what stands in its cell.
        shades: 0 to 1 for each cell where the numbers are not.
    """
    values = np.asarray(values)
    shades = values if shades is None else np.asarray(shades)
    long = max(map(len, columns)) * len(columns) > 70  # no room side by side
    figure = new_figure(9.6, 0.8 + 0.4 * len(rows) + 0.5 * long)
    axes = add_axes(figure)
    axes.imshow(shades, cmap="Greens", vmin=0, vmax=1.3, aspect="auto")
    for row, column in np.ndindex(values.shape):
        axes.text(column, row, write(values[row, column]), ha="center", va="center", fontsize=10)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, **(dict(rotation=30, ha="right", rotation_mode="anchor") if long else {}))
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


def kernel_in_volume(axes, kernel, stride=(1, 1, 1), place=0.5, cells=(8, 8, 8)):
    """A kernel at one of its places inside a clip, in space and time.

    Its faces that look like a frame are in the colour of space, those along time in the colour of time.

    Args:
        axes: with projection="3d".
        kernel: its extent (T, H, W); it is padded by half of that.
        stride: (T, H, W).
        place: 0 for its first place, 1 for its last, in the order in which it moves.
        cells: (T, H, W) of the clip that is drawn.

    Returns:
        The index (T, H, W) of the output that it computes there.
    """
    outputs = [(n + 2 * (k // 2) - k) // s + 1 for n, k, s in zip(cells, kernel, stride)]
    index = np.unravel_index(round(place * (np.prod(outputs) - 1)), outputs)
    low = [i * s - k // 2 for i, s, k in zip(index, stride, kernel)]
    with plt.rc_context(STYLE):
        axes.add_collection3d(Line3DCollection(_edges((0, 0, 0), cells), colors=INK, lw=0.8))
        for front in range(1, cells[0]):  # the frames behind the first one, thinly
            corners = [(front, 0, 0), (front, 0, cells[2]), (front, cells[1], cells[2]), (front, cells[1], 0)]
            axes.add_collection3d(Poly3DCollection([_turned(corners)], facecolors="none", edgecolors=PALE, lw=0.6))
        faces = [face for axis in range(3) for face in _faces(low, kernel, axis)]
        colors = [SPACE, SPACE, TIME, TIME, TIME, TIME]
        axes.add_collection3d(Poly3DCollection(faces, facecolors=colors, edgecolors="white", lw=0.8, alpha=0.8))
    margin = max(k // 2 for k in kernel)
    limits = [(-margin, n + margin) for n in cells]
    axes.set(xlim=limits[0], ylim=limits[2], zlim=limits[1][::-1])
    axes.set_box_aspect([high - low for low, high in (limits[0], limits[2], limits[1])], zoom=1.15)
    axes.view_init(elev=18, azim=-60)
    axes.set_axis_off()
    for where, letter, color in (
        ((cells[0] / 2, -1.5, cells[1] + 1), "T", TIME),
        ((cells[0] + 2.5, cells[2] / 2, cells[1] + 1), "W", SPACE),
        ((-1.2, -0.8, cells[1] / 2), "H", SPACE),
    ):
        axes.text(*where, letter, color=color, fontsize=12, weight="bold", ha="center", va="center")
    return tuple(int(i) for i in index)


def _turned(corners):
    """From (T, row, column) to the axes of the drawing, x for time, y for columns, z for rows."""
    return [(t, column, row) for t, row, column in corners]


def _faces(low, size, axis):
    """The two faces of a box across one of its axes."""
    others = [k for k in range(3) if k != axis]
    faces = []
    for end in (0, size[axis]):
        corners = []
        for a, b in ((0, 0), (0, 1), (1, 1), (1, 0)):
            corner = list(low)
            corner[axis] += end
            corner[others[0]] += a * size[others[0]]
            corner[others[1]] += b * size[others[1]]
            corners.append(corner)
        faces.append(_turned(corners))
    return faces


def _edges(low, size):
    """The twelve edges of a box."""
    edges = []
    for axis in range(3):
        for face in _faces(low, size, axis):
            edges += [(face[k], face[(k + 1) % 4]) for k in range(4)]
    return edges


def kernels(kind, t, d, stride, place):
    """The kernels of a convolution inside the clip, one panel each.

    Args:
        kind: "2D", "3D" or "(2+1)D".
        t, d, stride: as of the convolution; `place` as of `kernel_in_volume`.
    """
    flat, along_time = ((1, d, d), (1, stride, stride)), ((t, 1, 1), (stride, 1, 1))  # extent and stride
    panels = {"2D": [flat], "3D": [((t, d, d), (stride,) * 3)], "(2+1)D": [flat, along_time]}[kind]
    figure = new_figure(3.6 * len(panels), 3.4)
    for number, (shape, steps) in enumerate(panels, start=1):
        axes = add_axes(figure, 1, len(panels), number, projection="3d")
        kernel_in_volume(axes, shape, steps, place)
        axes.set_title(" x ".join(map(str, shape)), loc="center")
    return figure


def t_x_slices(pictures, titles, values=None):
    """Slices along time side by side, t downwards and x to the right; below each, if given, its singular values.

    Args:
        pictures: arrays (T, X), drawn about zero: dark is negative, light is positive.
        titles: a text for each.
        values: for each picture the singular values of the kernel that it was cut from.
    """
    figure = new_figure(9.6, 2.5 if values is None else 3.9)
    rows = 1 if values is None else 2
    for column, (picture, title) in enumerate(zip(pictures, titles), start=1):
        axes = add_axes(figure, rows, len(pictures), column)
        _signed(axes, np.asarray(picture))
        axes.set(xticks=[], yticks=[])
        axes.set_axis_off()
        axes.set_title(title, loc="center")
        frames, width = np.shape(picture)
        axes.text(width / 2, frames, "x", color=SPACE, ha="center", va="top")
        if column == 1:
            axes.text(-0.3, frames / 2, "t", color=TIME, ha="right", va="center")
        if values is not None:
            below = add_axes(figure, rows, len(pictures), len(pictures) + column)
            singular_values(below, values[column - 1])
            below.set_ylabel("singular values" if column == 1 else "", fontsize=10)
    return figure


def _signed(axes, picture, left=0, low=0, limit=None):
    """A picture of values about zero, from black (-limit) through grey to white, with a frame around it."""
    height, width = picture.shape
    limit = limit or np.abs(picture).max() or 1
    extent = (left, left + width, low + height, low)
    axes.imshow(picture, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest", extent=extent)
    axes.add_patch(Rectangle((left, low), width, height, fill=False, color=INK, lw=0.8, clip_on=False))


def singular_values(axes, values, kept=0):
    """Singular values as shares of their length, largest first; the first `kept` in the colour of an answer."""
    values = np.asarray(values)
    shares = values / np.linalg.norm(values)
    colors = [ANSWER if k < kept else INK for k in range(len(shares))]
    axes.bar(np.arange(1, len(shares) + 1), shares, color=colors, width=0.7)
    axes.set(ylim=(0, 1.05), yticks=(0, 1), xticks=np.arange(1, len(shares) + 1))
    axes.tick_params(labelsize=9, length=0)


def factorised(kernel, patterns, courses, values):
    """A kernel, the best that some middle filters make of it, and those filters: patterns in space, courses in time.

    Args:
        kernel: (T, H, W).
        patterns: (filters, H, W); `courses`: (T, filters).
        values: the singular values of the kernel; filters whose value is nothing are not drawn.
    """
    kernel, patterns, courses, values = (np.asarray(array) for array in (kernel, patterns, courses, values))
    frames, height, width = kernel.shape
    again = np.einsum("tm,mhw->thw", courses, patterns)
    figure = new_figure(9.6, 4.4)
    left, right = figure.subfigures(1, 2, width_ratios=(2.2, 1))
    axes = add_axes(left)
    used = sum(values[: len(patterns)] > 1e-5 * values[0])
    rows = (
        (kernel, "the kernel, frame by frame", INK, np.abs(kernel).max()),
        (again, "its best approximation", INK, np.abs(kernel).max()),
        (patterns[:used], "middle filters: patterns in space", SPACE, None),
    )
    for row, (pictures, title, color, limit) in enumerate(rows):
        low = row * (height + 4)
        axes.text(0, low - 0.6, title, color=color, fontsize=11)
        for k, picture in enumerate(pictures):
            _signed(axes, picture, left=k * (width + 1), low=low, limit=limit)
    low = 3 * (height + 4)
    axes.text(0, low - 0.6, "and courses in time", color=TIME, fontsize=11)
    scale = np.abs(courses).max()
    for k, course in enumerate(courses.T[:used]):
        along = k * (width + 1) + (np.arange(frames) + 0.5) * width / frames
        middle = low + height / 2
        axes.plot((along[0], along[-1]), (middle, middle), color=PALE, lw=1)
        axes.plot(along, middle - course / scale * height / 2, "o-", color=TIME, lw=1.4, ms=3)
    axes.set(xlim=(-0.3, frames * (width + 1)), ylim=(low + height + 0.5, -3), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()
    bars = add_axes(right)
    singular_values(bars, values, kept=len(patterns))
    bars.set_title("singular values")
    bars.set_xlabel("middle filters")
    return figure


def residual_block(layers, shortcut="identity"):
    """The layers of a residual block from left to right, and the shortcut around them.

    Args:
        layers: for each layer on the straight path a text, the colour of its box, and a text below it or None.
        shortcut: what is written on the way around.
    """
    figure = new_figure(9.6, 2.3)
    axes = add_axes(figure)
    x, middle = 0.55, 0.9
    _arrow(axes, (0, middle), (x, middle))
    for text, color, below in layers:
        width = 0.95 if color in (SPACE, TIME) else 0.52
        axes.add_patch(Rectangle((x, middle - 0.28), width, 0.56, color=color, lw=0))
        ink = "white" if color in (SPACE, TIME) else INK
        axes.text(x + width / 2, middle, text, color=ink, ha="center", va="center", fontsize=9)
        if below:
            axes.text(x + width / 2, middle - 0.42, below, ha="center", va="top", fontsize=8.5)
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
    axes.set(xlim=(0, plus + 1.4), ylim=(0.25, 2.1), xticks=[], yticks=[], aspect="equal")
    axes.set_axis_off()
    return figure


def _arrow(axes, start, end):
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK, lw=1.2, shrinkA=0, shrinkB=0))


def curves(panels):
    """Lines side by side, a panel each.

    Args:
        panels: for each panel a dict of title, xlabel, ylabel, log (a logarithmic y axis), beside (the names stand
            beside it), from_zero (the y axis begins there), xticks (places on the x axis) and lines, a dict that gives for
            each name x, y and how matplotlib is to draw them.
    """
    figure = new_figure(9.6, 3.4)
    for number, panel in enumerate(panels, start=1):
        axes = add_axes(figure, 1, len(panels), number)
        for name, (x, y, how) in panel["lines"].items():
            axes.plot(x, y, label=name, lw=1.8, **how)
        if panel.get("log"):
            axes.set_yscale("log")
        if panel.get("from_zero"):
            axes.set_ylim(0, 1.1 * max(max(y) for _, y, _ in panel["lines"].values()))
        if panel.get("xticks"):
            axes.set_xticks(panel["xticks"])
        axes.set_title(panel["title"])
        axes.set(xlabel=panel["xlabel"], ylabel=panel["ylabel"])
        if any(panel["lines"]):  # a single line may go without a name
            beside = dict(loc="center left", bbox_to_anchor=(1, 0.5)) if panel.get("beside") else {}
            axes.legend(frameon=False, fontsize=9, **beside)
    return figure


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
        axes.text(x, 0.14, shapes[name], ha="center", va="center", fontsize=8)
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
                axes.text(column, y + height / 2, "3L", color="white", ha="center", va="center", fontsize=8)
        axes.text(column, 0.62, name, ha="center", va="center", fontsize=10)
    for row, place in enumerate(("stem", "layer1", "layer2", "layer3", "layer4")):
        axes.text(-0.75, 0.2 - 0.52 * row, place, ha="right", va="center", fontsize=10)
    for x, kind, text in ((0.6, "2D", "2D: space"), (3.6, "3D", "3D: space and time at once"), (8.1, "(2+1)D", "(2+1)D: space, then time")):
        _kind_box(axes, x, -2.85, 0.4, 0.3, kind)
        axes.text(x + 0.5, -2.7, text, va="center", fontsize=10)
    axes.set(xlim=(-1.6, len(members) - 0.4), ylim=(-2.95, 0.8), xticks=[], yticks=[])
    axes.set_axis_off()
    return figure


def bars(names, panels):
    """Horizontal bars, a panel for each quantity.

    Args:
        names: of the rows, from top to bottom.
        panels: for each title the values, and a function that writes one of them down.
    """
    figure = new_figure(9.6, 0.8 + 0.3 * len(names))
    for number, (title, (values, write)) in enumerate(panels.items(), start=1):
        axes = add_axes(figure, 1, len(panels), number)
        places = np.arange(len(names))[::-1]
        axes.barh(places, values, height=0.66, color=PALE)
        for place, value in zip(places, values):
            axes.text(value, place, f" {write(value)}", va="center", fontsize=9)
        axes.set_yticks(places, names if number == 1 else [""] * len(names))
        axes.set(xlim=(0, 1.35 * max(values)), xticks=[])
        axes.set_title(title)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
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
        axes.imshow(picture, extent=(-width / 2, width / 2, tall / 2, -tall / 2), aspect="auto", interpolation="nearest")
        for name, field in fields.items():
            high, wide = field[down], field[2]
            axes.add_patch(Rectangle((-wide / 2, -high / 2), wide, high, fill=False, color=color, lw=1.8))
            if wide < 0.15 * max(field[2] for field in fields.values()):  # no room for its name
                small += 1
                line = dict(arrowstyle="-", color=color, lw=0.8, shrinkA=0, shrinkB=0)
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


def stage(shapes, name, pictures, labels=()):
    """A network with one of its parts lit, and below what is there.

    Args:
        shapes, name: as for `draw_network`.
        pictures: (count, H, W) from 0 to 1 or (count, H, W, 3), drawn eight in a row; or values, drawn as bars.
        labels: of the pictures; of values where they are answers, of which the five best are drawn.
    """
    pictures = np.asarray(pictures)
    rows = 2 if pictures.ndim == 1 else -(-len(pictures) // 8)
    figure = new_figure(9.6, 2.2 + 1.35 * rows)
    above, below = figure.subfigures(2, 1, height_ratios=(2.2, 1.35 * rows))
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
    return figure


def scatter(panels, columns=2):
    """Named points, a panel for each pair of quantities.

    Args:
        panels: for each a dict of title, xlabel, ylabel and points, a dict that gives x and y for each name; and lit, the
            names in the colour of an answer.
    """
    figure = new_figure(9.6, 3.7 * -(-len(panels) // columns))
    for number, panel in enumerate(panels, start=1):
        axes = add_axes(figure, -(-len(panels) // columns), columns, number)
        for name, point in panel["points"].items():
            axes.plot(*point, "o", color=ANSWER if name in panel["lit"] else INK, ms=6)
        axes.margins(0.14, 0.16)
        axes.set_title(panel["title"])
        axes.set(xlabel=panel["xlabel"], ylabel=panel["ylabel"])
    figure.draw_without_rendering()  # so that every point has its place
    for axes, panel in zip(figure.get_axes(), panels):
        _name_points(axes, panel["points"])
    return figure


def _name_points(axes, points, size=9):
    """Write the name of each point where it hides no other name and no other point, as near as that allows."""
    scale = axes.figure.dpi / 72
    inside = axes.get_window_extent()
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in axes.transData.transform(list(points.values()))]
    for name, point in points.items():
        x, y = axes.transData.transform(point)
        width, height = 0.62 * size * len(name) * scale, 1.25 * size * scale
        for radius, angle in ((r, a) for r in range(8, 90, 6) for a in np.linspace(0, 2 * np.pi, 16, endpoint=False)):
            dx, dy = radius * scale * np.cos(angle), radius * scale * np.sin(angle)
            left = x + dx - width / 2 * (1 - np.cos(angle))
            box = Bbox.from_bounds(left, y + dy - height / 2, width, height)
            free = not any(box.overlaps(other) for other in taken)
            if free and inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1:
                break
        taken.append(box)
        middle = ((box.x0 + box.x1) / 2 - x) / scale, dy / scale
        line = dict(arrowstyle="-", color=INK, lw=0.6, shrinkA=0, shrinkB=3)
        axes.annotate(name, point, middle, textcoords="offset points", ha="center", va="center", fontsize=size, arrowprops=line)


def roofline(kinds, peak, bandwidth):
    """How fast each layer computes, by how much it computes for each byte that it moves, under a machine's two ceilings.

    Args:
        kinds: for each kind of layer its FLOP a byte, its GFLOP a second (two lists), and how matplotlib is to draw them.
        peak: the most GFLOP a second.
        bandwidth: the most gigabytes a second.
    """
    figure = new_figure(9.6, 4.2)
    axes = add_axes(figure, 1, 1, 1)
    every = [x for xs, _, _ in kinds.values() for x in xs]
    ends = np.array([min(every) / 2, max(*every, peak / bandwidth) * 3])
    corner = np.clip(peak / bandwidth, *ends)
    axes.plot([ends[0], corner], [bandwidth * ends[0], bandwidth * corner], color=INK, lw=1.6)
    axes.plot([corner, ends[1]], [peak, peak], color=INK, lw=1.6)
    axes.set(xscale="log", yscale="log", xlim=ends, xlabel="FLOP for each byte moved", ylabel="GFLOP a second")
    axes.annotate(f"computing: {peak:,.0f} GFLOP a second", (ends[1], peak), (-6, 6), textcoords="offset points", ha="right", fontsize=10)
    middle = corner**0.65 * ends[0] ** 0.35  # between the layers that move and those that compute
    axes.annotate(f"moving: {bandwidth:,.0f} GB a second", (middle, bandwidth * middle), (12, -10), textcoords="offset points", fontsize=10)
    for name, (x, y, how) in kinds.items():
        axes.plot(x, y, "o", label=name, **how)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def filters(patches, courses, columns=12):
    """Learnt filters: those over space as colour patches, those over time as small curves.

    Args:
        patches: (filters, 3, H, W), each drawn from its own smallest to its largest deviation from zero, which is grey.
        courses: (filters, inputs, T); each input's course is a thin line, the strongest one a thick one.
        columns: of small pictures in a row.
    """
    patches, courses = np.asarray(patches), np.asarray(courses)
    rows = [-(-len(patches) // columns), -(-len(courses) // columns)]
    figure = new_figure(9.6, 0.82 * sum(rows) + 0.8)
    above, below = figure.subfigures(2, 1, height_ratios=[row + 0.45 for row in rows])
    above.suptitle("over space", x=0.01, ha="left", color=SPACE, fontsize=11)
    below.suptitle("over time", x=0.01, ha="left", color=TIME, fontsize=11)
    for k, patch in enumerate(patches):
        draw_frame(add_axes(above, rows[0], columns, k + 1), 0.5 + 0.5 * patch.transpose(1, 2, 0) / np.abs(patch).max())
    for k, course in enumerate(courses):
        axes = add_axes(below, rows[1], columns, k + 1)
        axes.axhline(0, color=PALE, lw=0.8)
        axes.plot(course.T, color=TIME, lw=0.6, alpha=0.35)
        axes.plot(course[np.abs(course).max(1).argmax()], "o-", color=TIME, lw=1.8, ms=3)
        axes.set(xticks=[], yticks=[], ylim=1.1 * np.abs(course).max() * np.array((-1, 1)))
        axes.spines[:].set_visible(False)
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
    figure = new_figure(9.6, high + 1.75)
    above, below = figure.subfigures(2, 1, height_ratios=(high + 0.1, 1.65))
    film, answers = add_axes(above), add_axes(below)
    width = seconds / len(frames)
    for k, frame in enumerate(frames):
        film.imshow(frame, extent=(k * width, (k + 0.97) * width, 0, 1), aspect="auto")
    film.set(xlim=(0, seconds), ylim=(0, 1), xticks=[], yticks=[])
    film.spines[:].set_visible(False)
    for number, (start, end, label, share) in enumerate(stretches):
        answers.add_patch(Rectangle((start, 0), end - start, 1, facecolor=ANSWER, alpha=0.15 + 0.75 * share, edgecolor="white", lw=1.5))
        place = 0.5 if (end - start) / seconds > 0.012 * len(label) else (1.25, 1.65, 2.05)[number % 3]  # no room inside
        answers.text((start + end) / 2, place, label, ha="center", va="center", fontsize=9)
        if place > 1:
            answers.plot([(start + end) / 2] * 2, (1, place - 0.17), color=INK, lw=0.8)
    answers.set(xlim=(0, seconds), ylim=(0, 2.3), yticks=[])
    answers.set_xlabel("seconds", color=TIME)
    answers.spines["left"].set_visible(False)
    return figure
