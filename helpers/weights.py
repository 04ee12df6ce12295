"""Trained networks by name: the network, its labels and its preprocessing together. See notebook 06.

Weights without the labels that they were trained with are numbers without a meaning, and weights fed with clips that
were scaled in another way give wrong answers without a warning. So the three come as one.
"""

import functools
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torchvision.models.video import MC3_18_Weights, R2Plus1D_18_Weights, R3D_18_Weights

from helpers import transforms
from helpers.download import DownloadError, fetch, offline
from helpers.networks import NETWORKS

__all__ = ["ASSETS", "NAMES", "Pretrained", "WeightsError", "build", "load", "offline", "read", "save", "write"]

ASSETS = Path(__file__).parent / "assets"


class WeightsError(Exception):
    """Weights that cannot be had. The message names the file and its address, and says what to do."""


class Pretrained(NamedTuple):
    """A trained network and what belongs to it."""

    name: str
    network: torch.nn.Module  #: in eval mode, on the CPU
    labels: tuple[str, ...] | None  #: what each logit stands for; None if nobody has told
    preprocess: Callable  #: uint8 frames (T, H, W, 3) to the network's float clip (3, T, 112, 112)
    frames: int  #: of a clip
    fps: float  #: of these frames, a second
    trained_on: str  #: one sentence
    score: str  #: one sentence
    architecture: dict  #: what `build` made the network from, but for the number of classes
    crop_size: int = 112  #: of what `preprocess` cuts out, in pixels


def build(classes, network, width=64, paper_widths=False, eps=1e-5):
    """A network without trained weights, in eval mode; the reader's stream of random numbers is left as it was.

    Args:
        classes: how many logits.
        network: a name in `networks.NETWORKS`.
        width, paper_widths: as for `networks.video_resnet`.
        eps: of the batch norms.
    """
    with torch.random.fork_rng(devices=[]):
        made = NETWORKS[network](classes, width, paper_widths).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = eps
    return made


def load(name="stickfigures"):
    """The trained network of this name.

    Args:
        name: one of `NAMES`, or the path of a file that `save` wrote. "stickfigures" lies in this
            repository; all others are downloaded once and kept where torch.hub keeps its files:

            - "kinetics400", "kinetics400-mc3_18", "kinetics400-r3d_18": torchvision's R(2+1)D-18 (120 MB), MC3-18 (45 MB)
              and R3D-18 (127 MB), 400 actions of people.
            - "ig65m-kinetics400-8", "ig65m-kinetics400-32": R(2+1)D-34 for 8 and for 32 frames (255 MB), trained on 65
              million videos and then on Kinetics-400.
            - "ig65m-8", "ig65m-32": the same before Kinetics. Nobody has published what their logits stand for; they are
              good for features, see `classify.extract_features`.

    Returns:
        A `Pretrained`.

    Raises:
        ValueError: an unknown name.
        WeightsError: the file cannot be had, or does not fit.
    """
    if name == "stickfigures":
        return _stickfigures()
    if os.path.isfile(name):
        return _saved(name)
    if name not in SOURCES:
        raise ValueError(f"unknown weights {str(name)!r}; choose from {', '.join(NAMES)}, or name a file that is there")
    source = SOURCES[name]
    architecture = dict(network=source.network, width=64, paper_widths=source.paper_widths, eps=source.eps)
    network = build(source.classes, **architecture)
    try:
        file = fetch(source.address, source.sha256)
    except DownloadError as error:
        raise WeightsError(f"{error} The weights 'stickfigures' need no download.") from error
    _fill(network, read(file), file, source.network)
    return Pretrained(
        name,
        network,
        source.labels,
        transforms.preprocess,
        source.frames,
        source.fps,
        source.trained_on,
        source.score,
        architecture,
    )


def save(path, pretrained):
    """Write a trained network and what belongs to it to a file, which `load` takes by its path.

    Args:
        path: where to; an existing file is replaced.
        pretrained: a `Pretrained`; its name is not kept, for the file has one.

    Raises:
        OSError: the file cannot be written; what was there before is still whole.
    """
    about = pretrained._asdict()
    state = {name: tensor.cpu() for name, tensor in pretrained.network.state_dict().items()}
    kept = {name: about[name] for name in ("frames", "fps", "trained_on", "score", "architecture", "crop_size")}
    write(dict(kept, labels=list(pretrained.labels), state=state), path)


def write(value, path):
    """Write with torch.save, beside what is there first, then in its place, so that there is always a whole file.

    Raises:
        OSError: of the disk, a full one for example; what was there before is left, and nothing else.
    """
    content = io.BytesIO()
    torch.save(value, content)
    new = f"{os.fspath(path)}.new"
    try:
        with open(new, "wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        if os.path.exists(new):
            os.remove(new)
        before = ", and what was there before is still whole" if os.path.exists(path) else ""
        raise OSError(
            error.errno,
            f"cannot be written ({error.strerror}){before}; make room, and run the same again",
            os.fspath(path),
        ) from error


def _saved(path):
    """What `save` wrote."""
    saved = read(path)
    try:
        about = {name: saved[name] for name in ("frames", "fps", "trained_on", "score", "architecture", "crop_size")}
        labels, state = tuple(saved["labels"]), saved["state"]
        network = build(len(labels), **about["architecture"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        remedy = "Name a file that helpers.weights.save or python -m helpers.training has written"
        raise WeightsError(
            f"{path} holds no network together with its labels and its preprocessing ({_line(error)}). {remedy}."
        ) from error
    _fill(network, state, path, about["architecture"]["network"])
    preprocess = functools.partial(transforms.preprocess, crop_size=about["crop_size"])
    return Pretrained(os.fspath(path), network, labels, preprocess, **about)


def _fill(network, state, file, name):
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise WeightsError(f"{file} does not fit {name}: {_line(error)}") from error


def read(file):
    """What torch.save has written to a file, tensors and plain values only, on the CPU.

    Raises:
        WeightsError: the file cannot be read, or not safely.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # says how to open it all the same, and should not
        reason = "it holds more than tensors, or something else. Do not open it in another way"
        raise WeightsError(f"{file} cannot be read safely: {reason}.") from error
    except Exception as error:  # a file with the right checksum that torch cannot read
        raise WeightsError(f"{file} cannot be read by torch {torch.__version__}: {_line(error)}") from error


def _line(error):
    return (str(error) or type(error).__name__).splitlines()[0]


def _stickfigures():
    report = json.loads((ASSETS / "stickfigures.json").read_text(encoding="utf-8"))
    architecture = dict(network="r2plus1d_18", width=report["width"], paper_widths=False, eps=1e-5)
    network = build(len(report["labels"]), **architecture)
    network.load_state_dict(read(ASSETS / "stickfigures.pt"))  # half precision on disk, copied into float32
    return Pretrained(
        name="stickfigures",
        network=network,
        labels=tuple(report["labels"]),
        preprocess=transforms.preprocess,
        frames=16,
        fps=15.0,
        trained_on=f"Trained on {report['training_clips']:,} drawn clips of stick figures, and on nothing else.",
        score=f"{report['accuracy_stored']:.1%} of {report['test_clips']} other drawn clips right.",
        architecture=architecture,
    )


class Source(NamedTuple):
    """Where weights come from, and what they need."""

    network: str  #: its builder in `networks.NETWORKS`
    address: str
    classes: int
    labels: tuple[str, ...] | None
    frames: int
    fps: float
    trained_on: str
    score: str
    paper_widths: bool = False
    eps: float = 1e-5  #: of the batch norms

    @property
    def sha256(self):
        """The digits of the checksum that end the file's name, by the custom of torch.hub."""
        return Path(self.address).stem.rpartition("-")[2]


def _torchvision(network, published):
    """What torchvision tells about its weights."""
    meta = published.meta
    score = meta["_metrics"]["Kinetics-400"]["acc@1"]
    return Source(
        network=network,
        address=published.url,
        classes=len(meta["categories"]),
        labels=tuple(meta["categories"]),
        frames=16,
        fps=15.0,
        trained_on="Trained on Kinetics-400: web videos of 400 human actions.",
        score=f"Published: {score:.1f} % of the validation videos right, five clips a video.",
    )


def _ig65m(file, frames, classes, score=None):
    """R(2+1)D-34 as github.com/moabitcoin/ig65m-pytorch has converted it; widths, eps and addresses as in ig65m/models.py.

    Not tried here with the real files. Two things are choices: frames are taken at 30 a second, where that project takes
    every frame of a file; and they are resized to 128 x 171, as in the paper, where it keeps their shape.
    """
    tuned = score is not None
    trained_on = "Trained on IG-65M: 65 million public videos and their hashtags"
    return Source(
        network="r2plus1d_34",
        address=f"https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/{file}.pth",
        classes=classes,
        labels=tuple(R2Plus1D_18_Weights.KINETICS400_V1.meta["categories"]) if tuned else None,
        frames=frames,
        fps=30.0,
        trained_on=f"{trained_on}, then on Kinetics-400." if tuned else f"{trained_on}, and on nothing else.",
        score=f"Published for the original: {score:.1f} % of the validation videos right."
        if tuned
        else "Good for features.",
        paper_widths=True,
        eps=1e-3,
    )


SOURCES = {
    "kinetics400": _torchvision("r2plus1d_18", R2Plus1D_18_Weights.KINETICS400_V1),
    "kinetics400-mc3_18": _torchvision("mc3_18", MC3_18_Weights.KINETICS400_V1),
    "kinetics400-r3d_18": _torchvision("r3d_18", R3D_18_Weights.KINETICS400_V1),
    # The scores are those of facebookresearch/VMZ, c2/tutorials/model_zoo.md.
    "ig65m-kinetics400-8": _ig65m("r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b", 8, 400, 74.9),
    "ig65m-kinetics400-32": _ig65m("r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1", 32, 400, 80.0),
    "ig65m-8": _ig65m("r2plus1d_34_clip8_ig65m_from_scratch-9bae36ae", 8, 487),
    "ig65m-32": _ig65m("r2plus1d_34_clip32_ig65m_from_scratch-449a7af9", 32, 359),
}
NAMES = ("stickfigures", *SOURCES)
