"""The family of video ResNets: R2D, f-R2D, MCx, rMCx, R3D and R(2+1)D, with 18 or 34 layers, of arXiv 1711.11248.

`NETWORKS` lists the builders by name. Layout and state-dict keys are torchvision's, and so is the order in which random
numbers are used: after the same `torch.manual_seed` both start from the same weights.
"""

from torch import nn

from helpers.blocks import BasicBlock, BasicStem, Conv2Plus1D, Conv3DNoTemporal, Conv3DSimple, R2DStem, R2Plus1dStem

LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # depth: blocks of each group
CONVOLUTIONS = {"2D": Conv3DNoTemporal, "3D": Conv3DSimple, "(2+1)D": Conv2Plus1D}
STEMS = {
    "2D": lambda width, frames: BasicStem(width, t=1),
    "3D": lambda width, frames: BasicStem(width),
    "(2+1)D": lambda width, frames: R2Plus1dStem(width),
    "R2D": R2DStem,
}
FAMILY = {  # the kind of the stem, then of each group
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


class VideoResNet(nn.Module):
    """A stem, four groups of residual blocks, a mean over time and space, one linear layer. Built in notebook 05.

    (B, 3, T, H, W) to logits (B, num_classes).

    Args:
        stem: a module from (B, 3, T, H, W) to (B, width, T, H/2, W/2).
        convolutions: what makes the convolutions of each of the four groups, for example `Conv2Plus1D`.
        layers: how many blocks each group has; (2, 2, 2, 2) makes 18 layers with weights in a row.
        num_classes: how many logits.
        width: channels of the stem and the first group, doubled from group to group.
        paper_widths: see `BasicBlock`.
    """

    def __init__(self, stem, convolutions, layers=(2, 2, 2, 2), num_classes=400, width=64, paper_widths=False):
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

    def forward(self, x):  # (B, 3, T, H, W); for R(2+1)D and 16 x 112 x 112:
        x = self.stem(x)  # (B, 64, 16, 56, 56)
        x = self.layer1(x)  # (B, 64, 16, 56, 56)
        x = self.layer2(x)  # (B, 128, 8, 28, 28)
        x = self.layer3(x)  # (B, 256, 4, 14, 14)
        x = self.layer4(x)  # (B, 512, 2, 7, 7)
        x = self.avgpool(x).flatten(1)  # (B, 512)
        return self.fc(x)  # (B, num_classes)


def make_stage(convolution, inplanes, planes, blocks, stride, paper_widths=False):
    """So many residual blocks in a row, of which the first strides and changes the channels. Built in notebook 05."""
    projection = None
    if stride != 1:
        time = stride if getattr(convolution, "temporal", True) else 1  # 2D leaves frames alone
        pointwise = nn.Conv3d(inplanes, planes, 1, (time, stride, stride), bias=False)
        projection = nn.Sequential(pointwise, nn.BatchNorm3d(planes))
    first = BasicBlock(inplanes, planes, stride, projection, paper_widths, convolution)
    rest = [BasicBlock(planes, planes, 1, None, paper_widths, convolution) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def initialize_weights(module):
    """Set the weights of one module as He et al. (arXiv 1502.01852) do, and torchvision. Built in notebook 05."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def video_resnet(kinds, depth=18, num_classes=400, width=64, paper_widths=False, frames=16):
    """A video ResNet of any mixture of convolutions; those of the paper have builders of their own, see `NETWORKS`.

    Args:
        kinds: five names, for the stem and each of the four groups: "2D", "3D" or "(2+1)D". A stem may also be "R2D",
            which makes one picture of the clip: its frames become channels.
        depth: how many layers with weights in a row, 18 or 34.
        num_classes: how many logits.
        width: channels after the stem, 64 in the paper; at least 8.
        paper_widths: middle widths of (2+1)D as the paper's formula gives them (R(2+1)D-18: 33.4 million parameters),
            in place of torchvision's (31.5 million), which its published weights need.
        frames: of the clips to be read. An R2D stem needs exactly so many; all others take any number from 1 on, for
            strides round up and leave one frame of one.

    Returns:
        A `VideoResNet` in train mode, (B, 3, T, H, W) to logits (B, num_classes).

    Raises:
        ValueError: where no network would come of it; says what would work.
    """
    if len(kinds) != 5 or isinstance(kinds, str):
        raise ValueError(
            f"kinds={kinds!r}: name five, for the stem and each of the four groups, or take a builder of NETWORKS"
        )
    for place, kind in zip(("stem", "layer1", "layer2", "layer3", "layer4"), kinds):
        known = STEMS if place == "stem" else CONVOLUTIONS
        if kind not in known:
            raise ValueError(f"{place} cannot be {kind!r}; choose from {', '.join(known)}")
    if depth not in LAYERS:
        raise ValueError(f"depth={depth!r}: choose from {', '.join(map(str, LAYERS))}")
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}: a classifier needs at least one class")
    if width < 8:
        raise ValueError(f"width={width}: the stem needs at least 8 channels")
    if frames < 1:
        raise ValueError(f"frames={frames}: a clip needs at least one frame")
    stem = STEMS[kinds[0]](width, frames)
    convolutions = [CONVOLUTIONS[kind] for kind in kinds[1:]]
    return VideoResNet(stem, convolutions, LAYERS[depth], num_classes, width, paper_widths)


def _builder(member, depth):
    def build(num_classes=400, width=64, paper_widths=False, frames=16):
        return video_resnet(FAMILY[member], depth, num_classes, width, paper_widths, frames)

    build.__name__ = build.__qualname__ = f"{member}_{depth}"
    build.__doc__ = (
        f"Stem and groups in {', '.join(FAMILY[member])}, {depth} layers; (B, 3, T, H, W) to logits (B, num_classes).\n\n"
        "The arguments are those of `video_resnet`, and so are the errors; `paper_widths` makes a difference to (2+1)D only, "
        "`frames` to R2D only."
    )
    return build


NETWORKS = {f"{member}_{depth}": _builder(member, depth) for depth in LAYERS for member in FAMILY}

r2d_18, r2d_34 = NETWORKS["r2d_18"], NETWORKS["r2d_34"]
fr2d_18, fr2d_34 = NETWORKS["fr2d_18"], NETWORKS["fr2d_34"]
mc2_18, mc2_34 = NETWORKS["mc2_18"], NETWORKS["mc2_34"]
mc3_18, mc3_34 = NETWORKS["mc3_18"], NETWORKS["mc3_34"]
mc4_18, mc4_34 = NETWORKS["mc4_18"], NETWORKS["mc4_34"]
mc5_18, mc5_34 = NETWORKS["mc5_18"], NETWORKS["mc5_34"]
rmc2_18, rmc2_34 = NETWORKS["rmc2_18"], NETWORKS["rmc2_34"]
rmc3_18, rmc3_34 = NETWORKS["rmc3_18"], NETWORKS["rmc3_34"]
rmc4_18, rmc4_34 = NETWORKS["rmc4_18"], NETWORKS["rmc4_34"]
rmc5_18, rmc5_34 = NETWORKS["rmc5_18"], NETWORKS["rmc5_34"]
r3d_18, r3d_34 = NETWORKS["r3d_18"], NETWORKS["r3d_34"]
r2plus1d_18, r2plus1d_34 = NETWORKS["r2plus1d_18"], NETWORKS["r2plus1d_34"]


def count_parameters(network):
    """How many trainable numbers a network holds."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
