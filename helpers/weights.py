"""Trained networks by name: the network, its labels and its preprocessing as one `Pretrained`. See notebook 06.

Weights without their labels are numbers without a meaning. Weights that read clips of another size or another
normalization give wrong predictions without a warning.
"""

import functools
import hashlib
import json
import os
import pickle
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from helpers import transforms
from helpers.networks import NETWORKS, VideoResNet

__all__ = [
    "ASSETS", "NAMES", "SOURCES", "Pretrained", "Source", "WeightsError", "checksum", "create_model", "download", "load",
    "load_checkpoint", "offline", "save", "save_atomically",
]  # fmt: skip

ASSETS = Path(__file__).parent / "assets"
_TIMEOUT = 30  # seconds that a server may stay silent
_SAVED = "frames fps trained_on score architecture crop_size".split()  # with labels and weights: a file of `save`


class WeightsError(ValueError):
    """There are no such weights, or a file cannot be downloaded or read. The message names the file and says what to do."""


@dataclass(frozen=True)
class Pretrained:
    """A trained network and what belongs to it; `dataclasses.replace` gives a changed copy."""

    name: str
    network: nn.Module  #: in eval mode, on the CPU
    labels: tuple[str, ...] | None  #: the class of each logit; None if nobody has published it
    preprocess: Callable[[torch.Tensor], torch.Tensor]  #: uint8 frames (T, H, W, 3) to a float clip (3, T, 112, 112)
    frames: int  #: of a clip
    fps: float  #: the frame rate of a clip
    trained_on: str  #: one sentence
    score: str  #: one sentence
    architecture: dict[str, Any]  #: the arguments of `create_model`, without the number of classes
    crop_size: int = 112  #: the height and width of the clips from `preprocess`, in pixels


def create_model(
    num_classes: int, network: str, width: int = 64, paper_widths: bool = False, eps: float = 1e-5
) -> VideoResNet:
    """The network of this name in `networks.NETWORKS`, with random weights, in eval mode.

    `eps` is that of the batch norms. The state of torch's random numbers stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        model = NETWORKS[network](num_classes, width, paper_widths).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = eps
    return model


def load(name: str | os.PathLike[str] = "stickfigures") -> Pretrained:
    """The trained network of this name.

    Args:
        name: one of `NAMES`, or the path of a file that `save` wrote. "stickfigures" is in this repository; the others
            are downloaded once, see `SOURCES`.

    Raises:
        WeightsError: an unknown name; the file cannot be downloaded or read, or does not fit the network.
    """
    if name == "stickfigures":
        return _load_stickfigures()
    if os.path.isfile(name):
        return _load_saved(name)
    if name not in SOURCES:
        raise WeightsError(f"unknown weights {str(name)!r}; choose from {', '.join(NAMES)}, or give the path of a file")
    source = SOURCES[name]
    architecture = dict(network=source.network, width=64, paper_widths=source.paper_widths, eps=source.eps)
    network = create_model(source.num_classes, **architecture)
    try:
        file = download(source.url, source.sha256)
    except WeightsError as error:
        raise WeightsError(f"{error} The weights 'stickfigures' need no download.") from error
    _fill(network, load_checkpoint(file), file, source.network)
    details = dict(frames=source.frames, fps=source.fps, trained_on=source.trained_on, score=source.score)
    return Pretrained(name, network, source.labels, transforms.preprocess, **details, architecture=architecture)


def save(path: str | os.PathLike[str], pretrained: Pretrained) -> None:
    """Write a trained network and what belongs to it to a file, which `load` takes by its path; see `save_atomically`."""
    saved = {name: getattr(pretrained, name) for name in _SAVED}
    labels = pretrained.labels if pretrained.labels is None else list(pretrained.labels)
    state = {name: tensor.cpu() for name, tensor in pretrained.network.state_dict().items()}
    save_atomically(saved | dict(labels=labels, state=state), path)


def save_atomically(value: Any, path: str | os.PathLike[str]) -> None:
    """torch.save to a temporary file beside `path`, which then replaces it: at each moment `path` is a whole file or none.

    Raises:
        OSError: of the disk, for example a full one; the earlier file is kept and the temporary one is removed.
    """
    temporary = f"{os.fspath(path)}.new"
    try:
        with open(temporary, "wb") as file:
            torch.save(value, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch's hides the disk's
        if not isinstance(cause, OSError):
            raise
        kept = ", and what was there before is still whole" if os.path.exists(path) else ""
        message = f"cannot be written ({cause.strerror}){kept}; make room, and run the same again"
        raise OSError(cause.errno, message, os.fspath(path)) from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def load_checkpoint(file: str | os.PathLike[str]) -> Any:
    """What torch.save has written to a file, on the CPU: tensors and plain values only.

    Raises:
        WeightsError: torch cannot read the file, or cannot read it safely.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # an UnpicklingError's own text says how to open the file unsafely
        pickled = isinstance(error, pickle.UnpicklingError)
        reason = "it holds more than tensors. Do not open it in another way" if pickled else _first_line(error)
        raise WeightsError(f"{file} cannot be read safely by torch {torch.__version__}: {reason}.") from error


def download(url: str, sha256: str) -> Path:
    """The path of a file from the internet, downloaded once to the folder of torch.hub (see TORCH_HOME).

    Args:
        url: of the file; its last part is the name of the file.
        sha256: the checksum of the file in lower-case hexadecimal digits, at least the first 8 of them. A file that is
            there already must have it, too, or else is replaced.

    Raises:
        WeightsError: the file cannot be downloaded.
        ValueError: `sha256` is not a checksum.
    """
    if not re.fullmatch("[0-9a-f]{8,64}", sha256):
        raise ValueError(f"sha256={sha256!r}: give at least its first 8 hexadecimal digits, in lower case")
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    if offline():
        raise WeightsError(
            f"{file.name} is not in this repository; VIDEO_RESNET_OFFLINE=1 forbids downloads. Unset it."
        )
    timeout = socket.getdefaulttimeout()
    try:
        if file.exists() and checksum(file).startswith(sha256):
            return file
        print(f"Downloading {url} to {file}", file=sys.stderr)
        file.parent.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(_TIMEOUT)  # torch.hub would wait for a silent server for ever
        torch.hub.download_url_to_file(url, str(file), sha256)
    except Exception as error:  # of the connection, the server, the disk or the checksum
        raise WeightsError(
            f"{file.name} could not be downloaded from {url} ({_first_line(error)}): try again, or download it by hand and "
            f"save it as {file} (its SHA-256 begins with {sha256[:8]}; TORCH_HOME can name another folder)."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return file


def checksum(file: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file in hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def offline() -> bool:
    """Whether the environment variable VIDEO_RESNET_OFFLINE forbids downloads."""
    return os.environ.get("VIDEO_RESNET_OFFLINE", "0") not in ("", "0")


def _load_saved(path):
    """Read a file that `save` wrote."""
    saved = load_checkpoint(path)
    try:
        details = {name: saved[name] for name in _SAVED}
        labels, state = saved["labels"] and tuple(saved["labels"]), saved["state"]
        num_classes = len(state["fc.bias"] if labels is None else labels)
        network = create_model(num_classes, **details["architecture"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} holds no network together with its labels and its preprocessing ({_first_line(error)}). "
            "Choose a file that helpers.weights.save or python -m helpers.training has written."
        ) from error
    _fill(network, state, path, details["architecture"]["network"])
    preprocess = functools.partial(transforms.preprocess, crop_size=details["crop_size"])
    return Pretrained(os.fspath(path), network, labels, preprocess, **details)


def _load_stickfigures():
    report = json.loads((ASSETS / "stickfigures.json").read_text(encoding="utf-8"))
    architecture = dict(network="r2plus1d_18", width=report["width"], paper_widths=False, eps=1e-5)
    network = create_model(len(report["labels"]), **architecture)
    network.load_state_dict(load_checkpoint(ASSETS / "stickfigures.pt"))  # float16 on disk, copied into float32
    trained_on = f"Trained on {report['training_clips']:,} synthetic clips of stick figures, and on nothing else."
    score = f"{report['accuracy_stored']:.1%} of {report['test_clips']} test clips correctly classified."
    details = dict(frames=16, fps=15.0, trained_on=trained_on, score=score, architecture=architecture)
    return Pretrained("stickfigures", network, tuple(report["labels"]), transforms.preprocess, **details)


def _fill(network, state, file, name):
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise WeightsError(f"{file} does not fit {name}: {_first_line(error)}") from error


def _first_line(error):
    return (str(error) or type(error).__name__).splitlines()[0]


@dataclass(frozen=True)
class Source:
    """Where published weights come from, and what they need. The name of the file ends in digits of its checksum."""

    network: str  #: the name of its builder in `networks.NETWORKS`
    url: str
    trained_on: str
    score: str
    num_classes: int = 400
    frames: int = 16
    fps: float = 15.0
    paper_widths: bool = False
    eps: float = 1e-5  #: of the batch norms

    @property
    def sha256(self) -> str:
        """The first digits of the file's checksum."""
        return Path(self.url).stem.rpartition("-")[2]

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The 400 actions of Kinetics-400, as torchvision lists them; None for other classes: nobody has published them."""
        if self.num_classes != 400:
            return None
        from torchvision.models.video import R2Plus1D_18_Weights  # takes seconds to import

        return tuple(R2Plus1D_18_Weights.KINETICS400_V1.meta["categories"])


def _torchvision(network, file, accuracy):
    """torchvision's weights; a test compares URL and accuracy with its own table."""
    score = f"Published accuracy: {accuracy} % of the validation videos, five clips a video."
    url = f"https://download.pytorch.org/models/{file}.pth"
    return Source(network, url, "Trained on Kinetics-400: web videos of 400 human actions.", score)


def _ig65m(file, frames, num_classes=400, accuracy=None):
    """R(2+1)D-34 as converted by github.com/moabitcoin/ig65m-pytorch, ig65m/models.py; we have not tried the real files.

    Two choices are ours: 30 frames a second, where that project takes every frame, and frames of 128 x 171 as in the paper,
    where it keeps their shape. The accuracies are from facebookresearch/VMZ, c2/tutorials/model_zoo.md.
    """
    url = f"https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/{file}.pth"
    then, score = "and on nothing else", "Good for features."
    if accuracy:
        then = "then on Kinetics-400"
        score = f"Published accuracy of the original: {accuracy} % of the validation videos."
    trained_on = f"Trained on IG-65M: 65 million public videos and their hashtags, {then}."
    return Source("r2plus1d_34", url, trained_on, score, num_classes, frames, fps=30.0, paper_widths=True, eps=1e-3)


SOURCES: dict[str, Source] = {
    # torchvision's, for 400 actions of people: 120, 45 and 127 MB
    "kinetics400": _torchvision("r2plus1d_18", "r2plus1d_18-91a641e6", 67.5),
    "kinetics400-mc3_18": _torchvision("mc3_18", "mc3_18-a90a0ba3", 64.0),
    "kinetics400-r3d_18": _torchvision("r3d_18", "r3d_18-b3b3357e", 63.2),
    # trained on 65 million videos and then on Kinetics-400, for clips of 8 and of 32 frames: 255 MB each
    "ig65m-kinetics400-8": _ig65m("r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b", 8, accuracy=74.9),
    "ig65m-kinetics400-32": _ig65m("r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1", 32, accuracy=80.0),
    # the same before Kinetics-400: without labels, good for features (`classify.extract_features`)
    "ig65m-8": _ig65m("r2plus1d_34_clip8_ig65m_from_scratch-9bae36ae", 8, 487),
    "ig65m-32": _ig65m("r2plus1d_34_clip32_ig65m_from_scratch-449a7af9", 32, 359),
}
NAMES = ("stickfigures", *SOURCES)
