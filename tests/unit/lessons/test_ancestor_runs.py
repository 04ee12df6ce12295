"""Notebook 10: its long trainings, what is stored of them, and the table."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers.lessons import ancestor_runs
from helpers.stickfigures import ACTIONS
from helpers.training import predict
from helpers.transforms import random_horizontal_flip


class Tiny(nn.Module):
    """The mean of a clip over its pixels, frame by frame, as features; with the parts that the trainings ask for."""

    def __init__(self):
        super().__init__()
        self.cnn, self.fc = nn.Linear(3, 4), nn.Linear(4, 10)

    def forward(self, x):  # (B, C, T, H, W) to (B, 10)
        return self.fc(self.cnn(x.mean((3, 4)).transpose(1, 2)).cumsum(1))[:, -1]


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    monkeypatch.setattr(ancestor_runs, "checkpoint_path", lambda name: tmp_path / f"{name}.pt")

    def build(name, seed):
        torch.manual_seed(seed)
        return Tiny()

    def make_clips(clips, seed, name="", paired=False):
        asked.append((clips, seed, name, paired))
        generator = torch.Generator().manual_seed(seed)
        return [(torch.randn(3, 2, 4, 4, generator=generator), k % 10) for k in range(20)]

    asked = []
    trainings = ancestor_runs.Trainings(
        build, make_clips, lambda name: random_horizontal_flip, lambda image, ends: image
    )
    trainings.asked = asked
    return trainings


def test_a_training_chooses_and_tests_on_500_paired_clips_each_that_it_was_not_trained_on(trainings):
    network, run = trainings.train("slow", seed=3, clips=40, epochs=2, lr=1e-2)
    sets = [(40, 1003, "slow", False), (500, 3003, "slow", True), (500, 2003, "slow", True)]
    assert trainings.asked == sets
    assert run["parameters"] == 66 and [line["epoch"] for line in run["history"]] == [1, 2]
    val_set, test_set = (trainings.make_clips(*some) for some in sets[1:])
    assert run["rates"] == {"0.01": round(ancestor_runs.accuracy_of(*predict(network, val_set)), 4)}
    logits, labels = predict(network, test_set)
    assert np.array_equal(
        run["table"], [[((labels == i) & (logits.argmax(1) == j)).sum() for j in range(10)] for i in range(10)]
    )
    assert (
        run["lr"] == 0.01
        and run["precision"] == "float32"
        and trainings.alone("slow", seed=3, clips=40, epochs=2, lr=1e-2) == run
    )


def test_of_several_rates_the_first_of_the_best_on_validation_clips_is_taken(trainings, monkeypatch):
    alone = trainings.train("slow", seed=1, clips=40, epochs=1, lr=1e-2)[0]
    scores = iter((0.2, 0.6, 0.6))
    monkeypatch.setattr(ancestor_runs, "accuracy_of", lambda logits, labels: next(scores))
    trainings.asked.clear()
    network, run = trainings.train("slow", seed=1, clips=40, epochs=1, lr=[1e-3, 1e-2, 0.1])
    assert run["lr"] == 0.01 and run["rates"] == {"0.001": 0.2, "0.01": 0.6, "0.1": 0.6}
    assert torch.equal(network.fc.weight, alone.fc.weight)
    assert [seed for _, seed, *_ in trainings.asked] == [1001, 3001, 2001]  # the test clips are read once, at the end


def test_the_second_seed_takes_the_rate_that_the_first_has_chosen(trainings, monkeypatch):
    asked = []

    def load(name, make, /, **settings):
        asked.append((name, make.__name__, settings))
        return dict(lr=settings["lr"][-1] if settings["seed"] == 1 else settings["lr"])

    monkeypatch.setattr(ancestor_runs, "load_or_run", load)
    trainings.both("r3d_short", clips=40, epochs=4, lr=[1e-3, 1e-2])
    trainings.both("lstm", clips=40, epochs=8, lr=[1e-3, 1e-2], cnn_epochs=16, cnn_lr=0.5)
    short = dict(name="r3d", tag="_short", clips=40, epochs=4)
    lstm = dict(clips=40, epochs=8, cnn_epochs=16, cnn_lr=0.5)
    assert asked == [
        ("ancestors_r3d_short_1", "alone", dict(short, seed=1, lr=[1e-3, 1e-2])),
        ("ancestors_r3d_short_2", "alone", dict(short, seed=2, lr=1e-2)),
        ("ancestors_lstm_1", "lstm", dict(lstm, seed=1, lr=[1e-3, 1e-2])),
        ("ancestors_lstm_2", "lstm", dict(lstm, seed=2, lr=1e-2)),
    ]


def test_the_svm_is_fitted_on_clips_that_no_stream_was_trained_or_tested_on(trainings):
    run = trainings.two_streams(seed=1, clips=40, epochs=1, lr=dict(spatial=1e-3, temporal=1e-3))
    assert list(run["tables"]) == ["spatial", "temporal", "average", "svm"]
    assert (500, 4001, "spatial", False) in trainings.asked and (500, 4001, "temporal", False) in trainings.asked
    assert run["tables"]["spatial"] == run["tables"]["temporal"] == run["tables"]["average"]  # the same network here
    assert all(np.sum(table) == 20 for table in run["tables"].values())


def test_the_lstm_keeps_the_cnn_of_max_pooling(trainings, monkeypatch):
    kept, train = {}, ancestor_runs.Trainings.train

    def remember(self, name, *args, **options):
        network, run = train(self, name, *args, **options)
        kept[name] = network
        return network, run

    monkeypatch.setattr(ancestor_runs.Trainings, "train", remember)
    run = trainings.lstm(seed=1, clips=40, epochs=3, lr=1e-2, cnn_epochs=1, cnn_lr=1e-2)
    assert torch.equal(kept["lstm"].cnn.weight, kept["maxpool"].cnn.weight)
    assert not torch.equal(kept["lstm"].fc.weight, kept["maxpool"].fc.weight)
    assert not torch.equal(kept["maxpool"].cnn.weight, trainings.build("maxpool", 1).cnn.weight)
    assert run["parameters"] == 66 and len(run["history"]) == 3


def test_inflation_is_measured_with_both_ends_before_it_is_trained(trainings):
    trainings.inflated = lambda image, ends: nn.Sequential(image, nn.Threshold(1e9, float(ends == "zeros")))
    run = trainings.i3d(seed=1, clips=40, epochs=1, lr=1e-3, image_epochs=1, image_lr=1e-3)
    assert set(run["before"]) == set(run["off"]) == {"replicate", "zeros"}
    assert run["off"]["zeros"] > run["off"]["replicate"] > 0 and len(run["history"]) == 1


def test_the_deviation_is_a_fraction_of_the_largest_logit():
    class Image(nn.Module):
        def forward(self, x):  # (B, 3, T, 1, 1)
            return x.mean(2).flatten(1)

    class Network(Image):
        def forward(self, x):
            assert x.shape[2] == 10
            return super().forward(x) * torch.tensor([1.0, 1.0, 0.5])

    x = torch.tensor([1.0, -4.0, 2.0]).view(1, 3, 1, 1, 1)
    assert ancestor_runs.deviation_when_still(Image(), Image(), x) == 0
    assert ancestor_runs.deviation_when_still(Image(), Network(), x) == 0.25


FOUR = (3.5e-4, 7e-4, 1.4e-3, 2.8e-3)
RATES = dict.fromkeys(ancestor_runs.NAMES, FOUR[:3]) | dict.fromkeys(("single", "spatial", "i3d"), FOUR)
RATES |= dict(r3d_short=(1.75e-4, *FOUR), lstm=(7.5e-4, 1.5e-3, 3e-3, 6e-3))
SETTINGS = dict(clips=2000, epochs=16, lstm_epochs=8, short_epochs=4, rates=RATES)


def test_all_that_the_table_needs_is_stored(trainings, capsys):
    runs = trainings.stored(**SETTINGS)
    assert set(runs) == {*ancestor_runs.NAMES, "replicate", "zeros", "r3d_short"}
    assert all(
        np.shape(run["table"]) == (10, 10) and np.sum(run["table"]) == 500 for two in runs.values() for run in two
    )
    assert len(runs["i3d"][0]["history"]) == len(runs["r3d_short"][0]["history"]) == 4
    assert all(run["off"]["replicate"] < 1e-5 for run in runs["i3d"])  # inflation is exact for trained weights, too
    with pytest.raises(ValueError, match="with .*16"):
        trainings.stored(**SETTINGS | dict(epochs=17))
    assert not trainings.asked  # nothing was trained
    for name, rates in RATES.items():
        if "rates" in runs[name][0]:  # not the two streams together
            scores, best = list(runs[name][0]["rates"].values()), rates.index(runs[name][0]["lr"])
            assert scores[best] == max(scores) and runs[name][1]["lr"] == rates[best]
            # A best rate at an end is hardly better than its neighbor.
            assert 0 < best < len(rates) - 1 or scores[best] - scores[1 if best == 0 else -2] < 0.01
    cost = {name: np.array([2e6, 3e8, 0.5]) for name in ancestor_runs.NAMES}
    ancestor_runs.print_table(runs, cost)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 15 and all(line.endswith("  2.00  300  1.00") for line in lines[1:])
    assert all(len(line) == len(lines[0]) < 80 for line in lines)


def test_the_accuracy_is_that_of_all_runs_together_on_the_actions_asked_for():
    tables = np.zeros((2, 10, 10), int)
    tables[:, 0, 0], tables[:, 0, 1] = (30, 50), (20, 0)  # "raise arms": 80 of 100
    tables[:, 1, 0] = 50  # "lower arms": none
    runs = [dict(table=table.tolist()) for table in tables]
    fraction, low, high = ancestor_runs.accuracy(runs)
    assert fraction == 0.4 and low < 0.4 < high
    assert (
        ancestor_runs.accuracy(runs, ACTIONS[:1])[0] == 0.8 and ancestor_runs.accuracy(runs[:1], ACTIONS[:1])[0] == 0.6
    )
    assert ancestor_runs.accuracy(runs, {"lower arms"})[0] == 0


def test_the_cost_counts_what_a_convolution_and_an_lstm_multiply():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lstm = nn.Conv3d(3, 4, 1, bias=False), nn.LSTM(4, 5)

        def forward(self, x):
            return self.lstm(self.conv(x).mean((3, 4)).permute(2, 0, 1))[0]

    size, work, time = ancestor_runs.cost_of(Network(), torch.randn(3, 6, 2, 2))
    weights = 4 * 5 * (4 + 5)
    assert size == 3 * 4 + weights + 2 * 4 * 5  # with the biases of the LSTM
    assert work == 3 * 4 * 6 * 2 * 2 + 6 * weights and time > 0
