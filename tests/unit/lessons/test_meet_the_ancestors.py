"""Notebook 10: the checks of its exercises."""

import math

from lesson_tests import exercise_tests

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
