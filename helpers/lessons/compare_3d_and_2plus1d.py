"""The figures, explorers and exercise checks of notebook 02."""

from collections.abc import Callable

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from helpers import plots
from helpers.blocks import conv_cost
from helpers.explorers import front
from helpers.lessons import shape_text
from helpers.lessons.exercises import exercise, require
from helpers.plots import INK, PALE, SPACE, TIME, new_figure
from helpers.stickfigures import scene

__all__ = [
    "KernelExplorer",
    "check_conv3d_macs",
    "check_factorize",
    "draw_kernel_in_clip",
    "draw_kernels",
    "kernel_explorer",
    "kernels_figure",
]

Shape = tuple[int, int, int]  # (T, H, W)


def draw_kernel_in_clip(
    axes: Axes3D, kernel: Shape, stride: Shape = (1, 1, 1), place: float = 0.5, cells: Shape = (8, 8, 8)
) -> Shape:
    """Draw a kernel at one of its positions inside a clip, in space and time.

    The faces that look like a frame have the color of space, the others that of time.

    Args:
        axes: with projection="3d".
        kernel: its extent. The clip is padded by half of it.
        place: 0 for the first position, 1 for the last, in the order in which the kernel moves.
        cells: of the clip.

    Returns:
        The index of the output that the kernel computes there.
    """
    outputs = [(n + 2 * (k // 2) - k) // s + 1 for n, k, s in zip(cells, kernel, stride)]
    index = np.unravel_index(round(place * (np.prod(outputs) - 1)), outputs)
    low = [i * s - k // 2 for i, s, k in zip(index, stride, kernel)]
    edges = [(face[k - 1], face[k]) for axis in range(3) for face in _faces((0, 0, 0), cells, axis) for k in range(4)]
    axes.add_collection3d(Line3DCollection(edges, colors=INK, lw=0.8))
    inner = [_faces((t, 0, 0), cells, axis=0)[0] for t in range(1, cells[0])]  # borders between frames
    axes.add_collection3d(Poly3DCollection(inner, facecolors="none", edgecolors=PALE, lw=0.6))
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


def _faces(low: Shape, size: Shape, axis: int) -> list:
    """The two faces of a box across one of its axes (T, H, W), as corners (x, y, z) of the drawing.

    In the drawing x is time, y are columns and z are rows.
    """
    a, b = (k for k in range(3) if k != axis)
    faces = []
    for end in (0, 1):
        corners = np.tile(low, (4, 1))
        corners[:, axis] += end * size[axis]
        corners[:, a] += np.multiply((0, 0, 1, 1), size[a])
        corners[:, b] += np.multiply((0, 1, 1, 0), size[b])
        faces.append([(t, column, row) for t, row, column in corners])
    return faces


@plots.style()
def kernels_figure(kind: str, t: int, d: int, stride: int, place: float) -> Figure:
    """The kernels of a convolution inside a clip, one panel each.

    Args:
        kind: "2D", "3D" or "(2+1)D".
        t, d, stride: of the convolution; `place` as in `draw_kernel_in_clip`.
    """
    spatial, temporal = ((1, d, d), (1, stride, stride)), ((t, 1, 1), (stride, 1, 1))  # extent and stride
    panels = {"2D": [spatial], "3D": [((t, d, d), (stride,) * 3)], "(2+1)D": [spatial, temporal]}[kind]
    figure = new_figure(3.6 * len(panels), 3.4)
    for number, (kernel, steps) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number, projection="3d")
        draw_kernel_in_clip(axes, kernel, steps, place)
        axes.set_title(shape_text(kernel), loc="left")  # 3D axes ignore the style
    return figure


def draw_kernels(
    kind: str = "(2+1)D",
    t: int = 3,
    d: int = 3,
    stride: int = 1,
    inplanes: int = 64,
    planes: int = 64,
    place: float = 0.57,
) -> None:
    """Show the kernels of a convolution and its cost on a clip of 16 frames of 56 x 56, see `blocks.conv_cost`."""
    long = "1 frame" if t == 1 else f"{t} frames"
    spatial, temporal = f"a flat square of {d} x {d} pixels in one frame", f"a rod through {long} at one pixel"
    alts = {
        "2D": f"Inside the block of a clip, {spatial}.",
        "3D": f"Inside the block of a clip, a smaller block: {long} deep, {d} rows high and {d} columns wide.",
        "(2+1)D": f"Two blocks of a clip: inside the left one {spatial}, inside the right one {temporal}.",
    }
    plots.show(kernels_figure(kind, t, d, stride, place), alts[kind])
    cost = conv_cost(kind, inplanes, planes, t, d, stride)
    print(f"parameters              {cost.parameters:>18,}")
    print(f"multiply-adds           {cost.multiply_adds:>18,}")
    if kind == "(2+1)D":
        print(f"intermediate channels M {cost.middle:>18,}")
    print(f"{inplanes} x 16 x 56 x 56 -> {shape_text(cost.output)}")


class KernelExplorer(anywidget.AnyWidget):
    """Kernels that move over a clip, what they cost and what they compute; every control is a trait of this widget.

    `midplanes` 0 stands for the paper's. `own` are the numbers that the reader typed, for a kernel of its `t` and `d`.
    """

    _esm, _css = front("kernels")
    t, d = traitlets.Int(3).tag(sync=True), traitlets.Int(3).tag(sync=True)
    stride_t, stride_s = traitlets.Int(1).tag(sync=True), traitlets.Int(1).tag(sync=True)
    padding = traitlets.Enum(("half", "none"), "half").tag(sync=True)
    inplanes, planes = traitlets.Int(64).tag(sync=True), traitlets.Int(64).tag(sync=True)
    midplanes = traitlets.Int(0).tag(sync=True)
    frames, size = traitlets.Int(16).tag(sync=True), traitlets.Int(28).tag(sync=True)
    filter = traitlets.Enum(("edge", "moving edge", "blur", "difference", "own"), "moving edge").tag(sync=True)
    own = traitlets.Dict(dict(t=1, d=1, numbers=[1.0])).tag(sync=True)
    place = traitlets.Int(5838).tag(sync=True)  # of the kernel, counted in the order in which it moves
    yaw, pitch = traitlets.Float(0.5).tag(sync=True), traitlets.Float(0.4).tag(sync=True)
    clip = traitlets.Bytes().tag(sync=True)  # 16 grey frames of 56 x 56


def kernel_explorer() -> KernelExplorer:
    """The explorer of notebook 02, on a clip of a walking figure."""
    frames = scene("walk", seed=3, index=1, size=56).frames  # (16, 56, 56, 3)
    return KernelExplorer(clip=frames.mean(-1).astype(np.uint8).tobytes())


@exercise
def check_conv3d_macs(solution: Callable) -> None:
    """Notebook 02: the multiply-adds of a 3D convolution, from the shapes of its weight and of its output."""
    hint = "One output position of one channel needs one product per weight."
    require(solution((1, 1, 3, 3, 3), (1, 1, 1, 1, 1)) == 27, hint)
    hint = "Each of the 8 output channels has its own 4 x 3 x 3 x 3 weights."
    require(solution((8, 4, 3, 3, 3), (1, 8, 1, 1, 1)) == 864, hint)
    hint = "Count every output position, and every clip of the batch."
    require(solution((64, 3, 3, 7, 7), (2, 64, 16, 56, 56)) == 2832334848, hint)


@exercise
def check_factorize(solution: Callable) -> None:
    """Notebook 02: a (time) x (space) kernel of rank 1 into its temporal and its spatial part."""
    for t, d in ((3, 3), (5, 7)):
        kernel = torch.randn(t)[:, None, None] * torch.randn(d, d)  # (t, d, d)
        parts = solution(kernel)
        require(len(parts) == 2, "Return two tensors, first the temporal one (t,), then the spatial one (d, d).")
        time, space = parts
        shapes = tuple(time.shape) == (t,) and tuple(space.shape) == (d, d)
        require(shapes, f"The shapes are ({t},) and ({d}, {d}).")
        product = time[:, None, None] * space
        hint = "Their product is not the kernel. (torch.linalg.svd may help.)"
        require(torch.allclose(product, kernel, atol=1e-5), hint)
