"""Intervals against published values, against scipy's, and against what they promise."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from helpers.intervals import paired_interval, wilson_interval


# Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), Table I, method 3.
@pytest.mark.parametrize("right, of, low, high", [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)])  # fmt: skip
def test_the_published_intervals_of_wilson(right, of, low, high):
    assert np.allclose(wilson_interval(right, of), (low, high), rtol=0, atol=6e-5)


@pytest.mark.parametrize("notebook, of", [("06", 10), ("13", 40)])
def test_the_intervals_that_notebooks_state_in_words(notebook, of):
    text = next(Path(__file__).parents[2].glob(f"notebooks/{notebook}_*.ipynb")).read_text(encoding="utf-8")
    low, high = wilson_interval(of, of)
    assert f"is an interval (95 %) from {100 * low:.0f} to {100 * high:.0f} %" in text


@pytest.mark.parametrize("of", [1, 2, 7, 50, 800, 10_000])
@pytest.mark.parametrize("level", [0.68, 0.95, 0.999])
def test_wilson_equals_scipy(of, level):
    z = stats.norm.ppf(0.5 + level / 2)
    for right in {0, 1, of // 3, of - 1, of}:
        expected = stats.binomtest(right, of).proportion_ci(level, method="wilson")
        low, high = wilson_interval(right, of, z)
        assert np.allclose((low, high), expected, rtol=0, atol=1e-12) and 0 <= low <= high <= 1


def test_counts_may_be_tensors_and_the_ends_are_floats():
    interval = wilson_interval(torch.tensor([True, True, False]).sum(), torch.tensor(3))
    assert interval == pytest.approx(wilson_interval(2, 3)) and all(type(end) is float for end in interval)


@pytest.mark.parametrize("right, of", [(0, 0), (1, 0), (0, -1), (-1, 5), (6, 5), (math.nan, 5), (1, math.nan)])
def test_what_is_no_fraction_is_refused(right, of):
    with pytest.raises(ValueError, match=f"{right} of {of} is no fraction"):
        wilson_interval(right, of)


def test_the_interval_of_students_sleep_data():
    """Hours of sleep that ten patients gained by one drug over the other, from the paper; the interval is R's t.test."""
    gained = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    assert paired_interval(gained) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-7)


@pytest.mark.parametrize("count", [2, 3, 5, 40])
def test_paired_equals_scipy(count):
    differences = np.random.default_rng(count).normal(0.3, 2, count)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert paired_interval(differences) == pytest.approx((differences.mean(), *expected))
    assert paired_interval(torch.from_numpy(differences)) == pytest.approx((differences.mean(), *expected))


def test_equal_differences_have_no_width_and_a_diverged_run_has_no_interval():
    assert paired_interval([0.25] * 3) == (0.25, 0.25, 0.25)
    assert all(map(math.isnan, paired_interval([0.25, math.nan, 0.5])))


@pytest.mark.parametrize("differences", [[], [0.3]])
def test_too_few_differences_are_refused(differences):
    with pytest.raises(ValueError, match=f"at least two differences, not {len(differences)}"):
        paired_interval(differences)
