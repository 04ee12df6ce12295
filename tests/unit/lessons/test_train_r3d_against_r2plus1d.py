"""Notebook 09: the clips and trainings of its second comparison, its figures, and the checks of its exercises."""

import numpy as np
import pytest
import torch
from lesson_tests import assert_readable, exercise_tests

from helpers.lessons import train_r3d_against_r2plus1d as lesson
from helpers.networks import NETWORKS
from helpers.stickfigures import REVERSE_OF


def test_a_reversed_action_shows_the_clip_before_it_backwards_with_its_noise():
    noisy, clean = (lesson.noisy_clips(30, 1, noise, 6, 32, paired=True) for noise in (16, 0))
    pairs = [k for k, (_, label) in enumerate(noisy) if lesson.FIFTEEN[label] in REVERSE_OF]
    assert len(pairs) > 3
    for k in pairs:
        assert torch.equal(noisy[k][0], noisy[k - 1][0].flip(1))
    assert noisy[0][0].shape == (3, 6, 32, 32) and not torch.equal(noisy[0][0], clean[0][0])
    assert lesson.noisy_clips(30, 1, 16, 6, 32, paired=True) is noisy  # drawn once


def test_a_training_follows_from_its_numbers_and_sees_the_test_clips_once():
    def build(name, depth, width, frames):
        return NETWORKS[f"{name}_{depth}"](len(lesson.FIFTEEN), width, paper_widths=True, frames=frames)

    numbers = dict(noise=16, clips=32, others=15, frames=10, size=32, width=8, lr=1e-3, epochs=2, depth=18)
    runs = [
        lesson.fairly(build, "r3d", seed=seed, test=test, **numbers)
        for seed, test in ((1, True), (1, False), (2, True))
    ]
    first, again, other = runs
    assert first["history"] == again["history"] != other["history"] and "test" not in again
    assert [set(line) for line in first["history"]] == [{"loss", "train", "seen", "val"}] * 2
    assert 0 <= first["test"] <= 1 and first["parameters"] == again["parameters"] > 0
    by_sgd = lesson.fairly(build, "r3d", seed=1, test=False, sgd=True, **numbers)
    assert by_sgd["history"] != again["history"] and np.isfinite([line["loss"] for line in by_sgd["history"]]).all()


def test_the_rate_of_sgd_grows_for_ten_of_45_epochs_and_falls_in_three_steps():
    layer = torch.nn.Linear(2, 2)
    optimizer, schedule = lesson.sgd_in_steps(layer, lr=0.5, steps=450)
    rates = []
    for _ in range(450):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.5 / 100) and np.allclose(np.diff(rates[:99]), 0.5 / 100)
    ends = [0.5, 0.05, 0.005, 0.0005]
    for after, rate in zip((10, 20, 30, 40), ends):  # epochs of ten steps
        assert np.allclose(rates[10 * after - 1 : 10 * after + 49], rate)
    assert optimizer.defaults["momentum"] == 0.9 and optimizer.defaults["weight_decay"] == 1e-4


def test_figures_show_what_they_are_given():
    assert_readable(lesson.one_cycle(np.linspace(0, 1, 100)))
    curves = {name: 50 + np.arange(6.0).reshape(2, 3) + k for k, name in enumerate(("r3d", "r2plus1d"))}
    figure = lesson.error_curves(lambda name, what: curves[name], curves)
    assert_readable(figure)
    assert [len(axes.lines) for axes in figure.axes] == [6, 6]
    assert list(figure.axes[0].lines[2].get_ydata()) == [51.5, 52.5, 53.5]  # the mean of two seeds
    sweep = {(name, depth, lr): 90 * lr + depth for name in curves for depth in (18, 34) for lr in (0.1, 0.2)}
    figure = lesson.rate_curves(sweep)
    assert_readable(figure)
    guess, r3d, _ = figure.axes[1].lines
    assert guess.get_ydata()[0] == pytest.approx(100 - 100 / 15) and list(r3d.get_ydata()) == [43, 52]
    run = dict(history=[dict(seen=0.5, val=0.4), dict(seen=1.0, val=0.9)])
    figure = lesson.long_curves({(name, depth): [run, run] for name in curves for depth in (18, 34)}, steps=375)
    assert_readable(figure)
    training, *_ = figure.axes[0].lines
    assert list(training.get_xdata()) == [375, 750] and list(training.get_ydata()) == [50, 0.1]
    assert figure.axes[1].get_yscale() == "log"


def order_matters(network, clip, axis=1, stay=False):
    mode = network.training
    network.eval()
    with torch.no_grad():
        forwards, backwards = network(clip[None]), network(clip.flip(axis)[None])
    if not stay:
        network.train(mode)
    return not torch.allclose(forwards, backwards, atol=1e-5)


def exactly(network, clip):
    return bool((network(clip[None]) != network(clip.flip(1)[None])).any())


test_right, test_wrong = exercise_tests(
    lesson,
    right={"check_ceiling": lambda actions, pairs: 1 - pairs / actions, "check_order_matters": order_matters},
    wrong={
        "check_ceiling": [
            (lambda actions, pairs: 0.7, "Without pairs"),
            (lambda actions, pairs: (actions - 2 * pairs) / actions, "one of every two clips can be right"),
            (lambda actions, pairs: (actions - pairs) / max(actions, 2) if actions < 11 else 0.9, "400 actions"),
        ],
        "check_order_matters": [
            (lambda network, clip: True, "A mean over single frames"),
            (lambda network, clip: False, "with 3D convolutions change"),
            (exactly, "Allow for rounding|Compare in eval mode"),
            (lambda network, clip: order_matters(network, clip, stay=True), "Put the network back"),
            (lambda network, clip: order_matters(network, clip, axis=2), "does not depend on their order|axis of time"),
            (lambda network, clip: network(clip), "ValueError: a network takes a batch"),
        ],
    },
)
