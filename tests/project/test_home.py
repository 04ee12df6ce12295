"""What a contributor meets first: one format, hooks that refuse, readable differences, pages that say what is so."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib

import nbformat
import pytest
import yaml
from conftest import ROOT, SERIES

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("command", [["check", "."], ["format", "--check", "."]])
def test_ruff_finds_nothing(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def rows():
    """The README's table of contents: number, link, picture, what one can do after it, minutes."""
    found = re.findall(r"^\| (\d\d) \| (.+?) \| (.+?)<br>(.+?) \| (.+?) \|$", README, re.MULTILINE)
    return {row[0]: row[1:] for row in found}


def first_cell(path):
    return nbformat.read(path, as_version=4).cells[0].source


NUMBERS = {"Half a": "½", "A": "1", "Two": "2", "Three": "3", "Four": "4", "Five": "5"}


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.name[:2])
def test_a_row_of_the_readme_says_what_its_notebook_says(path):
    link, picture, able, minutes = rows()[path.name[:2]]
    title = re.match(r"# \d\d · (.+)\n", first_cell(path))[1]
    assert link == f"[{title}](notebooks/{path.name})"
    said = re.search(r"(\bHalf a|\bA|\bTwo|\bThree|\bFour|\bFive) minutes? on", first_cell(path))[1]
    assert minutes == NUMBERS[said]
    alt, file = re.fullmatch(r"!\[(.+)\]\((.+)\)", picture).groups()
    assert len(alt.split()) >= 5 and alt.endswith(".") and (ROOT / file).exists()
    assert len(able.split()) > 8


def test_the_readme_has_a_row_for_each_notebook():
    assert list(rows()) == [path.name[:2] for path in SERIES]


def targets():
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_command_of_make_that_a_page_names_is_there(page):
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))
    named = {first or second for first, second in named}
    assert named and named <= targets(), named - targets()


def test_the_citation_is_of_this_version_and_names_the_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == PROJECT["version"] and cited["license"] == PROJECT["license"]
    assert cited["cff-version"] == "1.2.0" and cited["message"] and cited["title"] and cited["authors"]
    assert cited["references"][0]["url"].endswith("1711.11248") and len(cited["references"][0]["authors"]) == 6
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_hooks_take_the_ruff_of_the_list():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    pinned = re.search(r"^ruff==.+$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)[0]
    wanted = {package for hook in hooks for package in hook["additional_dependencies"] if package.startswith("ruff")}
    assert wanted == {pinned}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with this project's files, committed; the hooks' environments are thrown away afterwards."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "hooks"))
    monkeypatch.setenv("PATH", f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "repository"
    left_out = (".git", ".venv", "build", "test-results", "*.egg-info", "__pycache__", ".ipynb_checkpoints", ".*_cache")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*left_out))

    def git(*arguments):
        identity = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    git("init", "--quiet")
    git("add", "--all")
    assert git("commit", "--quiet", "--message", "As it is").returncode == 0
    git.folder = folder
    return git


@pytest.mark.slow
def test_hooks_pass_what_is_here_and_refuse_what_is_not_wanted(repository):
    def hooks(*arguments):
        command = [sys.executable, "-m", "pre_commit", *arguments]
        return subprocess.run(command, cwd=repository.folder, capture_output=True, text=True)

    done = hooks("run", "--all-files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert hooks("install").returncode == 0
    (repository.folder / "film.bin").write_bytes(os.urandom(1_500_000))
    (repository.folder / "helpers" / "new.py").write_text("import os\nx = { 'a':1 }\n", encoding="utf-8")
    repository("add", "--all")
    refused = repository("commit", "--message", "Too much")
    assert refused.returncode != 0
    for complaint in ("film.bin (1465 KB) exceeds 1000 KB", "F401", "would be reformatted"):
        assert complaint in refused.stdout + refused.stderr, complaint


@pytest.mark.slow
def test_git_shows_changes_of_notebooks_cell_by_cell(repository):
    command = [sys.executable, "-m", "nbdime", "config-git", "--enable"]
    subprocess.run(command, cwd=repository.folder, check=True, capture_output=True)
    path = repository.folder / "notebooks" / SERIES[0].name
    book = nbformat.read(path, as_version=4)
    book.cells[1].source += "\n\nOne more sentence."
    nbformat.write(book, path)
    shown = repository("diff", "--no-color").stdout
    assert "nbdiff" in shown and "cells/1/source" in shown and "One more sentence." in shown
    assert '"cell_type"' not in shown


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a folder of programs is called bin on POSIX systems")
def test_conda_s_environment_is_built_and_works(tmp_path):
    """With conda, where it is installed; elsewhere what its file hands to pip is installed as `make` installs."""
    folder = tmp_path / "project"
    for part in ("helpers", "environment.yml", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        folder.mkdir(exist_ok=True)
        copy(ROOT / part, folder / part)
    environment = tmp_path / "environment"
    conda = shutil.which("conda") or shutil.which("mamba") or shutil.which("micromamba")
    if conda:
        commands = [[conda, "env", "create", "--yes", "--prefix", environment, "--file", "environment.yml"]]
    else:
        entries = yaml.safe_load((folder / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
        lines = next(entry["pip"] for entry in entries if isinstance(entry, dict))
        (folder / "condaenv.requirements.txt").write_text("\n".join(lines), encoding="utf-8")
        install = [ROOT / ".ci" / "install", environment / "bin" / "python", "-r", "condaenv.requirements.txt"]
        commands = [[sys.executable, "-m", "venv", environment], install]
    commands.append([environment / "bin" / "python", "-m", "helpers.classify", "helpers/assets/jumping_jacks.mp4"])
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500)
        assert done.returncode == 0, done.stderr[-3000:]
    assert "jumping jacks" in done.stdout
    shutil.rmtree(environment)
