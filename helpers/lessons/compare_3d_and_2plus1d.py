"""The figures, explorers and exercise checks of notebook 02."""

from collections.abc import Callable, Mapping, Sequence

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection
from numpy.typing import ArrayLike

from helpers import plots
from helpers.blocks import output_size
from helpers.explorers import front
from helpers.lessons import shape_text
from helpers.lessons.exercises import exercise, require
from helpers.plots import INK, PALE, SPACE, TIME, new_figure
from helpers.stickfigures import scene

__all__ = [
    "KernelExplorer",
    "channels_figure",
    "check_conv3d_macs",
    "check_factorize",
    "check_same_padding",
    "draw_kernel_in_clip",
    "draw_kernels",
    "kernel_explorer",
    "kernels_figure",
    "outputs_figure",
]

Shape = tuple[int, int, int]  # (T, H, W)


def draw_kernel_in_clip(
    axes: Axes3D,
    kernel: Shape,
    stride: Shape = (1, 1, 1),
    place: float = 0.5,
    cells: Shape = (8, 8, 8),
    margin: int = 3,
) -> Shape:
    """Draw a kernel at one of its positions inside a clip, in space and time.

    Faces that lie in a frame have the color of space, the others the color of time.

    Args:
        axes: with projection="3d".
        kernel, stride: of the convolution. The clip is padded by half of the kernel.
        place: 0 for the first output position, 1 for the last, in the order in which the kernel moves.
        cells: the size of the clip.
        margin: room around the clip for its padding, in cells; with the same margin, clips are drawn in the same size.

    Returns:
        The index (T, H, W) of this output position.
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
    """The kernels of a convolution inside a clip, one panel for each kernel.

    Args:
        kind: "2D", "3D" or "(2+1)D".
        t, d, stride: of the convolution; `place` as in `draw_kernel_in_clip`.
    """
    spatial = "space", (1, d, d), (1, stride, stride)  # title, kernel, stride
    temporal = "time", (t, 1, 1), (stride, 1, 1)
    panels = {"2D": [spatial], "3D": [("3D", (t, d, d), (stride,) * 3)], "(2+1)D": [spatial, temporal]}[kind]
    figure = new_figure(3.6 * len(panels), 3.4)
    for number, (title, kernel, steps) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number, projection="3d")
        draw_kernel_in_clip(axes, kernel, steps, place, margin=max(t, d) // 2)
        axes.set_title(f"{title}: {shape_text(kernel)}", loc="left")  # 3D axes ignore the style
    return figure


def draw_kernels(kind: str = "(2+1)D", t: int = 3, d: int = 3, stride: int = 1, place: float = 0.57) -> None:
    """Show the kernels of a convolution inside a clip, see `kernels_figure`."""
    frames = "1 frame" if t == 1 else f"{t} frames"
    spatial, temporal = f"a flat square of {d} x {d} pixels in one frame", f"a bar through {frames} at one pixel"
    alts = {
        "2D": f"Inside the box of a clip, {spatial}.",
        "3D": f"Inside the box of a clip, a smaller block: {frames} deep, {d} rows high and {d} columns wide.",
        "(2+1)D": f"Two boxes of a clip: inside the left one {spatial}, inside the right one {temporal}.",
    }
    plots.show(kernels_figure(kind, t, d, stride, place), alts[kind])


@plots.style()
def channels_figure(inplanes: int, midplanes: int, planes: int) -> Figure:
    """The channels of a (2+1)D convolution as bars: at its input, between its two convolutions, and at its output.

    The bars have the same scale. Arrows in the colors of space and time are the convolutions.
    """
    figure = new_figure(9.6, 2.6)
    axes = figure.add_subplot()
    counts = inplanes, midplanes, planes
    names = f"{inplanes} channels", f"{midplanes} intermediate channels", f"{planes} channels"
    largest = max(counts)
    for x, count, name in zip((0, 4, 8), counts, names):
        height = count / largest
        axes.add_patch(Rectangle((x - 0.2, -height / 2), 0.4, height, color=PALE, lw=0))
        axes.text(x, -0.62, name, ha="center", va="top")
    for x, color, name in ((0, SPACE, "space: 1 x 3 x 3"), (4, TIME, "time: 3 x 1 x 1")):
        axes.annotate("", (x + 3.7, 0), (x + 0.3, 0), arrowprops=dict(arrowstyle="-|>", color=color, lw=2))
        axes.text(x + 2, 0.08, name, color=color, ha="center", va="bottom")
    axes.text(4, 0.56, "batch norm, ReLU", ha="center", va="bottom")
    axes.set(xlim=(-1.2, 9.2), ylim=(-0.9, 0.8), xticks=[], yticks=[])
    axes.set_axis_off()
    return figure


def outputs_figure(
    frames: ArrayLike, outputs: Mapping[str, ArrayLike], shown: Sequence[int] = range(1, 15, 2)
) -> Figure:
    """Some frames of a clip, and below them what filters compute there: zero is gray, positive values are brighter.

    Args:
        frames: uint8 (T, H, W, 3).
        outputs: for the name of each filter its output (T, H, W).
        shown: which frames.
    """
    columns, rows = list(shown), [np.asarray(frames)[list(shown)]]
    for output in outputs.values():
        values = np.asarray(output)[columns]
        gray = 127.5 + 127.5 * values / (np.abs(values).max() or 1)
        rows.append(np.repeat(gray.round().astype(np.uint8)[..., None], 3, axis=-1))
    labels = [""] * len(columns) * len(outputs) + [f"frame {k}" for k in columns]
    return plots.film_strip(np.concatenate(rows), labels, len(columns), rows=["clip", *outputs])


class KernelExplorer(anywidget.AnyWidget):
    """Kernels that move over a clip, their cost and their output; every control is a trait of this widget.

    `midplanes` 0 stands for the paper's. `own` holds the weights that the reader typed, for a kernel of its `t` and `d`.
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
    place = traitlets.Int(5838).tag(sync=True)  # the output position, counted in the order in which the kernel moves
    yaw, pitch = traitlets.Float(0.5).tag(sync=True), traitlets.Float(0.4).tag(sync=True)
    clip = traitlets.Bytes().tag(sync=True)  # 16 gray frames of 56 x 56


def kernel_explorer() -> KernelExplorer:
    """The explorer of notebook 02, on the walking figure of notebook 01."""
    frames = scene("walk", seed=3, index=12, size=56).frames  # (16, 56, 56, 3)
    return KernelExplorer(clip=frames[..., 1].tobytes())  # green: yellow on violet stands out most


@exercise
def check_same_padding(solution: Callable) -> None:
    """Notebook 02: the padding with which a kernel of odd size keeps the size of the output at stride 1."""
    for kernel in (1, 3, 5, 7):
        padding = solution(kernel)
        require(isinstance(padding, int), "A padding is an integer: divide with // in place of /.")
        size = output_size(16, kernel, 1, padding)
        require(size == 16, f"With a kernel of {kernel}, 16 positions become {size}. They should stay 16.")


@exercise
def check_conv3d_macs(solution: Callable) -> None:
    """Notebook 02: the multiply-adds of a 3D convolution, from the shapes of its weight and of its output."""
    hint = "At one output position, each weight of the kernel is used once."
    require(solution((1, 1, 3, 3, 3), (1, 1, 1, 1, 1)) == 27, hint)
    hint = "Each of the 8 output channels has its own 4 x 3 x 3 x 3 weights: do not count these channels twice."
    require(solution((8, 4, 3, 3, 3), (1, 8, 1, 1, 1)) == 864, hint)
    hint = "Count every output position of every clip of the batch."
    require(solution((64, 3, 3, 7, 7), (2, 64, 16, 56, 56)) == 2832334848, hint)


@exercise
def check_factorize(solution: Callable) -> None:
    """Notebook 02: the temporal and the spatial filter of a kernel that is their product."""
    for t, d in ((3, 3), (5, 7)):
        kernel = torch.randn(t)[:, None, None] * torch.randn(d, d)  # (t, d, d)
        parts = solution(kernel)
        require(len(parts) == 2, "Return two tensors: the temporal filter (t,), then the spatial filter (d, d).")
        time, space = parts
        shapes = tuple(time.shape) == (t,) and tuple(space.shape) == (d, d)
        require(shapes, f"The shapes are ({t},) and ({d}, {d}).")
        product = time[:, None, None] * space
        hint = "Their product is not the kernel. Each frame of the kernel is the spatial filter times one number."
        require(torch.allclose(product, kernel, atol=1e-5), hint)
