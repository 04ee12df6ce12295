"""Notebook 10: its figure and the checks of its exercises."""

import math

from lesson_tests import assert_readable, colors, exercise_tests
from matplotlib.patches import Polygon, Rectangle

from helpers import plots
from helpers.lessons import meet_the_ancestors as lesson


def frames_seen(extents, strides):
    return 1 + sum((extent - 1) * math.prod(strides[:k]) for k, extent in enumerate(extents))


def last_change(predictions):
    return max((k for k in range(1, len(predictions)) if predictions[k] != predictions[k - 1]), default=0)


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_frames_seen": frames_seen,
        "check_settled": lambda logits: last_change(logits.argmax(1).tolist()),
    },
    wrong={
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
