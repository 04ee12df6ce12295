"""Kernels tuned to motions, and the pairs that come nearest to them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.kernels import MOTIONS, motion_kernel, svd_factorize


def rank(kernel):
    return int(np.linalg.matrix_rank(np.asarray(kernel, dtype=float).reshape(len(kernel), -1), tol=1e-4))


@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("speed", [0, 0.5, 3])
def test_a_motion_looks_like_itself(motion, speed, size):
    kernel = motion_kernel(motion, speed, size)
    assert kernel.shape == (size, size, size)
    assert torch.equal(kernel, kernel[:, :1].expand_as(kernel))  # the same in all rows
    half = size // 2
    for t in range(-half, half + 1):
        for x in range(-half, half + 1):
            place, turn = x - speed * t, np.pi / 4
            expected = {
                "still edge": np.sign(x), "moving edge": np.sign(place), "moving bar": np.exp(-place**2),
                "flicker": np.exp(-x * x) * np.cos(turn * speed * t), "drift": np.sin(turn * place),
            }[motion]  # fmt: skip
            assert abs(kernel[t + half, 0, x + half].item() - expected) < 1e-5


def test_the_ranks_of_an_edge_are_not_monotone_in_its_speed():
    speeds = (0, 0.5, 1, 2, 3, 4)
    assert [rank(motion_kernel("moving edge", speed)) for speed in speeds] == [1, 4, 6, 4, 4, 2]
    assert {rank(motion_kernel("moving edge", speed / 10, size=3)) for speed in range(1, 80)} == {2}


@pytest.mark.parametrize("size, expected", [(3, 3), (7, 7)])
def test_an_edge_drawn_white_on_its_pixel_has_full_rank(size, expected):
    edge = motion_kernel("moving edge", 1, size)
    assert rank(torch.where(edge == 0, 1.0, edge)) == expected


def test_stillness_and_flicker_need_one_filter_and_a_drift_two():
    for speed in np.arange(0, 8, 0.1):
        assert rank(motion_kernel("still edge", speed)) == 1
        assert rank(motion_kernel("flicker", speed)) == 1
        assert rank(motion_kernel("drift", speed)) <= 2


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("filters", [1, 2, 3, 7])
def test_the_best_pair_computes_what_it_promises(motion, filters):
    """Two convolutions in a row, against the one that they stand for, and what is left out against the singular values."""
    kernel = motion_kernel(motion, 1.5)
    patterns, courses, values = svd_factorize(kernel, filters)
    assert patterns.shape == (filters, 7, 7) and courses.shape == (7, filters)
    again = torch.einsum("tm,mhw->thw", courses, patterns)
    clip = torch.randn(1, 1, 9, 12, 12, generator=torch.Generator().manual_seed(0))
    pair = F.conv3d(F.conv3d(clip, patterns[:, None, None]), courses.T[None, :, :, None, None])
    assert torch.allclose(pair, F.conv3d(clip, again[None, None]), atol=1e-4)
    expected = np.linalg.svd(kernel.flatten(1).numpy(), compute_uv=False)
    assert np.allclose(values, expected, atol=1e-4)
    assert abs((again - kernel).norm().item() - np.sqrt((expected[filters:] ** 2).sum())) < 1e-4
