"""The figures, explorers and exercise checks of notebook 04."""

import ipywidgets
import torch
from matplotlib.patches import Circle, Rectangle
from torch import nn
from torchvision.models.video import resnet as reference

from helpers import plots
from helpers.blocks import BasicBlock, Layer, output_size, summary
from helpers.lessons.exercises import check, same_layers
from helpers.plots import INK, PALE, SPACE, TIME, _arrow, new_figure


def residual_block(layers, shortcut="identity"):
    """The layers of a residual block from left to right, and the shortcut around them.

    Args:
        layers: for each layer on the straight path a text, the colour of its box, and a text below it or None.
        shortcut: what is written on the way around.
    """
    figure = new_figure(9.6, 2)
    axes = figure.add_subplot()
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


STAGES = {"layer1": (64, 64), "layer2": (64, 128), "layer3": (128, 256), "layer4": (256, 512)}  # channels in, out


def draw_block(stage="layer2", block="first", frames=16, size=112):
    """Show shapes and costs of a residual block of R(2+1)D-18, for a clip of so many frames of `size` x `size` pixels."""
    inplanes, planes = STAGES[stage]
    stride = 1 if stage == "layer1" or block == "second" else 2
    halvings = int(stage[-1]) - 1 - (stride == 2)  # of what comes in, by the blocks before this one
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
            color = plots.PALE if layer.kernel is None else plots.SPACE if layer.kernel[0] == 1 else plots.TIME
            text = {"BatchNorm3d": "norm", "ReLU": "ReLU"}.get(layer.kind) or _times(layer.kernel)
            boxes.append((text, color, _times(layer.output) if layer.kernel else None))
    shortcut = "identity" if stride == 1 else "1 x 1 x 1 with stride 2, norm"
    alt = f"The {block} block of {stage}: four convolutions in a row, and around them a shortcut, {shortcut}."
    plots.show(residual_block(boxes, shortcut), alt)
    print(f"{'in':28}{_times((inplanes, frames, size, size)):>22}")
    for layer in layers:
        if layer.kernel:
            print(f"{layer.name:14}{_times(layer.kernel):14}{_times(layer.output):>22}", end="")
            print(f"{layer.parameters:>12,} parameters{layer.multiply_adds / 1e6:>9,.0f} M multiply-adds")
    parameters, multiply_adds = (sum(getattr(layer, what) for layer in layers) for what in Layer._fields[-2:])
    print(f"{'with batch norms':50}{parameters:>12,} parameters{multiply_adds / 1e6:>9,.0f} M multiply-adds")


def _halved(n, times):
    """What is left of `n` after so many strides of 2."""
    for _ in range(times):
        n = output_size(n, 3, 2, 1)
    return n


def _times(numbers):
    return " x ".join(map(str, numbers))


def block_calculator():
    """`draw_block` with a control for each of its arguments; `.children` are the controls, in that order."""
    return ipywidgets.interactive(
        draw_block,
        stage=ipywidgets.ToggleButtons(options=list(STAGES), value="layer2"),
        block=ipywidgets.ToggleButtons(options=("first", "second")),
        frames=ipywidgets.IntSlider(16, 1, 64, continuous_update=False),
        size=ipywidgets.IntSlider(112, 32, 256, step=16, continuous_update=False),
    )


def check_basic_block(answer):
    """Notebook 04: the residual block, a module built from its channels in and out and its stride."""

    def attempt():
        clip = torch.randn(2, 4, 6, 9, 8, generator=torch.Generator().manual_seed(0))
        for planes, stride in ((4, 1), (6, 2), (6, 1)):
            projection = None
            if planes != 4 or stride != 1:
                projection = nn.Sequential(nn.Conv3d(4, planes, 1, stride, bias=False), nn.BatchNorm3d(planes))
            theirs = reference.BasicBlock(4, planes, reference.Conv2Plus1D, stride, projection)
            same_layers(answer(4, planes, stride), theirs, clip)

    return check("basic_block", answer, attempt)


def check_places_read(answer):
    """Notebook 04: how many of n places along an axis reach the end of some projection shortcuts in a row."""

    def attempt():
        for n, blocks, why in [
            (16, 0, "No block, no loss."),
            (16, 1, "Every second place."),
            (7, 1, "The first one counts."),
        ]:
            assert answer(n, blocks) == len(range(n)[:: 2**blocks]), why
        for n in range(1, 40):
            for blocks in range(5):
                right = len(range(0, n, 2**blocks))
                assert answer(n, blocks) == right, f"Of {n} places {right} reach the end of {blocks} shortcuts."

    return check("places_read", answer, attempt)
