"""Notebook 03: kernels tuned to motions, their best pairs, the figures, the explorer and the checks of its exercises."""

import numpy as np
import pytest
import torch
from lesson_tests import assert_readable, exercise_tests, record
from torch import nn
from torch.nn import functional as F

from helpers import blocks
from helpers.lessons import build_the_2plus1d_block as lesson
from helpers.lessons.build_the_2plus1d_block import MOTIONS, motion_kernel, svd_factorize


def two_convolutions(inplanes, planes, midplanes, stride, bias=False, norm=nn.BatchNorm3d, relu=nn.ReLU):
    space = nn.Conv3d(inplanes, midplanes, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=bias)
    time = nn.Conv3d(midplanes, planes, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=bias)
    return nn.Sequential(space, norm(midplanes), relu(), time)


def split_conv3d(weight, midplanes, smallest=False):
    n_out, n_in, t, d, _ = weight.shape
    u, s, v = torch.linalg.svd(torch.einsum("oithw->otihw", weight).flatten(0, 1).flatten(1), full_matrices=False)
    keep = slice(-midplanes, None) if smallest else slice(midplanes)
    space = v[keep].view(midplanes, n_in, 1, d, d)
    return space, torch.einsum("otm,m->omt", u[:, keep].view(n_out, t, midplanes), s[keep])[..., None, None]


def block_widths(inplanes, planes, paper_widths):
    first = blocks.midplanes(inplanes, planes)
    return first, blocks.midplanes(planes, planes) if paper_widths else first


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_block_widths": block_widths,
        "check_conv2plus1d": two_convolutions,
        "check_split_conv3d": split_conv3d,
    },
    wrong={
        "check_block_widths": [
            (
                lambda i, o, paper: block_widths(i, o, True),
                "From 64 to 128 channels with paper_widths=False .* 230 and 230",
            ),
            (
                lambda i, o, paper: block_widths(i, o, False),
                "From 64 to 128 channels with paper_widths=True .* 230 and 288",
            ),
            (lambda i, o, paper: (64, 64), "From 64 to 64 channels .* 144 and 144"),
        ],
        "check_conv2plus1d": [
            (lambda *sizes: None, "Return a torch.nn.Module"),
            (lambda *sizes: nn.Sequential(nn.Conv3d(4, 5, (1, 3, 3), bias=False)), "no 1.weight"),
            (lambda *sizes: two_convolutions(*sizes, bias=True), "has 0.bias"),
            (lambda i, o, m, stride: two_convolutions(i, o, 8, stride), r"0.weight is \(8, 4, 1, 3, 3\)"),
            (lambda i, o, m, stride: two_convolutions(i, o, m, 1), "It gives"),
            (lambda *sizes: two_convolutions(*sizes, relu=nn.Identity), "other numbers in eval mode"),
            (
                lambda *sizes: two_convolutions(*sizes, norm=lambda n: nn.BatchNorm3d(n, eps=0.1)),
                "numbers in eval mode",
            ),
        ],
        "check_split_conv3d": [
            (lambda weight, M: split_conv3d(weight, M)[::-1], "The shapes are"),
            (lambda weight, M: split_conv3d(weight.flip(2), M), "the norm of the error can be"),
            (lambda weight, M: split_conv3d(weight, M, smallest=True), "With 5 intermediate channels"),
        ],
    },
)


def rank(kernel):
    return int(np.linalg.matrix_rank(np.asarray(kernel, dtype=float).reshape(len(kernel), -1), tol=1e-4))


def row(motion, speed, steps):
    """Each row of a frame of a kernel, (T, X), from its definition."""
    x = steps - speed * steps[:, None]  # the distance from what moves
    return {
        "still edge": np.sign(x * 0 + steps), "moving edge": np.sign(x), "moving bar": np.exp(-x**2),
        "flicker": np.cos(np.pi / 4 * speed * steps)[:, None] * np.exp(-steps**2), "drift": np.sin(np.pi / 4 * x),
    }[motion]  # fmt: skip


@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("speed", [0, 0.5, 3])
def test_a_motion_looks_like_itself(motion, speed, size):
    kernel = motion_kernel(motion, speed, size)
    assert kernel.shape == (size, size, size)
    assert torch.equal(kernel, kernel[:, :1].expand_as(kernel))  # the same in all rows
    assert np.allclose(kernel[:, 0], row(motion, speed, np.arange(size) - size // 2), atol=1e-5)


def test_the_ranks_of_an_edge_are_not_monotone_in_its_speed():
    speeds = (0, 0.5, 1, 2, 3, 4)
    assert [rank(motion_kernel("moving edge", speed)) for speed in speeds] == [1, 4, 6, 4, 4, 2]
    assert {rank(motion_kernel("moving edge", speed / 10, size=3)) for speed in range(1, 80)} == {2}


@pytest.mark.parametrize("size, expected", [(3, [1, 2, 3, 2, 2, 2]), (7, [1, 4, 7, 4, 3, 2])])
def test_an_edge_that_is_white_on_its_pixel_has_full_rank(size, expected):
    edges = [motion_kernel("moving edge", speed, size) for speed in (0, 0.5, 1, 2, 3, 4)]
    assert [rank(torch.where(edge == 0, 1.0, edge)) for edge in edges] == expected


def test_the_answers_at_the_explorer():
    speeds = np.arange(0, 6.25, 0.25)  # those of its slider
    ranks = {motion: [rank(motion_kernel(motion, speed)) for speed in speeds] for motion in MOTIONS}
    assert [speed for speed, r in zip(speeds, ranks["moving bar"]) if r == 7] == [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    assert [speed for speed, r in zip(speeds, ranks["moving edge"]) if r == 6] == [0.75, 1, 1.25, 1.5]
    assert max(max(others) for motion, others in ranks.items() if not motion.startswith("moving")) == 2
    for motion, expected in (("moving edge", 0.29), ("moving bar", 0.63)):
        values = [svd_factorize(motion_kernel(motion, speed), 2)[2] for speed in (1, 6)]
        errors = [singular[2:].norm() / singular.norm() for singular in values]
        assert abs(errors[0] - expected) < 0.005 and errors[1] < 0.001


def test_with_time_first_m_is_another():
    """From 64 to 128 channels: t * N_in * M + d * d * M * N_out is as much as 3D has, rounded down."""
    m = 27 * 64 * 128 // (3 * 64 + 9 * 128)
    assert m == 164 and blocks.midplanes(64, 128) == 230
    assert 3 * 64 * m + 9 * m * 128 <= 27 * 64 * 128 < 3 * 64 * (m + 1) + 9 * (m + 1) * 128


def test_stillness_and_flicker_need_one_channel_and_a_drift_two():
    for speed in np.arange(0, 8, 0.1):
        assert rank(motion_kernel("still edge", speed)) == 1
        assert rank(motion_kernel("flicker", speed)) == 1
        assert rank(motion_kernel("drift", speed)) <= 2


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("midplanes", [1, 2, 3, 7])
def test_the_best_pair_computes_what_it_promises(motion, midplanes):
    """Two convolutions in a row, against the one that they replace, and the error against the singular values."""
    kernel = motion_kernel(motion, 1.5)
    spatial, temporal, values = svd_factorize(kernel, midplanes)
    assert spatial.shape == (midplanes, 7, 7) and temporal.shape == (7, midplanes)
    product = torch.einsum("tm,mhw->thw", temporal, spatial)
    clip = torch.randn(1, 1, 9, 12, 12, generator=torch.Generator().manual_seed(0))
    pair = F.conv3d(F.conv3d(clip, spatial[:, None, None]), temporal.T[None, :, :, None, None])
    assert torch.allclose(pair, F.conv3d(clip, product[None, None]), atol=1e-4)
    expected = np.linalg.svd(kernel.flatten(1).numpy(), compute_uv=False)
    assert np.allclose(values, expected, atol=1e-4)
    assert abs((product - kernel).norm().item() - np.sqrt((expected[midplanes:] ** 2).sum())) < 1e-4


def test_slices_stand_over_their_singular_values():
    slices = np.random.default_rng(0).normal(size=(2, 5, 7))
    figure = lesson.t_x_slices_figure(slices, ["a", "b"], values=[[3, 0, 4], [1, 0, 0]])
    images, bars = figure.get_axes()[0::2], figure.get_axes()[1::2]
    assert [axes.get_title(loc="left") for axes in images] == ["a", "b"]
    assert np.array_equal([axes.images[0].get_array() for axes in images], slices)
    assert [[round(bar.get_height(), 6) for bar in axes.patches] for axes in bars] == [[0.6, 0, 0.8], [1, 0, 0]]
    limits = [axes.images[0].get_clim() for axes in lesson.t_x_slices_figure(slices, "ab", limit=9).get_axes()]
    assert limits == [(-9, 9), (-9, 9)] != [image.images[0].get_clim() for image in images]
    wide = lesson.t_x_slices_figure(np.ones((5, 7, 7)), [f"M = {k}: error 100%" for k in range(5)], np.eye(5, 7) + 0.1)
    assert_readable(wide)


def test_a_factorization_shows_kernel_approximation_and_filters():
    rng = np.random.default_rng(0)
    kernel, spatial, temporal = rng.normal(size=(5, 3, 4)), rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 2))
    figure = lesson.factorization_figure(kernel, spatial, temporal, values=[2, 1, 0.5])
    left, right = figure.get_axes()
    drawn = [image.get_array() for image in left.images]
    approximation = [sum(temporal[t, m] * spatial[m] for m in range(2)) for t in range(5)]
    assert len(drawn) == 12 and np.allclose(drawn, [*kernel, *approximation, *spatial])
    assert len({image.get_clim() for image in left.images[:10]}) == 1  # kernel and approximation are as bright
    curves = [line.get_ydata() for line in left.lines if len(line.get_ydata()) == 5]
    for curve, weights in zip(curves, temporal.T, strict=True):
        assert np.allclose(np.corrcoef(curve, weights)[0, 1], -1)  # the axis runs down
    assert [bar.get_facecolor() == right.patches[0].get_facecolor() for bar in right.patches] == [True, True, False]
    zero = lesson.factorization_figure(kernel, spatial, temporal, values=[2, 1e-9, 0])
    assert len(zero.get_axes()[0].images) == 11  # a filter that adds nothing is not drawn
    assert_readable(lesson.factorization_figure(np.ones((7, 7, 7)), np.ones((7, 7, 7)), np.ones((7, 7)), np.ones(7)))


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("speed, midplanes", [(0, 1), (2, 4), (4, 7)])
def test_what_is_drawn_is_true(motion, speed, midplanes, monkeypatch, capsys):
    shown = record(monkeypatch)
    lesson.draw_factorization(motion, speed, midplanes)
    matrix = row(motion, speed, np.arange(-3, 4))
    values = np.linalg.svd(np.tile(matrix, 7), compute_uv=False)
    printed = capsys.readouterr().out.rpartition("singular values")[2].splitlines()
    assert printed[0].split()[-7:] == [f"{value:z.2f}" for value in values / np.linalg.norm(values)]
    assert printed[1].split()[-1] == str(np.linalg.matrix_rank(matrix, tol=1e-4))
    error = np.sqrt((values[midplanes:] ** 2).sum() / (values**2).sum())
    assert printed[2] == f"relative error with {midplanes}: {error:.0%}"
    figure, alt = shown[-1]
    assert motion in alt and ("looks the same" in alt) == (error < 0.01)
    images = figure.get_axes()[0].images
    assert np.allclose([image.get_array()[0] for image in images[:7]], matrix, atol=1e-5)
    u, s, v = np.linalg.svd(matrix)
    best = u[:, :midplanes] * s[:midplanes] @ v[:midplanes]
    assert np.allclose([image.get_array()[0] for image in images[7:14]], best, atol=1e-4)
