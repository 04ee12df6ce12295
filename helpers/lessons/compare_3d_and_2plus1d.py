"""The figures, explorers and exercise checks of notebook 02."""

import ipywidgets
import numpy as np
import torch
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from helpers import plots
from helpers.blocks import KINDS, conv_cost
from helpers.lessons.exercises import check
from helpers.plots import INK, PALE, SPACE, TIME, new_figure


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
        axes = figure.add_subplot(1, len(panels), number, projection="3d")
        kernel_in_volume(axes, shape, steps, place)
        axes.set_title(" x ".join(map(str, shape)), loc="left")  # in 3D the style does not say
    return figure


def draw_kernels(kind="(2+1)D", t=3, d=3, stride=1, inplanes=64, planes=64, place=0.57):
    """Show what a convolution looks like and costs on a clip of 16 frames of 56 x 56; see `blocks.cost`."""
    long = "1 frame" if t == 1 else f"{t} frames"
    flat, rod = f"a flat square of {d} x {d} pixels in one frame", f"a rod through {long} at one pixel"
    alts = {
        "2D": f"Inside the block of a clip, {flat}.",
        "3D": f"Inside the block of a clip, a smaller block: {long} deep, {d} rows high and {d} columns wide.",
        "(2+1)D": f"Two blocks of a clip: inside the left one {flat}, inside the right one {rod}.",
    }
    plots.show(kernels(kind, t, d, stride, place), alts[kind])
    spent = conv_cost(kind, inplanes, planes, t, d, stride)
    print(f"parameters            {spent.parameters:>18,}")
    print(f"multiply-adds         {spent.multiply_adds:>18,}")
    if spent.middle is not None:
        print(f"M, between the halves {spent.middle:>18,}")
    print(f"{inplanes} x 16 x 56 x 56 -> {' x '.join(map(str, spent.output))}")


def kernel_explorer():
    """`draw_kernels` with a control for each of its arguments; `.children` are the controls, in that order."""

    def odd(value):
        return ipywidgets.IntSlider(value, 1, 7, step=2, continuous_update=False)

    channels = dict(options=(3, 16, 32, 64, 128, 256, 512), value=64, continuous_update=False)
    return ipywidgets.interactive(
        draw_kernels,
        kind=ipywidgets.ToggleButtons(options=KINDS, value="(2+1)D"),
        t=odd(3),
        d=odd(3),
        stride=ipywidgets.IntSlider(1, 1, 2, continuous_update=False),
        inplanes=ipywidgets.SelectionSlider(**channels),
        planes=ipywidgets.SelectionSlider(**channels),
        place=ipywidgets.FloatSlider(0.57, min=0, max=1, step=0.01, continuous_update=False),
    )


def check_conv3d_macs(answer):
    """Notebook 02: multiply-adds of a 3D convolution, from the shape of its weight and that of its output."""

    def attempt():
        assert answer((1, 1, 3, 3, 3), (1, 1, 1, 1, 1)) == 27, "One output of one channel needs one product a weight."
        assert answer((8, 4, 3, 3, 3), (1, 8, 1, 1, 1)) == 864, (
            "Each of the 8 outputs has its own 4 x 3 x 3 x 3 weights."
        )
        assert answer((64, 3, 3, 7, 7), (2, 64, 16, 56, 56)) == 2832334848, (
            "Count every place and every clip of the batch."
        )

    return check("conv3d_macs", answer, attempt)


def check_factorise(answer):
    """Notebook 02: a (time) x (space) kernel of rank 1 into its temporal and its spatial part."""

    def attempt():
        generator = torch.Generator().manual_seed(0)
        for t, d in ((3, 3), (5, 7)):
            time, space = torch.randn(t, generator=generator), torch.randn(d, d, generator=generator)
            kernel = time[:, None, None] * space  # (t, d, d)
            parts = answer(kernel)
            assert len(parts) == 2, "Return two tensors, first the temporal one (t,), then the spatial one (d, d)."
            assert tuple(parts[0].shape) == (t,) and tuple(parts[1].shape) == (d, d), (
                f"The shapes are ({t},) and ({d}, {d})."
            )
            again = parts[0][:, None, None] * parts[1]
            assert torch.allclose(again, kernel, atol=1e-5), (
                "Their product is not the kernel. (torch.linalg.svd may help.)"
            )

    return check("factorize", answer, attempt)
