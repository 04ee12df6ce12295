"""Ray Data's rows are those of a single process; killed workers and a killed caller lose nothing and double nothing.

`test_cluster.py` runs it, in a process of its own.
"""

import contextlib
import json
import subprocess
import sys
import time

import psutil
import pytest
import torch

from helpers import stickfigures, video, weights
from helpers.scale import cluster, folder

# Ray warns of its own settings, each time it makes them.
pytestmark = pytest.mark.filterwarnings("ignore:`use_.*` is deprecated:DeprecationWarning:ray.data.context")
HOW = dict(clips=2, k=3)
MINE = "mine.pt"  # weights, which the workers find elsewhere than here


@pytest.fixture(scope="module")
def ray(tmp_path_factory):
    """A cluster of this machine, of two cores whatever it has, whose processes were started somewhere else."""
    ray = pytest.importorskip("ray")
    others = psutil.Process().children(recursive=True)  # such as those that other tests share
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    processes = [process for process in psutil.Process().children(recursive=True) if process not in others]
    ray.shutdown()
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert len(processes) > 2 and not alive


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """It holds a folder, films: seven of them, one in a folder of the folder, and a damaged one."""
    home = tmp_path_factory.mktemp("home")
    (home / "films" / "deep").mkdir(parents=True)
    for k, name in enumerate(["1", "2", "3", "4", "5", "日本", "deep/1"]):
        film = stickfigures.scene(stickfigures.ACTIONS[k], seed=5, index=k, frames=40, size=128).frames
        video.write_video(home / "films" / f"{name}.mp4", film, fps=15)
    whole = (home / "films" / "1.mp4").read_bytes()
    (home / "films" / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    weights.save(home / MINE, weights.load())
    if sys.platform == "linux":  # a name that is not UTF-8
        (home / "films" / "5.mp4").rename(home / "films" / "\udcff.mp4")
    return home


@pytest.fixture(scope="module")
def alone(home):
    """The rows of a single process, of one thread as each worker's: the order in which numbers are added is theirs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with contextlib.chdir(home):
        list(folder.classify_folder("films", "alone.jsonl", weights.load(MINE), device="cpu", **HOW))
    torch.set_num_threads(threads)
    return rows(home / "alone.jsonl")


@pytest.fixture
def at_home(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


def rows(out):
    """Rows, sorted by file."""
    return sorted(map(json.loads, out.read_text(encoding="utf-8").splitlines()), key=lambda row: row["file"])


def test_rows_are_those_of_a_single_process_though_workers_are_killed(ray, at_home, alone, tmp_path):
    """Both workers are killed while they work, at different moments: nothing is lost, nothing comes twice."""
    out, killed, seen = tmp_path / "out", [], []
    for progress in cluster.classify_folder("films", out, MINE, **HOW):
        seen.append((progress.done, progress.total))
        if progress.done in (1, 4):
            workers = [each for each in psutil.Process().children(recursive=True) if each.name().startswith("ray::Map")]
            killed.append(next(worker for worker in workers if worker not in killed))
            killed[-1].kill()
    assert rows(out) == alone and len(set(killed)) == 2
    assert [row["file"] for row in alone if "error" in row] == ["cut.mp4"] and progress.failed == 1
    assert seen == [(done, 8) for done in range(9)]
    (again,) = cluster.classify_folder("films", out, MINE, **HOW)
    assert again == (8, 8, 1)
    assert ray.data.DataContext.get_current().enable_progress_bars  # of the caller's other data


def test_a_run_goes_on_after_its_caller_was_killed(ray, at_home, alone, tmp_path):
    out = tmp_path / "out"
    code = (
        "import ray, sys; from helpers.scale import cluster; ray.init(sys.argv[1], log_to_driver=False); "
        "list(cluster.classify_folder('films', sys.argv[2], sys.argv[3], clips=2, k=3))"
    )
    address = ray.get_runtime_context().gcs_address
    run = subprocess.Popen([sys.executable, "-c", code, address, str(out), MINE])
    while run.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < 2):
        time.sleep(0.005)
    run.kill()
    run.wait()
    before = out.read_bytes()
    assert 2 <= before.count(b"\n") < 8
    assert list(cluster.classify_folder("films", out, MINE, **HOW))[-1] == (8, 8, 1)
    assert rows(out) == alone and out.read_bytes().startswith(before)


def test_a_worker_that_fails_says_why_and_ends_the_run(ray, at_home, tmp_path, monkeypatch):
    """It does not find the weights, which the caller has found."""
    mine = tmp_path / MINE
    mine.write_bytes((at_home / MINE).read_bytes())
    run = cluster.classify_folder("films", tmp_path / "out", str(mine), **HOW)
    assert next(run).done == 0
    mine.unlink()
    with pytest.raises(
        RuntimeError, match=r"films/.*mp4 could not be done.* WeightsError: unknown weights '/.*mine.pt'"
    ):
        list(run)
    assert (tmp_path / "out").read_text(encoding="utf-8") == ""


def test_what_cannot_begin(at_home, tmp_path, monkeypatch):
    """It is told before a cluster is started."""
    monkeypatch.setattr(cluster, "_map", None)
    out = tmp_path / "out"
    for folder, name, error, says in [
        ("nowhere", "stickfigures", NotADirectoryError, "nowhere is no folder"),
        ("films", "none", weights.WeightsError, "unknown weights 'none'"),
    ]:
        with pytest.raises(error, match=says):
            next(cluster.classify_folder(folder, out, name))
        assert not out.exists()
    out.write_text("Dear reader\n", encoding="utf-8")
    with pytest.raises(ValueError, match="name another file"):
        next(cluster.classify_folder("films", out))
    assert out.read_text(encoding="utf-8") == "Dear reader\n"


def test_gpus_are_not_waited_for_where_there_are_none(ray, at_home, tmp_path):
    with pytest.raises(ValueError, match="no machine of the cluster has a GPU"):
        list(cluster.classify_folder("films", tmp_path / "out", device="cuda"))


def test_ray_is_missing(at_home, tmp_path, monkeypatch):
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="make extras"):
        list(cluster.classify_folder("films", tmp_path / "out"))
