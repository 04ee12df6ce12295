"""Notebook 10: its figures, its long trainings and the checks of its exercises."""

import math

import numpy as np
import pytest
import torch
from lesson_tests import assert_readable, colors, exercise_tests
from matplotlib.patches import Polygon, Rectangle
from matplotlib.quiver import Quiver
from torch import nn

from helpers import plots
from helpers.lessons import meet_the_ancestors as lesson
from helpers.stickfigures import Scene
from helpers.transforms import random_horizontal_flip


def frames_seen(extents, strides):
    return 1 + sum((extent - 1) * math.prod(strides[:k]) for k, extent in enumerate(extents))


def last_change(predictions):
    return max((k for k in range(1, len(predictions)) if predictions[k] != predictions[k - 1]), default=0)


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_flow_channels": lambda frames: 2 * frames - 2,
        "check_frames_seen": frames_seen,
        "check_settled": lambda logits: last_change(logits.argmax(1).tolist()),
    },
    wrong={
        "check_flow_channels": [
            (lambda frames: 2 * frames, "between them, with two numbers"),
            (lambda frames: 2, "nine flow fields"),
            (lambda frames: max(2, 2 * frames - 2), "A single frame"),
            (lambda frames: min(2 * frames - 2, 100), "128 channels, not 100"),
        ],
        "check_frames_seen": [
            (lambda extents, strides: 10, "whatever its stride"),
            (lambda extents, strides: sum(extents) - len(extents) + 1, "Slow fusion's third layer"),
            (lambda extents, strides: frames_seen(extents, strides) + (strides[0] > 2), "whatever its stride"),
            (lambda extents, strides: frames_seen(extents, [2] * len(extents)), "with stride 1"),
            (lambda extents, strides: frames_seen(extents[:3], strides), r"\(7, 3, 3, 3\)"),
        ],
        "check_settled": [
            (lambda logits: 0, "stands from frame 2 on"),
            (lambda logits: logits.argmax(1).tolist().index(logits[-1].argmax()), r"\(2, 1, 2, 1, 1, 1\)"),
            (lambda logits: len(logits) - 1, "stands from frame 2 on, not 4"),
            (lambda logits: last_change(logits.argmin(1).tolist()), "If the predictions are"),
            (lambda logits: last_change((logits[:, -1] > -1.5).tolist()), "If the predictions are"),
            (lambda logits: last_change(logits.argmax(1).tolist()) or 1, r"\(3, 3, 3\)"),
        ],
    },
)


def test_the_relatives_have_a_box_for_each_convolution_as_wide_as_its_channels():
    figure = lesson.relatives_figure(channels=64, middle=144)
    (axes,) = figure.get_axes()
    boxes = [patch for patch in axes.patches if isinstance(patch, (Rectangle, Polygon))]
    found = colors(boxes)
    assert found.count(plots.SPACE) == found.count(plots.TIME) == 5  # 3D is one box with both colors
    widths = {round(box.get_width() / 0.6 * 64) for box in boxes if isinstance(box, Rectangle)}
    assert widths == {64, 144}
    assert [text.get_text() for text in axes.texts if text.get_text().isdigit()] == ["64", "64", "144"]
    assert sum(line.get_marker() == "+" for line in axes.lines) == 3  # P3D-B joins two paths, P3D-C one
    assert_readable(figure)


def test_the_arrows_are_the_flow_where_it_is_fast_and_the_steps_of_the_joints():
    frames, joints = np.zeros((3, 30, 40, 3), np.uint8), np.full((3, 16, 2), 20.0)
    joints[2, :, 0] += 4  # between the frames 1 and 2 all joints go 4 pixels to the right
    field = torch.zeros(2, 2, 30, 40)
    field[1, 1, :, 20:] = -3.0  # and the right half goes up by 3
    figure = lesson.flow_figure({"a": (Scene(frames, None, joints), 1)}, lambda _: field, every=10)
    (axes,) = figure.get_axes()
    flow, steps = axes.findobj(Quiver)
    assert sorted(map(tuple, flow.get_offsets())) == [(x, y) for x in (23, 33) for y in (3, 13, 23)]
    assert set(flow.U) == {0} and set(flow.V) == {-3}
    assert set(steps.U) == {4} and set(steps.V) == {0} and np.all(steps.get_offsets() == 19.5)
    assert axes.get_title(loc="left") == "a"
    assert_readable(figure)


class Tiny(nn.Module):
    """The mean of a clip over its pixels, frame by frame, as features; with the parts that the trainings ask for."""

    def __init__(self):
        super().__init__()
        self.cnn, self.fc = nn.Linear(3, 4), nn.Linear(4, 10)

    def at_each_frame(self, x):  # (B, C, T, H, W) to (B, T, 10)
        return self.fc(self.cnn(x.mean((3, 4)).transpose(1, 2)).cumsum(1))

    def forward(self, x):
        return self.at_each_frame(x)[:, -1]


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "checkpoint_path", lambda name: tmp_path / f"{name}.pt")

    def build(name, seed):
        torch.manual_seed(seed)
        return Tiny()

    def make_clips(clips, seed, name="", paired=False):
        asked.append((clips, seed, name, paired))
        generator = torch.Generator().manual_seed(seed)
        return [(torch.randn(3, 2, 4, 4, generator=generator), k % 10) for k in range(20)]

    asked = []
    trainings = lesson.Trainings(build, make_clips, lambda name: random_horizontal_flip, lambda image, ends: image)
    trainings.asked = asked
    return trainings


def test_a_training_tests_on_500_paired_clips_that_it_was_not_trained_on(trainings):
    run = trainings.alone("slow", seed=3, clips=40, epochs=2, lr=1e-3)
    assert trainings.asked == [(40, 1003, "slow", False), (500, 2003, "slow", True)]
    assert run["parameters"] == 66 and [line["epoch"] for line in run["history"]] == [1, 2]
    assert np.sum(run["table"]) == 20 and np.trace(run["table"]) == 20 * run["history"][-1]["test"]


def test_the_svm_is_fitted_on_clips_that_no_stream_was_trained_or_tested_on(trainings):
    run = trainings.two_streams(seed=1, clips=40, epochs=1, lr=1e-3)
    assert list(run["tables"]) == ["spatial", "temporal", "average", "svm"]
    assert (500, 4001, "spatial", False) in trainings.asked and (500, 4001, "temporal", False) in trainings.asked
    assert run["tables"]["spatial"] == run["tables"]["temporal"] == run["tables"]["average"]  # the same network here
    assert all(np.sum(table) == 20 for table in run["tables"].values())


def test_the_lstm_keeps_the_cnn_of_max_pooling_and_predicts_after_each_frame(trainings, monkeypatch):
    kept, train = {}, lesson.Trainings.train

    def remember(self, name, *args, **options):
        network, run = train(self, name, *args, **options)
        kept[name] = network
        return network, run

    monkeypatch.setattr(lesson.Trainings, "train", remember)
    run = trainings.lstm(seed=1, clips=40, epochs=1, lr=1e-2, lstm_epochs=3, lstm_lr=1e-2)
    assert torch.equal(kept["lstm"].cnn.weight, kept["maxpool"].cnn.weight)
    assert not torch.equal(kept["lstm"].fc.weight, kept["maxpool"].fc.weight)
    assert not torch.equal(kept["maxpool"].cnn.weight, trainings.build("maxpool", 1).cnn.weight)
    assert run["parameters"] == 66 and len(run["truth"]) == len(run["right"]) == 2
    assert run["right"][-1] == np.trace(run["table"]) / 20


def test_inflation_is_measured_with_both_ends_before_it_is_trained(trainings):
    trainings.inflated = lambda image, ends: nn.Sequential(image, nn.Threshold(1e9, float(ends == "zeros")))
    run = trainings.i3d(seed=1, clips=40, epochs=1, lr=1e-3, tuned_epochs=1)
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
    assert lesson.deviation_when_still(Image(), Image(), x) == 0
    assert lesson.deviation_when_still(Image(), Network(), x) == 0.25
