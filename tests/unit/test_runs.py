"""Stored runs: read where they are, made where that is asked for, and never taken for others."""

import json

import pytest
from conftest import ROOT

from helpers import runs, training


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder like notebooks/runs, with one notebook beside it."""
    (tmp_path / "compare_train.ipynb").touch()
    monkeypatch.setattr(runs, "FOLDER", tmp_path / "runs")
    monkeypatch.delenv("VIDEO_RESNET_FULL", raising=False)
    return tmp_path / "runs"


def test_a_run_is_made_only_when_asked_and_only_once(folder, monkeypatch):
    calls = []

    def make(seed, clips):
        calls.append((seed, clips))
        return dict(error=seed / clips)

    with pytest.raises(training.MissingRun, match="compare_a.json is not in .*VIDEO_RESNET_FULL=1 makes"):
        training.load_or_run("compare_a", make, seed=1, clips=4)
    assert calls == [] and not folder.exists()
    monkeypatch.setenv("VIDEO_RESNET_FULL", "1")
    made = training.load_or_run("compare_a", make, seed=1, clips=4)
    monkeypatch.setenv("VIDEO_RESNET_FULL", "0")
    again = training.load_or_run("compare_a", make, seed=1, clips=4)
    assert calls == [(1, 4)] and made == again and made["error"] == 0.25
    assert "VIDEO_RESNET_FULL=1 jupyter execute notebooks/compare_train.ipynb" in made["command"]
    assert [path.name for path in folder.iterdir()] == ["compare_a.json"]
    with pytest.raises(ValueError, match="is of a run with .*delete it"):
        training.load_or_run("compare_a", make, seed=2, clips=4)


def test_a_run_that_fails_leaves_nothing(folder, monkeypatch):
    monkeypatch.setenv("VIDEO_RESNET_FULL", "1")
    with pytest.raises(ZeroDivisionError):
        training.load_or_run("compare_a", lambda: 1 / 0)
    assert not folder.exists()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "runs").glob("*")), ids=lambda path: path.name)
def test_stored_runs_tell_how_they_were_made(path):
    run = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 20_000 and path.suffix == ".json"
    assert {"settings", "command", "device", "threads", "versions", "seconds"} <= set(run)
    assert path.stem[:2] + "_" in run["command"] and {"python", "torch", "torchvision", "numpy"} == set(run["versions"])


def test_unfinished_work_has_a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "FOLDER", tmp_path / "notebooks" / "runs")
    path = training.checkpoint_path("99_some_1")
    assert path == tmp_path / "runs" / "99_some_1.pt" and path.parent.is_dir() and not path.exists()
    assert training.checkpoint_path("99_some_1") == path
