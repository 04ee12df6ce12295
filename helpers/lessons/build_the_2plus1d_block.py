"""The figures, explorers and exercise checks of notebook 03."""

from collections.abc import Callable, Iterable, Sequence

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from helpers import plots
from helpers.blocks import BasicBlock
from helpers.explorers import front
from helpers.lessons.exercises import exercise, require, same_layers
from helpers.plots import ANSWER, INK, PALE, SPACE, TIME, new_figure

__all__ = [
    "MOTIONS",
    "PairExplorer",
    "check_block_widths",
    "check_conv2plus1d",
    "check_split_conv3d",
    "draw_factorization",
    "factorization_explorer",
    "factorization_figure",
    "motion_kernel",
    "svd_factorize",
    "t_x_slices_figure",
]

MOTIONS = ("still edge", "moving edge", "moving bar", "flicker", "drift")


def motion_kernel(motion: str, speed: float = 1.0, size: int = 7) -> Tensor:
    """A kernel (size, size, size) that responds most to one motion; it is the same in all rows. Built in notebook 03.

    Args:
        motion: one of `MOTIONS`; "drift" is a drifting grating, stripes that move.
        speed: pixels per frame to the right. For flicker: eighths of a cycle per frame. A still edge ignores it.
        size: odd.
    """
    steps = torch.arange(size) - size // 2.0
    t, _, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    wave = 2 * torch.pi / 8  # a wavelength of eight pixels
    return {
        "still edge": torch.sign(x),
        "moving edge": torch.sign(x - speed * t),
        "moving bar": torch.exp(-((x - speed * t) ** 2)),
        "flicker": torch.exp(-(x**2)) * torch.cos(wave * speed * t),
        "drift": torch.sin(wave * (x - speed * t)),
    }[motion]


def svd_factorize(kernel: Tensor, midplanes: int) -> tuple[Tensor, Tensor, Tensor]:
    """The spatial and temporal filters that approximate a kernel best. Built in notebook 03.

    Args:
        kernel: (T, H, W).
        midplanes: how many intermediate channels there are between the two, at most T.

    Returns:
        Spatial filters (midplanes, H, W), temporal filters (T, midplanes), and all singular values, largest first. The
        norm of the error is that of the singular values after the first `midplanes` (Eckart and Young, 1936).
    """
    u, values, v = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
    spatial = v[:midplanes].view(-1, *kernel.shape[1:])
    temporal = u[:, :midplanes] * values[:midplanes]
    return spatial, temporal, values


@plots.style()
def t_x_slices_figure(
    slices: Sequence[ArrayLike],
    titles: Iterable[str],
    values: Sequence[ArrayLike] | None = None,
    limit: float | None = None,
) -> Figure:
    """x-t slices side by side, t downwards and x to the right.

    Args:
        slices: arrays (T, X), drawn with gray for zero: dark is negative, light is positive.
        titles: a text for each.
        values: for each slice the singular values of its kernel, drawn below it.
        limit: the value that is drawn white in all slices; None for the largest absolute value of each.
    """
    figure = new_figure(9.6, 2.5 if values is None else 4.1)
    rows, columns = 1 if values is None else 2, len(slices)
    for column, (picture, title) in enumerate(zip(slices, titles), start=1):
        axes = figure.add_subplot(rows, columns, column)
        _draw_signed(axes, np.asarray(picture), limit=limit)
        axes.set(xticks=[], yticks=[])
        axes.set_axis_off()
        axes.set_title(title)
        frames, width = np.shape(picture)
        axes.text(width / 2, frames, "x", color=SPACE, ha="center", va="top")
        if column == 1:
            axes.text(-0.3, frames / 2, "t", color=TIME, ha="right", va="center")
        if values is not None:
            below = figure.add_subplot(rows, columns, columns + column)
            _draw_singular_values(below, values[column - 1])
            below.set_ylabel("fraction of the norm" if column == 1 else "", fontsize=10)
    if values is not None:
        figure.supxlabel("number of the singular value", fontsize=10)
    return figure


def _draw_signed(axes: Axes, picture: np.ndarray, left=0.0, low=0.0, limit=None) -> None:
    """Draw values (H, W) from black (-limit) through gray (zero) to white (limit), with a border."""
    height, width = picture.shape
    limit = limit or np.abs(picture).max() or 1
    extent = (left, left + width, low + height, low)
    axes.imshow(picture, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest", extent=extent)
    axes.add_patch(Rectangle((left, low), width, height, fill=False, color=INK, lw=0.8, clip_on=False))


def _draw_singular_values(axes: Axes, values: ArrayLike, kept: int = 0) -> None:
    """Draw singular values as fractions of their norm, largest first; the first `kept` have another color."""
    fractions = np.asarray(values) / np.linalg.norm(values)
    numbers = np.arange(1, len(fractions) + 1)
    axes.bar(numbers, fractions, color=[ANSWER if number <= kept else INK for number in numbers], width=0.7)
    axes.set(ylim=(0, 1.05), yticks=(0, 1), xticks=numbers)
    axes.tick_params(labelsize=9, length=0)


@plots.style()
def factorization_figure(kernel: ArrayLike, spatial: ArrayLike, temporal: ArrayLike, values: ArrayLike) -> Figure:
    """A kernel, its best approximation by some intermediate channels, and their spatial and temporal filters.

    Args:
        kernel: (T, H, W).
        spatial: (midplanes, H, W); `temporal`: (T, midplanes).
        values: the singular values of the kernel. Filters whose value is zero are not drawn.
    """
    kernel, spatial, temporal, values = (np.asarray(array) for array in (kernel, spatial, temporal, values))
    frames, height, width = kernel.shape
    approximation = np.einsum("tm,mhw->thw", temporal, spatial)
    figure = new_figure(9.6, 4.4)
    left, right = figure.subfigures(1, 2, width_ratios=(2.2, 1))
    axes = left.add_subplot()
    used = sum(values[: len(spatial)] > 1e-5 * values[0])
    rows = (
        (kernel, "the kernel, frame by frame: black is negative, gray 0, white positive", INK, np.abs(kernel).max()),
        (approximation, "its best approximation", INK, np.abs(kernel).max()),
        (spatial[:used], "spatial filters of the intermediate channels", SPACE, None),
    )
    for row, (pictures, title, color, limit) in enumerate(rows):
        low = row * (height + 4)
        axes.text(0, low - 0.6, title, color=color, fontsize=11)
        for k, picture in enumerate(pictures):
            _draw_signed(axes, picture, left=k * (width + 1), low=low, limit=limit)
    low = 3 * (height + 4)
    axes.text(0, low - 0.6, "their temporal filters: time to the right, the gray line is 0", color=TIME, fontsize=11)
    for k, weights in enumerate(temporal.T[:used]):
        x = k * (width + 1) + (np.arange(frames) + 0.5) * width / frames
        y = low + height / 2 * (1 - weights / np.abs(temporal).max())
        axes.plot((x[0], x[-1]), [low + height / 2] * 2, color=PALE, lw=1)
        axes.plot(x, y, "o-", color=TIME, lw=1.4, ms=3)
    axes.set(xlim=(-0.3, frames * (width + 1)), ylim=(low + height + 0.5, -3), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()
    bars = right.add_subplot()
    _draw_singular_values(bars, values, kept=len(spatial))
    bars.set_title("singular values")
    bars.set_xlabel("intermediate channels")
    bars.set_ylabel("fraction of the norm")
    return figure


def draw_factorization(motion: str = "moving edge", speed: float = 1.0, midplanes: int = 2) -> None:
    """Show the 7 x 7 x 7 kernel of a motion, and its best approximation by some intermediate channels."""
    kernel = motion_kernel(motion, speed)
    spatial, temporal, values = svd_factorize(kernel, midplanes)
    error = values[midplanes:].norm() / values.norm()
    looks = "looks the same" if error < 0.01 else "is blurred" if error < 0.5 else "hardly resembles it"
    count = "1 intermediate channel" if midplanes == 1 else f"{midplanes} intermediate channels"
    alt = f"The kernel of a {motion}, frame by frame. Below it, its approximation by {count} {looks}. "
    alt += "Then the spatial and temporal filters, and on the right the singular values as bars."
    plots.show(factorization_figure(kernel, spatial, temporal, values), alt)
    # z: some processors' SVD ends with a minus zero.
    print("singular values, as fractions of their norm:", *(f"{value:z.2f}" for value in values / values.norm()))
    print(f"intermediate channels needed to be exact: {int((values > 1e-5 * values[0]).sum())}")
    print(f"relative error with {midplanes}: {error:.0%}")


class PairExplorer(anywidget.AnyWidget):
    """The kernel of a motion, and its best approximation by so many pairs of a spatial and a temporal filter."""

    _esm, _css = front("pairs")
    motion = traitlets.Enum(MOTIONS, "moving edge").tag(sync=True)
    speed = traitlets.Float(1.0).tag(sync=True)
    midplanes = traitlets.Int(2).tag(sync=True)


def factorization_explorer() -> PairExplorer:
    """The explorer of notebook 03."""
    return PairExplorer()


@exercise
def check_block_widths(solution: Callable) -> None:
    """Notebook 03: the intermediate channels of both convolutions of a residual block, torchvision's or the paper's."""
    for inplanes, planes in ((64, 64), (64, 128), (256, 512)):
        for paper_widths in (False, True):
            with torch.device("meta"):
                block = BasicBlock(inplanes, planes, paper_widths=paper_widths)
            first, second = (conv[0][0].out_channels for conv in (block.conv1, block.conv2))
            case = f"From {inplanes} to {planes} channels with {paper_widths=}"
            hint = f"{case} the widths are {first} and {second}: return them in this order."
            require(tuple(solution(inplanes, planes, paper_widths)) == (first, second), hint)


@exercise
def check_conv2plus1d(solution: Callable) -> None:
    """Notebook 03: the (2+1)D block, a module from inplanes, planes, midplanes and stride."""
    from torchvision.models.video import resnet as reference

    clip = torch.randn(2, 4, 5, 9, 8)
    for stride in (1, 2):
        same_layers(solution(4, 6, 5, stride), reference.Conv2Plus1D(4, 6, 5, stride), clip)


@exercise
def check_split_conv3d(solution: Callable) -> None:
    """Notebook 03: the spatial and the temporal convolution that approximate a 3D convolution best."""
    weight, clip = torch.randn(4, 3, 3, 3, 3), torch.randn(1, 3, 5, 6, 6)
    values = torch.linalg.svdvals(weight.permute(0, 2, 1, 3, 4).reshape(12, 27))
    for midplanes in (12, 5, 1):
        space, time = solution(weight, midplanes)
        shapes = (midplanes, 3, 1, 3, 3), (4, midplanes, 3, 1, 1)
        require((tuple(space.shape), tuple(time.shape)) == shapes, f"The shapes are {shapes[0]} and {shapes[1]}.")
        product = torch.einsum("omt,mihw->oithw", time[..., 0, 0], space[:, :, 0])
        error, best = (product - weight).norm(), values[midplanes:].square().sum().sqrt()
        hint = f"With {midplanes} intermediate channels the norm of the error can be {best:.2f}; yours is {error:.2f}."
        require(bool(error < best + 1e-3), hint)
        outputs = F.conv3d(F.conv3d(clip, space), time)
        same = torch.allclose(outputs, F.conv3d(clip, product), atol=1e-3)
        require(same, "The two convolutions in a row give other numbers than their product.")
