"""Stored runs: what took hours is computed once, and read afterwards from notebooks/runs.

Each is a small JSON file with its settings, command, device, versions and seconds.
"""

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from helpers import classify

__all__ = ["RUNS", "MissingRun", "checkpoint_path", "load_or_run"]

RUNS = Path(__file__).parents[2] / "notebooks" / "runs"
if not RUNS.is_dir():  # this package is an installed copy: the runs are beside the notebook
    RUNS = Path.cwd() / "runs"
# The notebook that makes a stored run, by the beginning of the run's name; the longest beginning counts.
_NOTEBOOKS = dict(compare="09", fair="09", ancestors="10", inside="11", finetune="12", speed="13")
_NOTEBOOKS |= dict(speed_folder="14", speed_cluster="14", speed_elsewhere="14", speed_planar="14")


class MissingRun(Exception):
    """A run that nobody has stored. The message says how to make it."""


def load_or_run(name: str, make: Callable[..., dict[str, Any]], /, **settings: Any) -> dict[str, Any]:
    """The result of a long run from notebooks/runs; if it is missing and VIDEO_RESNET_FULL=1, it is made and stored there.

    Args:
        name: of the file, without its ending; it begins with one of `_NOTEBOOKS`.
        make: a function of the settings (numbers and texts) that returns a dict of what JSON can hold.

    Returns:
        What `make` returned, and settings, command, device, threads, versions and seconds.

    Raises:
        MissingRun: it is not there and not asked for, or the notebook is not there. ValueError: it was made with other settings.
    """
    path = RUNS / f"{name}.json"
    if path.exists():
        run = json.loads(path.read_text(encoding="utf-8"))
        if run["settings"] != settings:
            raise ValueError(f"{path} is of a run with {run['settings']}, not {settings}: delete it, or name another")
        return run
    if os.environ.get("VIDEO_RESNET_FULL", "0") in ("", "0"):
        raise MissingRun(f"{path.name} is not in {RUNS}. VIDEO_RESNET_FULL=1 makes what is missing, which takes long")
    number = _NOTEBOOKS[max(filter(name.startswith, _NOTEBOOKS), key=len)]
    notebook = next(RUNS.parent.glob(f"{number}_*.ipynb"), None)
    if notebook is None:
        raise MissingRun(f"{RUNS.parent} is not the folder of the notebooks: start Python there to make {path.name}")
    threads, start = torch.get_num_threads(), time.perf_counter()
    command = f"VIDEO_RESNET_FULL=1 OMP_NUM_THREADS={threads} jupyter execute notebooks/{notebook.name}"
    run = make(**settings) | dict(settings=settings, command=command, seconds=round(time.perf_counter() - start))
    run |= dict(device=classify.device_name(settings.get("device", "cpu")), threads=threads)
    versions = {package: importlib.metadata.version(package) for package in ("torch", "torchvision", "numpy")}
    run["versions"] = dict(python=sys.version.split()[0], **versions)
    RUNS.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    os.replace(new, path)
    return run


def checkpoint_path(name: str) -> Path:
    """A file for the checkpoint of a long run, in a folder that git ignores; the folder is made here."""
    folder = RUNS.parents[1] / "runs"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.pt"
