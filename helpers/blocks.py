"""The parts of video ResNets: 2D, 3D and (2+1)D convolutions, stems, the residual block; and what they cost.

Shapes are (B, C, T, H, W): clips, channels, frames, rows, columns. Names, layout and state-dict keys are torchvision's
(`torchvision/models/video/resnet.py`), so that its weights load here. The paper is Tran et al., arXiv 1711.11248.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import nn

__all__ = ["KINDS", "BasicBlock", "BasicStem", "Conv2Plus1D", "Conv3DNoTemporal", "Conv3DSimple", "Cost", "Layer",
           "R2DStem", "R2Plus1dStem", "activation_bytes", "conv_cost", "midplanes", "output_size",
           "randomize_batchnorm_", "receptive_field", "summary"]  # fmt: skip

KINDS = ("2D", "3D", "(2+1)D")


def midplanes(inplanes: int, planes: int, t: int = 3, d: int = 3) -> int:
    """The intermediate channels of a (2+1)D convolution, M_i in section 3.5 of the paper. Built in notebook 02.

    With this number a 1 x d x d and a t x 1 x 1 convolution together have about as many weights as the t x d x d
    convolution from `inplanes` to `planes` channels that they replace.
    """
    return (t * d * d * inplanes * planes) // (d * d * inplanes + t * planes)


class Cost(NamedTuple):
    """What a convolution costs for one clip."""

    parameters: int
    multiply_adds: int
    middle: int | None  #: the intermediate channels of a (2+1)D convolution
    output: tuple[int, int, int, int]  #: (C, T, H, W)


def output_size(n: int, kernel: int, stride: int, padding: int) -> int:
    """The number of output positions of a kernel along an axis of length `n`. Built in notebook 02."""
    return (n + 2 * padding - kernel) // stride + 1


def conv_cost(
    kind: str, inplanes: int, planes: int, t: int = 3, d: int = 3, stride: int = 1, frames: int = 16, size: int = 56
) -> Cost:
    """The cost of a convolution without bias, padded by half its kernel. Checked in notebook 02.

    Args:
        kind: one of `KINDS`: 1 x d x d, t x d x d, or 1 x d x d and then t x 1 x 1 with `midplanes` channels between them.
        inplanes, planes, t, d: channels of the input and of the output; size of the kernel in time and in space, odd.
        stride: in space and, except for 2D, in time.
        frames, size: of the input; its frames are size x size.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind=}: choose from {', '.join(KINDS)}")
    side = output_size(size, d, stride, d // 2)
    after = frames if kind == "2D" else output_size(frames, t, stride, t // 2)
    if kind == "(2+1)D":
        middle = midplanes(inplanes, planes, t, d)
        space, time = d * d * inplanes * middle, t * middle * planes
        multiply_adds = space * frames * side**2 + time * after * side**2  # the spatial convolution keeps every frame
        return Cost(space + time, multiply_adds, middle, (planes, after, side, side))
    weights = (t if kind == "3D" else 1) * d * d * inplanes * planes
    return Cost(weights, weights * after * side**2, None, (planes, after, side, side))


class Conv2Plus1D(nn.Sequential):
    """A convolution over space, batch norm, ReLU, then a convolution over time. Built in notebook 03.

    (B, inplanes, T, H, W) to (B, planes, T', H', W'); stride 2 halves T, H and W and rounds up.
    """

    def __init__(self, inplanes: int, planes: int, midplanes: int, stride: int = 1):
        space = dict(kernel_size=(1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1))
        time = dict(kernel_size=(3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0))
        super().__init__(
            nn.Conv3d(inplanes, midplanes, **space, bias=False),
            nn.BatchNorm3d(midplanes),
            nn.ReLU(inplace=True),
            nn.Conv3d(midplanes, planes, **time, bias=False),
        )


class Conv3DSimple(nn.Conv3d):
    """A 3 x 3 x 3 convolution with the arguments and shapes of `Conv2Plus1D`; ignores `midplanes`. Built in notebook 08."""

    def __init__(self, inplanes: int, planes: int, midplanes: int | None = None, stride: int = 1):
        super().__init__(inplanes, planes, kernel_size=3, stride=stride, padding=1, bias=False)


class Conv3DNoTemporal(nn.Conv3d):
    """A 1 x 3 x 3 convolution; like `Conv3DSimple`, but its stride leaves T as it is. Built in notebook 08."""

    temporal = False  # the shortcut beside it must leave T alone, too

    def __init__(self, inplanes: int, planes: int, midplanes: int | None = None, stride: int = 1):
        shape = dict(kernel_size=(1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1))
        super().__init__(inplanes, planes, **shape, bias=False)


class R2Plus1dStem(nn.Sequential):
    """The stem of R(2+1)D: 7 x 7 over space with stride 2, then 3 over time. Built in notebook 03.

    (B, 3, T, H, W) to (B, planes, T, H/2, W/2). For 64 filters it has 45 intermediate channels, as in the authors' code;
    the formula of `midplanes` gives 83.
    """

    def __init__(self, planes: int = 64):
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
    """The stem of 3D and 2D networks, t x 7 x 7: (B, channels, T, H, W) to (B, planes, T, H/2, W/2). Built in notebook 08."""

    def __init__(self, planes: int = 64, t: int = 3, channels: int = 3):
        shape = dict(kernel_size=(t, 7, 7), stride=(1, 2, 2), padding=(t // 2, 3, 3))
        super().__init__(
            nn.Conv3d(channels, planes, **shape, bias=False), nn.BatchNorm3d(planes), nn.ReLU(inplace=True)
        )


class R2DStem(BasicStem):
    """The stem of R2D: frames become channels; (B, 3, frames, H, W) to (B, planes, 1, H/2, W/2). Built in notebook 08."""

    def __init__(self, planes: int = 64, frames: int = 16):
        super().__init__(planes, t=1, channels=3 * frames)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, 3, L, H, W)
        return super().forward(x.flatten(1, 2).unsqueeze(2))  # (B, 3L, 1, H, W) goes in


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut; (B, inplanes, T, H, W) to (B, planes, T', H', W'). Built in notebook 04.

    Args:
        inplanes, planes: channels of the input and of the output.
        stride: of the first convolution, in time and in space.
        downsample: brings the shortcut to the shape of the output; None where it has that shape already.
        paper_widths: if true, the second convolution has the intermediate channels that the paper's formula gives for it.
            If false it has those of the first, as in torchvision, whose published weights need them.
        convolution: the class of both convolutions, called with inplanes, planes, midplanes and stride.
    """

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None, paper_widths: bool = False,
        convolution: type[nn.Module] = Conv2Plus1D,
    ):  # fmt: skip
        super().__init__()
        middle = midplanes(inplanes, planes)
        self.conv1 = nn.Sequential(
            convolution(inplanes, planes, middle, stride), nn.BatchNorm3d(planes), nn.ReLU(inplace=True)
        )
        middle = midplanes(planes, planes) if paper_widths else middle
        self.conv2 = nn.Sequential(convolution(planes, planes, middle), nn.BatchNorm3d(planes))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.conv2(self.conv1(x)) + shortcut)


class Layer(NamedTuple):
    """The output and the cost of one layer of a network, for one clip."""

    name: str
    kind: str  #: the name of its class
    kernel: tuple[int, int, int] | None  #: (T, H, W) of a convolution
    output: tuple[int, ...]  #: (C, T, H, W)
    parameters: int
    multiply_adds: int  #: of convolutions and linear layers; those of other layers are negligible


def summary(module: nn.Module, shape: Sequence[int]) -> list[Layer]:
    """A `Layer` for each call of a submodule without children, in the order of the calls. Built in notebook 04.

    The module is on the meta device, where tensors have only a shape, and the `shape` of its input is (C, T, H, W).
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
    try:
        module(torch.empty(1, *shape, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return layers


def randomize_batchnorm_(network: nn.Module) -> None:
    """Give every batch norm random weights and statistics between 0.5 and 1.5, in place. Built in notebook 03."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):  # fresh ones hide mistakes: they do almost nothing
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data.uniform_(0.5, 1.5)


def receptive_field(module: nn.Module) -> tuple[int, int, int]:
    """How much of the input one output position of a module sees, in frames and pixels (T, H, W). Built in notebook 05.

    It follows all layers with a kernel in the order of their definition, but no shortcut, which sees less. ValueError: none.
    """
    field, step = [1, 1, 1], [1, 1, 1]
    inner = [m for name, m in module.named_modules() if "downsample" not in name]
    layers = [m for m in inner if hasattr(m, "kernel_size")]
    if not layers:
        raise ValueError(f"no layer of this {type(module).__name__} has a kernel")
    for layer in layers:
        for axis in range(3):
            field[axis] += (layer.kernel_size[axis] - 1) * step[axis]
            step[axis] *= layer.stride[axis]
    return tuple(field)


def activation_bytes(layer: Layer) -> int:
    """The saved activations of a `Layer` for one clip, in bytes of float32, until the backward pass. Built in notebook 05.

    The batch norm needs the output of the convolution before it, the next convolution that of the ReLU. Nothing needs the
    batch norm's own output: the ReLU, or the sum at the end of a block, takes its place.
    """
    keeps = layer.kind.startswith("Conv") or layer.kind == "ReLU"
    return 4 * prod(layer.output) if keeps else 0
