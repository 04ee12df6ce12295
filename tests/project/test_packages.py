"""The three lists of packages say the same, name no place to take them from, and hold all that is imported."""

import ast
import importlib.metadata
import json
import re
import sys
import tomllib

import pytest
import yaml
from conftest import ROOT
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]
WANTED = [
    Requirement(line) for line in PROJECT["dependencies"] + OPTIONAL["test"] + OPTIONAL["book"] + OPTIONAL["work"]
]
EXTRAS = [Requirement(line) for line in OPTIONAL["cluster"] + OPTIONAL["export"]]
PLATFORMS = [
    {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
]


def pinned(file="requirements.txt"):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_every_package_is_pinned_once_on_every_platform_and_python():
    pins = pinned()
    for version in ("3.11", "3.12", "3.13", "3.14"):
        for platform in PLATFORMS:
            environment = dict(platform, python_version=version, python_full_version=f"{version}.7")
            here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
            names = [canonicalize_name(pin.name) for pin in here]
            assert len(names) == len(set(names))
            versions = dict(zip(names, here))
            for wanted in WANTED:
                exact = re.fullmatch(r"==([0-9.]+)", str(versions[canonicalize_name(wanted.name)].specifier))
                assert exact and exact[1] in wanted.specifier, (wanted, environment)


def test_extras_are_pinned_beside_the_rest_and_change_nothing_of_it():
    pins = {str(pin) for pin in pinned("requirements-extras.txt")}
    assert {str(pin) for pin in pinned()} < pins
    versions = {canonicalize_name(pin.name): pin for pin in pinned("requirements-extras.txt")}
    for wanted in EXTRAS:
        assert str(versions[canonicalize_name(wanted.name)].specifier).removeprefix("==") in wanted.specifier
    assert not {canonicalize_name(wanted.name) for wanted in EXTRAS} & {canonicalize_name(pin.name) for pin in pinned()}


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-extras.txt"])
def test_pins_are_exact_and_name_no_host(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert "://" not in text and "--" not in text and " @ " not in text
    for pin in pinned(file):
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(pin.specifier)), pin
        assert pin.marker is None or isinstance(pin.marker, Marker)
    assert not {canonicalize_name(pin.name) for pin in pinned()} & {"video-resnet-notebooks"}


def test_lower_bounds_are_told_with_a_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for wanted in WANTED + EXTRAS:
        line = next(line for line in text.splitlines() if line.strip().startswith(f'"{wanted}"'))
        assert str(wanted.specifier).startswith(">=") and len(line.split("#")[1].strip()) > 10, line


def test_torch_is_the_ordinary_build():
    versions = {pin.name: str(pin.specifier) for pin in pinned()}
    assert "+" not in versions["torch"] + versions["torchvision"]


def test_conda_brings_python_and_takes_the_rest_from_the_two_lists():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert pip == ["-r requirements.txt", "-e ."]
    assert sorted(entry.split()[0] for entry in plain) == ["pip", "python"]
    python = next(entry for entry in plain if entry.startswith("python"))
    assert SpecifierSet(python.removeprefix("python ")) == SpecifierSet(PROJECT["requires-python"])


# What is no package of a registry; google.colab is there on Colab only.
OWN = {"colab", "google", "try_it", "helpers", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
NAMES = importlib.metadata.packages_distributions()  # what is imported as cv2 is opencv-python-headless
ASK = ("importorskip", "import_module", "_package")  # functions that take the name of a module


def code(folder):
    """The files of a folder and the notebooks in it as Python: pairs of a path and a source."""
    for path in sorted(folder.rglob("*.py")):
        yield path, path.read_text(encoding="utf-8")
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            yield path, "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def imported(source):
    """The names of all modules that a source imports, in functions, too, and of those that it asks for."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ASK:
            yield from (word.value for word in node.args[:1] if isinstance(word, ast.Constant))


def undeclared(source, extras=()):
    """The packages that a source imports and neither the dependencies nor these extras name."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in OPTIONAL[extra]]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    names = {name.partition(".")[0] for name in imported(source)} - set(sys.stdlib_module_names) - OWN
    return {name for name in names if not declared & set(map(canonicalize_name, NAMES.get(name, [name])))}


FOLDERS = {"helpers": (), "notebooks": (), "img": (), "book": ["book"], "tests": list(OPTIONAL)}
MORE = {
    "cluster.py": ["cluster"],
    "export.py": ["export"],
    "film.py": ["test"],
    "try_it.py": ["book", "export"],
}  # which say so where an extra is missing


@pytest.mark.parametrize("folder", FOLDERS)
def test_all_that_is_imported_is_in_the_list(folder):
    files = list(code(ROOT / folder))
    assert files
    for path, source in files:
        assert not undeclared(source, MORE.get(path.name, FOLDERS[folder])), path


def test_what_is_not_in_the_list_is_seen():
    source = "import os.path, numpy\nfrom PIL import Image\nfrom .x import y\nimport conftest, helpers.video\n"
    assert undeclared(source) == set()
    assert undeclared(source + "def f():\n    import pandas.io\n    from yaml import load\n") == {"pandas", "yaml"}
    assert undeclared("pytest.importorskip('ray.data'); _package('onnx')", ["test"]) == {"ray", "onnx"}
    assert undeclared("import yaml, ray", ["test", "cluster"]) == set()


def test_workflow_tries_the_oldest_and_the_newest_python():
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))["jobs"]
    assert all("3.11" in job["strategy"]["matrix"]["python"] for job in jobs.values())
    assert set(jobs["elsewhere"]["strategy"]["matrix"]["os"]) == {"macos-latest", "windows-latest"}
