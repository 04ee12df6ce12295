"""Network, labels and preprocessing by name; what is stored scores what its report says; downloads against a real server."""

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from conftest import ROOT, unprivileged
from torch import nn
from torch.utils.data import Subset
from torchvision.models import video as reference
from torchvision.models.video import resnet as parts

from helpers import classify, transforms, weights
from helpers.networks import count_parameters
from helpers.stickfigures import ACTIONS, StickFigures
from helpers.training import predict


@pytest.fixture(scope="module")
def stickfigures():
    return weights.load("stickfigures")


def report():
    return json.loads((weights.ASSETS / "stickfigures.json").read_text(encoding="utf-8"))


def test_what_belongs_together_comes_together(stickfigures):
    assert stickfigures.labels == ACTIONS and not stickfigures.network.training
    assert stickfigures.network.fc.out_features == len(ACTIONS)
    assert count_parameters(stickfigures.network) == report()["parameters"]
    assert all(p.dtype == torch.float32 for p in stickfigures.network.parameters())
    assert (stickfigures.frames, stickfigures.fps) == (16, 15.0) and stickfigures.preprocess is transforms.preprocess
    assert "stick figures" in stickfigures.trained_on and "%" in stickfigures.score


def test_what_is_stored_is_small_and_in_half_precision():
    path = weights.ASSETS / "stickfigures.pt"
    state = torch.load(path, weights_only=True)
    assert path.stat().st_size < 5_000_000
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float16}
    assert (weights.ASSETS / "jumping_jacks.mp4").stat().st_size < 200_000


def test_the_report_is_whole():
    stored = report()
    assert stored["test_clips"] == 800
    assert 1 - len(stored["mistakes"]) / 800 == pytest.approx(stored["accuracy_stored"], abs=1e-6)
    assert all(ACTIONS[int(k) % len(ACTIONS)] != prediction for k, prediction in stored["mistakes"].items())
    assert stored["accuracy"] >= 0.97 and stored["accuracy"] - stored["accuracy_stored"] <= 0.005
    assert stored["clip_seeds"]["test"] != stored["clip_seeds"]["train"]


@pytest.mark.slow
def test_stored_weights_are_wrong_where_the_report_says(stickfigures):
    """And right on a hundred other clips, every eighth of the 800."""
    mistakes = {int(k): label for k, label in report()["mistakes"].items()}
    chosen = sorted({*range(0, 800, 8), *mistakes})
    clips = StickFigures(800, seed=report()["clip_seeds"]["test"], transform=transforms.normalize)
    logits, labels = predict(stickfigures.network, Subset(clips, chosen))
    wrong = {k: ACTIONS[row.argmax()] for k, row, label in zip(chosen, logits, labels) if row.argmax() != label}
    assert wrong == mistakes


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown weights 'imagenet'; choose from stickfigures, kinetics400, "):
        weights.load("imagenet")


# Published weights, from a server on this machine that serves files of the real format

THEIRS = {"kinetics400": "r2plus1d_18", "kinetics400-mc3_18": "mc3_18", "kinetics400-r3d_18": "r3d_18"}


def converted(classes):
    """R(2+1)D-34 from torchvision's parts, changed as ig65m-pytorch's `ig65m/models.py` changes it."""
    network = parts.VideoResNet(
        parts.BasicBlock, [parts.Conv2Plus1D] * 4, [3, 4, 6, 3], parts.R2Plus1dStem, num_classes=classes
    )
    for group, planes in ((network.layer2, 128), (network.layer3, 256), (network.layer4, 512)):
        group[0].conv2[0] = parts.Conv2Plus1D(planes, planes, int(2.25 * planes))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps, module.momentum = 1e-3, 0.9
    return network


def randomize_batchnorm_(network):
    """Random weights, and statistics that make a wrong eps show."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@pytest.fixture
def publish(served, online, monkeypatch):
    """Puts a network's weights on the server as those of this name."""

    def publish(name, network):
        raw = served.folder / "raw.pth"
        torch.save(network.state_dict(), raw)
        file = f"{name}-{hashlib.sha256(raw.read_bytes()).hexdigest()[:8]}.pth"
        raw.rename(served.folder / file)
        source = replace(weights.SOURCES[name], url=f"{served.address}/{file}")
        monkeypatch.setitem(weights.SOURCES, name, source)
        return source

    return publish


def clip(*shape):
    return torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", THEIRS)
def test_kinetics_weights_are_loaded_with_torchvisions_labels(name, publish, capfd):
    torch.manual_seed(0)
    network = randomize_batchnorm_(getattr(reference, THEIRS[name])())
    publish(name, network)
    loaded = weights.load(name)
    meta = parts.__dict__[
        {"r2plus1d_18": "R2Plus1D_18_Weights", "mc3_18": "MC3_18_Weights"}.get(THEIRS[name], "R3D_18_Weights")
    ].DEFAULT.meta
    assert (
        loaded.name == name
        and loaded.labels == tuple(meta["categories"])
        and loaded.labels[171] == "juggling soccer ball"
    )
    with torch.inference_mode():
        assert torch.allclose(loaded.network(clip(8, 56, 56)), network(clip(8, 56, 56)), atol=1e-5)
    assert f"Published accuracy: {meta['_metrics']['Kinetics-400']['acc@1']:.1f} % of" in loaded.score
    assert re.search(r"100(\.0)?%", capfd.readouterr().err)  # torch.hub shows how far it is
    weights.load(name)
    assert capfd.readouterr().err == ""  # the second time it lies in the cache


def test_the_published_addresses():
    for name, source in weights.SOURCES.items():
        assert re.fullmatch("[0-9a-f]{8}", source.sha256) and source.url.startswith("https://")
        known = parts.__dict__[
            {"r2plus1d_18": "R2Plus1D_18_Weights", "mc3_18": "MC3_18_Weights", "r3d_18": "R3D_18_Weights"}.get(
                source.network, "R3D_18_Weights"
            )
        ]
        assert name.startswith("ig65m") or source.url == known.KINETICS400_V1.url


@pytest.mark.parametrize("name, classes, frames", [("ig65m-kinetics400-8", 400, 8), ("ig65m-32", 359, 32)])
def test_converted_weights_of_34_layers_give_the_converters_logits(name, classes, frames, publish):
    torch.manual_seed(0)
    network = randomize_batchnorm_(converted(classes))
    publish(name, network)
    loaded = weights.load(name)
    x = clip(frames, 32, 32)
    with torch.inference_mode():
        expected = network(x)
        assert torch.allclose(loaded.network(x), expected, atol=1e-5 * expected.abs().max().item())
        for module in loaded.network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eps = 1e-5
        assert not torch.allclose(
            loaded.network(x), expected, atol=1e-4 * expected.abs().max().item()
        )  # the eps matters
    assert loaded.frames == frames and (loaded.labels is None) == (classes != 400)
    assert "IG-65M" in loaded.trained_on


@pytest.mark.slow
def test_weights_without_labels_are_good_for_features_only(publish, capsys):
    publish("ig65m-8", randomize_batchnorm_(converted(487)))
    loaded = weights.load("ig65m-8")
    film = torch.randint(0, 256, (8, 64, 80, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="ig65m-8 has no labels.*features"):
        classify.predict_video(weights.ASSETS / "jumping_jacks.mp4", loaded)
    assert classify.main(["--weights", "ig65m-8", str(weights.ASSETS / "jumping_jacks.mp4")]) == 2
    assert "has no labels" in capsys.readouterr().err
    values = classify.extract_features(loaded, [film, film.flip(0)])
    with torch.inference_mode():
        maps = nn.Sequential(*list(loaded.network.children())[:5])(loaded.preprocess(film)[None])
    assert values.shape == (2, 512) and torch.allclose(values[0], maps.mean((0, 2, 3, 4)), atol=1e-5)


def test_a_failed_download_names_the_weights_that_need_none(served, publish, capsys, monkeypatch):
    source = replace(weights.SOURCES["kinetics400"], url=f"{served.address}/absent-00000000.pth")
    monkeypatch.setitem(weights.SOURCES, "kinetics400", source)
    with pytest.raises(weights.WeightsError, match="'stickfigures' need no download") as raised:
        weights.load("kinetics400")
    assert source.url in str(raised.value) and "404" in str(raised.value)
    assert classify.main(["--weights", "kinetics400", "any.mp4"]) == 2
    assert "by hand" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"<html>Sign in first</html>", b"", b"PK\x03\x04 cut", "pickle"])
def test_a_file_that_torch_cannot_read_is_named(content, served, online, monkeypatch, tmp_path):
    """Its checksum is right, so somebody published it; it is still opened with weights_only."""
    if content == "pickle":
        torch.save({"a": re.compile("a")}, tmp_path / "raw")
        content = (tmp_path / "raw").read_bytes()
    file = f"odd-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (served.folder / file).write_bytes(content)
    monkeypatch.setitem(
        weights.SOURCES, "kinetics400", replace(weights.SOURCES["kinetics400"], url=f"{served.address}/{file}")
    )
    with pytest.raises(weights.WeightsError, match=f"{file} cannot be read (by torch|safely)"):
        weights.load("kinetics400")


@pytest.mark.parametrize("content", [{"fc.weight": torch.zeros(1)}, torch.zeros(3), {}])
def test_a_file_that_does_not_fit_is_named(content, served, online, monkeypatch, tmp_path):
    torch.save(content, tmp_path / "raw")
    file = f"other-{hashlib.sha256((tmp_path / 'raw').read_bytes()).hexdigest()[:8]}.pth"
    (tmp_path / "raw").rename(served.folder / file)
    monkeypatch.setitem(
        weights.SOURCES, "kinetics400", replace(weights.SOURCES["kinetics400"], url=f"{served.address}/{file}")
    )
    with pytest.raises(weights.WeightsError, match=f"{file} does not fit r2plus1d_18"):
        weights.load("kinetics400")


def test_loading_leaves_the_readers_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    weights.load("stickfigures")
    assert torch.equal(torch.rand(1), expected)


def test_offline_keeps_to_the_repository():
    with pytest.raises(weights.WeightsError, match="VIDEO_RESNET_OFFLINE=1 forbids downloads"):
        weights.load("kinetics400")


def test_the_readme_tells_the_score_of_the_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    stored = report()
    assert f"{stored['accuracy_stored'] * 100:.1f} % of {stored['test_clips']} test clips" in readme
    assert f"({stored['parameters'] / 1e6:.1f} million parameters)" in readme


def test_a_saved_network_comes_back_with_all_that_belongs_to_it(tmp_path):
    start = weights.load()
    network = weights.create_model(3, "r2plus1d_18", width=8, paper_widths=True, eps=1e-3)
    torch.manual_seed(0)
    for tensor in network.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape) if tensor.is_floating_point() else tensor + 3)
    architecture = dict(network="r2plus1d_18", width=8, paper_widths=True, eps=1e-3)
    mine = replace(
        start, network=network, labels=("a", "b", "c"), frames=8, fps=7.5, architecture=architecture, crop_size=56
    )
    path = tmp_path / "mine.pt"
    weights.save(path, mine)
    loaded = weights.load(path)
    own = dict(name=str(path), network=loaded.network, preprocess=loaded.preprocess)
    assert loaded == replace(mine, **own) and not loaded.network.training
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), loaded.network.state_dict().values(), strict=True)
    )
    assert {module.eps for module in loaded.network.modules() if isinstance(module, nn.BatchNorm3d)} == {1e-3}
    frames = torch.randint(0, 256, (8, 100, 120, 3), dtype=torch.uint8)
    assert loaded.preprocess(frames).shape == (3, 8, 56, 56)


def test_weights_without_labels_are_saved_and_loaded(tmp_path):
    start = replace(weights.load(), labels=None)
    weights.save(tmp_path / "mine.pt", start)
    loaded = weights.load(tmp_path / "mine.pt")
    assert loaded.labels is None and loaded.network.fc.out_features == 10
    assert torch.equal(loaded.network.fc.weight, start.network.fc.weight)


def test_a_pretrained_network_is_not_changed_in_place(stickfigures):
    with pytest.raises(FrozenInstanceError):
        stickfigures.labels = ()


def test_only_labels_of_kinetics_need_torchvision():
    """Its import takes seconds, so that the command would answer late."""
    code = "import sys; from helpers import weights; weights.load(); print('torchvision' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout == "False\n"


MEMORY = """
import resource, sys, torch
from helpers import weights
tensor = torch.rand(50_000_000)  # 200 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
weights.save_atomically(tensor, sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the unit of ru_maxrss is that of Linux")
def test_saving_needs_no_second_copy_in_memory(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "large.pt"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert (tmp_path / "large.pt").stat().st_size > 200_000_000 and int(run.stdout) < 50_000_000


FULL_DISK = """
import os, resource, sys, torch
from helpers import weights
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as much as still fits on the disk
for path in sys.argv[1:]:
    for count in (24_800, 25_000, 100_000):  # of float32: the disk is full in the last lines, or earlier
        try:
            weights.save_atomically(torch.zeros(count), path)
        except OSError as error:
            print(error)
            assert error.errno == 27 and os.listdir() == ["old.pt"], os.listdir()
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of the size of files are tested on POSIX systems")
def test_a_full_disk_costs_no_earlier_file(tmp_path):
    (tmp_path / "old.pt").write_bytes(b"an earlier file")
    environment = os.environ | dict(PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", FULL_DISK, "old.pt", "new.pt"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    failed, remedy = "[Errno 27] cannot be written (File too large)", "; make room, and run the same again: "
    kept = ", and what was there before is still whole"
    assert run.stdout.splitlines() == [f"{failed}{kept}{remedy}'old.pt'"] * 3 + [f"{failed}{remedy}'new.pt'"] * 3
    assert (tmp_path / "old.pt").read_bytes() == b"an earlier file"


def test_what_cannot_be_saved_leaves_nothing_behind(tmp_path):
    with pytest.raises(Exception, match="[Pp]ickle"):
        weights.save_atomically(lambda: None, tmp_path / "mine.pt")
    assert not list(tmp_path.iterdir())


def test_a_file_that_holds_something_else_is_named(tmp_path):
    path = tmp_path / "other.pt"
    for content in ({"fc.weight": torch.zeros(1)}, torch.zeros(3), [1, 2]):
        torch.save(content, path)
        with pytest.raises(weights.WeightsError, match="holds no network together with its labels"):
            weights.load(str(path))
    path.write_text("Dear reader", encoding="utf-8")
    with pytest.raises(weights.WeightsError, match=f"{re.escape(str(path))} cannot be read"):
        weights.load(path)
    assert classify.main(["--weights", str(path), "any.mp4"]) == 2
    assert classify.main(["--weights", str(tmp_path / "absent.pt"), "any.mp4"]) == 2


def test_a_file_cannot_be_written_where_there_is_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be written"):
        weights.save(tmp_path / "nowhere" / "mine.pt", weights.load())


def test_whether_a_file_can_be_written_is_known_before(tmp_path):
    (tmp_path / "there.pt").write_bytes(b"earlier")
    weights.check_writable(tmp_path / "new.pt")
    weights.check_writable(tmp_path / "there.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.pt"]
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        weights.check_writable(tmp_path)
    with pytest.raises(
        FileNotFoundError, match="new.pt cannot be written: there is no folder .*nowhere. Make it first"
    ):
        weights.check_writable(tmp_path / "nowhere" / "new.pt")
    tmp_path.chmod(0o555)
    try:
        with (
            unprivileged(tmp_path),
            pytest.raises(PermissionError, match="may not be written by you: name a file in another"),
        ):
            weights.check_writable(tmp_path / "new.pt")
    finally:
        tmp_path.chmod(0o755)


def test_what_could_not_be_loaded_is_not_saved(stickfigures, tmp_path):
    path = tmp_path / "a.pt"
    for change in (
        dict(labels=("a", "b")),
        dict(network=nn.Sequential(stickfigures.network)),
        dict(preprocess=lambda frames: frames),
    ):
        with pytest.raises(ValueError, match=r"a\.pt: .*(2 labels do not fit 10 outputs|cannot be saved)"):
            weights.save(path, replace(stickfigures, **change))
    assert not path.exists()
    numpys = replace(stickfigures, labels=np.array(stickfigures.labels), fps=np.float64(15))
    weights.save(path, numpys)
    assert weights.load(path).labels == stickfigures.labels and weights.load(path).fps == 15


def test_a_file_that_does_not_fit_says_where(stickfigures, tmp_path):
    path = tmp_path / "a.pt"
    weights.save(path, stickfigures)
    saved = torch.load(path)
    state = saved["state"]
    wrapped = {f"module.{name}": values for name, values in state.items()}
    diverged = state | {"fc.bias": torch.full((10,), torch.nan)}
    for change, says in (
        (dict(state=wrapped), "Missing key.*stem.0.weight"),
        (dict(state=diverged), "not finite: its training failed"),
        (dict(labels=("a", "b", "c")), "size mismatch for fc.weight"),
    ):
        torch.save(saved | change, path)
        with pytest.raises(weights.WeightsError, match=says):
            weights.load(path)
    del saved["crop_size"]
    torch.save(saved, path)
    with pytest.raises(weights.WeightsError, match="it lacks 'crop_size'"):
        weights.load(path)
    path.write_text("hi", encoding="utf-8")
    with pytest.raises(weights.WeightsError, match="damaged, or no file of torch.save|it is no file of torch.save"):
        weights.load(path)
