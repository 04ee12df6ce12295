"""What long runs gave: read from notebooks/runs, or made where VIDEO_RESNET_FULL asks for it. See notebook 09."""

import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
import torchvision

from helpers.classify import device_name

FOLDER = Path(__file__).parents[1] / "notebooks" / "runs"


class MissingRun(Exception):
    """A run that nobody has stored. The message says how to make it."""


def stored(name, make, /, **settings):
    """The result of a long run, by its name.

    If notebooks/runs holds it, it is read. If not, and the environment variable VIDEO_RESNET_FULL is 1, it is made now and
    written there; so a collection of runs can be made in parts.

    Args:
        name: of the file, without its ending; it begins with the number of the notebook.
        make: a function of the settings that returns a dict of what JSON can hold.
        settings: numbers and texts.

    Returns:
        What `make` returned, and settings, command, device, threads, versions and seconds.

    Raises:
        MissingRun: it is not there and not asked for.
        ValueError: it is there, but was made with other settings.
    """
    path = FOLDER / f"{name}.json"
    if path.exists():
        run = json.loads(path.read_text(encoding="utf-8"))
        if run["settings"] != settings:
            raise ValueError(f"{path} is of a run with {run['settings']}, not {settings}: delete it, or name another")
        return run
    if os.environ.get("VIDEO_RESNET_FULL", "0") in ("", "0"):
        raise MissingRun(
            f"{path.name} is not in {FOLDER}. VIDEO_RESNET_FULL=1 makes what is missing; it takes its time"
        )
    begun = time.perf_counter()
    run = make(**settings)
    run |= dict(settings=settings, command=_command(name), seconds=round(time.perf_counter() - begun))
    run |= dict(device=device_name(settings.get("device", "cpu")), threads=torch.get_num_threads(), versions=versions())
    FOLDER.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    os.replace(new, path)
    return run


def checkpoint(name):
    """The file for what is not finished yet of a long run, for `training.train`: in a folder that git ignores, made here."""
    folder = FOLDER.parents[1] / "runs"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.pt"


def _command(name):
    (notebook,) = FOLDER.parent.glob(f"{name[:2]}_*.ipynb")
    return f"OMP_NUM_THREADS={torch.get_num_threads()} VIDEO_RESNET_FULL=1 jupyter execute notebooks/{notebook.name}"


def versions():
    """Of Python and of what computes and draws."""
    return dict(
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        numpy=np.__version__,
    )
