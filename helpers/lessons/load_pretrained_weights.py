"""The figures, explorers and exercise checks of notebook 06."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import nn

from helpers import plots
from helpers.blocks import randomize_batchnorm_
from helpers.lessons.exercises import exercise, require
from helpers.plots import INK, PALE, SPACE, TIME, draw_frame, new_figure
from helpers.stickfigures import ACTIONS, scene
from helpers.transforms import denormalize

__all__ = [
    "as_read_figure",
    "check_load_features",
    "check_mend",
    "check_to_rgb",
    "colored_places",
    "filters_figure",
    "show_stem",
]

Color = tuple[int, int, int]
Preparation = Callable[[torch.Tensor], torch.Tensor]


def colored_places(colors: Sequence[Color], count: int, seed: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Clips of figures that do any of the ten actions, on grounds of fixed colors with a little noise.

    Args:
        colors: RGB, 0 to 255, a color for each class. The classes take turns.
        count: how many clips.
        seed: another seed gives other clips.

    Returns:
        the clips, uint8 (8, 32, 32, 3) each, and their classes (count,).
    """
    generator, clips = np.random.default_rng(seed), []
    for k in range(count):
        drawn = scene(ACTIONS[generator.integers(len(ACTIONS))], seed, k, frames=8, size=32)
        pixels = np.where(drawn.mask[..., None] > 0.5, drawn.frames, colors[k % len(colors)])
        pixels = (pixels + generator.normal(0, 8, pixels.shape)).round().clip(0, 255)
        clips.append(torch.from_numpy(pixels.astype(np.uint8)))
    return clips, torch.arange(count) % len(colors)


def as_read_figure(
    clips: Sequence[torch.Tensor], names: Sequence[str], preparations: Mapping[str, Preparation]
) -> Figure:
    """The first frame of each clip as a network reads it, a row for each preparation.

    Args:
        clips: uint8 frames (T, H, W, 3) each.
        names: a text below each clip.
        preparations: functions from frames to a clip (3, T, H, W), by name.
    """
    frames = [denormalize(prepare(clip)[:, :1])[0] for prepare in preparations.values() for clip in clips]
    below = [""] * (len(frames) - len(names)) + list(names)
    return plots.film_strip(torch.stack(frames), below, columns=len(clips), color=INK, rows=list(preparations))


def show_stem(networks: Mapping[str, nn.Module]) -> None:
    """Show the filters of the (2+1)D stems of networks, by name, with an alternative text; see `filters_figure`."""
    stems = {
        name: (n.stem[0].weight[:, :, 0].detach(), n.stem[3].weight[..., 0, 0].detach()) for name, n in networks.items()
    }
    spatial, temporal = next(iter(stems.values()))
    alt = (
        f"Stems: {', '.join(networks)}. Above, {len(spatial)} small patches of mixed colors, the spatial "
        f"filters; below, {len(temporal)} bundles of curves over {temporal.shape[2]} frames, the temporal filters."
    )
    plots.show(filters_figure(stems), alt)


@plots.style()
def filters_figure(stems: Mapping[str, tuple[ArrayLike, ArrayLike]], columns: int = 12) -> Figure:
    """Filters of stems: all spatial ones as color patches, then all temporal ones as small curves.

    Args:
        stems: by name, for each stem of one shape its spatial filters (filters, 3, H, W) and its temporal ones (filters,
            inputs, T). Gray is zero, and each filter has its own scale. Each input channel has a thin curve. The one with
            the largest weight in the first stem is thick, in all stems.
        columns: how many filters stand in a row.
    """
    arrays = {name: [np.asarray(filters) for filters in stem] for name, stem in stems.items()}
    thick = np.abs(next(iter(arrays.values()))[1]).max(2).argmax(1)  # an input channel for each temporal filter
    panels = [(kind, name, arrays[name][kind == "temporal"]) for kind in ("spatial", "temporal") for name in arrays]
    rows = [-(-len(filters) // columns) for *_, filters in panels]
    figure = new_figure(9.6, 0.82 * sum(rows) + 0.4 * len(rows))
    parts = figure.subfigures(len(rows), 1, height_ratios=[row + 0.45 for row in rows], squeeze=False)[:, 0]
    for part, (kind, name, filters), row in zip(parts, panels, rows):
        color = SPACE if kind == "spatial" else TIME
        part.suptitle(f"{kind} filters, {name}", x=0.01, ha="left", color=color, fontsize=11)
        for k, weights in enumerate(filters):
            axes = part.add_subplot(row, columns, k + 1)
            if kind == "spatial":
                draw_frame(axes, 0.5 + 0.5 * weights.transpose(1, 2, 0) / np.abs(weights).max())
            else:
                _draw_curves(axes, weights, thick[k])
    return figure


def _draw_curves(axes: Axes, weights: np.ndarray, thick: int) -> None:
    """A temporal filter (inputs, T): a curve for each input channel, one of them thick."""
    axes.axhline(0, color=PALE, lw=0.8)
    axes.plot(weights.T, color=TIME, lw=0.6, alpha=0.35)
    axes.plot(weights[thick], "o-", color=TIME, lw=1.8, ms=3)
    axes.set(xticks=[], yticks=[], ylim=1.1 * np.abs(weights).max() * np.array((-1, 1)))
    axes.spines[:].set_visible(False)


@exercise
def check_to_rgb(solution: Callable) -> None:
    """Notebook 06: frames in BGR, uint8 (T, H, W, 3), become frames in RGB; those passed in stay as they are."""
    frames = torch.randint(0, 256, (4, 6, 5, 3), dtype=torch.uint8)
    before = frames.clone()
    result = solution(frames)
    require(isinstance(result, torch.Tensor), "Return a tensor.")
    require(result.shape == frames.shape, f"Return (T, H, W, 3), here {(4, 6, 5, 3)}, not {tuple(result.shape)}.")
    require(result.dtype == frames.dtype, f"The frames stay uint8; yours are {result.dtype}.")
    require(torch.equal(frames, before), "The frames that were passed in have changed. Return new ones.")
    pixel, right, yours = (each[0, 0, 0].tolist() for each in (frames, frames[..., [2, 1, 0]], result))
    require(torch.equal(result, frames[..., [2, 1, 0]]), f"The pixel {pixel} becomes {right}; yours becomes {yours}.")


@exercise
def check_mend(solution: Callable) -> None:
    """Notebook 06: a state dict with the names of a network, if all its names have the same wrong prefix or none."""
    network = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Sequential(nn.Linear(4, 2)))
    randomize_batchnorm_(network)
    state = dict(reversed(network.state_dict().items()))  # a file may have another order
    for prefix in ("module.", "", "model.backbone.", "0."):
        mended = solution({prefix + name: tensor for name, tensor in state.items()}, network)
        require(isinstance(mended, dict), "Return a dict of names and tensors.")
        hint = f"With the prefix {prefix!r} the first name becomes {next(iter(mended), None)!r}."
        require(set(mended) == set(state), hint)
        same = all(torch.equal(mended[name], state[name]) for name in state)
        require(same, "The names are right, but some tensors now have the name of another.")


@exercise
def check_load_features(solution: Callable) -> None:
    """Notebook 06: load all but fc.weight and fc.bias into a network; ValueError if any other name does not fit."""

    def new_network(classes):
        return nn.ModuleDict({"stem": nn.Conv3d(3, 4, 1), "norm": nn.BatchNorm3d(4), "fc": nn.Linear(4, classes)})

    state = {name: torch.rand(tensor.shape) for name, tensor in new_network(400).state_dict().items()}
    state["norm.num_batches_tracked"] = torch.tensor(7)
    network = new_network(5)
    last = network.fc.weight.clone()
    solution(network, dict(state))
    loaded = network.state_dict()
    for name in ("stem.weight", "stem.bias", "norm.running_var"):
        require(torch.equal(loaded[name], state[name]), f"{name} was not loaded.")
    require(torch.equal(loaded["fc.weight"], last), "The linear layer of the network has changed. Leave fc as it is.")
    for what, wrong in {
        "a name is missing": {name: tensor for name, tensor in state.items() if name != "stem.bias"},
        "a name is unexpected": state | {"layer5.weight": torch.zeros(1)},
        "every name has a prefix": {f"module.{name}": tensor for name, tensor in state.items()},
    }.items():
        raised = None
        try:
            solution(new_network(5), dict(wrong))
        except (ValueError, AssertionError) as error:
            raised = error
        require(not isinstance(raised, AssertionError), f"When {what}, raise a ValueError, not an AssertionError.")
        require(raised is not None, f"Raise a ValueError when {what}.")
    solution(new_network(5), {name: tensor for name, tensor in state.items() if not name.startswith("fc")})
