"""The figures, explorers and exercise checks of notebook 11."""

from collections.abc import Callable, Mapping, Sequence

import anywidget
import matplotlib
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import plots, weights
from helpers.explorers import front, mosaic
from helpers.lessons.exercises import exercise, require
from helpers.networks import NETWORKS
from helpers.plots import ANSWER, INK, PALE, SHADES, TIME, draw_frame, new_figure
from helpers.stickfigures import ACTIONS, scene
from helpers.transforms import normalize

__all__ = [
    "AttributionExplorer",
    "attribution_explorer",
    "check_class_activation",
    "check_pointing_game",
    "draw_attribution",
    "frames_beside_values_figure",
    "heat_maps",
    "overlay",
]


STAGES = ("layer1", "layer2", "layer3", "layer4")


def overlay(frames: ArrayLike, attribution: ArrayLike) -> np.ndarray:
    """Gray frames with an attribution map over them, from violet to yellow. Where it is not positive they stay gray.

    Args:
        frames: uint8 (T, H, W, 3).
        attribution: (T, H, W); the largest value is the brightest.

    Returns:
        uint8 (T, H, W, 3).
    """
    frames = np.asarray(frames)
    attribution = torch.as_tensor(attribution).float().cpu().clamp(min=0).numpy()
    strength = attribution / (attribution.max() or 1)
    gray = frames.mean(-1, keepdims=True) / 255
    color = matplotlib.colormaps["plasma"](0.3 + 0.7 * strength)[..., :3]
    mixed = gray + 0.9 * strength[..., None] ** 0.8 * (color - gray)
    return (255 * mixed).round().astype(np.uint8)


@plots.style()
def frames_beside_values_figure(
    videos: Sequence[ArrayLike],
    rows: Sequence[str],
    columns: Sequence[str],
    values: ArrayLike,
    write: Callable[[float], str] = "{:.0%}".format,
) -> Figure:
    """A row for each video: eight of its frames, and numbers beside them. The larger a number is, the darker is its cell.

    Args:
        videos: for each row uint8 frames (T, H, W, 3), T at least 8.
        rows, columns: a text for each video, and for each column of `values`.
        values: (rows, columns), 0 to 1.
        write: from a number to the text in its cell.
    """
    values = np.asarray(values)
    wide, gap = 1.6, 0.3  # the width of a number's cell, and between frames and numbers; a frame is 1 wide and 1 high
    figure = new_figure(9.6, 0.5 + 0.62 * len(rows))
    axes = figure.add_subplot()
    for row, frames in enumerate(videos):
        chosen = np.linspace(0, len(frames) - 1, 8).round().astype(int)
        for column, k in enumerate(chosen):
            axes.imshow(np.asarray(frames)[k], extent=(column + 0.04, column + 0.96, row + 0.96, row + 0.04))
        for column, value in enumerate(values[row]):
            left = 8 + gap + column * wide
            axes.add_patch(Rectangle((left, row), wide, 1, color=SHADES(value / 1.3), lw=0))
            axes.text(left + wide / 2, row + 0.5, write(value), ha="center", va="center", fontsize=10)
    axes.set(xlim=(0, 8 + gap + wide * len(columns)), ylim=(len(rows), 0), aspect="equal")
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    positions = [0.5, 7.5] + [8 + gap + wide * (k + 0.5) for k in range(len(columns))]
    axes.set_xticks(positions, ["first", "last", *columns], fontsize=9)
    for k, label in enumerate(axes.get_xticklabels()):
        label.set(color=TIME if k < 2 else INK, va="baseline")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", pad=12)
    return figure


@plots.style()
def draw_attribution(frames: Tensor, maps: Mapping[str, Tensor], stage: str = "layer4", moment: int = 8) -> None:
    """Show one frame, the attribution map of a stage over it, and the fraction of the attribution in each frame.

    Args:
        frames: uint8 (T, H, W, 3).
        maps: for each stage its attribution map (T, H, W); what is not positive counts as zero.
        moment: the index of the frame.
    """
    fractions = _by_frame(maps[stage])
    figure = new_figure(9.6, 3.2)
    pair = frames[moment], overlay(frames, maps[stage])[moment]
    for place, (picture, title) in enumerate(zip(pair, ("the frame", f"attribution by {stage}")), start=1):
        axes = figure.add_subplot(1, 3, place, title=title)
        draw_frame(axes, picture)
    axes = figure.add_subplot(1, 3, 3, title="its fraction in each frame")
    axes.bar(range(len(frames)), fractions, color=[ANSWER if k == moment else PALE for k in range(len(frames))])
    axes.set_xlabel("frame", color=TIME)
    largest = f"largest in frame {fractions.index(max(fractions))}" if max(fractions) > 0 else "zero everywhere"
    alt = (
        f"Frame {moment}, the same frame under the attribution map of {stage}, and bars: the attribution is {largest}."
    )
    plots.show(figure, alt)
    print(f"frame {moment}: {fractions[moment]:.0%} of the attribution by {stage}")


class AttributionExplorer(anywidget.AnyWidget):
    """A clip under the attribution maps of several stages.

    `film` is a `mosaic` of `shape` (T, H, W); `under` has one of the clip under each stage's map, `fractions` each frame's.
    """

    _esm, _css = front("attribution")
    film, shape = traitlets.Bytes().tag(sync=True), traitlets.List().tag(sync=True)
    under, fractions = traitlets.Dict().tag(sync=True), traitlets.Dict().tag(sync=True)
    stage, moment = traitlets.Unicode().tag(sync=True), traitlets.Int(8).tag(sync=True)


def attribution_explorer(frames: Tensor | None = None, maps: Mapping[str, Tensor] | None = None) -> AttributionExplorer:
    """The explorer of notebook 11.

    Args:
        frames: uint8 (T, H, W, 3); without them the clip of the notebook, with the maps of this repository's network.
        maps: for each stage its attribution map (T, H, W); what is not positive counts as zero.
    """
    if frames is None:
        frames = torch.from_numpy(scene("sit down", 77, 22).frames.copy())
        found = heat_maps(weights.load().network, normalize(frames), ACTIONS.index("sit down"))
        maps = {
            stage: F.interpolate(heat[None, None], frames.shape[:3], mode="trilinear")[0, 0]
            for stage, heat in found.items()
        }
    return AttributionExplorer(
        film=mosaic(frames),
        shape=list(frames.shape[:3]),
        under={stage: mosaic(overlay(frames, heat)) for stage, heat in maps.items()},
        fractions={stage: [round(share, 4) for share in _by_frame(heat)] for stage, heat in maps.items()},
        stage=list(maps)[-1],
    )


def heat_maps(network: nn.Module, clip: Tensor, label: int) -> dict[str, Tensor]:
    """Grad-CAM of each stage for a label and a clip (3, T, H, W), each of its own shape (T', H', W'). Built in notebook 11."""
    kept = {}

    def keep(stage):
        def hook(module, inputs, output):
            kept[stage] = output  # and return nothing: what a hook returns replaces the output

        return hook

    hooks = [getattr(network, s).register_forward_hook(keep(s)) for s in STAGES]
    x = clip[None].to(network.fc.weight.device).requires_grad_()  # if all is frozen
    logits = network(x)  # the hooks fill `kept`
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad(logits[0, label], list(kept.values()))
    means = [gradient.mean((2, 3, 4), keepdim=True) for gradient in gradients]  # (1, C, 1, 1, 1)
    return {s: (w * kept[s]).sum(1)[0].detach().cpu() for s, w in zip(STAGES, means)}


def _by_frame(attribution: Tensor) -> list[float]:
    """The fraction of an attribution map (T, H, W) in each frame; what is not positive counts as zero."""
    positive = attribution.clamp(min=0)
    return (positive.sum((1, 2)) / positive.sum().clamp(min=1e-12)).tolist()


@exercise
def check_class_activation(solution: Callable) -> None:
    """Notebook 11: the class activation map of layer4 (T, H, W), without a gradient."""
    network = NETWORKS["r2plus1d_18"](7, 8).eval()
    nn.init.normal_(network.fc.bias)
    clip = torch.randn(3, 9, 40, 56)
    with torch.inference_mode():
        features = network.layer4(network.layer3(network.layer2(network.layer1(network.stem(clip[None])))))[0]
        logits = network(clip[None])[0]
        for label in (2, 5):
            attribution = solution(network, clip, label)
            shape, expected = tuple(attribution.shape), tuple(features.shape[1:])
            require(shape == expected, f"Return a number for each position of layer4, {expected}; yours has {shape}.")
            mean, logit = float(attribution.mean()), float(logits[label] - network.fc.bias[label])
            hint = f"Its mean must be the logit without its bias, {logit:.4f}; it is {mean:.4f}."
            require(abs(mean - logit) < 1e-3 * abs(logit), hint)
            right = torch.einsum("c,cthw->thw", network.fc.weight[label], features)
            same = torch.allclose(attribution, right, atol=1e-4 * float(right.abs().max()))
            require(same, "The mean is right, the positions are not.")


@exercise
def check_pointing_game(solution: Callable) -> None:
    """Notebook 11: the fraction of frames whose largest attribution lies on the figure, from two (T, H, W)."""
    attribution, mask = torch.zeros(4, 3, 5), torch.zeros(4, 3, 5, dtype=torch.bool)
    for k, (row, column) in enumerate([(0, 0), (2, 4), (1, 3), (2, 0)]):
        attribution[k, row, column] = 1.0 + k
        mask[k, row, column] = k != 2
        mask[k, 1, 1] = True
    hint = "In three of four frames the pixel with the largest attribution lies on the figure: 0.75."
    require(abs(solution(attribution, mask) - 0.75) < 1e-6, hint)
    hint = "Each frame counts alone, however large the attribution of the others is."
    require(abs(solution(attribution.flip(0), mask.flip(0)) - 0.75) < 1e-6, hint)
    hint = "The attribution may be negative everywhere; one pixel still has the largest."
    require(abs(solution(attribution - 10, mask) - 0.75) < 1e-6, hint)
    require(abs(solution(attribution, torch.zeros_like(mask))) < 1e-6, "Without a figure nothing can be hit: 0.")
    hint = "Only the last frame has a figure where its attribution is largest: 0.25."
    require(abs(solution(attribution, attribution == attribution.amax()) - 0.25) < 1e-6, hint)
