"""The figures, explorers and exercise checks of notebook 06."""

from collections.abc import Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import nn

from helpers import plots
from helpers.blocks import randomize_batchnorm_
from helpers.lessons.exercises import exercise, require
from helpers.plots import PALE, SPACE, TIME, draw_frame, new_figure

__all__ = ["check_load_features", "check_mend", "filters_figure"]


@plots.style()
def filters_figure(spatial: ArrayLike, temporal: ArrayLike, columns: int = 12) -> Figure:
    """Learned filters: spatial ones as color patches, temporal ones as small curves.

    Args:
        spatial: (filters, 3, H, W). Gray is zero, and each filter has its own scale.
        temporal: (filters, inputs, T). Each input has a thin curve, the strongest input a thick one.
        columns: how many filters a row holds.
    """
    spatial, temporal = np.asarray(spatial), np.asarray(temporal)
    rows = [-(-len(spatial) // columns), -(-len(temporal) // columns)]
    figure = new_figure(9.6, 0.82 * sum(rows) + 0.8)
    above, below = figure.subfigures(2, 1, height_ratios=[row + 0.45 for row in rows])
    above.suptitle("spatial filters", x=0.01, ha="left", color=SPACE, fontsize=11)
    below.suptitle("temporal filters", x=0.01, ha="left", color=TIME, fontsize=11)
    for k, weights in enumerate(spatial):
        patch = 0.5 + 0.5 * weights.transpose(1, 2, 0) / np.abs(weights).max()
        draw_frame(above.add_subplot(rows[0], columns, k + 1), patch)
    for k, weights in enumerate(temporal):
        axes = below.add_subplot(rows[1], columns, k + 1)
        axes.axhline(0, color=PALE, lw=0.8)
        axes.plot(weights.T, color=TIME, lw=0.6, alpha=0.35)
        axes.plot(weights[np.abs(weights).max(1).argmax()], "o-", color=TIME, lw=1.8, ms=3)
        axes.set(xticks=[], yticks=[], ylim=1.1 * np.abs(weights).max() * np.array((-1, 1)))
        axes.spines[:].set_visible(False)
    return figure


@exercise
def check_mend(solution: Callable) -> None:
    """Notebook 06: a state dict with the names of a network, when all names have the same wrong prefix or none."""
    network = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Sequential(nn.Linear(4, 2)))
    randomize_batchnorm_(network)
    state = dict(reversed(network.state_dict().items()))  # a file may have another order
    for prefix in ("module.", "", "model.backbone.", "0."):
        mended = solution({prefix + name: tensor for name, tensor in state.items()}, network)
        require(isinstance(mended, dict), "Return a dict of names and tensors.")
        hint = f"With the prefix {prefix!r} the first name becomes {next(iter(mended), None)!r}."
        require(set(mended) == set(state), hint)
        same = all(torch.equal(mended[name], state[name]) for name in state)
        require(same, "The names are right, but the tensors have changed places.")


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
    require(torch.equal(loaded["fc.weight"], last), "The last layer of the network has changed.")
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
