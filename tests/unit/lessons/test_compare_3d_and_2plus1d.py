"""Notebook 02: its figures, its explorer and the checks of its exercises."""

import math

import numpy as np
import pytest
import torch
from lesson_tests import exercise_tests, record

from helpers import plots
from helpers.lessons import compare_3d_and_2plus1d as lesson


def factorize(kernel):
    u, s, v = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
    return u[:, 0] * s[0], v[0].view(kernel.shape[1:])


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_conv3d_macs": lambda weight, output: math.prod(weight) * output[0] * math.prod(output[2:]),
        "check_factorize": factorize,
    },
    wrong={
        "check_conv3d_macs": [
            (lambda weight, output: math.prod(weight) * math.prod(output), "its own"),
            (lambda weight, output: math.prod(weight), "every clip of the batch"),
            (lambda weight, output: 0, "one product per weight"),
        ],
        "check_factorize": [
            (lambda kernel: (kernel[:, 0, 0], kernel[0]), "not the kernel"),
            (lambda kernel: (kernel[0], kernel[:, 0, 0]), "The shapes are"),
            (lambda kernel: [kernel], "two tensors"),
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


@pytest.mark.parametrize("kind", ["2D", "3D", "(2+1)D"])
@pytest.mark.parametrize(
    "t, d, stride, inplanes, planes, place",
    [(1, 1, 1, 3, 3, 0.0), (3, 3, 1, 64, 64, 0.57), (3, 5, 2, 64, 128, 0.5), (7, 7, 2, 512, 512, 1.0)],
)
def test_what_is_drawn_is_true(kind, t, d, stride, inplanes, planes, place, monkeypatch, capsys):
    shown = record(monkeypatch)
    lesson.draw_kernels(kind, t, d, stride, inplanes, planes, place)
    figure, alt = shown[-1]
    assert (f"{d} x {d} pixels in one frame" in alt) == (kind != "3D")
    long = "1 frame" if t == 1 else f"{t} frames"
    assert (f"through {long} at" in alt) == (kind == "(2+1)D") and (f"{long} deep" in alt) == (kind == "3D")
    parameters, multiply_adds, output = measured(kind, inplanes, planes, t, d, stride)
    printed = capsys.readouterr().out.rpartition("parameters")[2].split("\n")  # what was printed last
    assert printed[0].strip() == f"{parameters:,}" and printed[1].split()[-1] == f"{multiply_adds:,}"
    if kind == "(2+1)D":
        assert printed[2].startswith("intermediate") and printed[2].split()[-1] == f"{middle(t, d, inplanes, planes):,}"
    assert printed[-2] == f"{inplanes} x 16 x 56 x 56 -> {' x '.join(map(str, output))}"
    assert [axes.get_title(loc="left") for axes in figure.get_axes()] == {
        "2D": [f"1 x {d} x {d}"], "3D": [f"{t} x {d} x {d}"], "(2+1)D": [f"1 x {d} x {d}", f"{t} x 1 x 1"],
    }[kind]  # fmt: skip


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
