"""The exercise checks of notebook 10."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from helpers.lessons.exercises import exercise, require

__all__ = ["check_frames_seen", "check_settled"]


@exercise
def check_frames_seen(solution: Callable) -> None:
    """Notebook 10: the temporal receptive field of the last layer, from the temporal extents and strides of all layers."""
    require(solution((4, 2, 2), (2, 2, 2)) == 10, "Slow fusion's third layer has a receptive field of ten frames.")
    require(solution((5,), (3,)) == 5, "The receptive field of one layer is its extent, whatever its stride.")
    require(solution((3, 3), (1, 1)) == 5, "Two layers of extent 3 with stride 1 have a receptive field of 5 frames.")
    for extents, strides in (
        ((3, 1, 3), (2, 2, 1)),
        ((1, 1), (4, 4)),
        ((7, 3, 3, 3), (1, 2, 2, 2)),
        ((2, 5), (3, 1)),
    ):
        frames = {0}  # from the last layer back to the clip
        for extent, stride in zip(reversed(extents), reversed(strides)):
            frames = {frame * stride + k for frame in frames for k in range(extent)}
        right, returned = max(frames) - min(frames) + 1, solution(extents, strides)
        hint = f"Extents {extents} with strides {strides} have a receptive field of {right} frames, not {returned}."
        require(returned == right, hint)


@exercise
def check_settled(solution: Callable) -> None:
    """Notebook 10: from logits (T, classes) the frame from which on the prediction stays the same."""
    for predictions, right in (
        ((0, 1, 2, 2, 2), 2),
        ((3, 3, 3), 0),
        ((1, 1, 0), 2),
        ((2, 1, 2, 1, 1, 1), 3),
        ((0,), 0),
    ):
        returned = solution(F.one_hot(torch.tensor(predictions), 4).float() - 2)
        hint = f"If the predictions are {predictions}, the last one stands from frame {right} on, not {returned}."
        require(returned == right, hint)
    hint = "The prediction is the class with the highest logit."
    require(solution(torch.tensor([[1.0, 2.0], [3.0, 2.0], [9.0, 2.0]])) == 1, hint)
