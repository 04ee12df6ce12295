"""The figures, explorers and exercise checks of notebook 03."""

import ipywidgets
import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch.nn import functional as F
from torchvision.models.video import resnet as reference

from helpers import plots
from helpers.lessons.exercises import check, same_layers
from helpers.plots import ANSWER, INK, PALE, SPACE, TIME, new_figure

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


def svd_factorize(kernel, filters):
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


def t_x_slices(pictures, titles, values=None):
    """Slices along time side by side, t downwards and x to the right; below each, if given, its singular values.

    Args:
        pictures: arrays (T, X), drawn about zero: dark is negative, light is positive.
        titles: a text for each.
        values: for each picture the singular values of the kernel that it was cut from.
    """
    figure = new_figure(9.6, 2.5 if values is None else 4.1)
    rows = 1 if values is None else 2
    for column, (picture, title) in enumerate(zip(pictures, titles), start=1):
        axes = figure.add_subplot(rows, len(pictures), column)
        _signed(axes, np.asarray(picture))
        axes.set(xticks=[], yticks=[])
        axes.set_axis_off()
        axes.set_title(title)
        frames, width = np.shape(picture)
        axes.text(width / 2, frames, "x", color=SPACE, ha="center", va="top")
        if column == 1:
            axes.text(-0.3, frames / 2, "t", color=TIME, ha="right", va="center")
        if values is not None:
            below = figure.add_subplot(rows, len(pictures), len(pictures) + column)
            singular_values(below, values[column - 1])
            below.set_ylabel("share of the length" if column == 1 else "", fontsize=10)
    if values is not None:
        figure.supxlabel("number of the singular value", fontsize=10)
    return figure


def _signed(axes, picture, left=0, low=0, limit=None):
    """A picture of values about zero, from black (-limit) through grey to white, with a frame around it."""
    height, width = picture.shape
    limit = limit or np.abs(picture).max() or 1
    extent = (left, left + width, low + height, low)
    axes.imshow(picture, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest", extent=extent)
    axes.add_patch(Rectangle((left, low), width, height, fill=False, color=INK, lw=0.8, clip_on=False))


def singular_values(axes, values, kept=0):
    """Singular values as shares of their length, largest first; the first `kept` in the colour of an answer."""
    values = np.asarray(values)
    shares = values / np.linalg.norm(values)
    colors = [ANSWER if k < kept else INK for k in range(len(shares))]
    axes.bar(np.arange(1, len(shares) + 1), shares, color=colors, width=0.7)
    axes.set(ylim=(0, 1.05), yticks=(0, 1), xticks=np.arange(1, len(shares) + 1))
    axes.tick_params(labelsize=9, length=0)


def factorized(kernel, patterns, courses, values):
    """A kernel, the best that some middle filters make of it, and those filters: patterns in space, profiles in time.

    Args:
        kernel: (T, H, W).
        patterns: (filters, H, W); `courses`: (T, filters).
        values: the singular values of the kernel; filters whose value is nothing are not drawn.
    """
    kernel, patterns, courses, values = (np.asarray(array) for array in (kernel, patterns, courses, values))
    frames, height, width = kernel.shape
    again = np.einsum("tm,mhw->thw", courses, patterns)
    figure = new_figure(9.6, 4.4)
    left, right = figure.subfigures(1, 2, width_ratios=(2.2, 1))
    axes = left.add_subplot()
    used = sum(values[: len(patterns)] > 1e-5 * values[0])
    rows = (
        (kernel, "the kernel, frame by frame", INK, np.abs(kernel).max()),
        (again, "its best approximation", INK, np.abs(kernel).max()),
        (patterns[:used], "middle filters: patterns in space", SPACE, None),
    )
    for row, (pictures, title, color, limit) in enumerate(rows):
        low = row * (height + 4)
        axes.text(0, low - 0.6, title, color=color, fontsize=11)
        for k, picture in enumerate(pictures):
            _signed(axes, picture, left=k * (width + 1), low=low, limit=limit)
    low = 3 * (height + 4)
    axes.text(0, low - 0.6, "and profiles in time", color=TIME, fontsize=11)
    scale = np.abs(courses).max()
    for k, course in enumerate(courses.T[:used]):
        along = k * (width + 1) + (np.arange(frames) + 0.5) * width / frames
        middle = low + height / 2
        axes.plot((along[0], along[-1]), (middle, middle), color=PALE, lw=1)
        axes.plot(along, middle - course / scale * height / 2, "o-", color=TIME, lw=1.4, ms=3)
    axes.set(xlim=(-0.3, frames * (width + 1)), ylim=(low + height + 0.5, -3), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()
    bars = right.add_subplot()
    singular_values(bars, values, kept=len(patterns))
    bars.set_title("singular values")
    bars.set_xlabel("middle filters")
    bars.set_ylabel("share of the length")
    return figure


def draw_factorization(motion="moving edge", speed=1.0, filters=2):
    """Show a 7 x 7 x 7 kernel tuned to a motion, and the best that so many middle filters make of it; see `kernels`."""
    kernel = motion_kernel(motion, speed)
    patterns, courses, values = svd_factorize(kernel, filters)
    left_out = values[filters:].norm() / values.norm()
    looks = "looks the same" if left_out < 0.01 else "is blurred" if left_out < 0.5 else "hardly resembles it"
    made = "one middle filter makes" if filters == 1 else f"{filters} middle filters make"
    alt = f"The kernel of a {motion}, frame by frame; below it, what {made} of it {looks}. "
    alt += "Then the filters, and on the right its singular values as bars."
    plots.show(factorized(kernel, patterns, courses, values), alt)
    print("singular values, shares of their length:", *(f"{value:.2f}" for value in values.abs() / values.norm()))
    print(f"filters needed to be exact: {int((values > 1e-5 * values[0]).sum())}")
    print(f"left out with {filters}: {left_out:.0%}")


def factorization_explorer():
    """`draw_factorization` with a control for each of its arguments; `.children` are the controls, in that order."""
    return ipywidgets.interactive(
        draw_factorization,
        motion=ipywidgets.ToggleButtons(options=MOTIONS, value="moving edge"),
        speed=ipywidgets.FloatSlider(1.0, min=0, max=4, step=0.5, continuous_update=False),
        filters=ipywidgets.IntSlider(2, 1, 7, continuous_update=False),
    )


def check_conv2plus1d(answer):
    """Notebook 03: the factorised convolution, a module built from its channels in, out and between, and its stride."""

    def attempt():
        clip = torch.randn(2, 4, 5, 9, 8, generator=torch.Generator().manual_seed(0))
        for stride in (1, 2):
            same_layers(answer(4, 6, 5, stride), reference.Conv2Plus1D(4, 6, 5, stride), clip)

    return check("conv2plus1d", answer, attempt)


def check_as_pair(answer):
    """Notebook 03: the nearest pair of a spatial and a temporal convolution to a 3D convolution, nothing between them."""

    def attempt():
        weight = torch.randn(4, 3, 3, 3, 3, generator=torch.Generator().manual_seed(0))
        clip = torch.randn(1, 3, 5, 6, 6, generator=torch.Generator().manual_seed(1))
        values = torch.linalg.svdvals(weight.permute(0, 2, 1, 3, 4).reshape(12, 27))
        for filters in (12, 5, 1):
            space, time = answer(weight, filters)
            shapes = (filters, 3, 1, 3, 3), (4, filters, 3, 1, 1)
            assert (tuple(space.shape), tuple(time.shape)) == shapes, f"The shapes are {shapes[0]} and {shapes[1]}."
            whole = torch.einsum("omt,mihw->oithw", time[..., 0, 0], space[:, :, 0])
            error, best = (whole - weight).norm(), values[filters:].square().sum().sqrt()
            assert error < best + 1e-3, (
                f"With {filters} filters {best:.2f} is left out at best, and yours leaves out {error:.2f}."
            )
            again = F.conv3d(F.conv3d(clip, space), time)
            assert torch.allclose(again, F.conv3d(clip, whole), atol=1e-3)

    return check("as_pair", answer, attempt)
