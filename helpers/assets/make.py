"""Make what this folder holds: `python -m helpers.assets.make clip` and `python -m helpers.assets.make weights`.

The weights take most of an hour on two cores. They are trained on small frames first and finished at full size; a
killed run goes on from its last epoch (checkpoints lie in `runs/`, which git ignores). Beside them lies a report: the
command, the seeds, the versions, the score on clips that the training never saw, and a table of it by action.
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

from helpers import training, transforms, video
from helpers.networks import count_parameters, r2plus1d_18
from helpers.stickfigures import ACTIONS, StickFigures, scene
from helpers.training import accuracy, confusion_matrix, predict, random_horizontal_flip, train

HERE = Path(__file__).parent
WIDTH = 16
SEED = 2024  # of the first weights and of the order of the clips
TRAIN, TEST, WATCH = 1, 2, 3  # of the clips: to train on, to report on, to look at after each epoch
STAGES = (dict(size=64, clips=4000, epochs=5, lr=3e-3), dict(size=112, clips=3000, epochs=3, lr=1e-3))
TEST_CLIPS = 800


def clip():
    """Four seconds of jumping jacks, as a film of an ordinary size and rate."""
    film = scene("jumping jacks", seed=7, index=6, frames=120, size=(256, 342), seconds=4.0, stage=0.875).frames
    video.write_video(HERE / "jumping_jacks.mp4", film, fps=30, quality=26)


def weights():
    """Train R(2+1)D-18 on stick figures; store it in half precision, and a report beside it."""
    torch.manual_seed(SEED)
    network = r2plus1d_18(len(ACTIONS), WIDTH).to(memory_format=torch.channels_last_3d)  # faster, the same numbers
    histories = []
    for number, stage in enumerate(STAGES):
        print("{clips} clips of 16 x {size} x {size}".format(**stage), flush=True)
        histories.append(_train(network, number, **stage))
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
        stages=[dict(stage, history=history) for stage, history in zip(STAGES, histories)],
        training_clips=sum(stage["clips"] for stage in STAGES),
        test_clips=TEST_CLIPS,
        accuracy=accuracy(logits, labels),
        accuracy_stored=accuracy(stored_logits, labels),
        accuracy_stored_on_reversed_pairs=accuracy(*predict(stored, paired)),
        right_by_action=_by_action(stored_logits, labels),
        device=platform.machine() + ", CPU",
        versions=dict(
            python=platform.python_version(), torch=torch.__version__, numpy=np.__version__, av=av.__version__
        ),
    )
    (HERE / "stickfigures.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: report[name] for name in ("accuracy", "accuracy_stored", "right_by_action")}, indent=1))


def _train(network, number, size, clips, epochs, lr):
    """One stage of the training, on clips that no earlier one has seen; its history."""
    first = sum(stage["clips"] for stage in STAGES[:number])
    drawn = StickFigures(first + clips, seed=TRAIN, size=size, transform=transforms.normalize)
    watched = StickFigures(200, seed=WATCH, size=size, transform=transforms.normalize)
    history = train(
        network, Subset(drawn, range(first, first + clips)), watched, epochs, lr=lr, seed=SEED, augment=random_horizontal_flip,
        checkpoint=training.checkpoint_path(f"stage{number}"), about=f"{drawn.settings}, seed {TRAIN}, checksum {_checksum(drawn)}",
    )  # fmt: skip
    return [
        {name: round(value, 4) for name, value in line.items() if name not in ("seconds", "waited")} for line in history
    ]


def _checksum(clips):
    """Changes when the clips are drawn in another way."""
    return zlib.crc32(b"".join(clips[k][0].numpy().tobytes() for k in range(len(ACTIONS))))


def _by_action(logits, labels):
    """For each action how many of its clips were taken for each action, most frequent first."""
    rows = zip(ACTIONS, confusion_matrix(logits, labels).tolist())
    return {
        action: {ACTIONS[k]: n for k, n in sorted(enumerate(row), key=lambda pair: -pair[1]) if n}
        for action, row in rows
    }


if __name__ == "__main__":
    makers = {"clip": clip, "weights": weights}
    if len(sys.argv) != 2 or sys.argv[1] not in makers:
        sys.exit(f"usage: python -m helpers.assets.make [{' | '.join(makers)}]")
    makers[sys.argv[1]]()
