"""Trained networks by name: the network, its labels and its preprocessing as one `Pretrained`. See notebook 06."""

import errno
import functools
import hashlib
import json
import os
import pickle
import socket
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from helpers import transforms
from helpers.networks import NETWORKS, VideoResNet

__all__ = ["ASSETS", "JUGGLING", "NAMES", "SOURCES", "Pretrained", "Source", "WeightsError", "check_writable", "checksum",
           "create_model", "download", "load", "load_checkpoint", "save", "save_atomically"]  # fmt: skip

ASSETS = Path(__file__).parent / "assets"
# Someone juggles a soccer ball: a clip of UCF101 as torchvision's tests keep it. What `download` wants.
JUGGLING = (
    "https://raw.githubusercontent.com/pytorch/vision/5b132056b91ea9512face7097c573babe67333ec"
    "/test/assets/videos/v_SoccerJuggling_g23_c01.avi",
    "e1d577a0b1590e3885d1117950a90adfe4849f222eafcc3aea73683e602dc26a",
)
_TIMEOUT = 30  # seconds that a server may stay silent
_SAVED = "labels frames fps trained_on score architecture crop_size".split()  # with the weights: a file of `save`


class WeightsError(ValueError):
    """There are no such weights, or a file cannot be downloaded or read. The message names the file and says what to do."""


@dataclass(frozen=True)
class Pretrained:
    """A trained network with the labels and the preprocessing that belong to it; `dataclasses.replace` gives a changed copy."""

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
    """The trained network of this name: one of `NAMES`, or the path of a file that `save` wrote.

    The weights "stickfigures" are in this repository; the others are downloaded once, see `SOURCES`. WeightsError if the
    name is unknown, or if the file cannot be downloaded or read or does not fit the network.
    """
    if name == "stickfigures":
        return _load_stickfigures()
    if os.path.isfile(name):
        return _load_saved(name)
    if name not in SOURCES:
        raise WeightsError(f"unknown weights {str(name)!r}; choose from {', '.join(NAMES)}, or give the path of a file")
    source = SOURCES[name]
    try:
        file = download(source.url, source.sha256)
    except WeightsError as error:
        raise WeightsError(f"{error} The weights 'stickfigures' need no download.") from error
    architecture = dict(network=source.network, width=64, paper_widths=source.paper_widths, eps=source.eps)
    network = _restore(load_checkpoint(file), file, source.num_classes, architecture)
    details = (source.frames, source.fps, source.trained_on, source.score, architecture)
    return Pretrained(name, network, source.labels, transforms.preprocess, *details)


def crop_size_of(pretrained: Pretrained) -> int | None:
    """The crop size of `transforms.preprocess`, if that is the preprocessing; None if it is another one."""
    function = pretrained.preprocess
    ours = getattr(function, "func", function) is transforms.preprocess
    return getattr(function, "keywords", {}).get("crop_size", 112) if ours else None


def save(path: str | os.PathLike[str], pretrained: Pretrained) -> None:
    """Write a trained network and what belongs to it to a file, which `load` takes by its path; see `save_atomically`.

    ValueError for what `load` could not give back: another network than a `VideoResNet`, or another preprocessing.
    """
    saved = {name: getattr(pretrained, name) for name in _SAVED}
    # What NumPy made would not be loaded again.
    saved = {name: value.item() if isinstance(value, np.generic) else value for name, value in saved.items()}
    if saved["labels"] is not None:
        saved["labels"] = tuple(map(str, saved["labels"]))
    network = pretrained.network
    if not isinstance(network, VideoResNet):
        raise ValueError(f"{path}: a {type(network).__name__} cannot be saved; give the VideoResNet inside it")
    if len(saved["labels"] or network.fc.bias) != len(network.fc.bias):
        raise ValueError(f"{path}: {len(saved['labels'])} labels do not fit {len(network.fc.bias)} outputs")
    if crop_size_of(pretrained) is None:
        raise ValueError(f"{path}: this preprocessing cannot be saved; only transforms.preprocess can")
    state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    save_atomically(dict(saved, state=state), path)


def save_atomically(value: Any, path: str | os.PathLike[str]) -> None:
    """torch.save to a temporary file beside `path`, which then replaces it: at each moment `path` is a whole file or none.

    Raises OSError if the disk is full, for example; the earlier file is kept and the temporary one is removed.
    """
    temporary = Path(f"{os.fspath(path)}.new")
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
        forbidden = cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EISDIR)
        remedy = "name another file" if forbidden else "make room, and run the same again"
        message = f"cannot be written ({cause.strerror}){kept}; {remedy}"
        raise OSError(cause.errno, message, os.fspath(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise an OSError that says why, if a file cannot be written. To be called before the work that it is to hold."""
    path, effective = Path(path), os.access in os.supports_effective_ids
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if path.exists() and not path.is_file():  # a device: what replaces it, or reads on and on, does harm
        raise OSError(f"{path} is no ordinary file: name another")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}. Make it first")
    for place in filter(os.path.exists, (path, path.absolute().parent)):
        if not os.access(place, os.W_OK, effective_ids=effective):
            raise PermissionError(f"{place} may not be written by you: name a file in another folder")


def load_checkpoint(file: str | os.PathLike[str]) -> Any:
    """Tensors and plain values that torch.save has written to a file, on the CPU; WeightsError if it cannot be read safely."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # an UnpicklingError's own text says how to open the file unsafely
        reason = f"it is damaged, or no file of torch.save ({_first_line(error)})"
        if isinstance(error, pickle.UnpicklingError):
            more = "GLOBAL" in str(error)
            reason = (
                "it holds more than tensors. Do not open it in another way" if more else "it is no file of torch.save"
            )
        raise WeightsError(f"{file} cannot be read safely by torch {torch.__version__}: {reason}.") from error


def download(url: str, sha256: str) -> Path:
    """The path of a file from the internet, downloaded once to the folder of torch.hub (see TORCH_HOME).

    The address ends in the name of the file. `sha256` is its checksum in lower-case hexadecimal digits, at least the first
    8 of them. A file that is there already is replaced if its checksum is another.

    Raises WeightsError if the file cannot be downloaded, ValueError if `sha256` is not a checksum.
    """
    if len(sha256) < 8 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError(f"sha256={sha256!r}: give at least its first 8 hexadecimal digits, in lower case")
    name = Path(url).name
    if os.environ.get("VIDEO_RESNET_OFFLINE", "0") not in ("", "0"):
        raise WeightsError(f"{name} is not in this repository; VIDEO_RESNET_OFFLINE=1 forbids downloads. Unset it.")
    file, timeout = Path(torch.hub.get_dir(), "checkpoints", name), socket.getdefaulttimeout()
    try:
        if file.exists() and checksum(file).startswith(sha256):
            return file
        print(f"Downloading {url} to {file}", file=sys.stderr)
        file.parent.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(_TIMEOUT)  # torch.hub would wait for a silent server for ever
        torch.hub.download_url_to_file(url, str(file), sha256)
    except Exception as error:  # of the connection, the server, the disk or the checksum
        by_hand = f"save it as {file} (its SHA-256 begins with {sha256[:8]}; TORCH_HOME can name another folder)"
        problem = f"{name} could not be downloaded from {url} ({_first_line(error)})"
        raise WeightsError(f"{problem}: try again, or download it by hand and {by_hand}.") from error
    finally:
        socket.setdefaulttimeout(timeout)
    return file


def checksum(file: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file in hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _load_stickfigures():
    report, file = json.loads((ASSETS / "stickfigures.json").read_text(encoding="utf-8")), ASSETS / "stickfigures.pt"
    labels, architecture = tuple(report["labels"]), dict(network="r2plus1d_18", width=report["width"])
    network = _restore(load_checkpoint(file), file, len(labels), architecture)
    trained_on = f"Trained on {report['training_clips']:,} synthetic clips of stick figures, and on nothing else."
    score = f"{report['accuracy_stored']:.1%} of {report['test_clips']} test clips correctly classified."
    return Pretrained("stickfigures", network, labels, transforms.preprocess, 16, 15.0, trained_on, score, architecture)


def _load_saved(path):
    saved = load_checkpoint(path)
    try:
        details = {name: saved[name] for name in _SAVED}
        numbers = {name: details[name] for name in ("frames", "fps", "crop_size")}
        if not all(0 < value < 10_000 for value in numbers.values()):
            raise ValueError(f"impossible: {numbers}")
        num_classes = len(details["labels"] or saved["state"]["fc.bias"])
        network = _restore(saved["state"], path, num_classes, details["architecture"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        cause = f"it lacks {error}" if isinstance(error, KeyError) else _first_line(error)
        problem = f"{path} holds no network together with its labels and its preprocessing ({cause})"
        raise WeightsError(f"{problem}. Choose a file of weights.save or python -m helpers.training.") from error
    preprocess = functools.partial(transforms.preprocess, crop_size=details["crop_size"])
    return Pretrained(os.fspath(path), network, preprocess=preprocess, **details)


def _restore(state, file, num_classes, architecture):
    """The network with the weights from a file; those in float16 become float32."""
    network = create_model(num_classes, **architecture)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        cause = textwrap.shorten(str(error).replace("Error(s) in loading state_dict for VideoResNet:", ""), 300)
        raise WeightsError(f"{file} does not fit {architecture['network']}: {cause}") from error
    if not all(values.isfinite().all() for values in network.state_dict().values()):
        raise WeightsError(f"{file} holds weights that are not finite: its training failed. Train with a lower rate.")
    return network


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


def _torchvision(network, digits, accuracy):
    """torchvision's weights; a test compares URL and accuracy with its own table."""
    url = f"https://download.pytorch.org/models/{network}-{digits}.pth"
    score = f"Published accuracy: {accuracy} % of the validation videos, five clips a video."
    return Source(network, url, "Trained on Kinetics-400: web videos of 400 human actions.", score)


def _ig65m(file, frames, num_classes=400, accuracy=None):
    """R(2+1)D-34 as converted by github.com/moabitcoin/ig65m-pytorch, ig65m/models.py; we have not tried the real files.

    Two choices are ours: 30 frames a second, where that project takes every frame, and frames of 128 x 171 as in the paper,
    where it keeps their shape. The accuracies are from facebookresearch/VMZ, c2/tutorials/model_zoo.md.
    """
    url = f"https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/r2plus1d_34_{file}.pth"
    then, score = "and on nothing else", "Good for features."
    if accuracy:
        then = "then on Kinetics-400"
        score = f"Published accuracy of the original: {accuracy} % of the validation videos."
    trained_on = f"Trained on IG-65M: 65 million public videos and their hashtags, {then}."
    return Source("r2plus1d_34", url, trained_on, score, num_classes, frames, fps=30.0, paper_widths=True, eps=1e-3)


SOURCES: dict[str, Source] = {
    # torchvision's, for 400 actions of people: 120, 45 and 127 MB
    "kinetics400": _torchvision("r2plus1d_18", "91a641e6", 67.5),
    "kinetics400-mc3_18": _torchvision("mc3_18", "a90a0ba3", 64.0),
    "kinetics400-r3d_18": _torchvision("r3d_18", "b3b3357e", 63.2),
    # trained on 65 million videos and then on Kinetics-400, for clips of 8 and of 32 frames: 255 MB each
    "ig65m-kinetics400-8": _ig65m("clip8_ft_kinetics_from_ig65m-0aa0550b", 8, accuracy=74.9),
    "ig65m-kinetics400-32": _ig65m("clip32_ft_kinetics_from_ig65m-ade133f1", 32, accuracy=80.0),
    # the same before Kinetics-400: without labels, good for features (`classify.extract_features`)
    "ig65m-8": _ig65m("clip8_ig65m_from_scratch-9bae36ae", 8, 487),
    "ig65m-32": _ig65m("clip32_ig65m_from_scratch-449a7af9", 32, 359),
}
NAMES = ("stickfigures", *SOURCES)
