"""Trained networks by name: the network, its labels and its preprocessing together. Built in notebook 07.

Weights without the labels that they were trained with are numbers without a meaning, and weights fed with clips that
were scaled in another way give wrong answers without a warning. So the three come as one.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torchvision.models.video import R2Plus1D_18_Weights

from helpers import video
from helpers.networks import r2plus1d_18

ASSETS = Path(__file__).parent / "assets"


class WeightsError(Exception):
    """Weights that cannot be had. The message names the file and its address, and says what to do."""


class Pretrained(NamedTuple):
    """A trained network and what belongs to it."""

    name: str
    network: torch.nn.Module  #: in eval mode, on the CPU
    labels: tuple[str, ...]  #: what each logit stands for
    preprocess: Callable  #: uint8 frames (T, H, W, 3) to the network's float clip (3, T, 112, 112)
    frames: int  #: of a clip
    rate: float  #: of these frames, a second
    trained_on: str  #: one sentence
    score: str  #: one sentence


def load(name="stickfigures"):
    """The trained network of this name.

    Args:
        name: "stickfigures", which lies in this repository, or "kinetics400", torchvision's R(2+1)D-18 with its 400
            actions of people, which is downloaded once (120 MB) and kept where torch.hub keeps its files.

    Returns:
        A `Pretrained`.

    Raises:
        ValueError: an unknown name.
        WeightsError: the file cannot be had.
    """
    if name not in _LOADERS:
        raise ValueError(f"unknown weights {name!r}; choose from {', '.join(_LOADERS)}")
    return _LOADERS[name]()


def offline():
    """Whether VIDEO_RESNET_OFFLINE=1 holds everything to the CPU and to what is in the repository."""
    return os.environ.get("VIDEO_RESNET_OFFLINE", "0") not in ("", "0")


def _stickfigures():
    report = json.loads((ASSETS / "stickfigures.json").read_text(encoding="utf-8"))
    state = torch.load(ASSETS / "stickfigures.pt", map_location="cpu", weights_only=True)
    network = r2plus1d_18(len(report["labels"]), report["width"]).eval()
    network.load_state_dict(state)  # half precision on disk, copied into float32
    return Pretrained(
        name="stickfigures",
        network=network,
        labels=tuple(report["labels"]),
        preprocess=video.preprocess,
        frames=16,
        rate=15.0,
        trained_on=f"Trained on {report['training_clips']:,} drawn clips of stick figures, and on nothing else.",
        score=f"{report['accuracy_stored']:.1%} of {report['test_clips']} other drawn clips right.",
    )


def _kinetics400():
    published = R2Plus1D_18_Weights.KINETICS400_V1
    state = _download(published.url)
    network = r2plus1d_18(len(published.meta["categories"])).eval()
    network.load_state_dict(state)
    score = published.meta["_metrics"]["Kinetics-400"]["acc@1"]
    return Pretrained(
        name="kinetics400",
        network=network,
        labels=tuple(published.meta["categories"]),
        preprocess=video.preprocess,
        frames=16,
        rate=15.0,
        trained_on="Trained on Kinetics-400: web videos of 400 human actions.",
        score=f"Published: {score:.1f} % of the validation videos right, five clips a video.",
    )


def _download(address):
    """The state dict at this address, from torch.hub's cache where it is there, its checksum tried when it comes."""
    file = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(address))
    if offline():
        raise WeightsError(
            f"{os.path.basename(address)} is not part of this repository, and VIDEO_RESNET_OFFLINE=1 keeps to what is. "
            "Unset it, or use the weights 'stickfigures'."
        )
    try:
        return torch.hub.load_state_dict_from_url(address, map_location="cpu", check_hash=True, weights_only=True)
    except Exception as error:  # of the network, the disk, the checksum, or of a file that is not what it should be
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        remedy = f"Delete {file}, which is broken" if os.path.exists(file) else f"Download it by hand to {file}"
        raise WeightsError(
            f"{os.path.basename(address)} could not be had from {address} ({reason}). {remedy}, and try again; "
            "or use the weights 'stickfigures', which need no download."
        ) from error


_LOADERS = {"stickfigures": _stickfigures, "kinetics400": _kinetics400}
NAMES = tuple(_LOADERS)
