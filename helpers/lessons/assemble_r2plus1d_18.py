"""The figures, explorers and exercise checks of notebook 05."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import plots, video, weights
from helpers.blocks import receptive_field
from helpers.explorers import front, mosaic
from helpers.lessons import shape_text
from helpers.lessons.exercises import close, exercise, require, same_layers
from helpers.plots import PALE, SPACE, TIME, draw_network, new_figure
from helpers.transforms import denormalize
from helpers.weights import Pretrained

__all__ = ["NetworkExplorer", "check_last_map", "check_r2plus1d_18", "draw_stage", "influence_figure", "network_explorer",
           "receptive_fields_figure", "stage_figure", "stage_outputs"]  # fmt: skip


@plots.style()
def receptive_fields_figure(frames: ArrayLike, fields: Mapping[str, tuple[int, int, int]]) -> Figure:
    """The receptive field of one output position of each stage: squares around the middle of a frame, bars of frames.

    The `frames` are uint8 (T, H, W, 3), and `fields` has for each stage (T, H, W) in frames and pixels.
    """
    frames = np.asarray(frames)
    count, height, width = frames.shape[:3]
    figure, look = new_figure(9.6, 4.4), dict(fontsize=9, color=SPACE, ha="center")
    space = figure.add_subplot(1, 2, 1, title="in space: around the middle of a frame")
    space.imshow(frames[count // 2], extent=(-width / 2, width / 2, height / 2, -height / 2), interpolation="nearest")
    largest = max(max(field[1:]) for field in fields.values())
    sides = [-1, 1]  # where the names of small squares stand: left, then right
    for name, (_, high, wide) in fields.items():
        space.add_patch(Rectangle((-wide / 2, -high / 2), wide, high, fill=False, color=SPACE, lw=1.8))
        if wide < 0.15 * largest:
            x, line = sides.pop(0), dict(arrowstyle="-", color=SPACE, lw=1.2, shrinkA=0, shrinkB=0)
            space.annotate(
                name, (x * wide / 2, high / 2), (x * 0.42 * largest, 0.35 * largest), arrowprops=line, **look
            )
        else:
            back = dict(fc="white", ec="none", pad=0.6, alpha=0.75)
            space.text(0, -high / 2 - 1, name, va="bottom", bbox=back, **look)
    space.text(0.5, 0.08, "nothing but padding", transform=space.transAxes, ha="center", fontsize=9)
    space.set(xlim=(-0.54 * largest, 0.54 * largest), ylim=(0.54 * largest, -0.56 * largest), aspect="auto")
    space.set_xlabel("x, pixels", color=SPACE)
    space.set_ylabel("y, pixels", color=SPACE)
    time = figure.add_subplot(1, 2, 2, title="in time: how many frames")
    lengths, rows = np.array([field[0] for field in fields.values()]), np.arange(len(fields))[::-1]
    time.bar_label(time.barh(rows, lengths, left=-lengths / 2, height=0.4, color=TIME), lengths, padding=4, fontsize=10)
    time.set_yticks(rows, list(fields))
    time.set_xlabel("frames from the middle", color=TIME)
    time.set_xlim(-0.62 * max(lengths), 0.62 * max(lengths))
    _mark_clip(time, count)
    return figure


def _mark_clip(axes: Axes, length: int) -> None:
    """A band behind the other drawings: so much of an axis the clip covers, if its middle is at 0."""
    axes.axvspan(-length / 2, length / 2, color=PALE, zorder=0, lw=0)
    axes.text(0, 0.02, "clip", transform=axes.get_xaxis_transform(), ha="center", fontsize=9)


@plots.style()
def influence_figure(in_time: ArrayLike, in_space: ArrayLike, clip: tuple[int, int] = (16, 112)) -> Figure:
    """The influence of frames and columns on one output position, each (n,), as fractions of its sum; a band for the clip."""
    panels = []
    for axis, unit, influence, color in (("time", "frames", in_time, TIME), ("space", "pixels", in_space, SPACE)):
        influence = np.asarray(influence)
        positions = np.arange(len(influence)) - len(influence) // 2
        lines = {"": (positions, influence / influence.sum(), dict(color=color))}
        texts = dict(title=f"in {axis}", xlabel=f"{unit} from the middle", ylabel="fraction of the influence")
        panels.append(texts | dict(xcolor=color, lines=lines))
    figure = plots.curves(panels)
    for axes, length in zip(figure.get_axes(), clip):
        _mark_clip(axes, length)
    return figure


@plots.style()
def stage_figure(
    shapes: Mapping[str, str], name: str, pictures: ArrayLike, labels: Sequence[str], heads: Sequence[str]
) -> Figure:
    """A network with one of its parts lit, and below it feature maps of this part.

    Args:
        shapes, name: for `draw_network`.
        pictures: (count, H, W) from 0 to 1, drawn eight in a row.
        labels: the time of each.
        heads: a text above each, "" for none.
    """
    rows = -(-len(pictures) // 8)
    figure = new_figure(9.6, 2.2 + 1.55 * rows)
    above, below = figure.subfigures(2, 1, height_ratios=(2.2, 1.55 * rows))
    draw_network(above.add_subplot(), shapes, lit=(name,))
    for k, picture in enumerate(np.asarray(pictures)):
        axes = below.add_subplot(rows, 8, k + 1)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_xlabel(labels[k], color=TIME, fontsize=9, labelpad=2)
        axes.set_title(heads[k], fontsize=10, pad=3)
    return figure


def draw_stage(pretrained: Pretrained, frames: Tensor, stage: str = "layer1") -> None:
    """Show what a `stage` of a trained R(2+1)D network gives for `frames`, uint8 (T, H, W, 3): channels that vary most."""
    outputs = stage_outputs(pretrained.network, pretrained.preprocess(frames))
    shapes = {name: "x".join(map(str, output.shape)) for name, output in outputs.items()}
    values = outputs[stage]
    pictures, labels, heads = _most_active(values, len(frames) / pretrained.fps)
    channels = sum(map(bool, heads))
    alt = f"feature maps of {channels} of its channels at {len(heads) // channels} moments, bright where they are large"
    plots.show(
        stage_figure(shapes, stage, pictures, labels, heads),
        f"The network as eight boxes, {stage} lit. Below it, {alt}.",
    )
    print(f"{stage}: {shape_text(values.shape)}")
    parts = list(plots.PARTS)
    path = nn.Sequential(*(getattr(pretrained.network, name) for name in parts[1 : parts.index(stage) + 1]))
    print(f"receptive field of an output position: {shape_text(receptive_field(path))} (frames, rows, columns)")
    print(f"zero: {(values == 0).float().mean():.0%} of its values")


def stage_outputs(network: nn.Module, clip: Tensor, names: Iterable[str] = plots.PARTS) -> dict[str, Tensor]:
    """The clip (3, T, H, W), and what some modules of a network give for it, by name, without the batch axis, on the CPU.

    The network stays on its device.
    """
    outputs, wanted = {"clip": clip.cpu()}, set(names)

    def keep(name):
        return lambda module, inputs, output: outputs.update({name: output[0].cpu().clone()})

    modules = [(name, module) for name, module in network.named_modules() if name in wanted]
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules]
    try:
        with torch.inference_mode():
            network(clip[None].to(next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: output.flatten() if name == "avgpool" else output for name, output in outputs.items()}


def _most_active(maps: Tensor, seconds: float, count: int = 24) -> tuple[Tensor, list[str], list[str]]:
    """The channels of feature maps (C, T, H, W) that vary most, as pictures (count, H, W) from 0 to 1.

    Returns:
        The pictures, the time of each, and for the first picture of each channel the channel's name.
    """
    moments = min(8, maps.shape[1])
    channels = maps.flatten(1).var(1).argsort(descending=True)[: count // moments]
    times = torch.linspace(0, maps.shape[1] - 1, moments).round().long()
    largest = maps[channels].flatten(1).amax(1).clamp(min=1e-6)
    pictures = maps[channels][:, times] / largest[:, None, None, None]
    labels = [f"{t * seconds / maps.shape[1]:.2f} s" for t in times.tolist()] * len(channels)
    heads = [f"channel {c}" if k == 0 else "" for c in channels.tolist() for k in range(moments)]
    return pictures.flatten(0, 1), labels, heads


class NetworkExplorer(anywidget.AnyWidget):
    """R(2+1)D-18 layer by layer, for a clip of any size, and what a trained one makes of one clip.

    `width` and `classes` are of the network whose costs are counted. Of the trained one: `inside`, its width; the clip as a
    `mosaic` and its shape (T, H, W); for each ReLU a `mosaic` of maps, their shape (T, channels H, W), the channels, and how
    much of them is zero; the mean of each channel after layer4, and the five best predictions.
    """

    _esm, _css = front("network")
    frames, size = traitlets.Int(16).tag(sync=True), traitlets.Int(112).tag(sync=True)
    width, classes = traitlets.Int(64).tag(sync=True), traitlets.Int(400).tag(sync=True)
    part, layer = traitlets.Unicode("layer1").tag(sync=True), traitlets.Unicode().tag(sync=True)
    moment = traitlets.Float().tag(sync=True)
    inside = traitlets.Int().tag(sync=True)
    film, shape = traitlets.Bytes().tag(sync=True), traitlets.List().tag(sync=True)
    maps = traitlets.Dict().tag(sync=True)
    pooled, predictions = traitlets.List().tag(sync=True), traitlets.List().tag(sync=True)


def network_explorer(pretrained: Pretrained | None = None, frames: Tensor | None = None) -> NetworkExplorer:
    """The explorer of notebook 05.

    Args:
        pretrained: a trained R(2+1)D-18; without one that of this repository.
        frames: uint8 (T, H, W, 3), as many as it was trained on; without them this repository's clip.
    """
    pretrained = pretrained or weights.load("stickfigures")
    if frames is None:
        frames = video.read_clip(weights.ASSETS / "jumping_jacks.mp4")
    clip = pretrained.preprocess(frames)
    relus = [name for name, module in pretrained.network.named_modules() if isinstance(module, nn.ReLU)]
    outputs = stage_outputs(pretrained.network, clip, [*relus, "avgpool", "fc"])
    probabilities = outputs["fc"].softmax(0)
    best = probabilities.argsort(descending=True)[:5].tolist()
    return NetworkExplorer(
        inside=pretrained.network.fc.in_features // 8,
        film=mosaic(denormalize(clip)),
        shape=list(clip.shape[1:]),
        maps={name: _as_film(outputs[name]) for name in relus},
        pooled=[round(n, 4) for n in outputs["avgpool"].tolist()],
        predictions=[(pretrained.labels[k], round(float(probabilities[k]), 4)) for k in best],
    )


def _as_film(maps: Tensor, count: int = 3) -> dict:
    """The channels of feature maps (C, T, H, W) that vary most as a film in which they stand one below the other."""
    channels = maps.flatten(1).var(1).argsort(descending=True)[:count]
    bright = maps[channels] / maps[channels].flatten(1).amax(1).clamp(min=1e-6)[:, None, None, None]
    frames = (255 * bright).to(torch.uint8).transpose(0, 1).flatten(1, 2)  # (T, count H, W)
    shape = list(frames.shape)
    film = mosaic(frames[..., None].expand(*shape, 3))
    return dict(film=film, shape=shape, channels=channels.tolist(), zero=round(float((maps == 0).float().mean()), 4))


@exercise
def check_last_map(solution: Callable) -> None:
    """Notebook 05: the shape (T, H, W) of R(2+1)D-18's last feature map, from frames, height and width of a clip."""
    require(tuple(solution(16, 112, 112)) == (2, 7, 7), "A clip of 16 x 112 x 112 leaves 2 x 7 x 7.")
    hint = "One frame stays one frame: with kernel 3 and padding 1, stride 2 rounds up."
    require(tuple(solution(1, 112, 112)) == (1, 7, 7), hint)
    for frames, height, width in ((9, 33, 128), (17, 1, 113), (32, 224, 171), (5, 16, 15)):
        right = (-(-frames // 8), -(-height // 16), -(-width // 16))
        require(tuple(solution(frames, height, width)) == right, f"{frames} x {height} x {width} leaves {right}.")


@exercise
def check_r2plus1d_18(solution: Callable) -> None:
    """Notebook 05: R(2+1)D-18 from memory, a function from the number of classes to the network."""
    from torchvision.models.video import r2plus1d_18

    clips = torch.randn(2, 3, 16, 17, 40)  # leaves 2 x 2 x 3 positions: an axis that is mixed up shows
    network, reference = solution(5), r2plus1d_18(num_classes=5)
    same_layers(network, reference, clips)
    for each in (network, reference):
        F.cross_entropy(each(clips.clone()), torch.tensor([0, 1])).backward()
    expected = dict(reference.named_parameters())
    for name, parameter in network.named_parameters():
        require(parameter.grad is not None, f"The logits are right, but no gradient reaches {name}.")
        hint = f"The logits are right, but the gradient of {name} is different."
        require(close(parameter.grad, expected[name].grad, 1e-3), hint)
