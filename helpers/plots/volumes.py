"""Kernels in space and time: as blocks in a block, in slices, and taken apart."""

import numpy as np
from matplotlib.patches import Rectangle
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from helpers.plots.films import draw_frame
from helpers.plots.style import ANSWER, INK, PALE, SPACE, TIME, add_axes, new_figure


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
        axes.set_title(" x ".join(map(str, shape)), loc="left")  # in 3D the style does not say
    return figure


def t_x_slices(pictures, titles, values=None):
    """Slices along time side by side, t downwards and x to the right; below each, if given, its singular values.

    Args:
        pictures: arrays (T, X), drawn about zero: dark is negative, light is positive.
        titles: a text for each.
        values: for each picture the singular values of the kernel that it was cut from.
    """
    figure = new_figure(9.6, 2.5 if values is None else 4.1)
    rows = 1 if values is None else 2
    for column, (picture, title) in enumerate(zip(pictures, titles), start=1):
        axes = add_axes(figure, rows, len(pictures), column)
        _signed(axes, np.asarray(picture))
        axes.set(xticks=[], yticks=[])
        axes.set_axis_off()
        axes.set_title(title)
        frames, width = np.shape(picture)
        axes.text(width / 2, frames, "x", color=SPACE, ha="center", va="top")
        if column == 1:
            axes.text(-0.3, frames / 2, "t", color=TIME, ha="right", va="center")
        if values is not None:
            below = add_axes(figure, rows, len(pictures), len(pictures) + column)
            singular_values(below, values[column - 1])
            below.set_ylabel("share of the length" if column == 1 else "", fontsize=10)
    if values is not None:
        figure.supxlabel("number of the singular value", fontsize=10)
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
    """A kernel, the best that some middle filters make of it, and those filters: patterns in space, profiles in time.

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
    axes.text(0, low - 0.6, "and profiles in time", color=TIME, fontsize=11)
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
    bars.set_ylabel("share of the length")
    return figure


def filters(patches, courses, columns=12):
    """Learnt filters: those over space as colour patches, those over time as small curves.

    Args:
        patches: (filters, 3, H, W), each drawn from its own smallest to its largest deviation from zero, which is grey.
        courses: (filters, inputs, T); each input's profile in time is a thin line, the strongest one a thick one.
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
