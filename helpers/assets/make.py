"""Make what this folder holds: `python -m helpers.assets.make clip` and `python -m helpers.assets.make weights`.

The weights take most of an hour on two cores. The training begins with small frames and ends with full size. A run that
is killed goes on from its last epoch when it is started again: its checkpoints are in `runs/`, which git ignores. The
report beside the weights has the command, the seeds, the versions, the accuracy on test clips, and a confusion matrix.
"""

import json
import platform
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import torch
from torch.utils.data import Subset

from helpers import transforms, video
from helpers.networks import count_parameters, r2plus1d_18
from helpers.stickfigures import ACTIONS, StickFigures, scene
from helpers.training import accuracy, predict, train

__all__ = ["TEST", "TRAIN", "clip", "weights"]

HERE = Path(__file__).parent
CHECKPOINTS = HERE.parents[1] / "runs"
WIDTH = 16
SEED = 2024  # of the initial weights and of the order of the clips
TRAIN, TEST, VALIDATION = 1, 2, 3  # seeds of the clips to train on, to report on, to evaluate after each epoch
PHASES = (dict(size=64, clips=4000, epochs=5, lr=3e-3), dict(size=112, clips=3000, epochs=3, lr=1e-3))
TEST_CLIPS = 800


def clip() -> None:
    """Write four seconds of jumping jacks, as a video of an ordinary size and frame rate."""
    frames = scene("jumping jacks", seed=7, index=6, frames=120, size=(256, 342), seconds=4.0, stage=0.875).frames
    video.write_video(HERE / "jumping_jacks.mp4", frames, fps=30, quality=26)


def weights() -> None:
    """Train R(2+1)D-18 on stick figures; write its weights in float16 and a report beside them."""
    CHECKPOINTS.mkdir(exist_ok=True)
    torch.manual_seed(SEED)
    network = r2plus1d_18(len(ACTIONS), WIDTH).to(memory_format=torch.channels_last_3d)  # faster, the same numbers
    histories = []
    for number, phase in enumerate(PHASES):
        print("{clips} clips of 16 x {size} x {size}".format(**phase), flush=True)
        histories.append(_train(network, number, **phase))
    network = network.to(memory_format=torch.contiguous_format)
    half = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    torch.save(half, HERE / "stickfigures.pt")

    test_set = StickFigures(TEST_CLIPS, seed=TEST, transform=transforms.normalize)
    logits, labels = predict(network, test_set)
    stored = r2plus1d_18(len(ACTIONS), WIDTH)
    stored.load_state_dict(torch.load(HERE / "stickfigures.pt", weights_only=True))
    stored_logits, _ = predict(stored, test_set)
    paired = StickFigures(TEST_CLIPS, seed=TEST, paired=True, transform=transforms.normalize)
    report = dict(
        command="python -m helpers.assets.make weights",
        network="R(2+1)D-18",
        width=WIDTH,
        parameters=count_parameters(network),
        labels=ACTIONS,
        seed=SEED,
        clip_seeds=dict(train=TRAIN, test=TEST),
        stages=[dict(phase, history=history) for phase, history in zip(PHASES, histories)],
        training_clips=sum(phase["clips"] for phase in PHASES),
        test_clips=TEST_CLIPS,
        accuracy=accuracy(logits, labels),
        accuracy_stored=accuracy(stored_logits, labels),
        accuracy_stored_on_reversed_pairs=accuracy(*predict(stored, paired)),
        mistakes={int(k): ACTIONS[stored_logits[k].argmax()] for k in (stored_logits.argmax(1) != labels).nonzero()},
        device=platform.machine() + ", CPU",
        versions=dict(
            python=platform.python_version(), torch=torch.__version__, numpy=np.__version__, av=av.__version__
        ),
    )
    (HERE / "stickfigures.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: report[name] for name in ("accuracy", "accuracy_stored", "mistakes")}, indent=1))


def _train(network, number, size, clips, epochs, lr):
    """One phase of the training, on clips that no earlier phase has used; its history."""
    first = sum(phase["clips"] for phase in PHASES[:number])
    train_set = StickFigures(first + clips, seed=TRAIN, size=size, transform=transforms.normalize)
    validation_set = StickFigures(200, seed=VALIDATION, size=size, transform=transforms.normalize)
    history = train(
        network, Subset(train_set, range(first, first + clips)), validation_set, epochs, lr=lr, seed=SEED,
        augment=transforms.random_horizontal_flip, checkpoint=CHECKPOINTS / f"stage{number}.pt",
        fingerprint=f"{train_set.settings}, seed {TRAIN}, checksum {_checksum(train_set)}",
    )  # fmt: skip
    return [{name: round(line[name], 4) for name in ("epoch", "loss", "train", "test")} for line in history]


def _checksum(clips):
    """A number that changes when `stickfigures` draws other clips."""
    return zlib.crc32(b"".join(clips[k][0].numpy().tobytes() for k in range(len(ACTIONS))))


if __name__ == "__main__":
    makers = {"clip": clip, "weights": weights}
    if len(sys.argv) != 2 or sys.argv[1] not in makers:
        sys.exit(f"usage: python -m helpers.assets.make [{' | '.join(makers)}]")
    makers[sys.argv[1]]()
