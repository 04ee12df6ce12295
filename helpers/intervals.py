"""How far chance may have moved a measured number: 95 % intervals of a fraction, and of a mean over a few seeds."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

__all__ = ["paired_interval", "wilson_interval"]


def wilson_interval(right: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval (low, high) of a fraction such as an accuracy, within 0 to 1.

    It keeps a width where all or none are right. z = 1.96 gives an interval of 95 %.

    ValueError if `of` is not positive, or `right` not between 0 and `of`. Source: E. B. Wilson, Probable inference, the
    law of succession, and statistical inference, Journal of the American Statistical Association 22 (1927), 209-212.
    """
    if not (of > 0 and 0 <= right <= of):
        raise ValueError(f"{right} of {of} is no fraction from 0 to 1")
    fraction, shrink = float(right / of), float(z * z / of)
    middle = (fraction + shrink / 2) / (1 + shrink)
    half = math.sqrt(fraction * (1 - fraction) * shrink + shrink**2 / 4) / (1 + shrink)
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean of paired differences, and the 95 % interval around it: (mean, low, high), in their unit.

    A difference is that of two networks at one seed, for example. It takes Student's t distribution, since a standard
    deviation of a few values is itself uncertain, and assumes that the differences are roughly normal.

    ValueError for fewer than two. Source: Student, The probable error of a mean, Biometrika 6 (1908), 1-25.
    """
    values = np.array([float(value) for value in differences])
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two differences, not {len(values)}")
    mean = float(values.mean())
    half = float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1)) / math.sqrt(len(values))
    return mean, mean - half, mean + half
