"""The parts of video ResNets: convolutions in 2D, 3D and (2+1)D, stems, the residual block; and what they cost.

Shapes are (B, C, T, H, W) throughout: clips, channels, frames, rows, columns. Names, layout and state-dict keys are
torchvision's (`torchvision/models/video/resnet.py`), so that its weights load here.

Source: Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", arXiv 1711.11248.
"""

from math import prod
from typing import NamedTuple

import torch
from torch import nn

KINDS = ("2D", "3D", "(2+1)D")


def midplanes(inplanes, planes, t=3, d=3):
    """How many filters stand between the two halves of a (2+1)D convolution.

    The M_i of the paper, section 3.5: with this many, a 1 x d x d and a t x 1 x 1 convolution together hold about
    as many weights as the t x d x d convolution that they replace.

    Args:
        inplanes, planes: channels that come in and go out.
        t, d: extent of the kernel over time and over each side of the frame.
    """
    return (t * d * d * inplanes * planes) // (d * d * inplanes + t * planes)


class Cost(NamedTuple):
    """What a convolution costs for one clip."""

    parameters: int
    multiply_adds: int
    middle: int | None  #: filters between the two halves of a (2+1)D convolution
    output: tuple  #: (C, T, H, W)


def output_size(n, kernel, stride, padding):
    """How many places a kernel takes along an axis of length `n`."""
    return (n + 2 * padding - kernel) // stride + 1


def conv_cost(kind, inplanes, planes, t=3, d=3, stride=1, frames=16, size=56):
    """Parameters, multiply-adds and output of a convolution without bias, padded by half its kernel. Built in notebook 02.

    Args:
        kind: one of `KINDS`: 1 x d x d, t x d x d, or 1 x d x d and then t x 1 x 1, `midplanes` wide between.
        inplanes, planes: channels that come in and go out.
        t, d: extent of the kernel over time and over each side of the frame, odd.
        stride: over space and, except for 2D, over time.
        frames, size: of what comes in; its frames are size x size.
    """
    side = output_size(size, d, stride, d // 2)
    after = frames if kind == "2D" else output_size(frames, t, stride, t // 2)
    if kind == "(2+1)D":
        middle = midplanes(inplanes, planes, t, d)
        space, time = d * d * inplanes * middle, t * middle * planes
        multiply_adds = space * frames * side**2 + time * after * side**2  # the first half keeps every frame
        return Cost(space + time, multiply_adds, middle, (planes, after, side, side))
    weights = (t if kind == "3D" else 1) * d * d * inplanes * planes
    return Cost(weights, weights * after * side**2, None, (planes, after, side, side))


class Conv2Plus1D(nn.Sequential):
    """A convolution over space, batch norm, ReLU, then a convolution over time.

    (B, inplanes, T, H, W) to (B, planes, T', H', W'), where stride 2 halves T, H and W, rounding up.
    """

    def __init__(self, inplanes, planes, midplanes, stride=1):
        space = dict(kernel_size=(1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1))
        time = dict(kernel_size=(3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0))
        super().__init__(
            nn.Conv3d(inplanes, midplanes, **space, bias=False),
            nn.BatchNorm3d(midplanes),
            nn.ReLU(inplace=True),
            nn.Conv3d(midplanes, planes, **time, bias=False),
        )


class Conv3DSimple(nn.Conv3d):
    """A 3 x 3 x 3 convolution, built like `Conv2Plus1D`; `midplanes` is not needed. Built in notebook 08.

    (B, inplanes, T, H, W) to (B, planes, T', H', W'), where stride 2 halves T, H and W, rounding up.
    """

    def __init__(self, inplanes, planes, midplanes=None, stride=1):
        super().__init__(inplanes, planes, kernel_size=3, stride=stride, padding=1, bias=False)


class Conv3DNoTemporal(nn.Conv3d):
    """A 1 x 3 x 3 convolution, each frame for itself, built like `Conv2Plus1D`. Built in notebook 08.

    (B, inplanes, T, H, W) to (B, planes, T, H', W'), where stride 2 halves H and W, rounding up, and leaves T.
    """

    temporal = False  # the shortcut beside it must leave T alone, too

    def __init__(self, inplanes, planes, midplanes=None, stride=1):
        shape = dict(kernel_size=(1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1))
        super().__init__(inplanes, planes, **shape, bias=False)


class R2Plus1dStem(nn.Sequential):
    """The first layer: 7 x 7 over space with stride 2, then 3 over time; (B, 3, T, H, W) to (B, planes, T, H/2, W/2).

    Its middle width is 45 for 64 filters, as in the authors' code; the formula of `midplanes` would give 83.
    """

    def __init__(self, planes=64):
        middle = 45 * planes // 64
        space = dict(kernel_size=(1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3))
        time = dict(kernel_size=(3, 1, 1), padding=(1, 0, 0))
        super().__init__(
            nn.Conv3d(3, middle, **space, bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, planes, **time, bias=False),
            nn.BatchNorm3d(planes),
            nn.ReLU(inplace=True),
        )


class BasicStem(nn.Sequential):
    """The first layer of the 3D and 2D networks: one convolution of 7 x 7 pixels and `t` frames, stride 2 over space.

    (B, channels, T, H, W) to (B, planes, T, H/2, W/2). Built in notebook 08.
    """

    def __init__(self, planes=64, t=3, channels=3):
        shape = dict(kernel_size=(t, 7, 7), stride=(1, 2, 2), padding=(t // 2, 3, 3))
        super().__init__(
            nn.Conv3d(channels, planes, **shape, bias=False),
            nn.BatchNorm3d(planes),
            nn.ReLU(inplace=True),
        )


class R2DStem(BasicStem):
    """The first layer of R2D, for which a clip of L frames is one picture of 3L channels. Built in notebook 08.

    (B, 3, frames, H, W) to (B, planes, 1, H/2, W/2).
    """

    def __init__(self, planes=64, frames=16):
        super().__init__(planes, t=1, channels=3 * frames)

    def forward(self, x):  # (B, 3, L, H, W)
        return super().forward(x.flatten(1, 2).unsqueeze(2))  # (B, 3L, 1, H, W) goes in


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut around them; (B, inplanes, T, H, W) to (B, planes, T', H', W').

    Args:
        inplanes, planes: channels that come in and go out.
        stride: of the first convolution, over time and space alike.
        downsample: what brings the shortcut to the same shape, or None where it has it already.
        paper_widths: if true, the second convolution has the middle width that the paper's formula gives for it. If
            false it takes that of the first, as torchvision's does, and as its published weights need.
        convolution: what makes the two, from channels in, out and between, and a stride.
    """

    def __init__(
        self,
        inplanes,
        planes,
        stride=1,
        downsample=None,
        paper_widths=False,
        convolution=Conv2Plus1D,
    ):
        super().__init__()
        middle = midplanes(inplanes, planes)
        self.conv1 = nn.Sequential(
            convolution(inplanes, planes, middle, stride),
            nn.BatchNorm3d(planes),
            nn.ReLU(inplace=True),
        )
        middle = midplanes(planes, planes) if paper_widths else middle
        self.conv2 = nn.Sequential(convolution(planes, planes, middle), nn.BatchNorm3d(planes))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.conv2(self.conv1(x)) + shortcut)


class Layer(NamedTuple):
    """What one layer of a network gives and costs for one clip."""

    name: str
    kind: str  #: its class
    kernel: tuple | None  #: (T, H, W) of a convolution
    output: tuple  #: (C, T, H, W)
    parameters: int
    multiply_adds: int  #: of convolutions and linear layers; what else there is costs next to nothing


def summary(module, shape):
    """The layers of a module in the order in which they are used. Built in notebook 04.

    Args:
        module: on the meta device, where tensors have shapes only, so that nothing is computed.
        shape: (C, T, H, W) of what comes in.

    Returns:
        A `Layer` for each call of a module without children.
    """
    layers = []

    def note(name):
        def hook(layer, inputs, output):
            parameters = sum(p.numel() for p in layer.parameters())
            kernel, multiply_adds = getattr(layer, "kernel_size", None), 0
            if isinstance(layer, (nn.Conv3d, nn.Linear)):
                multiply_adds = layer.weight[0].numel() * output[0].numel()
            kind, output = type(layer).__name__, tuple(output.shape[1:])
            layers.append(Layer(name, kind, kernel, output, parameters, multiply_adds))

        return hook

    leaves = [(name, m) for name, m in module.named_modules() if not list(m.children())]
    hooks = [layer.register_forward_hook(note(name)) for name, layer in leaves]
    module(torch.empty(1, *shape, device="meta"))
    for hook in hooks:
        hook.remove()
    return layers


def randomize_batchnorm_(network):
    """Give every batch norm in a network random weights and statistics, from 0.5 to 1.5; built in notebook 03.

    Fresh batch norms do almost nothing, so that two networks may seem equal that are not.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):  # fresh ones hide mistakes: they do almost nothing
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data.uniform_(0.5, 1.5)


def receptive_field(module):
    """How much of its input one place of a module's output can see, (T, H, W) in frames and pixels. Built in notebook 05.

    Follows the convolutions in the order in which they were defined; shortcuts see no more than what they pass by.
    """
    field, step = [1, 1, 1], [1, 1, 1]
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv3d) and "downsample" not in name:
            for axis in range(3):
                field[axis] += (layer.kernel_size[axis] - 1) * step[axis]
                step[axis] *= layer.stride[axis]
    return tuple(field)


def activation_bytes(layer):
    """How many bytes of one clip a `Layer` keeps until the gradients come by, in float32. Built in notebook 05.

    A convolution's output is kept for the batch norm after it, a ReLU's for the convolution after that. The batch norm's
    own output is not: the ReLU, or the sum at the end of a block, takes its place.
    """
    keeps = layer.kind.startswith("Conv") or layer.kind == "ReLU"
    return 4 * prod(layer.output) if keeps else 0
