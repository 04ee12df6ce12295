"""The figures, explorers and exercise checks of notebook 04."""

from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import nn

from helpers import plots
from helpers.blocks import BasicBlock, Layer, output_size, summary
from helpers.lessons import shape_text
from helpers.lessons.assemble_r2plus1d_18 import NetworkExplorer
from helpers.lessons.exercises import exercise, require, same_layers
from helpers.plots import ANSWER, INK, PALE, SPACE, TIME, curves, draw_arrow, new_figure

__all__ = ["block_explorer", "check_basic_block", "check_positions_read", "draw_block", "gradients_figure",
           "residual_block_figure"]  # fmt: skip

STAGES = {"layer1": (64, 64), "layer2": (64, 128), "layer3": (128, 256), "layer4": (256, 512)}  # channels in, out


@plots.style()
def residual_block_figure(layers: Sequence[tuple[str, str, str | None]], shortcut: str = "identity") -> Figure:
    """The layers of a residual block from left to right, and the shortcut around them.

    Args:
        layers: for each layer its text, the color of its box, and a text below it or None.
        shortcut: the text above the shortcut.
    """
    figure = new_figure(9.6, 2)
    axes = figure.add_subplot()
    x, middle = 0.55, 0.9
    draw_arrow(axes, (0, middle), (x, middle))
    for text, color, below in layers:
        width = 0.95 if color in (SPACE, TIME) else 0.52
        axes.add_patch(Rectangle((x, middle - 0.28), width, 0.56, color=color, lw=0))
        ink = "white" if color in (SPACE, TIME) else INK
        axes.text(x + width / 2, middle, text, color=ink, ha="center", va="center", fontsize=9)
        if below:
            axes.text(x + width / 2, middle - 0.42, below, ha="center", va="top", fontsize=9)
        x += width + 0.1
    plus = x + 0.3
    draw_arrow(axes, (x - 0.1, middle), (plus - 0.17, middle))
    axes.add_patch(Circle((plus, middle), 0.17, fill=False, color=INK, lw=1.2))
    axes.text(plus, middle, "+", ha="center", va="center", fontsize=13)
    draw_arrow(axes, (plus + 0.17, middle), (plus + 0.5, middle))
    axes.add_patch(Rectangle((plus + 0.5, middle - 0.28), 0.52, 0.56, color=PALE, lw=0))
    axes.text(plus + 0.76, middle, "ReLU", ha="center", va="center", fontsize=9)
    draw_arrow(axes, (plus + 1.02, middle), (plus + 1.4, middle))
    axes.plot((0.25, 0.25, plus, plus), (middle, 1.75, 1.75, 1.3), color=INK, lw=1.2, solid_joinstyle="miter")
    draw_arrow(axes, (plus, 1.4), (plus, middle + 0.17))
    axes.text((plus + 0.25) / 2, 1.8, shortcut, ha="center", va="bottom", fontsize=10)
    axes.set(xlim=(0, plus + 1.4), ylim=(0.2, 2.1), xticks=[], yticks=[], aspect="equal")
    axes.set_axis_off()
    figure.set_size_inches(9.6, 0.1 + 9.6 * 1.9 / (plus + 1.4))
    return figure


def draw_block(
    stage: str = "layer2", block: str = "first", frames: int = 16, size: int = 112, costs: bool = True
) -> None:
    """Show a residual block of R(2+1)D-18, for a clip of `frames` frames of `size` x `size` pixels.

    Args:
        stage: one of `STAGES`.
        block: "first" or "second" of the stage.
        costs: whether to write its shapes below the layers, and to print its parameters and multiply-adds.
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
            boxes.append((text, color, shape_text(layer.output) if layer.kernel and costs else None))
    shortcut = "identity" if stride == 1 else "1 x 1 x 1 with stride 2, BN"
    kind = "an identity shortcut" if stride == 1 else "a projection shortcut, 1 x 1 x 1 with stride 2 and batch norm"
    alt = f"The {block} block of {stage}: four convolutions in a row, and around them {kind}."
    plots.show(residual_block_figure(boxes, shortcut), alt)
    if costs:
        _print_costs(layers, (inplanes, frames, size, size))


def _print_costs(layers: Sequence[Layer], shape: Sequence[int]) -> None:
    """The convolutions of a block, each with its output and its cost, below the shape of the input."""
    print(f"{'in':28}{shape_text(shape):>22}")
    for layer in layers:
        if layer.kernel:
            print(f"{layer.name:14}{shape_text(layer.kernel):14}{shape_text(layer.output):>22}", end="")
            print(f"{layer.parameters:>12,} parameters{layer.multiply_adds / 1e6:>9,.0f} M multiply-adds")
    parameters = sum(layer.parameters for layer in layers)
    multiply_adds = sum(layer.multiply_adds for layer in layers)
    print(f"{'in all, with batch norm':50}{parameters:>12,} parameters{multiply_adds / 1e6:>9,.0f} M multiply-adds")


def _halved(n: int, times: int) -> int:
    """The length that is left of `n` after some strides of 2."""
    for _ in range(times):
        n = output_size(n, 3, 2, 1)
    return n


def gradients_figure(
    before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]], losses: Mapping[str, Sequence[float]]
) -> Figure:
    """The norms of the gradients over the blocks of two stacks, before and after training, and the loss over the steps.

    Args:
        before, after, losses: for the stack without shortcuts and then for the one with shortcuts, by name.
    """
    looks = dict(zip(before, (dict(color=INK, ls="--"), dict(color=ANSWER))))
    panels = []
    done = f"gradients after {max(map(len, losses.values()))} steps"
    for title, values, first in (("gradients before", before, 1), (done, after, 1), ("loss", losses, 0)):
        lines = {name: (range(first, first + len(y)), y, looks[name]) for name, y in values.items()}
        panels.append(dict(title=title, lines=lines, xlabel="block" if first else "step", ylabel=""))
    panels[0] |= dict(ylabel="norm of the gradient", log=True)
    panels[1] |= dict(log=True, like=0)
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
