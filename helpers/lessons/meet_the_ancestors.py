"""The figures, explorers and exercise checks of notebook 10."""

import torch
from torch.nn import functional as F

from helpers.lessons.exercises import check


def check_frames_seen(answer):
    """Notebook 10: over how many frames one number of the last layer reaches, from the extents and strides of all layers."""

    def attempt():
        assert answer((4, 2, 2), (2, 2, 2)) == 10, "Slow fusion's third layer sees ten frames."
        assert answer((5,), (3,)) == 5, "One layer sees its extent, whatever its stride."
        assert answer((3, 3), (1, 1)) == 5, "Two layers of 3 with stride 1 see 5 frames."
        for extents, strides in (
            ((3, 1, 3), (2, 2, 1)),
            ((1, 1), (4, 4)),
            ((7, 3, 3, 3), (1, 2, 2, 2)),
            ((2, 5), (3, 1)),
        ):
            seen = {0}  # walked from the last layer to the clip
            for extent, stride in zip(reversed(extents), reversed(strides)):
                seen = {place * stride + k for place in seen for k in range(extent)}
            right = max(seen) - min(seen) + 1
            given = answer(extents, strides)
            assert given == right, (
                f"Extents {extents} with strides {strides} reach over {right} frames; you say {given}."
            )

    return check("frames_seen", answer, attempt)


def check_settled(answer):
    """Notebook 10: from logits (T, classes) the frame from which on the answer stays the same."""

    def attempt():
        def logits(*answers):
            return F.one_hot(torch.tensor(answers), 4).float() - 2

        for answers, right in (
            ((0, 1, 2, 2, 2), 2),
            ((3, 3, 3), 0),
            ((1, 1, 0), 2),
            ((2, 1, 2, 1, 1, 1), 3),
            ((0,), 0),
        ):
            given = answer(logits(*answers))
            assert given == right, (
                f"If the answers are {answers}, the last one stands from frame {right} on; you say {given}."
            )
        assert answer(torch.tensor([[1.0, 2.0], [3.0, 2.0], [9.0, 2.0]])) == 1, (
            "Its answer is the class with the highest logit."
        )

    return check("settled", answer, attempt)
