"""Network, labels and preprocessing by name; what is stored scores what its report says; downloads against a real server."""

import hashlib
import http.server
import json
import re
import threading

import pytest
import torch
from conftest import ROOT
from torchvision.models import video as reference

from helpers import classify, video, weights
from helpers.networks import parameters
from helpers.stickfigures import ACTIONS, StickFigures
from helpers.training import accuracy, predict


@pytest.fixture(scope="module")
def stickfigures():
    return weights.load("stickfigures")


def report():
    return json.loads((weights.ASSETS / "stickfigures.json").read_text(encoding="utf-8"))


def test_what_belongs_together_comes_together(stickfigures):
    assert stickfigures.labels == ACTIONS and not stickfigures.network.training
    assert stickfigures.network.fc.out_features == len(ACTIONS)
    assert parameters(stickfigures.network) == report()["parameters"]
    assert all(p.dtype == torch.float32 for p in stickfigures.network.parameters())
    assert (stickfigures.frames, stickfigures.rate) == (16, 15.0) and stickfigures.preprocess is video.preprocess
    assert "stick figures" in stickfigures.trained_on and "%" in stickfigures.score


def test_what_is_stored_is_small_and_in_half_precision():
    path = weights.ASSETS / "stickfigures.pt"
    state = torch.load(path, weights_only=True)
    assert path.stat().st_size < 5_000_000
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float16}
    assert (weights.ASSETS / "jumping_jacks.mp4").stat().st_size < 200_000


def test_the_report_is_whole():
    stored = report()
    table = stored["right_by_action"]
    right = sum(table[action].get(action, 0) for action in ACTIONS)
    assert sum(sum(row.values()) for row in table.values()) == stored["test_clips"] == 800
    assert right / 800 == pytest.approx(stored["accuracy_stored"], abs=1e-6)
    assert stored["accuracy"] >= 0.97 and stored["accuracy"] - stored["accuracy_stored"] <= 0.005
    assert stored["clip_seeds"]["test"] != stored["clip_seeds"]["train"]


def test_stored_weights_are_right_on_new_clips(stickfigures):
    """A hundred of the 800 clips of the report: the same score, to within what a hundred clips can tell."""
    clips = StickFigures(100, seed=report()["clip_seeds"]["test"], transform=video.normalize)
    logits, labels = predict(stickfigures.network, clips)
    assert accuracy(logits, labels) >= 0.92


@pytest.mark.slow
def test_stored_weights_score_what_the_report_says(stickfigures):
    clips = StickFigures(800, seed=report()["clip_seeds"]["test"], transform=video.normalize)
    score = accuracy(*predict(stickfigures.network, clips))
    assert score >= 0.965 and score == pytest.approx(report()["accuracy_stored"], abs=0.004)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown weights 'imagenet'; choose from stickfigures, kinetics400"):
        weights.load("imagenet")


# Kinetics-400, from a server on this machine that serves a file of the real format


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder that is served over HTTP, and its address."""
    folder = tmp_path_factory.mktemp("server")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def online(monkeypatch, tmp_path, served):
    """As if the reader had a network, with an empty cache; points the published address to a file of the server."""
    monkeypatch.setenv("VIDEO_RESNET_OFFLINE", "0")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))

    def publish(name):
        address = f"{served[1]}/{name}"
        download = weights._download
        monkeypatch.setattr(weights, "_download", lambda published: download(address))
        return address

    return publish


@pytest.fixture(scope="module")
def published(served):
    """torchvision's network with random weights, saved under a name that ends in its checksum, as the real file's does."""
    torch.manual_seed(0)
    network = reference.r2plus1d_18().eval()
    torch.save(network.state_dict(), served[0] / "raw.pth")
    checksum = hashlib.sha256((served[0] / "raw.pth").read_bytes()).hexdigest()
    name = f"r2plus1d_18-{checksum[:8]}.pth"
    (served[0] / "raw.pth").rename(served[0] / name)
    return name, network


def test_kinetics_weights_are_loaded_with_torchvisions_labels(online, published, capfd):
    name, network = published
    online(name)
    loaded = weights.load("kinetics400")
    meta = reference.R2Plus1D_18_Weights.KINETICS400_V1.meta
    assert loaded.labels == tuple(meta["categories"]) and loaded.labels[171] == "juggling soccer ball"
    x = torch.randn(1, 3, 8, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(loaded.network(x), network(x), atol=1e-5)
    assert "67.5 %" in loaded.score
    assert re.search(r"100(\.0)?%", capfd.readouterr().err)  # torch.hub shows how far it is
    weights.load("kinetics400")
    assert capfd.readouterr().err == ""  # the second time it lies in the cache


@pytest.mark.parametrize("name", ["absent-00000000.pth", "other-12345678.pth"])
def test_a_failed_download_says_what_to_do(online, served, published, name, tmp_path):
    (served[0] / "other-12345678.pth").write_bytes(b"not what the checksum in its name says")
    address = online(name)
    with pytest.raises(weights.WeightsError) as raised:
        weights.load("kinetics400")
    message = str(raised.value)
    assert address in message and str(tmp_path / "cache" / "hub" / "checkpoints" / name) in message
    assert "by hand" in message and "'stickfigures', which need no download" in message
    assert not list((tmp_path / "cache").rglob("*.pth"))  # nothing broken is left in the cache


@pytest.mark.parametrize("content", [b"<html>Sign in first</html>", b"", b"PK\x03\x04 cut"])
def test_a_broken_file_in_the_cache_is_named(online, content, tmp_path):
    online("r2plus1d_18-12345678.pth")
    file = tmp_path / "cache" / "hub" / "checkpoints" / "r2plus1d_18-12345678.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(weights.WeightsError, match="which is broken") as raised:
        weights.load("kinetics400")
    assert f"Delete {file}" in str(raised.value)


def test_no_network_says_what_to_do(online, monkeypatch, capsys):
    download = weights._download
    monkeypatch.setattr(weights, "_download", lambda published: download("http://127.0.0.1:9/r2plus1d_18-91a641e6.pth"))
    with pytest.raises(weights.WeightsError, match="could not be had from .*refused"):
        weights.load("kinetics400")
    assert classify.main(["--weights", "kinetics400", "any.mp4"]) == 2
    assert "by hand" in capsys.readouterr().err


def test_offline_keeps_to_the_repository():
    with pytest.raises(weights.WeightsError, match="VIDEO_RESNET_OFFLINE=1 keeps to what is"):
        weights.load("kinetics400")


def test_the_readme_tells_the_score_of_the_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    stored = report()
    assert f"{stored['accuracy_stored'] * 100:.1f} % of {stored['test_clips']} unseen clips" in readme
    assert f"({stored['parameters'] / 1e6:.1f} million parameters)" in readme
