"""The figures, explorers and exercise checks of notebook 05."""

import ipywidgets
import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.patches import Rectangle
from torch import nn
from torch.nn import functional as F
from torchvision.models.video import resnet as reference

from helpers import plots
from helpers.blocks import receptive_field
from helpers.lessons.build_the_residual_block import _times
from helpers.lessons.exercises import check, close, same_layers
from helpers.plots import ANSWER, SPACE, TIME, draw_network, draw_predictions, new_figure
from helpers.transforms import denormalize


def receptive_fields(film, fields):
    """What one place of each stage sees, around the middle of a clip: in space on the left, in time on the right.

    Args:
        film: uint8 (T, H, W, 3).
        fields: for the name of each stage (T, H, W), in frames and pixels.
    """
    film = np.asarray(film)
    frames, height, width = film.shape[:3]
    slices = film[frames // 2], film[:, height // 2]
    figure = new_figure(9.6, 4.8)
    for number, (picture, down, color) in enumerate(zip(slices, (1, 0), (SPACE, TIME)), start=1):
        axes = figure.add_subplot(1, 2, number)
        tall, small = picture.shape[0], 0
        axes.imshow(
            picture, extent=(-width / 2, width / 2, tall / 2, -tall / 2), aspect="auto", interpolation="nearest"
        )
        for name, field in fields.items():
            high, wide = field[down], field[2]
            axes.add_patch(Rectangle((-wide / 2, -high / 2), wide, high, fill=False, color=color, lw=1.8))
            if wide < 0.15 * max(field[2] for field in fields.values()):  # no room for its name
                small += 1
                white = [patheffects.withStroke(linewidth=3, foreground="white")]  # below the line
                line = dict(arrowstyle="-", color=color, lw=0.8, shrinkA=0, shrinkB=0, path_effects=white)
                where = dict(xytext=(0.06, 0.3 - 0.1 * small), textcoords="axes fraction", va="center", arrowprops=line)
                axes.annotate(name, (-wide / 2, high / 2), fontsize=9, color=color, **where)
                continue
            back = dict(fc="white", ec="none", pad=0.6, alpha=0.75)
            where = dict(xytext=(0, 1), textcoords="offset points", va="bottom", ha="center", bbox=back)
            axes.annotate(name, (0, -high / 2), fontsize=9, color=color, **where)
        axes.text(0.93, 0.08, "nothing but padding", transform=axes.transAxes, ha="right", fontsize=9)
        limit = 0.54 * max(field[down] for field in fields.values()), 0.54 * max(field[2] for field in fields.values())
        axes.set(xlim=(-limit[1], limit[1]), ylim=(limit[0] * 1.04, -limit[0] * 1.04))
        axes.set_xlabel("x, pixels", color=SPACE)
        axes.set_ylabel("y, pixels" if down else "t, frames", color=color)
        axes.set_title("in space: the middle frame" if down else "in time: the middle row")
    return figure


def stage(shapes, name, pictures, labels=(), heads=()):
    """A network with one of its parts lit, and below what is there.

    Args:
        shapes, name: as for `draw_network`.
        pictures: (count, H, W) from 0 to 1 or (count, H, W, 3), drawn eight in a row; or values, drawn as bars.
        labels: of the pictures, their times; of values where they are answers, of which the five best are drawn.
        heads: texts above the pictures, "" where there is none.
    """
    pictures = np.asarray(pictures)
    rows = 2 if pictures.ndim == 1 else -(-len(pictures) // 8)
    high = (1.55 if len(heads) else 1.35) * rows
    figure = new_figure(9.6, 2.2 + high)
    above, below = figure.subfigures(2, 1, height_ratios=(2.2, high))
    draw_network(above.add_subplot(), shapes, lit=(name,))
    if pictures.ndim == 1:
        axes = below.add_subplot()
        if len(labels):
            draw_predictions(axes, [(labels[k], pictures[k]) for k in np.argsort(-pictures, kind="stable")[:5]])
        else:
            axes.bar(range(len(pictures)), pictures, color=ANSWER)
        return figure
    for k, picture in enumerate(pictures):
        axes = below.add_subplot(rows, 8, k + 1)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_xlabel(labels[k], color=TIME, fontsize=9, labelpad=2)
        if len(heads):
            axes.set_title(heads[k], fontsize=10, pad=3)
    return figure


def draw_stage(pretrained, frames, stage="layer1"):
    """Show what a part of a trained R(2+1)D network makes of a clip: the channels that vary most, in the course of time.

    Args:
        pretrained: as `weights.load` gives it.
        frames: uint8 (T, H, W, 3), what it is to see.
        stage: one of `plots.PARTS`.
    """
    clip = pretrained.preprocess(frames)
    seen = outputs(pretrained.network, clip)
    shapes = {name: "x".join(map(str, values.shape)) for name, values in seen.items()}
    values = seen[stage]
    alt = f"The network as eight boxes, {stage} lit; below, "
    if stage == "clip":
        labels = [f"{k / pretrained.fps:.2f} s" for k in range(len(frames))]
        plots.show(stage(shapes, stage, denormalize(clip), labels), f"{alt}its {len(frames)} frames.")
    elif stage == "fc":
        shares, best = values.softmax(0), pretrained.labels[values.argmax()]
        plots.show(stage(shapes, stage, shares, pretrained.labels), f"{alt}the best answers, {best} first.")
    elif stage == "mean":
        plots.show(stage(shapes, stage, values), f"{alt}a bar for each of its {len(values)} numbers.")
    else:
        pictures, labels, heads = _liveliest(values, len(frames) / pretrained.fps)
        channels = sum(map(bool, heads))
        alt += (
            f"{channels} of its channels at {len(heads) // channels} moments, bright where they answer to the figure."
        )
        plots.show(stage(shapes, stage, pictures, labels, heads), alt)
    print(f"{stage}: {_times(values.shape)}")
    if values.ndim == 4 and stage != "clip":
        parts = list(plots.PARTS)
        path = nn.Sequential(*(getattr(pretrained.network, name) for name in parts[1 : parts.index(stage) + 1]))
        print(f"one place of it sees {_times(receptive_field(path))} (frames, rows, columns)")
        print(f"zero: {(values == 0).float().mean():.0%} of its numbers")


def outputs(network, clip):
    """What each of `plots.PARTS` holds for one clip (3, T, H, W), without the batch axis."""
    seen = {"clip": clip}
    x = clip[None]
    with torch.inference_mode():
        for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
            x = getattr(network, name)(x)
            seen[name] = x[0]
        seen["mean"] = network.avgpool(x).flatten()
        seen["fc"] = network.fc(seen["mean"])
    return seen


def _liveliest(maps, seconds, count=24):
    """The channels of (C, T, H, W) that vary most, each from 0 to 1, as pictures (count, H, W).

    Returns:
        The pictures, the time of each, and above the first of each channel its name.
    """
    moments = min(8, maps.shape[1])
    chosen = maps.flatten(1).var(1).argsort(descending=True)[: count // moments]
    columns = torch.linspace(0, maps.shape[1] - 1, moments).round().long()
    largest = maps[chosen].flatten(1).amax(1).clamp(min=1e-6)
    pictures = maps[chosen][:, columns] / largest[:, None, None, None]
    labels = [f"{t * seconds / maps.shape[1]:.2f} s" for t in columns.tolist()] * len(chosen)
    heads = [f"channel {c}" if k == 0 else "" for c in chosen.tolist() for k in range(moments)]
    return pictures.flatten(0, 1), labels, heads


def stage_explorer(pretrained, frames):
    """`draw_stage` with a slider for its stage, which is `.children[0]`."""
    stage = ipywidgets.SelectionSlider(options=list(plots.PARTS), value="layer1", continuous_update=False)
    return ipywidgets.interactive(lambda stage: draw_stage(pretrained, frames, stage), stage=stage)


def check_last_map(answer):
    """Notebook 05: the shape (T, H, W) of R(2+1)D-18's last map, from the frames, height and width of a clip."""

    def attempt():
        assert tuple(answer(16, 112, 112)) == (2, 7, 7), "A clip of 16 x 112 x 112 leaves 2 x 7 x 7."
        assert tuple(answer(1, 112, 112)) == (1, 7, 7), (
            "Of one frame one is left: with padding 1, a stride of 2 rounds up."
        )
        for frames, height, width in ((9, 33, 128), (17, 1, 113), (32, 224, 171), (5, 16, 15)):
            right = (-(-frames // 8), -(-height // 16), -(-width // 16))
            assert tuple(answer(frames, height, width)) == right, f"{frames} x {height} x {width} leaves {right}."

    return check("last_map", answer, attempt)


def check_r2plus1d_18(answer):
    """Notebook 05: R(2+1)D-18 from memory, a function from the number of classes to the network."""

    def attempt():
        clips = torch.randn(3, 3, 16, 32, 40, generator=torch.Generator().manual_seed(0))  # leaves 2 x 2 x 3 places
        mine, theirs = answer(5), reference.r2plus1d_18(num_classes=5)
        same_layers(mine, theirs, clips)
        for network in (mine, theirs):
            F.cross_entropy(network(clips.clone()), torch.tensor([0, 1, 2])).backward()
        for (name, given), right in zip(
            sorted(mine.named_parameters()), (p for _, p in sorted(theirs.named_parameters()))
        ):
            assert given.grad is not None, f"The logits are right, but no gradient reaches {name}."
            assert close(given.grad, right.grad, 1e-3), (
                f"The logits are right, but the gradient of {name} is another one."
            )

    return check("r2plus1d_18", answer, attempt)
