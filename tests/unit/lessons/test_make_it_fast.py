"""Notebook 13: its figures, the timing of its layers and the checks of its exercises."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from lesson_tests import assert_readable, exercise_tests
from torch import nn

from helpers.lessons import make_it_fast as lesson
from helpers.networks import r2plus1d_18


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


def test_each_layer_of_the_network_is_of_its_kind():
    layers = [m for m in r2plus1d_18().modules() if not list(m.children())]
    counts = Counter(map(lesson.kind, layers))
    assert {name: counts[name] for name in lesson.KINDS} == dict(zip(lesson.KINDS, (1, 16, 17, 3, 37, 34)))
    assert sum(counts.values()) - sum(counts[name] for name in lesson.KINDS) == counts["other"] == 2


def test_bars_of_time_and_work_are_fractions():
    figure = lesson.time_figure({"1×3×3": 0.5, "ReLU": 0.1}, {"1×3×3": 99, "ReLU": 1}, total=0.8)
    time, work = figure.get_axes()
    assert [bar.get_width() for bar in time.patches] == pytest.approx([0.625, 0.125, 0.25])
    assert [bar.get_width() for bar in work.patches] == pytest.approx([0.99, 0.01, 0])
    assert [label.get_text() for label in time.get_yticklabels()] == ["1×3×3", "ReLU", "sums and the rest"]
    assert_readable(figure)


def test_layers_are_points_at_their_intensity_and_speed():
    layers = [("1×3×3", 0.5, 100e9, 1e9), ("3×1×1", 0.25, 20e9, 1e9), ("batch norm", 0.1, 1e9, 6e9)]
    layers += [("ReLU", 0.2, 1e9, 12e9), ("other", 1, 0, 1)]
    (axes,) = lesson.layers_below_roofline(layers, peak=400, bandwidth=25).get_axes()
    points = {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines[2:]}
    assert points["spatial convolutions"] == pytest.approx((100, 200))
    assert points["temporal convolutions"] == pytest.approx((20, 80))
    assert points["batch norms"] == pytest.approx((1 / 6, 10)) and points["ReLUs"] == pytest.approx((1 / 12, 5))
    assert len(points) == 4 == len({line.get_marker() + str(line.get_color()) for line in axes.lines[2:]})


@pytest.mark.parametrize("training", [False, True])
def test_layers_are_timed_in_the_better_layout_and_stay_as_they_are(training, monkeypatch):
    called = []

    def interleaved(functions, rounds):
        for function in functions.values():
            function()
        called.append(rounds)
        return {(name, layout): [9.0, 1.0, k] for k, (name, layout) in enumerate(functions, start=2)}

    monkeypatch.setattr(lesson, "interleaved", interleaved)
    layers = {"3D": nn.Conv3d(3, 5, 3), "rest": nn.Sequential(nn.BatchNorm3d(4), nn.ReLU(inplace=True))}
    before = copy.deepcopy(layers["rest"].state_dict())
    assert lesson.median_seconds(layers, (3, 4, 5), training, rounds=7) == {"3D": 2, "rest": 4} and called == [7]
    after = layers["rest"].state_dict()
    assert all(map(torch.equal, before.values(), after.values())) and layers["3D"].weight.grad is None
