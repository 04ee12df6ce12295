"""`make gpu` where there is no GPU, with no packages but those that a machine with PyTorch has or is sent, and packed."""

import json
import os
import shutil
import subprocess
import sys
import tarfile

import bundle
import gpu
import pytest
from conftest import ROOT

# What PyTorch and torchvision bring, and what the wheels do; of these what the tests and figures import.
PRESENT = (
    "torch torchvision torchgen functorch numpy PIL filelock typing_extensions sympy mpmath networkx jinja2 markupsafe"
)
PRESENT += " fsspec setuptools pkg_resources _distutils_hack triton nvidia cuda"
CARRIED = "av tqdm pytest _pytest py pluggy iniconfig packaging pygments"
OURS = "helpers conftest gpu bundle elsewhere test_devices sitecustomize"
REFUSE = f"""
import importlib.machinery, sys

class Refused(importlib.machinery.PathFinder):
    allowed = set({" ".join((PRESENT, CARRIED, OURS))!r}.split()) | sys.stdlib_module_names

    @classmethod
    def find_spec(cls, name, path=None, target=None):  # a package that is refused is not there
        refused = path is None and name not in cls.allowed and not name.startswith("_sysconfigdata")
        return None if refused else super().find_spec(name, path, target)

sys.meta_path = [Refused if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture
def bare(tmp_path):
    """The environment of a machine without the other packages, for every Python that is started in it."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(REFUSE, encoding="utf-8")
    path = os.pathsep.join(map(os.fspath, (tmp_path / "hook", ROOT, ROOT / "tests", ROOT / "tests" / "unit")))
    return os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run(*arguments, env, cwd=ROOT):
    command = [sys.executable, *map(os.fspath, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=1200)


def test_what_a_bare_machine_lacks_is_refused(bare):
    done = run("-c", "import matplotlib", env=bare)
    assert done.returncode == 1 and "No module named 'matplotlib'" in done.stderr


def test_the_device_part_imports_nothing_that_a_bare_machine_lacks(bare):
    modules = "gpu, test_devices, elsewhere, helpers.lessons.on_a_gpu, helpers.training, helpers.scale.figures"
    done = run("-W", "ignore", "-c", f"import {modules}", env=bare)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_all_of_it_runs_on_a_bare_machine(bare, tmp_path):
    """On the CPU, with tiny clips and one row; the tests of devices, then, on the device that is none."""
    options = "--device cpu --clip 4 16 --only".split() + ["one clip, as it comes, float32"]
    done = run(ROOT / "tests" / "gpu.py", *options, "--out", tmp_path, env=bare)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    clip, tests, figures = (
        json.loads((tmp_path / f"gpu_{name}.json").read_text(encoding="utf-8")) for name in ("clip", "tests", "figures")
    )
    assert clip["label"] == "jumping jacks" and clip["first_seconds"] > 0 and clip["machine"]["device"]
    assert tests["passed"] == tests["failed"] == 0 and tests["skipped"] == len(tests["tests"]) > 40
    assert len(figures["rows"]) == 1 and figures["rows"][0]["ratio"] > 0 and figures["left_out"] == []
    command = [
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "-W",
        "default",
        "-p",
        "elsewhere",
        "-p",
        "no:cacheprovider",
        "-rs",
    ]
    done = run(*command, "-k", "explorer or cam or fine_tuning or prepared", "tests/unit/test_devices.py", env=bare)
    assert done.returncode == 0 and "could not import 'matplotlib'" in done.stdout, done.stdout[-2000:]
    assert "6 passed, 3 skipped" in done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The bundle, with a text in place of the wheels: the folder that it unpacks to."""
    if not all(map(shutil.which, ("git", "make"))) or not (ROOT / ".git").exists():
        pytest.skip("it is packed by git and make, from a clone")
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "wheels").mkdir()
    (folder / "wheels" / "one-1.0-py3-none-any.whl").write_text("a wheel", encoding="utf-8")
    names = bundle.pack(folder / "wheels", folder / "gpu-bundle.tar.gz")
    assert (folder / "gpu-bundle.tar.gz").stat().st_size < 8_000_000  # the wheels have 52 MB
    with tarfile.open(folder / "gpu-bundle.tar.gz") as tar:
        assert tar.getnames() == names
        tar.extractall(folder, filter="data")
    return folder / "gpu-bundle"


def test_the_bundle_holds_what_is_needed_and_nothing_that_git_ignores(unpacked):
    names = [path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()]
    for name in ("gpu.sh", "Makefile", "tests/gpu.py", "tests/unit/test_devices.py", "helpers/scale/figures.py"):
        assert name in names
    assert "wheels/one-1.0-py3-none-any.whl" in names and "notebooks/runs/gpu_benchmark.json" in names
    assert {name[:12] for name in names if name.endswith(".ipynb")} == {f"notebooks/{n}" for n in ("07", "09", "13")}
    ours = [name for name in names if name != "gpu.sh" and not name.startswith("wheels/")]
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(ours), capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""  # none is


def test_without_a_gpu_its_unpacked_copy_says_so(unpacked):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VIDEO_RESNET", "PYTHON"))}
    if gpu.classify.get_device().type != "cpu":
        environment["VIDEO_RESNET_DEVICE"] = "cpu"
    command = ["make", "-s", "gpu", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=unpacked, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert "There is no GPU here that PyTorch can use" in done.stderr
    assert not (unpacked / "notebooks" / "runs" / "gpu_clip.json").exists()


def test_a_bundle_that_is_too_large_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "BUILD", tmp_path)
    monkeypatch.setattr(bundle, "files", lambda: ["LICENSE"])
    monkeypatch.setattr(bundle, "download", lambda folder: (folder / "a-1.whl").write_bytes(os.urandom(10_000)))
    assert bundle.main() == 0
    monkeypatch.setattr(bundle, "LARGEST", 10_000)
    assert bundle.main() == 1 and "0 MB are allowed" in capsys.readouterr().err


def test_wheels_are_those_of_the_list_for_its_python():
    pins = dict(pin.split("==") for pin in bundle.pinned())
    assert sorted(pins) == sorted(bundle.WANTED)
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert f"\nav=={pins['av']} ; python_full_version >= '3.12'\n" in text


def test_a_part_that_does_not_end_is_ended():
    assert gpu.run([sys.executable, "-c", "import time; time.sleep(60)"], 1) is None
    assert gpu.run([sys.executable, "-c", "raise SystemExit(3)"], 60) == 3
