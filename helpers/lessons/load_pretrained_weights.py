"""The figures, explorers and exercise checks of notebook 06."""

import numpy as np
import torch
from torch import nn

from helpers.lessons.exercises import _randomise, check
from helpers.plots import PALE, SPACE, TIME, draw_frame, new_figure


def filters(patches, courses, columns=12):
    """Learnt filters: those over space as colour patches, those over time as small curves.

    Args:
        patches: (filters, 3, H, W), each drawn from its own smallest to its largest deviation from zero, which is grey.
        courses: (filters, inputs, T); each input's profile in time is a thin line, the strongest one a thick one.
        columns: of small pictures in a row.
    """
    patches, courses = np.asarray(patches), np.asarray(courses)
    rows = [-(-len(patches) // columns), -(-len(courses) // columns)]
    figure = new_figure(9.6, 0.82 * sum(rows) + 0.8)
    above, below = figure.subfigures(2, 1, height_ratios=[row + 0.45 for row in rows])
    above.suptitle("over space", x=0.01, ha="left", color=SPACE, fontsize=11)
    below.suptitle("over time", x=0.01, ha="left", color=TIME, fontsize=11)
    for k, patch in enumerate(patches):
        draw_frame(
            above.add_subplot(rows[0], columns, k + 1), 0.5 + 0.5 * patch.transpose(1, 2, 0) / np.abs(patch).max()
        )
    for k, course in enumerate(courses):
        axes = below.add_subplot(rows[1], columns, k + 1)
        axes.axhline(0, color=PALE, lw=0.8)
        axes.plot(course.T, color=TIME, lw=0.6, alpha=0.35)
        axes.plot(course[np.abs(course).max(1).argmax()], "o-", color=TIME, lw=1.8, ms=3)
        axes.set(xticks=[], yticks=[], ylim=1.1 * np.abs(course).max() * np.array((-1, 1)))
        axes.spines[:].set_visible(False)
    return figure


def check_mend(answer):
    """Notebook 06: a state dict with the names that fit a network, when all of them have one wrong prefix or none."""

    def attempt():
        network = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Sequential(nn.Linear(4, 2)))
        _randomise(network)
        state = dict(reversed(network.state_dict().items()))  # a file may have another order
        for prefix in ("module.", "", "model.backbone.", "0."):
            given = answer({prefix + name: tensor for name, tensor in state.items()}, network)
            assert isinstance(given, dict), "Return a dict of names and tensors."
            assert set(given) == set(state), (
                f"With the prefix {prefix!r} the first name becomes {next(iter(given), None)!r}."
            )
            assert all(torch.equal(given[name], state[name]) for name in state), (
                "The names are right, but the tensors have changed places."
            )

    return check("mend", answer, attempt)


def check_load_features(answer):
    """Notebook 06: load all but fc.weight and fc.bias into a network; ValueError if any other name does not fit."""

    def attempt():
        generator = torch.Generator().manual_seed(0)

        def network(classes):
            return nn.ModuleDict({"stem": nn.Conv3d(3, 4, 1), "norm": nn.BatchNorm3d(4), "fc": nn.Linear(4, classes)})

        state = {
            name: torch.rand(tensor.shape, generator=generator) for name, tensor in network(400).state_dict().items()
        }
        state["norm.num_batches_tracked"] = torch.tensor(7)
        mine = network(5)
        last = mine.fc.weight.clone()
        answer(mine, dict(state))
        loaded = mine.state_dict()
        for name in ("stem.weight", "stem.bias", "norm.running_var"):
            assert torch.equal(loaded[name], state[name]), f"{name} was not loaded."
        assert torch.equal(loaded["fc.weight"], last), "The last layer of the network has changed."
        for what, wrong in {
            "a name is missing": {name: tensor for name, tensor in state.items() if name != "stem.bias"},
            "a name is unexpected": state | {"layer5.weight": torch.zeros(1)},
            "every name has a prefix": {f"module.{name}": tensor for name, tensor in state.items()},
        }.items():
            try:
                answer(network(5), dict(wrong))
            except ValueError:
                continue
            except AssertionError as error:
                raise AssertionError(f"When {what}, raise a ValueError, not an AssertionError.") from error
            raise AssertionError(f"Raise a ValueError when {what}.")
        answer(network(5), {name: tensor for name, tensor in state.items() if not name.startswith("fc")})

    return check("load_features", answer, attempt)
