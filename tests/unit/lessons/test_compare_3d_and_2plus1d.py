"""Notebook 02: its figures, its explorer and the checks of its exercises."""

import math

import numpy as np
import pytest
import torch
from lesson_tests import assert_readable, exercise_tests, noise, pictures, record

from helpers import plots
from helpers.blocks import conv_cost, midplanes
from helpers.lessons import compare_3d_and_2plus1d as lesson


def factorize(kernel):
    u, s, v = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
    return u[:, 0] * s[0], v[0].view(kernel.shape[1:])


def first_frame(kernel):
    """As in the solution, but with the first frame, which is not zero in the check's kernels."""
    return (kernel * kernel[0]).sum((1, 2)) / kernel[0].square().sum(), kernel[0]


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_conv3d_macs": lambda weight, output: math.prod(weight) * output[0] * math.prod(output[2:]),
        "check_factorize": factorize,
        "check_same_padding": lambda kernel: kernel // 2,
    },
    wrong={
        "check_conv3d_macs": [
            (lambda weight, output: math.prod(weight) * math.prod(output), "its own .* channels twice"),
            (lambda weight, output: math.prod(weight), "every clip of the batch"),
            (lambda weight, output: 0, "is used once"),
        ],
        "check_factorize": [
            (lambda kernel: (kernel[:, 0, 0], kernel[0]), "not the kernel"),
            (lambda kernel: (kernel[0], kernel[:, 0, 0]), "The shapes are"),
            (lambda kernel: [kernel], "two tensors"),
        ],
        "check_same_padding": [
            (lambda kernel: kernel, "16 positions become 18"),
            (lambda kernel: 1, "16 positions become 18"),
            (lambda kernel: (kernel - 1) // 3, "16 positions become 14"),
            (lambda kernel: (kernel - 1) / 2, "an integer"),
        ],
    },
)


def measured(kind, inplanes, planes, t, d, stride):
    """Parameters, multiply-adds and output of real convolutions, counted on tensors without content."""
    x = torch.zeros(1, inplanes, 16, 56, 56, device="meta")
    kernels = {"2D": [(1, d, d)], "3D": [(t, d, d)], "(2+1)D": [(1, d, d), (t, 1, 1)]}[kind]
    strides = {"2D": [(1, stride, stride)], "3D": [stride], "(2+1)D": [(1, stride, stride), (stride, 1, 1)]}[kind]
    widths = [inplanes, middle(t, d, inplanes, planes), planes] if kind == "(2+1)D" else [inplanes, planes]
    parameters = multiply_adds = 0
    for i, (kernel, step) in enumerate(zip(kernels, strides)):
        padding = tuple(k // 2 for k in kernel)
        layer = torch.nn.Conv3d(widths[i], widths[i + 1], kernel, step, padding, bias=False, device="meta")
        x = layer(x)
        parameters += layer.weight.numel()
        multiply_adds += layer.weight[0].numel() * x.numel()
    return parameters, multiply_adds, tuple(x.shape[1:])


def middle(t, d, inplanes, planes):
    return int(t * d * d * inplanes * planes / (d * d * inplanes + t * planes))


CASES = [(1, 1, 1, 3, 3, 0.0), (3, 3, 1, 64, 64, 0.57), (3, 5, 2, 64, 128, 0.5), (7, 7, 2, 512, 512, 1.0)]


@pytest.mark.parametrize("kind", ["2D", "3D", "(2+1)D"])
@pytest.mark.parametrize("t, d, stride, inplanes, planes, place", CASES)
def test_costs_are_those_of_real_convolutions(kind, t, d, stride, inplanes, planes, place):
    cost = conv_cost(kind, inplanes, planes, t, d, stride)
    assert (cost.parameters, cost.multiply_adds, cost.output) == measured(kind, inplanes, planes, t, d, stride)
    assert cost.middle == (middle(t, d, inplanes, planes) if kind == "(2+1)D" else None)


@pytest.mark.parametrize("kind", ["2D", "3D", "(2+1)D"])
@pytest.mark.parametrize("t, d, stride, inplanes, planes, place", CASES)
def test_what_is_drawn_is_true(kind, t, d, stride, inplanes, planes, place, monkeypatch):
    shown = record(monkeypatch)
    lesson.draw_kernels(kind, t, d, stride, place)
    figure, alt = shown[-1]
    assert (f"{d} x {d} pixels in one frame" in alt) == (kind != "3D")
    long = "1 frame" if t == 1 else f"{t} frames"
    assert (f"through {long} at" in alt) == (kind == "(2+1)D") and (f"{long} deep" in alt) == (kind == "3D")
    space, time = f"space: 1 x {d} x {d}", f"time: {t} x 1 x 1"
    titles = {"2D": [space], "3D": [f"3D: {t} x {d} x {d}"], "(2+1)D": [space, time]}[kind]
    assert [axes.get_title(loc="left") for axes in figure.get_axes()] == titles


def test_the_answers_at_the_explorer_follow_from_the_formula():
    assert midplanes(3, 64, t=3, d=7) == middle(3, 7, 3, 64) == 83
    assert midplanes(16, 512) == middle(3, 3, 16, 512) == 131


def test_a_product_is_split_with_and_without_an_svd():
    kernel = torch.randn(5)[:, None, None] * torch.randn(7, 7)
    for time, space in (factorize(kernel), first_frame(kernel)):
        assert torch.allclose(time[:, None, None] * space, kernel, atol=1e-5)
    assert lesson.check_factorize(first_frame)


def test_bars_are_as_high_as_there_are_channels():
    figure = lesson.channels_figure(64, 144, 128)
    (axes,) = figure.get_axes()
    heights = [patch.get_height() for patch in axes.patches[:3]]
    assert np.allclose(heights, np.array([64, 144, 128]) / 144)
    texts = [text.get_text() for text in axes.texts if text.get_text()]
    assert texts[:3] == ["64 channels", "144 intermediate channels", "128 channels"]
    assert texts[3:] == ["space: 1 x 3 x 3", "time: 3 x 1 x 1", "batch norm, ReLU"]
    assert [axes.texts[k].get_color() for k in (4, 6)] == [plots.SPACE, plots.TIME]
    assert_readable(figure)


def test_outputs_stand_below_the_frames_that_they_belong_to():
    frames, output = noise(4), np.zeros((4, 32, 40))
    output[1, 0, 0], output[3, 0, 1] = 2.0, -1.0
    figure = lesson.outputs_figure(frames, {"one": output, "nothing": 0 * output}, shown=(1, 3))
    first, second, bright, dark, *nothing = pictures(figure)
    assert np.array_equal(first, frames[1]) and np.array_equal(second, frames[3])
    assert bright[0, 0, 0] == 255 and bright[1, 1, 0] == 128  # the largest value, and zero
    assert dark[0, 1, 0] == 64 and dark[1, 1, 0] == 128  # -1 where 2 is the largest value
    assert len(nothing) == 2 and (np.array(nothing) == 128).all()
    texts = [(axes.get_ylabel(), axes.get_xlabel()) for axes in figure.get_axes()]
    assert texts == [("clip", ""), ("", ""), ("one", ""), ("", ""), ("nothing", "frame 1"), ("", "frame 3")]
    assert_readable(figure)


def test_the_explorer_s_figure_stands_out_from_its_background():
    clip = np.frombuffer(lesson.kernel_explorer().clip, np.uint8).reshape(16, 56, 56)
    for frame in clip.astype(int):
        assert frame.max() - np.median(frame) > 100


@pytest.mark.parametrize("kernel, stride", [((3, 3, 3), (1, 1, 1)), ((1, 5, 5), (1, 2, 2)), ((7, 1, 1), (2, 1, 1))])
def test_the_kernel_moves_over_every_position(kernel, stride):
    counts = [len(range(0, 8, step)) for step in stride]  # padded by half, every stride-th cell is once in the middle
    axes = plots.new_figure(3, 3).add_subplot(projection="3d")
    assert lesson.draw_kernel_in_clip(axes, kernel, stride, place=0) == (0, 0, 0)
    assert lesson.draw_kernel_in_clip(axes, kernel, stride, place=1) == tuple(count - 1 for count in counts)


def test_a_box_has_its_six_faces():
    low, size = np.array((-1, 0, -2)), np.array((3, 1, 5))  # (T, row, column)
    for axis in range(3):
        for face, end in zip(lesson._faces(low, size, axis), (0, 1), strict=True):
            corners = np.array(face)[:, [0, 2, 1]]  # of the drawing: x is time, y are columns, z are rows
            first, last = low.copy(), low + size
            first[axis] = last[axis] = low[axis] + end * size[axis]
            assert corners.min(0).tolist() == first.tolist() and corners.max(0).tolist() == last.tolist()
            assert len({tuple(corner) for corner in face}) == 4
