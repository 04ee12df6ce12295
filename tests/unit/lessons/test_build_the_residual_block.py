"""Notebook 04: its figures and the checks of its exercises."""

import functools

import pytest
import torch
from lesson_tests import assert_readable, colors, exercise_tests, record
from matplotlib.patches import Rectangle
from torch import nn
from torchvision.models import video as reference

from helpers import plots
from helpers.blocks import BasicBlock, Conv2Plus1D, midplanes
from helpers.lessons import build_the_residual_block as lesson


class Block(nn.Module):
    """A reader's solution, or one with a mistake."""

    def __init__(self, inplanes, planes, stride, project=True, shortcut=True, last=None):
        super().__init__()
        middle = midplanes(inplanes, planes)
        first, second = Conv2Plus1D(inplanes, planes, middle, stride), Conv2Plus1D(planes, planes, middle)
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(planes), nn.ReLU())
        self.conv2 = nn.Sequential(second, nn.BatchNorm3d(planes))
        if project and (stride > 1 or inplanes != planes):
            self.downsample = nn.Sequential(nn.Conv3d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm3d(planes))
        self.shortcut, self.last = shortcut, last or nn.ReLU()

    def forward(self, x):
        around = getattr(self, "downsample", nn.Identity())(x)
        return self.last(self.conv2(self.conv1(x)) + (around if self.shortcut else 0))


test_right, test_wrong = exercise_tests(
    lesson,
    right={"check_basic_block": Block, "check_positions_read": lambda n, blocks: len(range(0, n, 2**blocks))},
    wrong={
        "check_basic_block": [
            (lambda i, o, stride: nn.Identity(), "no conv1.0.0.weight"),
            (lambda i, o, stride: Block(i, o, stride, project=False), "no downsample.0.weight"),
            (lambda i, o, stride: Block(i, o, stride, shortcut=False), "other numbers in eval mode"),
            (lambda i, o, stride: Block(i, o, stride, last=nn.Identity()), "other numbers in eval mode"),
            (lambda i, o, stride: BasicBlock(i, o, stride, paper_widths=True), "downsample.0.weight"),
        ],
        "check_positions_read": [
            (lambda n, blocks: n // 2**blocks, "The first position is always read"),
            (lambda n, blocks: n, "every second position"),
            (lambda n, blocks: (n + 1) // 2, "Without a shortcut"),
            (lambda n, blocks: -(-n // (2 * blocks)) if blocks else n, "shortcuts in a row read"),
        ],
    },
)


def test_the_layers_are_drawn_in_order():
    space, time = (
        ("1 x 3 x 3", plots.SPACE, "1152 x 16 x 128 x 128"),
        ("3 x 1 x 1", plots.TIME, "1152 x 16 x 128 x 128"),
    )
    norm, relu = ("BN", plots.PALE, None), ("ReLU", plots.PALE, None)
    layers = [space, norm, relu, time, norm, relu, space, norm, relu, time, norm]
    figure = lesson.residual_block_figure(layers, "1 x 1 x 1 with stride 2, BN")
    (axes,) = figure.get_axes()
    boxes = sorted((patch for patch in axes.patches if isinstance(patch, Rectangle)), key=lambda box: box.get_x())
    assert colors(boxes) == [color for _, color, _ in layers] + [plots.PALE]  # the last ReLU comes after the sum
    words = {text.get_text() for text in axes.texts}
    assert {"1 x 1 x 1 with stride 2, BN", "+", "1 x 3 x 3", "1152 x 16 x 128 x 128", "x", "F(x)", "y"} <= words
    brackets = {line.get_xdata()[0]: line.get_xdata()[-1] for line in axes.lines[:2]}
    halves = [(boxes[k].get_x(), boxes[n].get_x() + boxes[n].get_width()) for k, n in ((0, 5), (6, 10))]
    assert list(brackets.items()) == halves and {"conv1", "conv2"} <= words
    assert_readable(figure)


def test_a_block_can_be_drawn_without_its_shapes(monkeypatch):
    shown = record(monkeypatch)
    lesson.draw_block("layer1", shapes=False)
    words = [text.get_text() for text in shown[-1][0].get_axes()[0].texts]
    assert words.count("1 x 3 x 3") == words.count("3 x 1 x 1") == 2 and "identity" in words
    assert not any("64" in word for word in words)


def test_gradients_of_both_stacks_are_drawn_on_one_scale():
    before, after = dict(without=[900, 30, 1], with_=[20, 4, 2]), dict(without=[90, 9, 2], with_=[5, 3, 1])
    losses = dict(without=[2.4, 2.4, 2.3], with_=[4.0, 1.5, 0.5])
    figure = lesson.gradients_figure(before, after, losses)
    panels = figure.get_axes()
    for axes, values, first in zip(panels, (before, after, losses), (1, 1, 0)):
        assert [list(line.get_ydata()) for line in axes.lines] == list(values.values())
        assert [line.get_xdata()[0] for line in axes.lines] == [first, first]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["without", "with_"]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["gradients before training", "gradients after 2 steps", "loss"]
    assert panels[2].get_ylabel() == "cross-entropy"
    assert [axes.get_yscale() for axes in panels] == ["log", "log", "linear"]
    assert panels[0].get_ylim() == panels[1].get_ylim() and len({line.get_color() for line in panels[0].lines}) == 2
    assert_readable(figure)


@functools.cache
def reference_shapes(frames, size):
    """The layers of torchvision's network, and the shapes of their inputs and outputs, from a run without content."""
    shapes = {}
    with torch.device("meta"):
        network = reference.r2plus1d_18()
    for name, layer in network.named_modules():
        layer.register_forward_hook(
            lambda layer, x, y, name=name: shapes.update({name: (layer, x[0].shape[1:], y.shape[1:])})
        )
    network(torch.empty(1, 3, frames, size, size, device="meta"))
    return shapes


@pytest.mark.parametrize("frames, size", [(1, 32), (16, 112), (33, 144), (64, 256)])
def test_what_is_drawn_is_true(frames, size, monkeypatch):
    """Every block against torchvision's network."""
    shown = record(monkeypatch)
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for block in ("first", "second"):
            lesson.draw_block(stage, block, frames, size)
            prefix = f"{stage}.{int(block == 'second')}"
            shapes = reference_shapes(frames, size)
            words = [text.get_text() for text in shown[-1][0].get_axes()[0].texts]
            drawn = [word for word in words if word.count(" x ") == 3]
            assert drawn == convolution_outputs(prefix, shapes)
            projected = f"{prefix}.downsample" in shapes
            assert ("identity" in words) != projected and f"The {block} block of {stage}" in shown[-1][1]
            assert ("identity shortcut" in shown[-1][1]) != projected


def convolution_outputs(prefix, shapes):
    """The shapes of the outputs of a branch's four convolutions, in their order, as texts."""
    names = [f"{prefix}.{name}" for name in ("conv1.0.0", "conv1.0.3", "conv2.0.0", "conv2.0.3")]
    assert all(isinstance(shapes[name][0], nn.Conv3d) for name in names)
    return [" x ".join(map(str, shapes[name][2])) for name in names]
