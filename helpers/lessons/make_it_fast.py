"""The figures, the timing of single layers and the exercise checks of notebook 13."""

import copy
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from helpers import plots
from helpers.blocks import randomize_batchnorm_
from helpers.lessons.exercises import close, exercise, require
from helpers.plots import INK, SPACE, TIME, new_figure
from helpers.scale.inference import interleaved

__all__ = [
    "KINDS",
    "check_fold_before",
    "check_least_seconds",
    "kind",
    "layers_below_roofline",
    "median_seconds",
    "roofline_figure",
    "time_figure",
]

#: The kinds of layers with weights, batch norms and ReLUs.
KINDS = ["1×7×7", "1×3×3", "3×1×1", "shortcut", "batch norm", "ReLU"]
# The legend of a roofline: the kinds of layers that belong to each entry, and the marker.
_LEGEND = {
    "spatial convolutions": (("1×3×3", "1×7×7"), dict(color=SPACE)),
    "temporal convolutions": (("3×1×1",), dict(color=TIME, marker="^")),
    "batch norms": (("batch norm",), dict(color=INK, mfc="none")),
    "ReLUs": (("ReLU",), dict(color=INK, marker="x")),
}


def kind(layer: nn.Module) -> str:
    """One of `KINDS`, a convolution by its kernel; "other" for any other layer."""
    if isinstance(layer, nn.Conv3d):
        t, d, _ = layer.kernel_size
        return f"{t}×{d}×{d}" if t * d > 1 else "shortcut"
    return {nn.BatchNorm3d: "batch norm", nn.ReLU: "ReLU"}.get(type(layer), "other")


def time_figure(seconds: Mapping[str, float], flop: Mapping[str, int], total: float) -> Figure:
    """Bars: the fractions of the time and of the FLOPs that each kind of layer has; the last bar is the rest of the time.

    Args:
        seconds, flop: sums over all layers of a kind, the same kinds in both.
        total: seconds of the whole network.
    """
    fractions = [value / total for value in seconds.values()]
    work = [value / sum(flop.values()) for value in flop.values()]
    panels = {
        "fraction of the time": ([*fractions, max(0.0, 1 - sum(fractions))], "{:.1%}".format),
        "fraction of the FLOPs": ([*work, 0.0], "{:.1%}".format),
    }
    return plots.bars([*seconds, "sums and the rest"], panels, shared=True)


def layers_below_roofline(rows: Sequence[tuple], peak: float, bandwidth: float) -> Figure:
    """The roofline of a machine, and each batch norm, ReLU, spatial and temporal convolution of a network as a point.

    Args:
        rows: for each layer its kind, seconds, FLOP and bytes moved.
        peak, bandwidth: GFLOP/s and GB/s.
    """
    kinds = {}
    for label, (names, look) in _LEGEND.items():
        layers = [row[1:] for row in rows if row[0] in names]
        points = [(flop / moved, flop / taken / 1e9) for taken, flop, moved in layers]
        kinds[label] = (*zip(*points), look)
    return roofline_figure(kinds, peak, bandwidth)


def median_seconds(
    layers: Mapping[str, nn.Module], size: Sequence[int], training: bool = False, rounds: int = 5
) -> dict[str, float]:
    """The median seconds of each layer, timed in turn, in the better of the default and the channels-last layout.

    Args:
        layers: not changed; the first weights of each tell its input channels.
        size: (T, H, W) of the feature maps.
        training: time forward and backward pass of a training step, not the inference alone.
    """
    layouts, functions = (torch.contiguous_format, torch.channels_last_3d), {}
    for (name, layer), layout in product(layers.items(), layouts):
        *_, channels = next(layer.parameters()).shape[:2]  # (C out, C in) of a convolution, (C,) of a batch norm
        maps = torch.randn(1, channels, *size).to(memory_format=layout).requires_grad_(training)
        layer = copy.deepcopy(layer).train(training).to(memory_format=layout)
        functions[name, layout] = partial(_step if training else _predict, layer, maps)
    taken = interleaved(functions, rounds=rounds)
    return {name: min(statistics.median(taken[name, layout]) for layout in layouts) for name in layers}


@torch.inference_mode()
def _predict(layer, maps):
    layer(maps)


def _step(layer, maps):
    layer(maps).sum().backward()


@plots.style()
def roofline_figure(kinds: Mapping[str, tuple], peak: float, bandwidth: float) -> Figure:
    """The FLOP/s of layers over their arithmetic intensity, below a machine's roofline.

    Args:
        kinds: for each kind of layer two lists, FLOP per byte and GFLOP/s of its layers, and matplotlib's keywords.
        peak: peak FLOP/s, in GFLOP/s.
        bandwidth: memory bandwidth, in GB/s.
    """
    figure = new_figure(9.6, 4.2)
    axes = figure.add_subplot()
    intensities = [x for xs, _, _ in kinds.values() for x in xs]
    ends = np.array([min(intensities) / 2, max(*intensities, peak / bandwidth) * 3])
    ridge = np.clip(peak / bandwidth, *ends)
    axes.plot([ends[0], ridge], [bandwidth * ends[0], bandwidth * ridge], color=INK, lw=1.6)
    axes.plot([ridge, ends[1]], [peak, peak], color=INK, lw=1.6)
    axes.set(xscale="log", yscale="log", xlim=ends, xlabel="arithmetic intensity, FLOPs per byte", ylabel="GFLOP/s")
    near = dict(textcoords="offset points", fontsize=10)
    axes.annotate(f"compute-bound: {peak:,.0f} GFLOP/s", (ends[1], peak), (-6, 6), ha="right", **near)
    x = ridge**0.65 * ends[0] ** 0.35  # between memory-bound and compute-bound layers
    axes.annotate(f"memory-bound: {bandwidth:,.0f} GB/s", (x, bandwidth * x), (12, -10), **near)
    for name, (x, y, look) in kinds.items():
        axes.plot(x, y, label=name, **{"marker": "o", "ls": ""} | look)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


@exercise
def check_least_seconds(solution: Callable) -> None:
    """Notebook 13: the shortest time of a layer by the roofline, from its FLOP, its bytes, a peak and a bandwidth."""
    hint = "200 GFLOP at 100 GFLOP/s take 2 seconds, if memory takes less."
    require(abs(solution(200e9, 1e9, 100e9, 50e9) - 2) < 1e-9, hint)
    hint = "200 GB at 50 GB/s take 4 seconds, however little is computed."
    require(abs(solution(1e9, 200e9, 100e9, 50e9) - 4) < 1e-9, hint)
    for case in ((3e9, 7e9, 2e9, 5e9), (5e10, 4e10, 5e10, 4e10), (0.0, 8e6, 3e11, 2e10), (8e6, 0.0, 3e11, 2e10)):
        right, returned = max(case[0] / case[2], case[1] / case[3]), solution(*case)
        hint = f"The longer of computing and memory counts: {right:.3g} s for {case}, not {returned:.3g}."
        require(abs(returned - right) <= 1e-9 * right, hint)


@exercise
def check_fold_before(solution: Callable) -> None:
    """Notebook 13: one convolution with the batch norm before it folded in, from batch norm and convolution."""
    for bias, kernel in ((False, 1), (True, 1), (True, (3, 1, 2))):
        norm, conv = nn.BatchNorm3d(4).eval(), nn.Conv3d(4, 6, kernel, bias=bias)
        randomize_batchnorm_(norm)
        before = [value.clone() for value in (*norm.state_dict().values(), *conv.state_dict().values())]
        x = torch.randn(2, 4, 5, 6, 6)
        with torch.inference_mode():
            expected, folded = conv(norm(x)), solution(norm, conv)
            require(isinstance(folded, nn.Conv3d), "Return a single convolution.")
            output = folded(x)
        after = (*norm.state_dict().values(), *conv.state_dict().values())
        require(all(map(torch.equal, before, after)), "Leave batch norm and convolution as they are: make a new one.")
        shifted = (output - expected).flatten(2).std(-1).max() < 1e-4 and not close(output, expected)
        hint = "Only the bias is wrong: the shift of the batch norm goes through the filters; the convolution may have a bias."
        require(not shifted, hint)
        hint = "It does not give conv(norm(x)). The batch norm scales the inputs: which axis of the weights is that?"
        require(close(output, expected), hint)
