"""Notebook 09: its figures, the clips and trainings of its second comparison, and its exercise checks."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from helpers import plots, transforms
from helpers.lessons.exercises import exercise, require
from helpers.networks import count_parameters
from helpers.stickfigures import ACTIONS, MORE_ACTIONS, REVERSE_OF, StickFigures
from helpers.training import accuracy, predict, train
from helpers.transforms import random_horizontal_flip

__all__ = ["FIFTEEN", "LABELS", "check_ceiling", "check_order_matters", "error_curves", "fairly", "long_curves",
           "noisy_clips", "one_cycle", "rate_curves"]  # fmt: skip
FIFTEEN = ACTIONS + MORE_ACTIONS
LABELS = dict(r3d="R3D", r2plus1d="R(2+1)D", fr2d="f-R2D")
LABELS |= dict(r2plus1d_plain="R(2+1)D, no BN, no ReLU", r2plus1d_norm="R(2+1)D, no ReLU")
_LOOK = {
    "r3d": dict(color=plots.INK, ls="--"),
    "r2plus1d": dict(color=plots.ANSWER, ls="-"),
    "r2plus1d_plain": dict(color="#9467BD", ls=":"),
    "r2plus1d_norm": dict(color="#9467BD", ls="-."),
}


def one_cycle(rates: Sequence[float]) -> Figure:
    """A learning rate over the steps of a training, as fractions of its highest value."""
    panel = dict(title="one cycle", lines={"": (range(len(rates)), rates, dict(color=plots.INK))})
    return plots.curves([panel | dict(xlabel="% of all steps", ylabel="fraction of the highest rate")])


def error_curves(errors: Callable[[str, str], np.ndarray], names: Iterable[str]) -> Figure:
    """Training and test error of each network over the epochs: the mean of its seeds dark, each seed pale.

    Args:
        errors: of a network's name and "seen" or "new", (seeds, epochs), in percent.
    """
    panels = []
    for what, title in (("seen", "training error"), ("new", "test error")):
        lines = {}
        for name in names:
            curves = errors(name, what)
            epochs = range(1, curves.shape[1] + 1)
            lines |= {f"_{name}{k}": (epochs, curve, _LOOK[name] | dict(alpha=0.25)) for k, curve in enumerate(curves)}
            lines[LABELS[name]] = epochs, curves.mean(0), _LOOK[name]
        panels.append(dict(title=f"{title} (pale: single seeds)", lines=lines, xlabel="epoch", ylabel="error, %"))
    return plots.curves(panels)


def rate_curves(sweep: Mapping[tuple[str, int, float], float]) -> Figure:
    """The error over the learning rate, for each network, with 18 and with 34 layers; a dotted line where one guesses.

    Args:
        sweep: validation errors in percent, by name, layers and highest learning rate.
    """
    every, names = sorted({lr for _, _, lr in sweep}), dict.fromkeys(name for name, *_ in sweep)
    guess = 100 - 100 / len(FIFTEEN)
    panels = []
    for depth in (18, 34):
        lines = {"guessing": ((0, len(every) - 1), (guess, guess), dict(color=plots.INK, ls=":", lw=1))}
        for name in names:  # also those without rates at this depth: the one legend has all
            rates = sorted(lr for one, layers, lr in sweep if (one, layers) == (name, depth))
            at = [every.index(lr) for lr in rates]
            lines[LABELS[name]] = at, [sweep[name, depth, lr] for lr in rates], _LOOK[name] | dict(marker="o")
        panel = dict(title=f"{depth} layers, after 1,500 steps", lines=lines, ylabel="validation error, %")
        panel |= dict(
            xlabel="highest learning rate × 10,000", xticks={k: f"{1e4 * lr:.2g}" for k, lr in enumerate(every)}
        )
        panels.append(panel | (dict(like=0, beside=True) if panels else dict(legend=False)))
    return plots.curves(panels)


def long_curves(trainings: Mapping[tuple[str, int], list[dict[str, Any]]], steps: int) -> Figure:
    """The errors of long trainings over their steps, 18 layers left, 34 right; the training error thick, later seeds paler.

    Args:
        trainings: what `fairly` returned, for each seed, by name and layers.
        steps: of an epoch.
    """
    panels = []
    for depth in (18, 34):
        lines = {}
        for name in ("r3d", "r2plus1d"):
            for what, label, width in (("seen", "training", 1.8), ("val", "validation", 0.8)):
                for k, run in enumerate(trainings[name, depth]):
                    curve = [max(100 - 100 * line[what], 0.1) for line in run["history"]]  # 0 has no logarithm
                    at = steps * np.arange(1, len(curve) + 1)
                    key = f"_{name}{what}{k}" if k else f"{LABELS[name]}, {label}"
                    lines[key] = at, curve, _LOOK[name] | dict(lw=width, alpha=0.6**k)
        seeds = " (other seeds paler)" if len(trainings["r3d", depth]) > 1 else ""
        panel = dict(title=f"{depth} layers{seeds}", lines=lines, log=True, xlabel="steps", ylabel="error, %")
        panels.append(panel | dict(like=0) if panels else panel)
    return plots.curves(panels)


@functools.lru_cache(maxsize=2)  # clips that several trainings share are drawn once
def noisy_clips(
    clips: int, seed: int, noise: float, frames: int, size: int, paired: bool = False
) -> list[tuple[Tensor, int]]:
    """Clips (3, frames, size, size) of `FIFTEEN` with noise on every pixel, and their labels.

    Args:
        noise: its standard deviation, in gray levels.
        paired: an action that is another one backwards shows the clip before it backwards, noise included.
    """
    figures, kept, noisy = StickFigures(clips, seed, frames=frames, size=size, actions=FIFTEEN, paired=paired), [], []
    for k in range(clips):
        pixels, label = figures[k]  # (T, H, W, 3)
        grain = np.random.default_rng([seed, k, 1]).normal(0, noise, pixels.shape)
        pixels = (pixels + torch.from_numpy(grain)).round().clamp(0, 255).byte()
        if paired and FIFTEEN[label] in REVERSE_OF:
            pixels = kept[-1].flip(0)
        kept.append(pixels)
        noisy.append((transforms.normalize(pixels), label))
    return noisy


def sgd_in_steps(network: nn.Module, lr: float, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """The paper's recipe, scaled to so many steps: SGD, whose learning rate grows to `lr` and falls to a tenth in steps.

    Of 45 epochs it grows for 10, and is divided by 10 after 20, 30 and 40; weight decay as in the authors' scripts.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=1e-4)

    def factor(step):
        epoch = 45 * (step + 1) / steps
        return epoch / 10 if epoch < 10 else 0.1 ** (epoch // 10 - 1)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def fairly(
    build: Callable[[str, int, int, int], nn.Module], name: str, depth: int, seed: int, lr: float, epochs: int,
    noise: float, clips: int, others: int, frames: int, size: int, width: int, test: bool, sgd: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """One training of the second comparison, from nothing but numbers: clips, first weights and order follow from the seed.

    Args:
        build: makes the network from its name, layers, width and frames.
        others: validation clips, and as many test clips; the training error is that of as many training clips.
        test: whether the test clips are looked at, after the last epoch.
        sgd: whether it is trained by `sgd_in_steps`, in place of AdamW in one cycle.

    Returns:
        parameters; history: loss and the accuracies train, seen and val for each epoch; test, if it was asked for.
    """
    drawing = dict(noise=noise, frames=frames, size=size)
    train_set = noisy_clips(clips, 3000 + seed, **drawing)
    val_set = noisy_clips(others, 4000 + seed, paired=True, **drawing)
    torch.manual_seed(seed)
    network = build(name, depth, width, frames)
    sets = dict(seen=train_set[:others], val=val_set)
    settings = dict(epochs=epochs, lr=lr, seed=seed, augment=random_horizontal_flip)
    settings |= dict(recipe=sgd_in_steps) if sgd else {}
    history = train(network, train_set, sets, **settings)
    columns = "loss", "train", "seen", "val"
    history = [{key: round(line[key], 4) for key in columns} for line in history]
    run = dict(parameters=count_parameters(network), history=history)
    if test:
        test_set = noisy_clips(others, 5000 + seed, paired=True, **drawing)
        run["test"] = round(accuracy(*predict(network, test_set)), 4)
    return run


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
