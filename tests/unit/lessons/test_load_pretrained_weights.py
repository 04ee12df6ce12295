"""Notebook 06: its figure and the checks of its exercises."""

import numpy as np
import torch
from lesson_tests import assert_readable, exercise_tests, pictures, record

from helpers.lessons import load_pretrained_weights as lesson
from helpers.networks import r2plus1d_18
from helpers.transforms import normalize


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
    right={
        "check_to_rgb": lambda frames: frames.flip(-1),
        "check_mend": mend,
        "check_load_features": load_features,
    },
    wrong={
        "check_to_rgb": [
            (lambda frames: frames.numpy()[..., ::-1], "Return a tensor"),
            (lambda frames: frames.permute(0, 3, 1, 2), r"not \(4, 3, 6, 5\)"),
            (lambda frames: frames.flip(-1).float(), "stay uint8"),
            (lambda frames: frames.copy_(frames.flip(-1)), "passed in have changed"),
            (lambda frames: frames, "The pixel .* becomes"),
            (lambda frames: frames.flip(0), "The pixel .* becomes"),
            (lambda frames: frames.roll(1, -1), "The pixel .* becomes"),
        ],
        "check_mend": [
            (
                lambda state, network: {n.removeprefix("module."): t for n, t in state.items()},
                "prefix 'model.backbone.'",
            ),
            (lambda state, network: {n.partition(".")[2]: t for n, t in state.items()}, "prefix ''"),
            (lambda state, network: list(state), "Return a dict"),
            (lambda state, network: dict(zip(network.state_dict(), state.values())), "name of another"),
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
    stems = {name: (rng.normal(size=(14, 3, 7, 7)), rng.normal(size=(5, 4, 3))) for name in ("after", "before")}
    figure = lesson.filters_figure(stems)
    axes = figure.get_axes()
    drawn = [each.images[0].get_array() for each in axes if each.images]
    patches = [patch for spatial, _ in stems.values() for patch in spatial]
    assert np.allclose(drawn, [0.5 + 0.5 * patch.transpose(1, 2, 0) / abs(patch).max() for patch in patches])
    curves = [weights for _, temporal in stems.values() for weights in temporal]
    thick = [abs(weights).max(1).argmax() for weights in stems["after"][1]] * 2  # the same channels in both
    for each, weights, k in zip([each for each in axes if not each.images], curves, thick, strict=True):
        lines = [line for line in each.lines if len(line.get_ydata()) == 3]
        assert np.allclose([line.get_ydata() for line in lines[:4]], weights)
        assert np.allclose(lines[4].get_ydata(), weights[k]) and lines[4].get_linewidth() > 1
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == [f"{kind} filters, {name}" for kind in ("spatial", "temporal") for name in stems]
    assert_readable(figure)


def test_the_stems_of_networks_are_shown_with_a_sentence(monkeypatch):
    shown = record(monkeypatch)
    networks = {name: r2plus1d_18(10, width=16) for name in ("one", "another")}
    lesson.show_stem(networks)
    ((figure, alt),) = shown
    assert alt.startswith("Stems: one, another. ") and "11 small patches" in alt and alt.endswith(".")
    assert "16 bundles" in alt and "3 frames" in alt
    for number, network in ((3, networks["one"]), (14, networks["another"])):
        patch = network.stem[0].weight[:, :, 0].detach().numpy()[3]
        assert np.allclose(pictures(figure)[number], 0.5 + 0.5 * patch.transpose(1, 2, 0) / abs(patch).max())


def test_places_have_their_colors_and_a_figure_that_moves():
    colors = (200, 100, 60), (60, 100, 200)
    clips, labels = lesson.colored_places(colors, count=5, seed=3)
    assert labels.tolist() == [0, 1, 0, 1, 0]
    for clip, label in zip(clips, labels, strict=True):
        assert clip.shape == (8, 32, 32, 3) and clip.dtype == torch.uint8
        assert (clip.float().flatten(0, 2).median(0).values - torch.tensor(colors[label])).abs().max() < 3
        assert (clip[0].int() - clip[-1].int()).abs().max() > 50  # more than noise: the figure has moved
    again, _ = lesson.colored_places(colors, count=5, seed=3)
    other, _ = lesson.colored_places(colors, count=5, seed=4)
    assert torch.equal(clips[4], again[4]) and not torch.equal(clips[4], other[4])


def test_clips_are_drawn_as_a_network_reads_them():
    clips, _ = lesson.colored_places([(200, 100, 60), (60, 100, 200)], count=2, seed=0)
    rows = {"right": normalize, "swapped": lambda frames: normalize(frames.flip(-1))}
    figure = lesson.as_read_figure(clips, ["one", "two"], rows)
    drawn = [clip[0].numpy()[..., ::step] for step in (1, -1) for clip in clips]
    assert np.array_equal(pictures(figure), drawn)
    axes = figure.get_axes()
    assert [each.get_xlabel() for each in axes] == ["", "", "one", "two"]
    assert [each.get_ylabel() for each in axes] == ["right", "", "swapped", ""]
    assert_readable(figure)
