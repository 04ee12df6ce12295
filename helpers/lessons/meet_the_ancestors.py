"""The figures and the exercise checks of notebook 10; its long trainings are in `ancestor_runs`."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from helpers import plots
from helpers.lessons.exercises import exercise, require
from helpers.plots import ANSWER, INK, SPACE, TIME, draw_arrow, draw_frame, draw_kind, new_figure
from helpers.stickfigures import Scene

__all__ = ["check_flow_channels", "check_frames_seen", "check_settled", "flow_figure", "relatives_figure"]


@plots.style()
def flow_figure(shots: Mapping[str, tuple[Scene, int]], flow: Callable[[np.ndarray], Tensor], every: int = 7) -> Figure:
    """Gray frames side by side, with thin arrows for flow of over half a pixel and thick ones for the joints' true steps.

    All arrows are 1 / 0.6 times as long as the motion.

    Args:
        shots: for each title a scene, and the number of the frame whose motion is drawn.
        flow: a function of frames (T, H, W, 3) that returns (2, T - 1, H, W), in pixels to the right and down.
        every: how many pixels lie between two arrows of the flow.
    """
    figure = new_figure(9.6, 3.9)
    look = dict(angles="xy", scale_units="xy", scale=0.6)
    for number, (title, (shot, t)) in enumerate(shots.items(), start=1):
        axes = figure.add_subplot(1, len(shots), number, title=title)
        gray = shot.frames[t] @ [0.299, 0.587, 0.114]
        draw_frame(axes, np.repeat(128 + gray[..., None] / 2, 3, axis=-1).astype(np.uint8))
        field = flow(shot.frames)[:, t].numpy()
        y, x = np.mgrid[3 : field.shape[1] : every, 3 : field.shape[2] : every]
        moves = np.hypot(*field[:, y, x]) > 0.5
        y, x = y[moves], x[moves]
        axes.quiver(x, y, *field[:, y, x], label="flow", color=INK, width=0.004, **look)
        start, step = shot.joints[t] - 0.5, shot.joints[t + 1] - shot.joints[t]
        axes.quiver(*start.T, *step.T, label="true step of a joint", color=ANSWER, width=0.011, **look)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, frameon=False, fontsize=10)
    return figure


@plots.style()
def relatives_figure(channels: int, middle: int) -> Figure:
    """Five blocks side by side, each from its input above to its output below: 3D, S3D's, P3D's B and C, and (2+1)D.

    Blue is a convolution over space and orange one over time. A box is as wide as its convolution has output channels, and
    the intermediate channels stand beside the arrow between two boxes.

    Args:
        channels: of the input and of the output.
        middle: the intermediate channels of (2+1)D.
    """
    figure = new_figure(9.6, 2.6)
    axes = figure.add_subplot()

    def box(x, y, color, outputs=channels):
        width = 0.6 * outputs / channels
        axes.add_patch(Rectangle((x - width / 2, y - 0.16), width, 0.32, color=color, lw=0))

    def series(x, outputs):
        box(x, 1.7, SPACE, outputs)
        box(x, 0.8, TIME)
        draw_arrow(axes, (x, 2.2), (x, 1.86))
        draw_arrow(axes, (x, 1.54), (x, 0.96))
        draw_arrow(axes, (x, 0.64), (x, 0.1))
        axes.text(x - 0.08, 1.25, outputs, ha="right", va="center", fontsize=10)

    def add(x, y, *way):  # a path that joins the arrow below a block
        axes.plot(*zip(*way, (x, y)), color=INK, lw=1.2)
        axes.plot(x, y, marker="o", ms=11, mfc="white", mec=INK)
        axes.plot(x, y, marker="+", ms=6, color=INK)

    first, a, b, c, last = places = (0.6, 2.5, 4.5, 6.4, 8.5)
    for x, name in zip(places, ("3D", "S3D and P3D-A", "P3D-B", "P3D-C", "(2+1)D")):
        axes.text(x, 2.38, name, ha="center", va="center", fontsize=11, weight="bold")
    draw_kind(axes, first - 0.3, 1.09, 0.6, 0.32, "3D")
    draw_arrow(axes, (first, 2.2), (first, 1.41))
    draw_arrow(axes, (first, 1.09), (first, 0.1))
    series(a, channels)
    series(c, channels)
    series(last, middle)
    add(c, 0.4, (c, 1.38), (c + 0.6, 1.38), (c + 0.6, 0.4))  # around the temporal convolution
    for x, color in ((b - 0.4, SPACE), (b + 0.4, TIME)):
        box(x, 1.25, color)
        draw_arrow(axes, (b, 2.2), (x, 1.41))
        add(b, 0.5, (x, 1.09), (x, 0.5))
    draw_arrow(axes, (b, 0.43), (b, 0.1))
    axes.set(xlim=(0, 9.4), ylim=(0, 2.5), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()
    return figure


@exercise
def check_flow_channels(solution: Callable) -> None:
    """Notebook 10: how many channels the temporal stream reads, from the number of frames of the clip."""
    require(solution(2) == 2, "Two frames have one flow field between them, with two numbers for each pixel.")
    require(solution(10) == 18, "Ten frames have nine flow fields between them, each of two channels.")
    require(solution(1) == 0, "A single frame has no flow.")
    require(solution(65) == 128, f"65 frames have 64 flow fields between them, so 128 channels, not {solution(65)}.")


@exercise
def check_frames_seen(solution: Callable) -> None:
    """Notebook 10: the temporal receptive field of the last layer, from the temporal extents and strides of all layers."""
    require(solution((4, 2, 2), (2, 2, 2)) == 10, "Slow fusion's third layer has a receptive field of ten frames.")
    require(solution((5,), (3,)) == 5, "The receptive field of one layer is its extent, whatever its stride.")
    require(solution((3, 3), (1, 1)) == 5, "Two layers of extent 3 with stride 1 have a receptive field of 5 frames.")
    for extents, strides in (
        ((3, 1, 3), (2, 2, 1)),
        ((1, 1), (4, 4)),
        ((7, 3, 3, 3), (1, 2, 2, 2)),
        ((2, 5), (3, 1)),
    ):
        frames = {0}  # from the last layer back to the clip
        for extent, stride in zip(reversed(extents), reversed(strides)):
            frames = {frame * stride + k for frame in frames for k in range(extent)}
        right, returned = max(frames) - min(frames) + 1, solution(extents, strides)
        hint = f"Extents {extents} with strides {strides} have a receptive field of {right} frames, not {returned}."
        require(returned == right, hint)


@exercise
def check_settled(solution: Callable) -> None:
    """Notebook 10: from logits (T, classes) the frame from which on the prediction stays the same."""
    for predictions, right in (
        ((0, 1, 2, 2, 2), 2),
        ((3, 3, 3), 0),
        ((1, 1, 0), 2),
        ((2, 1, 2, 1, 1, 1), 3),
        ((0,), 0),
    ):
        returned = solution(F.one_hot(torch.tensor(predictions), 4).float() - 2)
        hint = f"If the predictions are {predictions}, the last one stands from frame {right} on, not {returned}."
        require(returned == right, hint)
    hint = "The prediction is the class with the highest logit."
    require(solution(torch.tensor([[1.0, 2.0], [3.0, 2.0], [9.0, 2.0]])) == 1, hint)
