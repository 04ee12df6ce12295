"""The figures, explorers and exercise checks of notebook 13."""

import numpy as np
import torch
from torch import nn

from helpers.lessons.exercises import check, close
from helpers.plots import INK, new_figure


def roofline(kinds, peak, bandwidth):
    """How fast each layer computes, by how much it computes for each byte that it moves, under a machine's two ceilings.

    Args:
        kinds: for each kind of layer its FLOP a byte, its GFLOP a second (two lists), and how matplotlib is to draw them.
        peak: the most GFLOP a second.
        bandwidth: the most gigabytes a second.
    """
    figure = new_figure(9.6, 4.2)
    axes = figure.add_subplot(1, 1, 1)
    every = [x for xs, _, _ in kinds.values() for x in xs]
    ends = np.array([min(every) / 2, max(*every, peak / bandwidth) * 3])
    corner = np.clip(peak / bandwidth, *ends)
    axes.plot([ends[0], corner], [bandwidth * ends[0], bandwidth * corner], color=INK, lw=1.6)
    axes.plot([corner, ends[1]], [peak, peak], color=INK, lw=1.6)
    axes.set(xscale="log", yscale="log", xlim=ends, xlabel="FLOP for each byte moved", ylabel="GFLOP a second")
    axes.annotate(
        f"computing: {peak:,.0f} GFLOP a second",
        (ends[1], peak),
        (-6, 6),
        textcoords="offset points",
        ha="right",
        fontsize=10,
    )
    middle = corner**0.65 * ends[0] ** 0.35  # between the layers that move and those that compute
    axes.annotate(
        f"moving: {bandwidth:,.0f} GB a second",
        (middle, bandwidth * middle),
        (12, -10),
        textcoords="offset points",
        fontsize=10,
    )
    for name, (x, y, how) in kinds.items():
        axes.plot(x, y, label=name, **{"marker": "o", "ls": ""} | how)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def check_least_seconds(answer):
    """Notebook 13: the time that the roofline leaves a layer, from its FLOP, its bytes, a peak and a bandwidth."""

    def attempt():
        assert abs(answer(200e9, 1e9, 100e9, 50e9) - 2) < 1e-9, (
            "200 GFLOP at 100 a second take 2 seconds, if moving takes less."
        )
        assert abs(answer(1e9, 200e9, 100e9, 50e9) - 4) < 1e-9, (
            "200 GB at 50 a second take 4 seconds, however little is computed."
        )
        for case in ((3e9, 7e9, 2e9, 5e9), (5e10, 4e10, 5e10, 4e10), (0.0, 8e6, 3e11, 2e10), (8e6, 0.0, 3e11, 2e10)):
            right = max(case[0] / case[2], case[1] / case[3])
            given = answer(*case)
            told = f"The longer of computing and moving counts: {right:.3g} s for {case}; you say {given:.3g}."
            assert abs(given - right) <= 1e-9 * right, told

    return check("least_seconds", answer, attempt)


def check_fold_before(answer):
    """Notebook 13: a convolution that does the work of the batch norm before it as well, from norm and convolution."""

    def attempt():
        torch.manual_seed(0)
        for bias, kernel in ((False, 1), (True, 1), (True, (3, 1, 2))):
            norm, conv = nn.BatchNorm3d(4).eval(), nn.Conv3d(4, 6, kernel, bias=bias)
            with torch.no_grad():
                for values, low, high in (
                    (norm.running_mean, -1, 1),
                    (norm.running_var, 0.5, 2),
                    (norm.weight, 0.5, 2),
                    (norm.bias, -1, 1),
                ):
                    values.uniform_(low, high)
            before = [value.clone() for value in (*norm.state_dict().values(), *conv.state_dict().values())]
            x = torch.randn(2, 4, 5, 6, 6)
            with torch.inference_mode():
                wanted, folded = conv(norm(x)), answer(norm, conv)
                assert isinstance(folded, nn.Conv3d), "Give a single convolution."
                given = folded(x)
            after = (*norm.state_dict().values(), *conv.state_dict().values())
            assert all(map(torch.equal, before, after)), "Leave norm and convolution as they are: make a new one."
            shifted = (given - wanted).flatten(2).std(-1).max() < 1e-4 and not close(given, wanted)
            assert not shifted, (
                "Only the bias is wrong: what the norm adds goes through the filters, too, and the convolution may have a bias."
            )
            assert close(given, wanted), (
                "It does not give conv(norm(x)). The norm scales what comes in: which axis of the weights is that?"
            )

    return check("fold_before", answer, attempt)
