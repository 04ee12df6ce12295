"""The figures, explorers and exercise checks of notebook 09."""

import torch
from torch import nn

from helpers.lessons.exercises import check


def check_ceiling(answer):
    """Notebook 09: the highest accuracy without the order of frames, from the number of actions and of reversed pairs."""

    def attempt():
        assert answer(10, 0) == 1, "Without pairs nothing is out of reach."
        assert answer(2, 1) == 0.5, "Two actions that are each other's reverse: of every two clips one can be right."
        for actions, pairs in [(10, 3), (4, 2), (7, 1), (400, 25)]:
            right = (actions - pairs) / actions
            assert abs(answer(actions, pairs) - right) < 1e-9, (
                f"Of {actions} actions with {pairs} pairs, {right:.4g} can be had."
            )

    return check("ceiling", answer, attempt)


class _FrameByFrame(nn.Module):
    """Looks at single frames and takes the mean; in train mode its answers differ from call to call."""

    def __init__(self):
        super().__init__()
        self.frame = nn.Sequential(nn.Conv3d(3, 8, (1, 3, 3)), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool3d(1))
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        if x.ndim != 5:
            raise ValueError("a network takes a batch (B, C, T, H, W), a batch of one for example")
        return self.fc(self.frame(x).flatten(1))


def check_order_matters(answer):
    """Notebook 09: whether a network's logits for a clip (C, T, H, W) depend on the direction of time."""

    def attempt():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            clip = torch.randn(3, 6, 8, 8)
            blind, seeing = _FrameByFrame(), _FrameByFrame()
            seeing.frame[0] = nn.Conv3d(3, 8, 3)
            for mode in (False, True):
                blind.train(mode), seeing.train(mode)
                assert answer(seeing, clip) in (True, 1), (
                    "A 3D convolution changes its answer when a clip is played backwards."
                )
                hint = (
                    "Ask in eval mode: dropout answers differently each time."
                    if mode
                    else "Allow for rounding: compare with torch.allclose."
                )
                assert answer(blind, clip) in (False, 0), (
                    f"A mean over single frames does not depend on their order. {hint}"
                )
                assert blind.training == seeing.training == mode, "Put the network back into the mode in which it came."
            still = clip[:, :1].expand(-1, 6, -1, -1)
            assert not answer(seeing, still), "A clip of equal frames is its own reverse."
            sideways = torch.randn(3, 1, 8, 8)
            assert not answer(seeing.__class__().eval(), sideways), (
                "Turn the axis of time, which is the second of (C, T, H, W)."
            )

    return check("order_matters", answer, attempt)
