"""The figures, explorers and exercise checks of notebook 04."""

from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import nn

from helpers import plots
from helpers.blocks import BasicBlock, output_size, summary
from helpers.lessons import shape_text
from helpers.lessons.assemble_r2plus1d_18 import NetworkExplorer
from helpers.lessons.exercises import exercise, require, same_layers
from helpers.plots import ANSWER, INK, PALE, SPACE, TIME, curves, draw_arrow, new_figure

__all__ = ["block_explorer", "check_basic_block", "check_positions_read", "draw_block", "gradients_figure",
           "residual_block_figure"]  # fmt: skip

STAGES = {"layer1": (64, 64), "layer2": (64, 128), "layer3": (128, 256), "layer4": (256, 512)}  # channels in, out


@plots.style()
def residual_block_figure(layers: Sequence[tuple[str, str, str | None]], shortcut: str = "identity") -> Figure:
    """The layers of a residual block from left to right, its two (2+1)D blocks named, and the shortcut around them.

    Args:
        layers: for each layer its text, the color of its box, and a text below it or None. Each half of the branch
            begins with its spatial convolution, a box in `SPACE`.
        shortcut: the text above the shortcut.
    """
    figure = new_figure(9.6, 2)
    axes = figure.add_subplot()
    x, middle = 0.55, 0.9
    draw_arrow(axes, (0, middle), (x, middle))
    axes.text(0.1, middle + 0.06, "x", ha="center", va="bottom")
    starts, end = [], x
    for text, color, below in layers:
        width = 0.95 if color in (SPACE, TIME) else 0.52
        axes.add_patch(Rectangle((x, middle - 0.28), width, 0.56, color=color, lw=0))
        ink = "white" if color in (SPACE, TIME) else INK
        axes.text(x + width / 2, middle, text, color=ink, ha="center", va="center", fontsize=9)
        starts += [x] * (color == SPACE)
        end = x + width
        if below:
            axes.text(x + width / 2, middle - 0.42, below, ha="center", va="top", fontsize=9)
        x += width + 0.1
    for name, left, right in zip(("conv1", "conv2"), starts, (*starts[1:], end + 0.1)):
        axes.plot((left, left, right - 0.1, right - 0.1), (1.22, 1.28, 1.28, 1.22), color=INK, lw=0.8)
        axes.text((left + right - 0.1) / 2, 1.31, name, ha="center", va="bottom", fontsize=10)
    plus = x + 0.65
    draw_arrow(axes, (end, middle), (plus - 0.17, middle))
    axes.text(end + 0.26, middle + 0.06, "F(x)", ha="center", va="bottom")
    axes.add_patch(Circle((plus, middle), 0.17, fill=False, color=INK, lw=1.2))
    axes.text(plus, middle, "+", ha="center", va="center", fontsize=13)
    draw_arrow(axes, (plus + 0.17, middle), (plus + 0.5, middle))
    axes.add_patch(Rectangle((plus + 0.5, middle - 0.28), 0.52, 0.56, color=PALE, lw=0))
    axes.text(plus + 0.76, middle, "ReLU", ha="center", va="center", fontsize=9)
    draw_arrow(axes, (plus + 1.02, middle), (plus + 1.4, middle))
    axes.text(plus + 1.18, middle + 0.06, "y", ha="center", va="bottom")
    axes.plot((0.25, 0.25, plus, plus), (middle, 1.75, 1.75, 1.3), color=INK, lw=1.2, solid_joinstyle="miter")
    draw_arrow(axes, (plus, 1.4), (plus, middle + 0.17))
    axes.text((plus + 0.25) / 2, 1.8, shortcut, ha="center", va="bottom", fontsize=10)
    axes.set(xlim=(0, plus + 1.4), ylim=(0.2, 2.1), xticks=[], yticks=[], aspect="equal")
    axes.set_axis_off()
    figure.set_size_inches(9.6, 0.1 + 9.6 * 1.9 / (plus + 1.4))
    return figure


def draw_block(
    stage: str = "layer2", block: str = "first", frames: int = 16, size: int = 112, shapes: bool = True
) -> None:
    """Show a residual block of R(2+1)D-18, for a clip of `frames` frames of `size` x `size` pixels.

    Args:
        stage: one of `STAGES`.
        block: "first" or "second" of the stage.
        shapes: whether to write below each convolution the shape of its output.
    """
    inplanes, planes = STAGES[stage]
    stride = 1 if stage == "layer1" or block == "second" else 2
    halvings = int(stage[-1]) - 1 - (stride == 2)  # by the blocks before this one
    frames, size = _halved(frames, halvings), _halved(size, 1 + halvings)
    inplanes = planes if block == "second" else inplanes
    with torch.device("meta"):
        downsample = None
        if stride == 2:
            downsample = nn.Sequential(nn.Conv3d(inplanes, planes, 1, 2, bias=False), nn.BatchNorm3d(planes))
        layers = summary(BasicBlock(inplanes, planes, stride, downsample), (inplanes, frames, size, size))
    boxes = []
    for layer in layers:
        if layer.name.startswith("conv"):
            color = PALE if layer.kernel is None else SPACE if layer.kernel[0] == 1 else TIME
            text = {"BatchNorm3d": "BN", "ReLU": "ReLU"}.get(layer.kind) or shape_text(layer.kernel)
            boxes.append((text, color, shape_text(layer.output) if layer.kernel and shapes else None))
    shortcut = "identity" if stride == 1 else "1 x 1 x 1 with stride 2, BN"
    kind = "an identity shortcut" if stride == 1 else "a projection shortcut, 1 x 1 x 1 with stride 2 and batch norm"
    alt = f"The {block} block of {stage}: conv1 and conv2, two convolutions each, in a row, and around them {kind}."
    plots.show(residual_block_figure(boxes, shortcut), alt)


def _halved(n: int, times: int) -> int:
    """The length that is left of `n` after some strides of 2."""
    for _ in range(times):
        n = output_size(n, 3, 2, 1)
    return n


def gradients_figure(
    before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]], losses: Mapping[str, Sequence[float]]
) -> Figure:
    """The norms of the gradients over the blocks of two stacks, before and after training, and the loss after each step.

    Args:
        before, after, losses: for the stack without shortcuts and then for the one with shortcuts, by name.
    """
    looks = dict(zip(before, (dict(color=INK, ls="--"), dict(color=ANSWER))))
    panels = []
    done = f"gradients after {max(map(len, losses.values())) - 1} steps"  # the first loss is that of no step
    for title, values, first in (("gradients before training", before, 1), (done, after, 1), ("loss", losses, 0)):
        lines = {name: (range(first, first + len(y)), y, looks[name]) for name, y in values.items()}
        panels.append(dict(title=title, lines=lines, xlabel="block" if first else "step", ylabel=""))
    panels[0] |= dict(ylabel="norm of the gradient", log=True)
    panels[1] |= dict(log=True, like=0)
    panels[2] |= dict(ylabel="cross-entropy")
    return curves(panels)


def block_explorer() -> NetworkExplorer:
    """The explorer of notebook 04: that of notebook 05, without a trained network inside."""
    return NetworkExplorer(part="layer2", layer="layer2.0.conv1.0.3")


@exercise
def check_basic_block(solution: Callable) -> None:
    """Notebook 04: the residual block, a module from inplanes, planes and stride."""
    from torchvision.models.video import resnet as reference

    clip = torch.randn(2, 4, 6, 9, 8)
    for planes, stride in ((4, 1), (6, 2), (6, 1)):
        projection = None
        if planes != 4 or stride != 1:
            projection = nn.Sequential(nn.Conv3d(4, planes, 1, stride, bias=False), nn.BatchNorm3d(planes))
        block = reference.BasicBlock(4, planes, reference.Conv2Plus1D, stride, projection)
        same_layers(solution(4, planes, stride), block, clip)


@exercise
def check_positions_read(solution: Callable) -> None:
    """Notebook 04: how many of n positions along an axis some projection shortcuts in a row read."""
    for n, blocks, hint in [
        (16, 0, "Without a shortcut all positions are read."),
        (16, 1, "One shortcut reads every second position."),
        (7, 1, "The first position is always read: round up."),
    ]:
        require(solution(n, blocks) == len(range(n)[:: 2**blocks]), hint)
    for n in range(1, 40):
        for blocks in range(5):
            right = len(range(0, n, 2**blocks))
            require(solution(n, blocks) == right, f"{blocks} shortcuts in a row read {right} of {n} positions.")
