"""Notebook 13: its figure and the checks of its exercises."""

import copy

import numpy as np
from lesson_tests import assert_readable, exercise_tests
from torch import nn

from helpers.lessons import make_it_fast as lesson


def fold_before(norm, conv, through=True, own=True, inputs=True, new=True):
    """A convolution with the batch norm before it folded in, or one with a mistake."""
    folded = copy.deepcopy(conv) if new else conv
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    passed = conv.weight.flatten(2).sum(2) @ shift if through else shift.sum().expand(conv.out_channels)
    bias = passed + (conv.bias if own and conv.bias is not None else 0)
    shape = (1, -1, 1, 1, 1) if inputs else (-1, 1, 1, 1, 1)
    scale = scale if inputs else scale.mean().expand(conv.out_channels)
    folded.weight.data = conv.weight.data * scale.view(shape)
    folded.bias = nn.Parameter(bias)
    return folded


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_least_seconds": lambda flop, size, peak, bandwidth: max(flop / peak, size / bandwidth),
        "check_fold_before": fold_before,
    },
    wrong={
        "check_least_seconds": [
            (lambda flop, size, peak, bandwidth: flop / peak, "200 GB at 50"),
            (lambda flop, size, peak, bandwidth: size / bandwidth, "200 GFLOP at 100"),
            (lambda flop, size, peak, bandwidth: flop / peak + size / bandwidth, "200 GFLOP at 100"),
            (lambda flop, size, peak, bandwidth: max(2, 4 if flop < size else 0), "The longer of computing and memory"),
        ],
        "check_fold_before": [
            (lambda norm, conv: nn.Sequential(norm, conv), "a single convolution"),
            (lambda norm, conv: conv, "which axis of the weights"),
            (lambda norm, conv: fold_before(norm, conv, through=False), "Only the bias is wrong"),
            (lambda norm, conv: fold_before(norm, conv, own=False), "Only the bias is wrong"),
            (lambda norm, conv: fold_before(norm, conv, inputs=False), "which axis of the weights"),
            (lambda norm, conv: fold_before(norm, conv, new=False), "make a new one"),
        ],
    },
)


def test_a_roofline_is_the_lower_of_its_two_limits():
    kinds = {"norms": ([0.25, 0.5], [4, 9], dict(color="k")), "convolutions": ([80.0], [310], dict(marker="s"))}
    figure = lesson.roofline_figure(kinds, peak=400, bandwidth=25)
    (axes,) = figure.get_axes()
    slanted, flat, *points = axes.lines
    assert np.allclose(slanted.get_ydata(), 25 * np.array(slanted.get_xdata())) and list(flat.get_ydata()) == [400, 400]
    assert slanted.get_xdata()[0] == 0.125 and slanted.get_xdata()[1] == flat.get_xdata()[0] == 16  # the ridge point
    assert flat.get_xdata()[1] >= 160 and (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [list(line.get_xdata()) for line in points] == [[0.25, 0.5], [80.0]] and list(points[1].get_ydata()) == [310]
    assert [text.get_text() for text in axes.texts] == ["compute-bound: 400 GFLOP/s", "memory-bound: 25 GB/s"]
    assert [(line.get_marker(), line.get_linestyle()) for line in points] == [("o", "None"), ("s", "None")]
    assert_readable(figure)
