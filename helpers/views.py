"""(2+1)D convolutions computed as 2D ones over views of the same memory, for training on a CPU. Built in notebook 13.

In channels-last layout a clip lies in memory as B, T, H, W, C. A 1x3x3 convolution sees it as B x T pictures, a 3x1x1
convolution as pictures of T by H x W pixels; neither moves a number. PyTorch's 2D convolutions are faster there than its 3D
ones, and right where these are wrong: in bfloat16 `conv3d` gets infinite gradients for 3x1x1 over two frames on CPUs without
matrix units (PyTorch 2.15).
"""

from torch import channels_last_3d, nn
from torch.nn import functional as F


def as_conv2d(network):
    """Let every convolution of a network that is flat in time or in space be computed as a 2D one.

    Args:
        network: it is changed, and given back. Its parameters stay the same objects under the same names, so that an
            optimiser that has them and a file of weights go on to fit.
    """
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv3d) and _fits(layer):
                setattr(parent, name, ConvOverViews(layer))
    return network


def _fits(conv):
    """Whether it is 1 x k x k, or k x 1 x 1 without padding in space; neither dilated, nor in groups, nor padded by name."""
    plain = (
        conv.dilation == (1, 1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )
    flat = conv.kernel_size[0] == conv.stride[0] == 1 and conv.padding[0] == 0
    return plain and (flat or (conv.kernel_size[1:] == (1, 1) and conv.padding[1:] == (0, 0)))


class ConvOverViews(nn.Module):
    """An `nn.Conv3d`, computed by `F.conv2d`; (B, C, T, H, W) in and out, the output in channels-last layout."""

    def __init__(self, conv):
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.kernel_size, self.stride, self.padding = conv.kernel_size, conv.stride, conv.padding

    def forward(self, x):
        if self.kernel_size[1:] == (1, 1):
            return self._over_time(x)
        x = x.contiguous(memory_format=channels_last_3d)
        frames = x.transpose(1, 2).flatten(0, 1)  # (B, C, T, H, W) to (B x T, C, H, W)
        y = F.conv2d(frames, self.weight[:, :, 0], self.bias, self.stride[1:], self.padding[1:])
        return y.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)

    def _over_time(self, x):
        steps = list(self.stride)
        if self.kernel_size[0] == 1 and self.padding[0] == 0:  # what is not read need not be there
            x, steps[0] = x[:, :, :: steps[0]], 1
        x = x[..., :: steps[1], :: steps[2]].contiguous(memory_format=channels_last_3d)
        rows = x.flatten(3)  # (B, C, T, H, W) to (B, C, T, H x W)
        y = F.conv2d(rows, self.weight.flatten(3), self.bias, (steps[0], 1), (self.padding[0], 0))
        return y.unflatten(3, x.shape[3:])
