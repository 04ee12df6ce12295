"""Notebook 10: its figures and the checks of its exercises."""

import math

import numpy as np
import torch
from lesson_tests import assert_readable, colors, exercise_tests
from matplotlib.patches import Polygon, Rectangle
from matplotlib.quiver import Quiver

from helpers import plots
from helpers.lessons import meet_the_ancestors as lesson
from helpers.stickfigures import Scene


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
