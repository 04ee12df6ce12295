"""Ways in: the copies for Colab and their first cell, Binder's list, the installed command, a release, the first screen."""

import ast
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
import yaml
from conftest import FORK as VARIABLES
from conftest import ROOT
from packaging.requirements import Requirement
from PIL import Image

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8"))
GIT = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


def book(name):
    """A module of the folder `book`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


colab, colab_setup = book("colab"), book("colab_setup")
FORK = colab.Repository(*VARIABLES.values())


@pytest.fixture
def fork(monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def copies(fork, tmp_path):
    """The folder of the copies, as the script writes them."""
    colab.main(tmp_path)
    return tmp_path


def test_links_lead_to_the_repository_of_the_workflow(fork, monkeypatch):
    path = "notebooks/02_compare_3d_and_2plus1d.ipynb"
    assert dict(colab.ways_in(path)) == {
        "Open in Colab": f"https://colab.research.google.com/github/reader/video-fork/blob/colab/{path}",
        "Launch in Binder": f"https://mybinder.org/v2/gh/reader/video-fork/main?urlpath=lab/tree/{path}",
    }
    monkeypatch.setenv("GITHUB_REF_NAME", "new/idea")
    assert "/video-fork/new%2Fidea?" in dict(colab.ways_in(path))["Launch in Binder"]
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example.org")
    assert colab.ways_in(path) == []  # Colab and Binder's `gh` know one server


@pytest.mark.parametrize("name", VARIABLES)
def test_where_the_repository_is_not_known_there_are_no_links(fork, monkeypatch, name):
    monkeypatch.delenv(name)
    assert colab.repository() is None and colab.ways_in("notebooks/01.ipynb") == []
    with pytest.raises(SystemExit, match="For which repository"):
        colab.main("nowhere")


def test_copies_are_notebooks_that_begin_with_the_cell_and_change_nothing_else(copies):
    written = sorted(path.relative_to(copies) for path in copies.rglob("*") if path.is_file())
    assert written == sorted(path.relative_to(ROOT) for path in colab.NOTEBOOKS)
    for path in written:
        text = (copies / path).read_text(encoding="utf-8")
        copy, stored = nbformat.reads(text, as_version=4), nbformat.read(ROOT / path, as_version=4)
        nbformat.validate(copy)
        first, *rest = copy.cells
        lines = first.source.splitlines()
        assert not isinstance(ast.parse(first.source).body[-1], ast.Expr)  # whose value a notebook would show
        assert first.cell_type == "code" and len(lines) <= 30 and max(map(len, lines)) <= 99
        assert f'os.chdir(series / "{path.parent.as_posix()}")' in lines
        assert len({cell.id for cell in copy.cells}) == len(copy.cells)
        assert [cell for cell in rest if cell.cell_type == "code"] == [c for c in stored.cells if c.cell_type == "code"]
        assert all("colab_setup" not in cell.source for cell in stored.cells)
        assert text.endswith("}\n") and text.startswith('{\n "cells"')


def test_pictures_and_links_of_the_copies_lead_to_what_is_there(copies):
    raw, page, opened = FORK.raw(""), FORK.page(""), FORK.colab("")
    found = {raw: 0, page: 0, opened: 0}
    for path in copies.rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "markdown":
                continue
            for picture, target in re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)", cell.source):
                here = next((begin for begin in found if target.startswith(begin)), None)
                if here is None:
                    folder = ROOT / path.parent.relative_to(copies)
                    assert "://" in target or target.startswith("#") or not (folder / target).exists(), (path, target)
                    continue
                assert bool(picture) == (here == raw)
                file = unquote(target.removeprefix(here).partition("#")[0])
                assert ((copies if here == opened else ROOT) / file).is_file(), target
                found[here] += 1
    assert found[raw] > 14 and found[opened] > 26 and found[page] > 0


def test_what_is_no_link_to_a_file_stays_as_it_is():
    text = (
        "`pair[0](x)`, [paper](https://arxiv.org/abs/1711.11248), [below](#here), [gone](no.ipynb), ![](../img/01.png)"
    )
    changed = colab.with_addresses(text, ROOT / "notebooks", FORK)
    assert changed == text.replace("../img", FORK.raw("img"))
    other = FORK._replace(server="https://git.example.org", branch="a/b")
    assert colab.with_addresses("![a](../img/01.png)", ROOT / "notebooks", other) == (
        "![a](https://git.example.org/reader/video-fork/raw/a/b/img/01.png)"
    )


# What Colab had in June 2026, by its list googlecolab/backend-info.
COLAB = dict(
    filelock="3.29.0", torch="2.11.0+cu128", torchvision="0.26.0+cu128", numpy="2.0.2", scipy="1.16.3", matplotlib="3.10.0",
    pillow="11.3.0", tqdm="4.67.3", ipython="7.34.0", ipywidgets="7.7.1", anywidget="0.9.21", traitlets="5.7.1", psutil="5.9.5",
) | {"scikit-learn": "1.6.1", "opencv-python-headless": "4.13.0.92"}  # fmt: skip


@pytest.mark.parametrize(
    "change, expected",
    [
        ({}, ["av>=17.0"]),
        (dict(av="17"), []),
        (dict(av="16.9.9"), ["av>=17.0"]),
        (dict(av="17.0", tqdm=None, numpy="1.26.4"), ["numpy>=2.0", "tqdm>=4.66"]),
        (dict(av="18.1", ipython=None), ["ipython>=8.26"]),
        (dict(av="18.1", torch=None), ["torch>=2.10"]),
    ],
)
def test_only_what_is_missing_is_installed(change, expected, monkeypatch):
    monkeypatch.setattr(colab_setup, "installed", (COLAB | change).get)
    assert colab_setup.missing(PROJECT["dependencies"]) == expected


@pytest.mark.parametrize("name, version", [("torch", "2.9.1+cu126"), ("torchvision", "0.24")])
def test_an_old_pytorch_gives_a_sentence(name, version, monkeypatch):
    monkeypatch.setattr(colab_setup, "installed", (COLAB | {name: version}).get)
    with pytest.raises(RuntimeError, match=re.escape(f"This machine has {name} {version}; the series needs ")):
        colab_setup.missing(PROJECT["dependencies"])


def distribution(folder, name, version):
    """An installed package without content; what pip needs to know of it."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    files = f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n"
    (info / "RECORD").write_text(files, encoding="utf-8")
    return info


def wheel(folder, name, version):
    """A package without content that pip can install."""
    stem = f"{name}-{version}"
    texts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as file:
        for part, text in texts.items():
            file.writestr(f"{stem}.dist-info/{part}", text)
        file.writestr(
            f"{stem}.dist-info/RECORD", "".join(f"{stem}.dist-info/{part},,\n" for part in (*texts, "RECORD"))
        )


def git(*arguments, folder):
    identity = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def repository(folder):
    """A git repository with what the copies and their first cell need of this project, committed on main."""
    for part in ("book", "helpers", "notebooks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for part in ("pyproject.toml", ".gitignore"):
        shutil.copyfile(ROOT / part, folder / part)
    git("init", "--quiet", "--initial-branch", "main", folder=folder)
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message", "As it is", folder=folder)
    return folder


class Backend(http.server.BaseHTTPRequestHandler):
    """git's own server of repositories, behind HTTP."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        parts = urlsplit(self.path)
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.server.folder), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query, "REQUEST_METHOD": self.command, "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET


@pytest.fixture
def server(tmp_path):
    """A server with the repository reader/video.git; it notes what it was asked."""
    (tmp_path / "served" / "reader").mkdir(parents=True)
    source = repository(tmp_path / "source")
    git("clone", "--quiet", "--bare", str(source), str(tmp_path / "served/reader/video.git"), folder=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        server.daemon_threads, server.folder, server.asked = True, tmp_path / "served", []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.address = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


class Machine:
    """An environment with the packages of Colab, as far as pip can tell, and wheels of those that it lacks."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir()
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        self.python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        ask = [self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        self.site = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
        for name, version in (COLAB | dict(tqdm="4.0")).items():
            distribution(self.site, name, version)
        (self.site / "google" / "colab").mkdir(parents=True)
        output = "def enable_custom_widget_manager():\n    print('widgets are shown')\n"
        (self.site / "google" / "colab" / "output.py").write_text(output, encoding="utf-8")
        (folder / "wheels").mkdir()
        for name, version in (("av", "17.0.1"), ("tqdm", "4.67.3")):
            wheel(folder / "wheels", name, version)

    def run(self, cell, after=""):
        """Run a cell as a kernel would, but that the home is another and pip's only source the wheels."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        environment |= {"HOME": str(self.home), "USERPROFILE": str(self.home), "NO_PROXY": "*", "no_proxy": "*"}
        environment |= {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder / "wheels"),
            "PIP_CONFIG_FILE": os.devnull,
        }
        command = [self.python, "-c", f"{cell}\n{after}"]
        return subprocess.run(command, cwd=self.home, env=environment, capture_output=True, text=True)

    def packages(self):
        return {path.name for path in self.site.glob("*.dist-info") if not path.name.startswith("pip-")}


AFTER = """
import sys, helpers
print(Path.cwd().relative_to(home).as_posix(), Path(helpers.__file__).parent == series / "helpers")
child = "import helpers; print(helpers.__file__)"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.strip() == helpers.__file__)
"""


@GIT
@pytest.mark.slow
@pytest.mark.skipif(Path("/content").is_dir(), reason="on Colab itself the cell would fetch the series to /content")
def test_the_first_cell_fetches_the_series_and_installs_what_is_missing(server, tmp_path):
    machine = Machine(tmp_path)
    before = machine.packages()
    path = ROOT / "notebooks" / "solutions" / "02_compare_3d_and_2plus1d.ipynb"
    cell = "".join(colab.copy(path, colab.Repository(server.address, "reader/video", "main"))["cells"][0]["source"])

    done = machine.run(cell, AFTER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "widgets are shown",
        "Installed: av>=17.0, tqdm>=4.66. Go on with the next cell.",
        "video/notebooks/solutions True",
        "True",
    ]
    assert machine.packages() - before == {"av-17.0.1.dist-info", "tqdm-4.67.3.dist-info"}
    assert before - machine.packages() == {"tqdm-4.0.dist-info"}
    assert git("rev-list", "--count", "HEAD", folder=machine.home / "video").strip() == "1"

    asked, now = len(server.asked), machine.packages()
    again = machine.run(f"{cell}\n{cell}", AFTER)  # a new kernel, and the cell twice in it
    assert again.stdout.splitlines()[1::2][:2] == 2 * ["All packages are here. Go on with the next cell."]
    assert again.stdout.splitlines()[-2:] == ["video/notebooks/solutions True", "True"]
    assert len(server.asked) == asked and machine.packages() == now

    shutil.rmtree(machine.site / "tqdm-4.67.3.dist-info")
    shutil.rmtree(tmp_path / "wheels")
    check_sentence(machine.run(cell), "RuntimeError: pip cannot install tqdm>=4.66. Is there a network connection? ")
    (machine.site / "torch-2.11.0+cu128.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 2.9.0\n", encoding="utf-8"
    )
    check_sentence(machine.run(cell), "RuntimeError: This machine has torch 2.9.0; the series needs 2.10 or newer.")
    server.shutdown()
    server.server_close()
    shutil.rmtree(machine.home / "video")
    check_sentence(machine.run(cell), "RuntimeError: The series cannot be fetched. Is there a network connection? Git")
    assert not (machine.home / "video").exists()


def check_sentence(done, begin):
    """The last line of a failed cell says what is wrong, and no second error does."""
    assert done.returncode != 0 and done.stderr.strip().splitlines()[-1].startswith(begin), done.stderr
    assert done.stderr.count("Traceback") == 1


@GIT
@pytest.mark.skipif(os.name == "nt", reason="the workflow runs on Linux")
def test_the_workflow_pushes_the_copies_and_nothing_else(tmp_path):
    """Its own lines, against a repository on this disk; twice, since a second push replaces the first."""
    steps = [step["run"] for step in WORKFLOW["jobs"]["colab"]["steps"] if "run" in step]
    assert len(steps) == 2
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    folder = repository(tmp_path / "checkout")
    git("init", "--quiet", "--bare", str(tmp_path / "origin.git"), folder=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "origin.git"), folder=folder)
    git("push", "--quiet", "origin", "main", folder=folder)
    search = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    home = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}  # no name of the author is set there
    environment = os.environ | VARIABLES | home | {"PATH": search, "GITHUB_SHA": "abc123"}
    for _ in range(2):
        for step in steps:
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", step],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
    origin = tmp_path / "origin.git"
    pushed = git("ls-tree", "-r", "--name-only", "colab", folder=origin).split()
    assert pushed == sorted(path.relative_to(ROOT).as_posix() for path in colab.NOTEBOOKS)
    path = "notebooks/07_classify_a_clip.ipynb"
    first, *rest = json.loads(git("show", f"colab:{path}", folder=origin))["cells"]
    assert 'address, branch = "https://github.com/reader/video-fork.git", "main"\n'.replace('"', "'") in first["source"]
    stored = json.loads((folder / path).read_text(encoding="utf-8"))["cells"]
    assert [cell for cell in rest if cell["cell_type"] == "code"] == [c for c in stored if c["cell_type"] == "code"]
    assert git("rev-list", "--count", "colab", folder=origin).strip() == "1"  # the branch does not grow
    assert git("log", "-1", "--format=%an: %s", "colab", folder=origin).strip() == (
        "github-actions[bot]: Copies of the notebooks of abc123"
    )
    assert git("rev-parse", "main", folder=origin) == git("rev-parse", "HEAD", folder=folder)
    assert git("status", "--porcelain", folder=folder) == ""


def test_each_job_of_the_workflow_may_do_what_it_does_and_no_more():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    jobs = {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()}
    assert jobs == {
        "publish": {"contents": "read", "pages": "write", "id-token": "write"},
        "colab": {"contents": "write"},
    }


CONDA = {"torch": "pytorch-cpu", "opencv-python-headless": "py-opencv", "matplotlib": "matplotlib-base"}


def test_binder_has_all_packages_with_their_bounds_and_no_cuda():
    environment = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert all(isinstance(entry, str) for entry in environment["dependencies"])  # nothing by pip, so no second PyTorch
    entries = dict(entry.partition(" ")[::2] for entry in environment["dependencies"])
    assert entries.pop("python") == PROJECT["requires-python"] and entries.pop("pip") == ""
    wanted = {
        CONDA.get(line.name, line.name): str(line.specifier) for line in map(Requirement, PROJECT["dependencies"])
    }
    assert {name: entry.partition(" ")[0] for name, entry in entries.items()} == wanted
    script = (ROOT / ".binder" / "postBuild").read_text(encoding="utf-8")
    assert script.startswith("#!/bin/sh\n") and "--no-deps" in script
    query = parse_qs(urlsplit(FORK.binder("notebooks/01_see_a_video_as_a_tensor.ipynb")).query)
    assert (ROOT / query["urlpath"][0].removeprefix("lab/tree/")).is_file()


@pytest.mark.slow
def test_an_installed_wheel_has_the_command_the_weights_and_the_explorers(tmp_path):
    """Built from the project's files, installed where nothing else of the project is, and used from an empty folder."""
    source, empty = tmp_path / "source", tmp_path / "empty"
    empty.mkdir()
    shutil.copytree(ROOT / "helpers", source / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / part, source / part)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    place = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def run(*command):
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source))
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    (wheel,) = tmp_path.glob("*.whl")
    run(*pip, "--python", str(place / "python"), "install", "--no-deps", "--no-index", str(wheel))
    others = Path(run(str(place / "python"), "-c", ask).strip(), "others.pth")
    others.write_text(run(sys.executable, "-c", ask), encoding="utf-8")  # torch and the rest, but not their .pth files

    assert run(str(place / "video-resnet"), "--help").startswith("usage: video-resnet [-h]")
    script = """
import json
from helpers import explorers, weights
from helpers.lessons.compare_3d_and_2plus1d import kernel_explorer
print(json.dumps([str(weights.ASSETS / "jumping_jacks.mp4"), json.loads(explorers.on_page(kernel_explorer()))]))
"""
    clip, page = json.loads(run(str(place / "python"), "-c", script))
    assert Path(clip).is_relative_to(tmp_path / "venv")
    assert "export default" in page["module"] and page["model"]["t"] == 3
    row = json.loads(run(str(place / "video-resnet"), "--json", "--clips", "1", "--device", "cpu", clip))
    assert row["predictions"][0]["label"] == "jumping jacks"


@pytest.mark.parametrize(
    "name, expected",
    [
        ("/usr/bin/video-resnet", "video-resnet"),
        ("video-resnet.exe", "video-resnet"),
        ("helpers/classify.py", "python -m helpers.classify"),
        ("pytest", "python -m helpers.classify"),
    ],
)
def test_help_and_errors_name_the_command_as_it_was_called(name, expected, monkeypatch, capsys):
    from helpers import classify

    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit):
        classify.main(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: {expected} [-h]")
    with pytest.raises(SystemExit):
        classify.main(["--top", "0", "a"])
    assert f"\n{expected}: error: argument --top: 0 is no whole number" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["/usr/bin/video-resnet", "video-resnet.exe"])
def test_the_command_that_is_interrupted_while_it_is_imported_ends_without_a_stack(name, tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt", encoding="utf-8")  # is found before the other torch
    script = f"import sys; sys.argv = [{name!r}, 'a']; from helpers.classify import main"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 130 and done.stderr == "\nInterrupted.\n"


def test_the_newest_release_of_the_changelog_is_this_version():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert headings[:2] == ["Unreleased", f"{PROJECT['version']} - {cited['date-released']}"]
    assert cited["version"] == PROJECT["version"]


def test_the_first_screen_of_the_readme_shows_what_there_is():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    top = readme.partition("\n## ")[0]
    order = ["**R(2+1)D", "(img/kernels.png)", "make lab ", "make test ", "`make book`", "(img/try_it.png)"]
    places = [top.index(part) for part in order]
    assert places == sorted(places)
    with Image.open(ROOT / "img" / "kernels.png") as film:
        assert film.n_frames > 20 and 640 <= film.width <= 800
    assert (ROOT / "img" / "kernels.png").stat().st_size < 700_000
    assert (ROOT / "img" / "try_it.png").stat().st_size < 200_000
