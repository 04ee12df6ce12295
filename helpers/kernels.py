"""Kernels tuned to a motion, and the best (2+1)D pair for a kernel. Built in notebook 03.

A kernel over time and space is (T, H, W). As a matrix of T x (H W) its rank is the number of middle filters with which a
convolution over space and one over time, nothing between them, compute the same.
"""

import torch

MOTIONS = ("still edge", "moving edge", "moving bar", "flicker", "drift")


def motion_kernel(motion, speed=1.0, size=7):
    """A kernel that answers most to one motion; (size, size, size), the same in all rows.

    Args:
        motion: one of `MOTIONS`.
        speed: pixels a frame to the right; for flicker, eighths of a turn a frame; a still edge has none.
        size: odd.
    """
    steps = torch.arange(size) - size // 2.0
    t, _, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    wave = 2 * torch.pi / 8  # one turn in eight pixels
    return {
        "still edge": torch.sign(x),
        "moving edge": torch.sign(x - speed * t),
        "moving bar": torch.exp(-((x - speed * t) ** 2)),
        "flicker": torch.exp(-(x**2)) * torch.cos(wave * speed * t),
        "drift": torch.sin(wave * (x - speed * t)),
    }[motion]


def best_pair(kernel, filters):
    """The spatial and temporal halves that come nearest to a kernel with so many middle filters.

    Args:
        kernel: (T, H, W).
        filters: at most T.

    Returns:
        Patterns in space (filters, H, W), profiles in time (T, filters), and all singular values, largest first. What is
        left out has the length of the singular values after the first `filters` (Eckart and Young, 1936).
    """
    u, values, v = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
    patterns = v[:filters].view(-1, *kernel.shape[1:])
    courses = u[:, :filters] * values[:filters]
    return patterns, courses, values
