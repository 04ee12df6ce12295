"""The video ResNets of Tran et al., arXiv 1711.11248: R2D, f-R2D, MCx, rMCx, R3D and R(2+1)D, with 18 or 34 layers.

`NETWORKS` has a builder for each, by name. Layers and state-dict keys are torchvision's, and so is the order in which
random numbers are drawn: after the same `torch.manual_seed` both start from the same weights.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from helpers.blocks import BasicBlock, BasicStem, Conv2Plus1D, Conv3DNoTemporal, Conv3DSimple, R2DStem, R2Plus1dStem

__all__ = ["FAMILY", "LAYERS", "NETWORKS", "VideoResNet", "count_parameters", "initialize_weights", "make_stage",
           "mc3_18", "r2plus1d_18", "r3d_18", "video_resnet"]  # fmt: skip

LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # depth: residual blocks of each stage
FAMILY = {  # the kind of convolution in the stem, then in each of the four stages
    "r2d": ("R2D", "2D", "2D", "2D", "2D"),
    "fr2d": ("2D", "2D", "2D", "2D", "2D"),
    "mc2": ("3D", "2D", "2D", "2D", "2D"),
    "mc3": ("3D", "3D", "2D", "2D", "2D"),
    "mc4": ("3D", "3D", "3D", "2D", "2D"),
    "mc5": ("3D", "3D", "3D", "3D", "2D"),
    "rmc2": ("2D", "3D", "3D", "3D", "3D"),
    "rmc3": ("2D", "2D", "3D", "3D", "3D"),
    "rmc4": ("2D", "2D", "2D", "3D", "3D"),
    "rmc5": ("2D", "2D", "2D", "2D", "3D"),
    "r3d": ("3D", "3D", "3D", "3D", "3D"),
    "r2plus1d": ("(2+1)D", "(2+1)D", "(2+1)D", "(2+1)D", "(2+1)D"),
}
_CONVOLUTIONS = {"2D": Conv3DNoTemporal, "3D": Conv3DSimple, "(2+1)D": Conv2Plus1D}
_STEMS = {"2D": partial(BasicStem, t=1), "3D": BasicStem, "(2+1)D": R2Plus1dStem, "R2D": R2DStem}


class VideoResNet(nn.Module):
    """(B, 3, T, H, W) to logits (B, num_classes): stem, four stages, global average pooling, linear head. Built in notebook 05.

    Args:
        stem: a module from (B, 3, T, H, W) to (B, width, T, H/2, W/2).
        convolutions: the class of the convolutions in each of the four stages, for example four times `Conv2Plus1D`.
        layers: the number of residual blocks in each stage; (2, 2, 2, 2) makes 18 layers.
        num_classes, width, paper_widths: see `video_resnet`. Each stage after layer1 doubles the channels.
    """

    def __init__(
        self, stem: nn.Module, convolutions: Sequence[type[nn.Module]], layers: Sequence[int] = (2, 2, 2, 2),
        num_classes: int = 400, width: int = 64, paper_widths: bool = False,
    ):  # fmt: skip
        super().__init__()
        first, second, third, fourth = convolutions
        self.stem = stem
        self.layer1 = make_stage(first, width, width, layers[0], 1, paper_widths)
        self.layer2 = make_stage(second, width, 2 * width, layers[1], 2, paper_widths)
        self.layer3 = make_stage(third, 2 * width, 4 * width, layers[2], 2, paper_widths)
        self.layer4 = make_stage(fourth, 4 * width, 8 * width, layers[3], 2, paper_widths)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(8 * width, num_classes)
        self.apply(initialize_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, 3, T, H, W); for R(2+1)D and 16 x 112 x 112:
        x = self.stem(x)  # (B, 64, 16, 56, 56)
        x = self.layer1(x)  # (B, 64, 16, 56, 56)
        x = self.layer2(x)  # (B, 128, 8, 28, 28)
        x = self.layer3(x)  # (B, 256, 4, 14, 14)
        x = self.layer4(x)  # (B, 512, 2, 7, 7)
        x = self.avgpool(x).flatten(1)  # (B, 512)
        return self.fc(x)  # (B, num_classes)


def make_stage(
    convolution: type[nn.Module], inplanes: int, planes: int, blocks: int, stride: int, paper_widths: bool = False
) -> nn.Sequential:
    """Residual blocks in a row. The first one strides and changes the channels. Built in notebook 05."""
    projection = None
    if stride != 1:
        time = stride if getattr(convolution, "temporal", True) else 1  # 2D leaves frames alone
        pointwise = nn.Conv3d(inplanes, planes, 1, (time, stride, stride), bias=False)
        projection = nn.Sequential(pointwise, nn.BatchNorm3d(planes))
    first = BasicBlock(inplanes, planes, stride, projection, paper_widths, convolution)
    rest = [BasicBlock(planes, planes, 1, None, paper_widths, convolution) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def initialize_weights(module: nn.Module) -> None:
    """Initialize one module as torchvision does, after He et al., arXiv 1502.01852. Built in notebook 05."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def video_resnet(
    kinds: Sequence[str], depth: int = 18, num_classes: int = 400, width: int = 64, paper_widths: bool = False,
    frames: int = 16,
) -> VideoResNet:  # fmt: skip
    """A video ResNet of any mixture of convolutions, in train mode; `NETWORKS` has those of the paper by name.

    ValueError if an argument is impossible; the message says which values are possible.

    Args:
        kinds: for the stem and the four stages: "2D", "3D" or "(2+1)D". The stem "R2D" stacks the frames as channels.
        depth: the number of layers, 18 or 34.
        num_classes: the number of logits.
        width: the channels of the stem and of layer1, 64 in the paper; at least 8.
        paper_widths: give (2+1)D convolutions the intermediate channels of the paper's formula (R(2+1)D-18: 33.4 million
            parameters). The default is torchvision's choice (31.5 million), which its published weights need.
        frames: of a clip. Only the stem "R2D" needs this number; every other network takes clips of any length.
    """
    if len(kinds) != 5 or isinstance(kinds, str):
        raise ValueError(f"kinds={kinds!r}: give five, for the stem and the four stages, or take a builder of NETWORKS")
    for name, kind in zip(("stem", "layer1", "layer2", "layer3", "layer4"), kinds):
        if kind not in (known := _STEMS if name == "stem" else _CONVOLUTIONS):
            raise ValueError(f"{name} cannot be {kind!r}; choose from {', '.join(known)}")
    if depth not in LAYERS:
        raise ValueError(f"depth={depth!r}: choose from {', '.join(map(str, LAYERS))}")
    for name, value, least in (("num_classes", num_classes, 1), ("width", width, 8), ("frames", frames, 1)):
        if value < least:
            raise ValueError(f"{name}={value}: must be at least {least}")
    stem = R2DStem(width, frames) if kinds[0] == "R2D" else _STEMS[kinds[0]](width)
    convolutions = [_CONVOLUTIONS[kind] for kind in kinds[1:]]
    return VideoResNet(stem, convolutions, LAYERS[depth], num_classes, width, paper_widths)


# name: builder(num_classes, width, paper_widths, frames), with the defaults and the errors of `video_resnet`
NETWORKS: dict[str, Callable[..., VideoResNet]] = {
    f"{member}_{depth}": partial(video_resnet, kinds, depth) for depth in LAYERS for member, kinds in FAMILY.items()
}


def r3d_18(num_classes: int = 400, width: int = 64) -> VideoResNet:
    """R3D-18: 3D convolutions throughout; (B, 3, T, H, W) to logits (B, num_classes)."""
    return NETWORKS["r3d_18"](num_classes, width)


def mc3_18(num_classes: int = 400, width: int = 64) -> VideoResNet:
    """MC3-18: 3D convolutions in the stem and layer1, 2D after them; (B, 3, T, H, W) to logits (B, num_classes)."""
    return NETWORKS["mc3_18"](num_classes, width)


def r2plus1d_18(num_classes: int = 400, width: int = 64, paper_widths: bool = False) -> VideoResNet:
    """R(2+1)D-18: (2+1)D convolutions throughout; (B, 3, T, H, W) to logits (B, num_classes). See `video_resnet`."""
    return NETWORKS["r2plus1d_18"](num_classes, width, paper_widths)


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
