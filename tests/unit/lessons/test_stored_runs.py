"""Stored runs are read where they are, made where that is asked for, and never taken for others."""

import json
import re
import runpy
import shutil

import pytest
from conftest import ROOT

from helpers.lessons import stored_runs


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder like notebooks/runs, with the notebook 09 beside it."""
    (tmp_path / "09_compare.ipynb").touch()
    monkeypatch.setattr(stored_runs, "RUNS", tmp_path / "runs")
    monkeypatch.delenv("VIDEO_RESNET_FULL", raising=False)
    return tmp_path / "runs"


def test_a_run_is_made_only_when_asked_and_only_once(runs, monkeypatch):
    calls = []

    def make(seed, clips):
        calls.append((seed, clips))
        return dict(error=seed / clips)

    with pytest.raises(stored_runs.MissingRun, match=r"compare_a.json is not in .*VIDEO_RESNET_FULL=1 makes"):
        stored_runs.load_or_run("compare_a", make, seed=1, clips=4)
    assert calls == [] and not runs.exists()
    monkeypatch.setenv("VIDEO_RESNET_FULL", "1")
    made = stored_runs.load_or_run("compare_a", make, seed=1, clips=4)
    monkeypatch.setenv("VIDEO_RESNET_FULL", "0")
    again = stored_runs.load_or_run("compare_a", make, seed=1, clips=4)
    assert calls == [(1, 4)] and made == again and made["error"] == 0.25
    assert made["command"].startswith("VIDEO_RESNET_FULL=1 OMP_NUM_THREADS=")
    assert made["command"].endswith(" jupyter execute notebooks/09_compare.ipynb")
    assert [path.name for path in runs.iterdir()] == ["compare_a.json"]
    check_run(made)
    with pytest.raises(ValueError, match="is of a run with .*delete it"):
        stored_runs.load_or_run("compare_a", make, seed=2, clips=4)


def test_a_run_that_fails_leaves_nothing(runs, monkeypatch):
    monkeypatch.setenv("VIDEO_RESNET_FULL", "1")
    with pytest.raises(ZeroDivisionError):
        stored_runs.load_or_run("compare_a", lambda: 1 / 0)
    assert not runs.exists()


def test_an_installed_copy_looks_beside_the_notebook(tmp_path, monkeypatch):
    copy = tmp_path / "site-packages" / "helpers" / "lessons" / "stored_runs.py"
    copy.parent.mkdir(parents=True)
    shutil.copyfile(stored_runs.__file__, copy)
    monkeypatch.chdir(tmp_path)
    installed = runpy.run_path(str(copy))
    assert installed["RUNS"] == tmp_path / "runs"
    monkeypatch.setenv("VIDEO_RESNET_FULL", "1")
    with pytest.raises(
        Exception, match="is not the folder of the notebooks: start Python there to make compare_a.json"
    ):
        installed["load_or_run"]("compare_a", None)
    assert [path.name for path in tmp_path.iterdir()] == ["site-packages"]


def check_run(run):
    assert {"settings", "command", "device", "threads", "versions", "seconds"} <= set(run)
    assert {"python", "torch", "torchvision", "numpy"} == set(run["versions"])


FOLDER = ROOT / "notebooks" / "runs"
GPU = sorted(FOLDER.glob("gpu_*"))  # made by a command on another machine, and no notebook reads them
STORED = sorted(set(FOLDER.glob("*")) - set(GPU))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_stored_runs_tell_how_they_were_made(path):
    run = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 20_000 and path.suffix == ".json"
    check_run(run)
    notebook = ROOT / re.search(r"jupyter execute (notebooks/\S+\.ipynb)$", run["command"])[1]
    number = stored_runs._NOTEBOOKS[max(filter(path.stem.startswith, stored_runs._NOTEBOOKS), key=len)]
    text = notebook.read_text(encoding="utf-8")
    for lesson in {*re.findall(r"from helpers\.lessons import (\w+)", text)} - {
        "stored_runs"
    }:  # one may ask in its place
        text += (ROOT / "helpers" / "lessons" / f"{lesson}.py").read_text(encoding="utf-8")
    assert notebook.name.startswith(f"{number}_") and "load_or_run" in text
    assert stored_runs.load_or_run(path.stem, None, **run["settings"]) == run


def test_unfinished_work_has_a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_runs, "RUNS", tmp_path / "notebooks" / "runs")
    path = stored_runs.checkpoint_path("some_1")
    assert path == tmp_path / "runs" / "some_1.pt" and path.parent.is_dir() and not path.exists()
    assert stored_runs.checkpoint_path("some_1") == path


@pytest.mark.parametrize("path", GPU, ids=lambda path: path.name)
def test_runs_of_a_gpu_name_it_and_their_command(path):
    run = json.loads(path.read_text(encoding="utf-8"))
    assert {"settings", "command", "device", "versions", "rows"} <= set(run)
    assert "GPU" in run["device"] or "NVIDIA" in run["device"]
    assert run["command"].startswith("python -m helpers.") and {"python", "torch"} <= set(run["versions"])
