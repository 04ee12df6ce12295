"""A network prepared for inference, how fast a machine can be, and 3D convolutions computed as 2D ones. Built in notebook 13."""

import copy
import time
from functools import partial

import torch
from torch import channels_last_3d, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from helpers.blocks import R2DStem
from helpers.classify import _wait_for


def interleaved(functions, device="cpu", rounds=7):
    """How long each of several functions takes, measured in turn, so that a machine that slows down slows all of them.

    Args:
        functions: a dictionary of functions without arguments.
        device: on which they compute.
        rounds: how often each is measured; one more round comes first and does not count.

    Returns:
        A dictionary of lists of seconds, one for each round.
    """
    taken = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            _wait_for(device)
            begun = time.perf_counter()
            function()
            _wait_for(device)
            taken[name].append(time.perf_counter() - begun)
    return {name: times[1:] for name, times in taken.items()}


def matrix_product(dtype=torch.float32, device="cpu", side=4096):
    """A function that multiplies two square matrices, which is what processors do best; `flop` says how many that are."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def product():
        return a @ b

    product.flop = 2 * side**3
    return product


def peak_flops(dtype=torch.float32, device="cpu", repeats=5):
    """The most that this machine was seen to compute, in FLOP a second."""
    product = matrix_product(dtype, device)
    return product.flop / _best(product, device, repeats)


def bandwidth(device="cpu", size=2**28, repeats=5):
    """The most that this machine was seen to move: bytes a second, read and written, of a copy of so many bytes."""
    a = torch.zeros(size, dtype=torch.uint8, device=device)
    b = torch.zeros_like(a)
    return 2 * size / _best(lambda: b.copy_(a), device, repeats)


def _best(function, device, repeats):
    """The shortest of some times: what the machine can do, not what it does on average."""
    return min(interleaved(dict(it=function), device, repeats)["it"])


def cpu_has_bfloat16():
    """Whether oneDNN takes bfloat16 here. On some processors it only imitates it: then the measured peak does not rise."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def optimize_for_inference(network, dtype=torch.float32, size=(3, 16, 112, 112), compiled=False):
    """The same network for inference only: batch norms folded, every ReLU and every sum done by the convolution before it.

    On a CPU with oneDNN the weights are laid out once as its kernels want them, and the clips of a batch go through one
    after another: what is in a cache then stays there. Elsewhere the convolutions are PyTorch's own, in channels-last layout.

    Args:
        network: a `VideoResNet`, or torchvision's, in eval mode; it stays as it is and shares nothing with what comes back.
        dtype: in which it computes; torch.float32, torch.bfloat16 where the processor has it, on a GPU also torch.float16.
        size: (C, T, H, W) of the clips, for which the layout is chosen. Others work, too.
        compiled: by torch.compile on top, which takes a while at the first batch of every new size; on a GPU it replays the
            whole network as one CUDA graph, which helps where batches are small.

    Returns:
        A module on the network's device, (B, C, T, H, W) to float32 logits (B, classes).

    Raises:
        ValueError: a network in train mode, whose batch norms depend on the batch.
        TypeError: a network with other parts.
    """
    if network.training:
        raise ValueError("call network.eval() first: in train mode batch norms take the statistics of the batch")
    with torch.no_grad():
        fast = _Fast(network, dtype, size).eval()
    if not compiled:
        return fast
    on_gpu = next(network.parameters()).device.type == "cuda"
    return torch.compile(fast, mode="reduce-overhead" if on_gpu else None, dynamic=False)


class _Fast(nn.Module):
    def __init__(self, network, dtype, size):
        super().__init__()
        self.dtype, self.frames_are_channels = dtype, isinstance(network.stem, R2DStem)
        on_cpu = next(network.parameters()).device.type == "cpu"
        self.one_by_one = on_cpu and _packs(dtype)
        convolution = _Packed if self.one_by_one else _Folded
        make = partial(_folded, convolution=convolution, dtype=dtype)
        layers = (network.layer1, network.layer2, network.layer3, network.layer4)
        self.stem = nn.Sequential(*make(network.stem))
        self.blocks = nn.Sequential(*(_Block(block, make) for layer in layers for block in layer))
        self.fc = copy.deepcopy(network.fc)
        if self.one_by_one:
            self._lay_out(size)

    def forward(self, x):
        if self.one_by_one and len(x) > 1:
            return torch.cat([self._logits(clip) for clip in x.split(1)])
        return self._logits(x)

    def _logits(self, x):
        if self.frames_are_channels:
            x = x.flatten(1, 2).unsqueeze(2)
        x = self.blocks(self.stem(x.to(self.dtype, memory_format=torch.channels_last_3d)))
        return self.fc(x.float().mean((2, 3, 4)))

    def _lay_out(self, size):
        """Walk through once with a clip of zeros: each convolution learns what it is given, and lays out its weights."""
        with torch.inference_mode():
            self._logits(torch.zeros(1, *size))


class _Block(nn.Module):
    """A residual block whose last convolution adds the shortcut."""

    def __init__(self, block, make):
        super().__init__()
        *before, last = [*make(block.conv1), *make(block.conv2)]
        self.before, self.last = nn.Sequential(*before), last
        self.shortcut = None if block.downsample is None else nn.Sequential(*make(block.downsample))

    def forward(self, x):
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.last(self.before(x), shortcut)


def _folded(module, convolution, dtype):
    """The convolutions of a stem or of half a block, each with the norm and the ReLU that follow it."""
    found = []
    for layer in (m for m in module.modules() if not list(m.children())):
        if isinstance(layer, nn.Conv3d):
            found.append([layer, None, False])
        elif isinstance(layer, nn.BatchNorm3d):
            found[-1][1] = layer
        elif isinstance(layer, nn.ReLU):
            found[-1][2] = True
        else:
            raise TypeError(f"{type(layer).__name__} is no part of a video ResNet")
    return [
        convolution(conv if norm is None else fuse_conv_bn_eval(conv, norm), relu, dtype) for conv, norm, relu in found
    ]


class _Folded(nn.Module):
    """A convolution with its norm folded in, then a ReLU; or, given a shortcut, the sum and then a ReLU."""

    def __init__(self, conv, relu, dtype):
        super().__init__()
        self.relu, self.how = relu, dict(stride=conv.stride, padding=conv.padding)
        weight = conv.weight.detach().to(dtype, memory_format=torch.channels_last_3d, copy=True)
        bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias.to(weight, copy=True))

    def forward(self, x, shortcut=None):
        x = F.conv3d(x, self.weight, self.bias, **self.how)
        if shortcut is not None:
            return x.add_(shortcut).relu_()
        return x.relu_() if self.relu else x


class _Packed(_Folded):
    """The same by the operators of oneDNN that torch.compile uses, which add and cut off while they write.

    They are not part of PyTorch's public interface; `_packs` looks whether they are there.
    """

    packed = None

    def forward(self, x, shortcut=None):
        stride, padding = (list(self.how[name]) for name in ("stride", "padding"))
        if self.packed is None:
            args = padding, stride, [1, 1, 1], 1, list(x.shape)
            self.packed = torch._C._nn.mkldnn_reorder_conv3d_weight(self.weight.to_mkldnn(), *args)
            self.weight = self.weight.new_empty(0)
        where = self.packed, self.bias, padding, stride, [1, 1, 1], 1
        if shortcut is not None:  # the sum is written over the shortcut, which nobody needs any more
            return torch.ops.mkldnn._convolution_pointwise_.binary(shortcut, x, *where, "add", 1.0, "relu", [], "")
        return torch.ops.mkldnn._convolution_pointwise(x, *where, "relu" if self.relu else "none", [], "")


def _packs(dtype):
    """Whether `_Packed` can be used here for numbers of this type."""
    if not torch.backends.mkldnn.is_available() or not (
        dtype == torch.float32 or (dtype == torch.bfloat16 and cpu_has_bfloat16())
    ):
        return False
    try:
        with torch.inference_mode():
            layer = _Packed(nn.Conv3d(8, 8, 1), True, dtype)
            x = torch.zeros(1, 8, 1, 2, 2, dtype=dtype).to(memory_format=torch.channels_last_3d)
            return layer(layer(x), x.clone()).shape == x.shape
    except (AttributeError, RuntimeError, TypeError):
        return False


def conv3d_as_conv2d(network):
    """Let every convolution of a network that is flat in time or in space be computed as a 2D one.

    Args:
        network: it is changed, and given back. Its parameters stay the same objects under the same names, so that an
            optimiser that has them and a file of weights go on to fit.
    """
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv3d) and _fits(layer):
                setattr(parent, name, Conv3dAsConv2d(layer))
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


class Conv3dAsConv2d(nn.Module):
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
