"""`make online` and what is published, against a server on this machine.

The files have the real form: torchvision's names and shapes, the digits of the right checksum in their names. The numbers in
them are random, but for one bias, which makes "juggling soccer ball" the prediction of R(2+1)D-18.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
import torch
from conftest import ROOT
from torchvision.models import video as reference

JUGGLING = 171
# Read by every Python that starts with this folder on its path: ours, and the kernels'.
REDIRECT = """
from dataclasses import replace

from torchvision.models import video

from helpers import weights

ADDRESS, DIGITS, FAULT = {address!r}, {digits!r}, {fault!r}
for name, source in weights.SOURCES.items():
    if source.network in DIGITS:
        url = f"{{ADDRESS}}{{FAULT}}/{{source.network}}-{{DIGITS[source.network]}}.pth"
        weights.SOURCES[name] = replace(source, url=url)
weights.JUGGLING = (f"{{ADDRESS}}/{{weights.JUGGLING[0].rpartition('/')[2]}}", weights.JUGGLING[1])
for network, enum in (("r2plus1d_18", video.R2Plus1D_18_Weights), ("mc3_18", video.MC3_18_Weights),
                      ("r3d_18", video.R3D_18_Weights)):
    enum.KINETICS400_V1.value.url = f"{{ADDRESS}}/{{network}}-{{DIGITS[network]}}.pth"
weights._TIMEOUT = 1
"""


def store(folder, name, state):
    """Save weights as torchvision publishes them; the digits of their checksum."""
    file = io.BytesIO()
    torch.save(state, file)
    digits = hashlib.sha256(file.getvalue()).hexdigest()[:8]
    (folder / f"{name}-{digits}.pth").write_bytes(file.getvalue())
    return digits


@pytest.fixture(scope="module")
def published(served, real_clips):
    """The digits of the files on the server, by network."""
    shutil.copy(real_clips / "v_SoccerJuggling_g23_c01.avi", served.folder)
    digits = {}
    for name in ("r2plus1d_18", "mc3_18", "r3d_18"):
        torch.manual_seed(0)
        state = getattr(reference, name)().state_dict()
        if name == "r2plus1d_18":
            state["fc.bias"][JUGGLING] = 100.0
        digits[name] = store(served.folder, name, state)
    return digits


@pytest.fixture
def redirected(served, published, tmp_path):
    """An environment in which the published files lie on the server of these tests; a function of a fault and of digits."""

    def environment(fault="", digits=published):
        (tmp_path / "sitecustomize.py").write_text(
            REDIRECT.format(address=served.address, digits=digits, fault=fault), encoding="utf-8"
        )
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        return os.environ | dict(PYTHONPATH=path, TORCH_HOME=str(tmp_path / "cache"))

    return environment


def run_online(environment, folder, *numbers):
    command = [sys.executable, ROOT / "tests/execute.py", "--online", folder, *numbers]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)


def texts(path):
    book = nbformat.read(path, as_version=4)
    return "\n".join(output.get("text", "") for cell in book.cells for output in cell.get("outputs", []))


@pytest.mark.slow
def test_the_published_networks_are_on_the_page(redirected, tmp_path):
    done = run_online(redirected(), tmp_path / "online", "06")
    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "online").glob("*.ipynb")
    text = texts(page)
    for name in ("kinetics400", "kinetics400-mc3_18", "kinetics400-r3d_18"):
        assert f"{name:18} with published weights: 400 logits, relative error" in text
    assert "with random weights" not in text
    assert json.loads((tmp_path / "online" / "missing.json").read_text(encoding="utf-8")) == {}


@pytest.mark.parametrize(
    "fault, wrong, reason",
    [
        ("/status/404", False, "HTTP Error 404: Not Found"),
        ("/stall", False, "timed out"),
        ("", True, "invalid hash value"),
    ],
)
def test_a_page_that_cannot_be_made_says_which_address_failed(
    redirected, published, served, tmp_path, fault, wrong, reason
):
    digits = published
    if wrong:  # the file is there, and it is another one
        name = f"r2plus1d_18-{published['r2plus1d_18']}.pth"
        digits = published | dict(r2plus1d_18="0" * 8)
        shutil.copy(served.folder / name, served.folder / "r2plus1d_18-00000000.pth")
    done = run_online(redirected(fault, digits), tmp_path / "online", "12")
    assert done.returncode == 1
    (stem,) = missing = json.loads((tmp_path / "online" / "missing.json").read_text(encoding="utf-8"))
    assert stem.startswith("12_") and reason in missing[stem]
    assert f"could not be downloaded from {served.address}{fault}/r2plus1d_18-" in missing[stem]
    assert missing[stem] in done.stdout and not list((tmp_path / "online").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_the_weekly_job_sees_what_is_wrong(redirected, published, served, right):
    """With the files of this server all is well, but for the addresses of IG-65M; with another prediction it is not."""
    digits = published
    if not right:
        state = torch.load(served.folder / f"r2plus1d_18-{published['r2plus1d_18']}.pth", weights_only=True)
        state["fc.bias"][JUGGLING] = -100.0
        digits = published | dict(r2plus1d_18=store(served.folder, "r2plus1d_18", state))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "tests/unit/test_published.py",
    ]
    environment = redirected(digits=digits) | dict(VIDEO_RESNET_PUBLISHED="1")
    done = subprocess.run([*command, "-k", "not ig65m"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == (not right), done.stdout
    assert ("8 passed" if right else "1 failed, 7 passed") in done.stdout, done.stdout


def build(folder):
    """The site of some pages, without npm and so without the page "Try it"; the text of notebook 06 on it."""
    command = [sys.executable, "-m", "sphinx", "-q", "-c", "book", "-d", "doctrees", ".", "html"]
    environment = os.environ | dict(PYTHONPATH=str(ROOT), PATH=os.path.dirname(sys.executable))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (folder / "html/notebooks/06_load_pretrained_weights.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site_takes_these_pages_where_they_are(tmp_path):
    pytest.importorskip("sphinx")
    for part in ("book", "img", "helpers/explorers"):
        shutil.copytree(ROOT / part, tmp_path / part)
    for part in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/06_load_pretrained_weights.ipynb"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / part, tmp_path / part)
    stored = build(tmp_path)
    assert "with random weights" in stored and "was run with" not in stored

    online = tmp_path / "build" / "online"
    online.mkdir(parents=True)
    book = (tmp_path / "notebooks/06_load_pretrained_weights.ipynb").read_text(encoding="utf-8")
    book = book.replace("with random weights", "with published weights")
    (online / "06_load_pretrained_weights.ipynb").write_text(book, encoding="utf-8")
    page = build(tmp_path)
    assert "with published weights" in page and "with random weights" not in page
    assert "This page was run with a connection" in page

    (online / "06_load_pretrained_weights.ipynb").unlink()
    (online / "missing.json").write_text(
        '{"06_load_pretrained_weights": "a.pth could not be downloaded from b (c)"}', encoding="utf-8"
    )
    page = build(tmp_path)
    assert "with random weights" in page and "This page was run without a connection." in page
    assert "a.pth could not be downloaded from b (c)" in page
