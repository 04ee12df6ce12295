"""Networks prepared for inference, the limits of a machine (notebook 13), and 3D convolutions as 2D ones (notebook 14)."""

import copy
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from helpers.blocks import R2DStem
from helpers.classify import Device, _wait_for

__all__ = ["bandwidth", "compare_times", "conv3d_as_conv2d", "cpu_has_bfloat16", "dense_products", "interleaved",
           "optimize_for_inference", "peak_flops"]  # fmt: skip


def interleaved(functions: dict[str, Callable], device: Device = "cpu", rounds: int = 7) -> dict[str, list[float]]:
    """The seconds of several functions without arguments, measured in turn, after a round that does not count.

    A machine that slows down then slows all of them.
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


def compare_times(taken: dict[str, list[float]]) -> dict[str, dict]:
    """What `interleaved` gives as a table: the median "seconds", their "ratio" to those of the first function, and the
    "spread" of the rounds' ratios, smallest and largest."""
    first, table = next(iter(taken.values())), {}
    for name, seconds in taken.items():
        ratios, median = [a / b for a, b in zip(first, seconds)], statistics.median(seconds)
        ratio = statistics.median(first) / median
        table[name] = dict(seconds=median, ratio=ratio, spread=[min(ratios), max(ratios)])
    return table


def dense_products(
    dtype: torch.dtype = torch.float32, device: Device = "cpu", side: int = 2048
) -> dict[str, tuple[Callable, int]]:  # fmt: skip
    """What processors do best, by name: functions without arguments, and the FLOP of each."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    products = {"matrices": (lambda: a @ b, 2 * side**3), "matrices, one transposed": (lambda: a @ b.T, 2 * side**3)}
    if a.device.type == "cpu" and dtype == torch.float32:
        products["matrices, by NumPy"] = (lambda: a.numpy() @ b.numpy(), 2 * side**3)
    sizes = {"2D convolution": (side // 256, 64, 56, 56), "3D convolution": (1, 128, side // 256, 28, 28)}
    for name, size in sizes.items():
        x, w = torch.randn(size), torch.randn(size[1], size[1], *[3] * (len(size) - 2))
        layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
        x, w = (tensor.to(device, dtype, memory_format=layout) for tensor in (x, w))
        convolve = F.conv2d if x.ndim == 4 else F.conv3d
        products[name] = (partial(convolve, x, w, padding=1), 2 * x.numel() * w[0].numel())
    return products


def peak_flops(products: dict[str, tuple[Callable, int]], device: Device = "cpu", repeats: int = 5) -> dict[str, float]:
    """FLOP/s of each of `dense_products`, at its fastest of several times. The highest is the peak, as far as is known."""
    taken = interleaved({name: it for name, (it, _) in products.items()}, device, repeats)
    return {name: flop / min(taken[name]) for name, (_, flop) in products.items()}


def bandwidth(device: Device = "cpu", size: int = 2**28, repeats: int = 5) -> float:
    """Memory bandwidth in bytes a second, by the fastest of several copies of `size` bytes.

    Each byte is read, and its place is fetched into the cache before it is written there: three are moved for one.
    """
    a = torch.zeros(size, dtype=torch.uint8, device=device)
    b = torch.zeros_like(a)
    return 3 * size / min(interleaved(dict(copy=lambda: b.copy_(a)), device, repeats)["copy"])


def cpu_has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 here. Some processors only emulate it: then the measured peak does not rise."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def optimize_for_inference(
    network: nn.Module, dtype: torch.dtype = torch.float32, size: tuple[int, ...] = (3, 16, 112, 112)
) -> nn.Module:
    """The same network for inference only, clips (B, C, T, H, W) to float32 logits (B, classes), on the network's device.

    Batch norms are folded into convolutions; ReLUs and sums are computed with them. On a CPU with oneDNN the weights are laid
    out once as its kernels want them, and the clips of a batch go through one after another: what is in a cache then stays
    there. Elsewhere the convolutions are PyTorch's own, in channels-last layout.

    Args:
        network: a `VideoResNet`, or torchvision's; it is not changed. ValueError: in train mode. TypeError: other parts.
        dtype: of its computations; torch.bfloat16 where the processor has it, on a GPU also torch.float16.
        size: (C, T, H, W) of the clips for which the layout is chosen. Others work, too.
    """
    modules, blocks = (
        list(network.modules()),
        [block for k in (1, 2, 3, 4) for block in getattr(network, f"layer{k}", ())],
    )
    if any(module.training for module in modules):
        raise ValueError("call network.eval() first: in train mode batch norms take the statistics of the batch")
    known = all(isinstance(getattr(block, "relu", None), nn.ReLU) for block in blocks)
    if not (known and blocks and isinstance(network.avgpool, nn.AdaptiveAvgPool3d)) or any(
        m._forward_hooks for m in modules
    ):
        raise TypeError("this network has other parts than a video ResNet, or hooks, which would be left out")
    with torch.no_grad(), torch.random.fork_rng([]):  # new layers draw random weights first
        return _Prepared(network, dtype, size).eval()


class _Prepared(nn.Module):
    def __init__(self, network, dtype, size):
        super().__init__()
        self.dtype, self.frames_are_channels = dtype, isinstance(network.stem, R2DStem)
        self.one_by_one = next(network.parameters()).device.type == "cpu" and _packs(dtype)
        make = partial(_fold, convolution=_Packed if self.one_by_one else _Folded, dtype=dtype)
        layers = (network.layer1, network.layer2, network.layer3, network.layer4)
        self.stem = nn.Sequential(*make(network.stem))
        self.blocks = nn.Sequential(*(_Block(block, make) for layer in layers for block in layer))
        self.fc = copy.deepcopy(network.fc)
        if self.one_by_one:  # each convolution lays out its weights at its first call
            with torch.inference_mode():
                self._logits(torch.zeros(1, *size))

    def forward(self, x):
        if self.one_by_one and len(x) > 1:
            return torch.cat([self._logits(clip) for clip in x.split(1)])
        return self._logits(x)

    def _logits(self, x):
        if self.frames_are_channels:
            x = x.flatten(1, 2).unsqueeze(2)
        x = self.blocks(self.stem(x.to(self.dtype, memory_format=torch.channels_last_3d)))
        return self.fc(x.float().mean((2, 3, 4)))


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


def _fold(module, convolution, dtype):
    """The convolutions of a stem or of half a block, each with the batch norm and the ReLU that follow it."""
    parts = []
    for layer in (m for m in module.modules() if not list(m.children())):
        if isinstance(layer, nn.Conv3d):
            parts.append([layer, None, False])
        elif isinstance(layer, nn.BatchNorm3d):
            parts[-1][1] = layer
        elif isinstance(layer, nn.ReLU):
            parts[-1][2] = True
        else:
            raise TypeError(f"{type(layer).__name__} is no part of a video ResNet")
    return [convolution(fuse_conv_bn_eval(conv, norm) if norm else conv, relu, dtype) for conv, norm, relu in parts]


class _Folded(nn.Module):
    """A convolution that includes its batch norm, then a ReLU; or, given a shortcut, the sum and then a ReLU."""

    def __init__(self, conv, relu, dtype):
        super().__init__()
        self.relu, self.stride, self.padding = relu, conv.stride, conv.padding
        weight = conv.weight.detach().to(dtype, memory_format=torch.channels_last_3d, copy=True)
        bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias.to(weight, copy=True))

    def forward(self, x, shortcut=None):
        x = F.conv3d(x, self.weight, self.bias, self.stride, self.padding)
        if shortcut is not None:
            return x.add_(shortcut).relu_()
        return x.relu_() if self.relu else x


class _Packed(_Folded):
    """The same by operators of oneDNN that compute sum and ReLU while they write; not public, see `_packs`."""

    packed = None

    def forward(self, x, shortcut=None):
        window = list(self.padding), list(self.stride), [1, 1, 1], 1
        if self.packed is None:
            self.packed = torch._C._nn.mkldnn_reorder_conv3d_weight(self.weight.to_mkldnn(), *window, list(x.shape))
            self.weight = self.weight.new_empty(0)
        conv = self.packed, self.bias, *window
        if shortcut is not None:  # the sum is written over the shortcut, which is not needed any more
            return torch.ops.mkldnn._convolution_pointwise_.binary(shortcut, x, *conv, "add", 1.0, "relu", [], "")
        return torch.ops.mkldnn._convolution_pointwise(x, *conv, "relu" if self.relu else "none", [], "")


def _packs(dtype):
    """Whether `_Packed` can be used here for numbers of this type."""
    if dtype != torch.float32 and not (dtype == torch.bfloat16 and cpu_has_bfloat16()):
        return False
    try:
        with torch.inference_mode():
            layer = _Packed(nn.Conv3d(8, 8, 1), True, dtype)
            x = torch.zeros(1, 8, 1, 2, 2, dtype=dtype).to(memory_format=torch.channels_last_3d)
            return layer(layer(x), x.clone()).shape == x.shape
    except (AttributeError, RuntimeError, TypeError):
        return False


def conv3d_as_conv2d(network: nn.Module) -> nn.Module:
    """Let 2D convolutions compute what is flat in time or in space; the network is changed and returned, its parameters stay."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv3d) and _is_flat(layer):
                setattr(parent, name, Conv3dAsConv2d(layer))
    return network


def _is_flat(conv):
    """Whether it is 1 x k x k, or k x 1 x 1 without padding in space, and has no other option that conv2d would need."""
    options = conv.dilation, conv.groups, conv.padding_mode, isinstance(conv.padding, str)
    in_time = conv.kernel_size[0] == conv.stride[0] == 1 and conv.padding[0] == 0
    in_space = conv.kernel_size[1:] == (1, 1) and conv.padding[1:] == (0, 0)
    return options == ((1, 1, 1), 1, "zeros", False) and (in_time or in_space)


class Conv3dAsConv2d(nn.Module):
    """An `nn.Conv3d`, computed by `F.conv2d`; (B, C, T, H, W) in and out, the output in channels-last layout."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.kernel_size, self.stride, self.padding = conv.kernel_size, conv.stride, conv.padding

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel_size[1:] == (1, 1):
            return self._over_time(x)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        frames = x.transpose(1, 2).flatten(0, 1)  # (B, C, T, H, W) to (B x T, C, H, W)
        y = F.conv2d(frames, self.weight[:, :, 0], self.bias, self.stride[1:], self.padding[1:])
        return y.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)

    def _over_time(self, x):
        step, *in_space = self.stride
        if self.kernel_size[0] == 1 and self.padding[0] == 0:  # frames between the steps are not read
            x, step = x[:, :, ::step], 1
        x = x[..., :: in_space[0], :: in_space[1]].contiguous(memory_format=torch.channels_last_3d)
        rows = x.flatten(3)  # (B, C, T, H, W) to (B, C, T, H x W)
        y = F.conv2d(rows, self.weight.flatten(3), self.bias, (step, 1), (self.padding[0], 0))
        return y.unflatten(3, x.shape[3:])
