"""Notebook 06: its figure and the checks of its exercises."""

import numpy as np
from lesson_tests import assert_readable, exercise_tests

from helpers.lessons import load_pretrained_weights as lesson


def mend(state, network):
    cut = min(map(len, state)) - min(map(len, network.state_dict()))
    return {name[cut:]: value for name, value in state.items()}


def load_features(network, state, skip=("fc.weight", "fc.bias"), unexpected=True):
    report = network.load_state_dict({name: value for name, value in state.items() if name not in skip}, strict=False)
    if set(report.missing_keys) - set(skip) or (unexpected and report.unexpected_keys):
        raise ValueError("does not fit")


def load_anything(network, state):
    network.load_state_dict({name: value for name, value in state.items() if name[:2] != "fc"}, strict=False)


def load_with_assert(network, state):
    kept = {name: value for name, value in state.items() if name[:2] != "fc"}
    assert kept.keys() | {"fc.weight", "fc.bias"} == network.state_dict().keys()
    network.load_state_dict(kept, strict=False)


test_right, test_wrong = exercise_tests(
    lesson,
    right={"check_mend": mend, "check_load_features": load_features},
    wrong={
        "check_mend": [
            (
                lambda state, network: {n.removeprefix("module."): t for n, t in state.items()},
                "prefix 'model.backbone.'",
            ),
            (lambda state, network: {n.partition(".")[2]: t for n, t in state.items()}, "prefix ''"),
            (lambda state, network: list(state), "Return a dict"),
            (lambda state, network: dict(zip(network.state_dict(), state.values())), "changed places"),
        ],
        "check_load_features": [
            (lambda network, state: network.load_state_dict(state), "RuntimeError"),
            (lambda network, state: None, "stem.weight was not loaded"),
            (load_anything, "when a name is missing"),
            (lambda network, state: load_features(network, state, unexpected=False), "when a name is unexpected"),
            (
                lambda network, state: load_features(network, state, ("fc.weight", "fc.bias", "stem.weight")),
                "not loaded",
            ),
            (load_with_assert, "raise a ValueError, not an AssertionError"),
        ],
    },
)


def test_filters_are_drawn_as_patches_and_curves():
    rng = np.random.default_rng(0)
    spatial, temporal = rng.normal(size=(14, 3, 7, 7)), rng.normal(size=(5, 4, 3))
    axes = lesson.filters_figure(spatial, temporal).get_axes()
    drawn = [each.images[0].get_array() for each in axes if each.images]
    assert np.allclose(drawn, [0.5 + 0.5 * patch.transpose(1, 2, 0) / abs(patch).max() for patch in spatial])
    for each, weights in zip([each for each in axes if not each.images], temporal, strict=True):
        lines = [line for line in each.lines if len(line.get_ydata()) == 3]
        assert np.allclose([line.get_ydata() for line in lines[:4]], weights)
        assert np.allclose(lines[4].get_ydata(), weights[abs(weights).max(1).argmax()])  # the strongest, a thick line
        assert lines[4].get_linewidth() > 1
    assert_readable(lesson.filters_figure(spatial, temporal))
