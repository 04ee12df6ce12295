"""Make what this folder holds: `python -m helpers.assets.make clip` and `python -m helpers.assets.make weights`.

The weights take most of an hour on two cores. They are trained on small frames first and finished at full size; a
killed run goes on from its last epoch (checkpoints lie in `runs/`, which git ignores).
"""

import json
import platform
import sys
from pathlib import Path

import torch
import torchvision

from helpers.networks import r2plus1d_18
from helpers.stickfigures import ACTIONS, StickFigures
from helpers.training import mirror, predict, train
from helpers.video import normalize

HERE = Path(__file__).parent
WIDTH = 16
SEED = 2024  # of the weights and the order of the clips
TRAIN, TEST = 1, 2  # of the clips themselves
STAGES = (
    dict(size=64, clips=4000, epochs=5, lr=3e-3),
    dict(size=112, clips=3000, epochs=3, lr=1e-3),
)


def weights():
    """Train R(2+1)D-18 on stick figures and store it in half precision with its score."""
    runs = HERE.parents[1] / "runs"
    runs.mkdir(exist_ok=True)
    torch.manual_seed(SEED)
    network = r2plus1d_18(num_classes=len(ACTIONS), width=WIDTH).to(memory_format=torch.channels_last_3d)
    first = 0
    for stage, (size, clips, epochs, lr) in enumerate(tuple(s.values()) for s in STAGES):
        train_set = StickFigures(first + clips, seed=TRAIN, size=size, transform=normalize)
        train_set = torch.utils.data.Subset(train_set, range(first, first + clips))  # clips not seen before
        test_set = StickFigures(200, seed=TEST + 1, size=size, transform=normalize)
        first += clips
        print(f"{clips} clips of 16 x {size} x {size}")
        train(network, train_set, test_set, epochs, lr=lr, seed=SEED, augment=mirror, checkpoint=runs / f"stage{stage}.pt")
    torch.save(network.state_dict(), runs / "trained.pt")


if __name__ == "__main__":
    weights()
