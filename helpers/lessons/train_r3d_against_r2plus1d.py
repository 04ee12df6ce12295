"""The exercise checks of notebook 09."""

from collections.abc import Callable

import torch
from torch import nn

from helpers.lessons.exercises import exercise, require

__all__ = ["check_ceiling", "check_order_matters"]


@exercise
def check_ceiling(solution: Callable) -> None:
    """Notebook 09: the highest accuracy without the order of frames, from the number of actions and of reversed pairs."""
    require(solution(10, 0) == 1, "Without pairs an accuracy of 1 can be reached.")
    require(
        solution(2, 1) == 0.5, "With two actions that are each other's reverse, one of every two clips can be right."
    )
    for actions, pairs in [(10, 3), (4, 2), (7, 1), (400, 25)]:
        right = (actions - pairs) / actions
        hint = f"With {actions} actions and {pairs} pairs, an accuracy of {right:.4g} can be reached."
        require(abs(solution(actions, pairs) - right) < 1e-9, hint)


class _ToyNetwork(nn.Module):
    """One convolution with a kernel of `t` frames, then averages. In train mode its logits differ from call to call."""

    def __init__(self, t):
        super().__init__()
        conv = nn.Conv3d(3, 8, (t, 3, 3))
        self.features = nn.Sequential(conv, nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool3d(1))
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        if x.ndim != 5:
            raise ValueError("a network takes a batch (B, C, T, H, W), for example a batch of one clip")
        return self.fc(self.features(x).flatten(1))


@exercise
def check_order_matters(solution: Callable) -> None:
    """Notebook 09: whether a network's logits for a clip (C, T, H, W) depend on the direction of time."""
    clip = torch.randn(3, 6, 8, 8)
    frame_by_frame, three_frames = _ToyNetwork(t=1), _ToyNetwork(t=3)
    for mode in (False, True):
        frame_by_frame.train(mode), three_frames.train(mode)
        hint = "The logits of a network with 3D convolutions change when a clip is played backwards."
        require(solution(three_frames, clip) in (True, 1), hint)
        hint = "A mean over single frames does not depend on their order. "
        if mode:
            hint += "Compare in eval mode: with dropout the logits differ from call to call."
        else:
            hint += "Allow for rounding: compare with torch.allclose."
        require(solution(frame_by_frame, clip) in (False, 0), hint)
        unchanged = frame_by_frame.training == three_frames.training == mode
        require(unchanged, "Put the network back into the mode in which you got it.")
    still = clip[:, :1].expand(-1, 6, -1, -1)
    require(not solution(three_frames, still), "A clip of equal frames is its own reverse.")
    sideways = torch.randn(3, 1, 8, 8)
    hint = "Reverse the axis of time, which is the second of (C, T, H, W)."
    require(not solution(_ToyNetwork(t=1).eval(), sideways), hint)
