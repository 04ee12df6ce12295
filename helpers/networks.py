"""The whole network: R(2+1)D with 18 layers, of arXiv 1711.11248.

Layout and state-dict keys are torchvision's, and so is the order in which random numbers are used: after the same
`torch.manual_seed` both start from the same weights.
"""

from torch import nn

from helpers.blocks import BasicBlock, R2Plus1dStem


class VideoResNet(nn.Module):
    """A stem, four groups of residual blocks, a mean over time and space, one linear layer.

    (B, 3, T, H, W) to logits (B, num_classes).

    Args:
        layers: how many blocks each group has; (2, 2, 2, 2) makes 18 layers with weights in a row.
        num_classes: how many logits.
        width: channels of the stem and the first group, doubled from group to group.
        paper_widths: see `BasicBlock`.
    """

    def __init__(self, layers=(2, 2, 2, 2), num_classes=400, width=64, paper_widths=False):
        super().__init__()
        self.stem = R2Plus1dStem(width)
        self.layer1 = self._group(width, width, layers[0], 1, paper_widths)
        self.layer2 = self._group(width, 2 * width, layers[1], 2, paper_widths)
        self.layer3 = self._group(2 * width, 4 * width, layers[2], 2, paper_widths)
        self.layer4 = self._group(4 * width, 8 * width, layers[3], 2, paper_widths)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(8 * width, num_classes)
        self.apply(_initialise)

    def _group(self, inplanes, planes, blocks, stride, paper_widths):
        downsample = None
        if stride != 1:
            downsample = nn.Sequential(nn.Conv3d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm3d(planes))
        first = BasicBlock(inplanes, planes, stride, downsample, paper_widths)
        rest = [BasicBlock(planes, planes, paper_widths=paper_widths) for _ in range(blocks - 1)]
        return nn.Sequential(first, *rest)

    def forward(self, x):  # (B, 3, T, H, W), at full width and 16 x 112 x 112:
        x = self.stem(x)  # (B, 64, 16, 56, 56)
        x = self.layer1(x)  # (B, 64, 16, 56, 56)
        x = self.layer2(x)  # (B, 128, 8, 28, 28)
        x = self.layer3(x)  # (B, 256, 4, 14, 14)
        x = self.layer4(x)  # (B, 512, 2, 7, 7)
        x = self.avgpool(x).flatten(1)  # (B, 512)
        return self.fc(x)  # (B, num_classes)


def _initialise(module):
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def r2plus1d_18(num_classes=400, width=64, paper_widths=False):
    """R(2+1)D with 18 layers.

    Args:
        num_classes: how many logits.
        width: channels after the stem, 64 in the paper; at least 8.
        paper_widths: middle widths as the paper's formula gives them (33.3 million parameters at full width with 400
            classes), in place of torchvision's (31.5 million), which its published weights need.

    Raises:
        ValueError: if `num_classes` or `width` is too small to make a network.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}: a classifier needs at least one class")
    if width < 8:
        raise ValueError(f"width={width}: the stem needs at least 8 channels")
    return VideoResNet((2, 2, 2, 2), num_classes, width, paper_widths)


def parameters(network):
    """How many trainable numbers a network holds."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
