"""On a GPU: the same numbers as on the CPU, within a stated tolerance. Skipped where there is none.

`make gpu` runs them and stores for each its outcome, its tolerance and how far its numbers were off. On a machine without a
GPU `test_fake_devices.py` runs them, on a device that is none.
"""

import os

import pytest
import torch
from conftest import torchrun
from torch import nn
from torch.nn import functional as F

from helpers import classify, training, video, weights
from helpers.blocks import randomize_batchnorm_
from helpers.networks import NETWORKS
from helpers.scale import benchmark, figures, inference
from helpers.stickfigures import StickFigures
from helpers.transforms import normalize

# On some virtual machines MPS is said to be there, and has no memory.
MPS = torch.backends.mps.is_available() and classify.mps_convolves()
NONE = torch._C._get_privateuse1_backend_name()  # a device that is none, see elsewhere.py
GPU = "cuda" if torch.cuda.is_available() else "mps" if MPS else NONE if NONE == "elsewhere" else None
pytestmark = pytest.mark.skipif(GPU is None, reason="there is no GPU here")
CLIP = weights.ASSETS / "jumping_jacks.mp4"
EXACT = 1e-4  # float32 sums in another order, relative to the largest number
DEEP = 1e-2  # the same after a backward pass, or some steps of a training
REDUCED = 3e-2  # 8 bits of bfloat16
PROBABILITY = 1e-3  # of float32, absolute


@pytest.fixture(autouse=True)
def float32_products(monkeypatch):
    """TensorFloat-32 keeps 10 bits; what is compared with the CPU computes with 23."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.delenv("VIDEO_RESNET_DEVICE", raising=False)


@pytest.fixture
def stickfigures():
    return weights.load("stickfigures")


@pytest.fixture
def near(record_property):
    """Asserts that a result is as near to the CPU's as a tolerance says, and reports both."""

    def compare(result, expected, tolerance, absolute=False):
        result, expected = (torch.as_tensor(values).detach().float().cpu() for values in (result, expected))
        off = float((result - expected).abs().max() / (1 if absolute else expected.abs().max()))
        record_property("deviation", off)
        record_property("tolerance", tolerance)
        assert off < tolerance

    return compare


def small_clips(count=20, size=32):
    return StickFigures(count, seed=1, frames=8, size=size, transform=normalize)


def test_the_gpu_is_taken_by_itself():
    assert classify.get_device().type == GPU
    assert classify.device_name(GPU)


def test_tensors_of_two_devices_do_not_mix():
    """What all other tests of this file rest on: a forgotten `.to(device)` is an error."""
    network = NETWORKS["r2plus1d_18"](7, 8).eval().to(GPU)
    with pytest.raises(RuntimeError):
        network(torch.randn(1, 3, 8, 32, 32))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_computes_the_same(name, near):
    torch.manual_seed(0)
    network = NETWORKS[name](7, 8, frames=8)
    randomize_batchnorm_(network)
    x = torch.randn(2, 3, 8, 32, 32)
    with torch.inference_mode():
        expected = network.eval()(x)
        near(network.to(GPU)(x.to(GPU)), expected, EXACT)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, PROBABILITY), (torch.bfloat16, REDUCED)])
def test_a_video_gets_the_same_predictions(stickfigures, dtype, tolerance, fast, near):
    expected = classify.predict_video(CLIP, stickfigures, clips=2, device="cpu")
    predictions = classify.predict_video(CLIP, stickfigures, clips=2, device=GPU, dtype=dtype, fast=fast)
    assert predictions[0].label == expected[0].label == "jumping jacks"
    near(predictions[0].probability, expected[0].probability, tolerance, absolute=True)


def test_a_stream_gets_the_same_predictions(stickfigures, near):
    expected = list(classify.predict_stream(CLIP, stickfigures, step=30, device="cpu"))
    rows = list(classify.predict_stream(CLIP, stickfigures, step=30, device=GPU))
    assert [start for start, _ in rows] == [start for start, _ in expected]
    near(*(torch.stack([probs for _, probs in each]) for each in (rows, expected)), PROBABILITY, absolute=True)


@pytest.mark.parametrize("options", [[], ["--timeline"], ["--fast", "--precision", "bfloat16"]], ids=" ".join)
def test_the_command_classifies_there(options, capsys):
    assert classify.main(["--device", GPU, "--clips", "1", *options, os.fspath(CLIP)]) == 0
    assert "jumping jacks" in capsys.readouterr().out


def test_features_are_the_same(stickfigures, near):
    clips = [video.read_clip(CLIP)]
    expected = classify.extract_features(stickfigures, clips, "cpu")
    near(classify.extract_features(stickfigures, clips, GPU), expected, PROBABILITY)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, EXACT), (torch.bfloat16, REDUCED)])
def test_a_prepared_network_computes_the_same(stickfigures, dtype, tolerance, near):
    x = torch.stack([stickfigures.preprocess(StickFigures(2, seed=5)[k][0]) for k in range(2)])
    network = stickfigures.network
    with torch.inference_mode():
        expected = network(x)
        prepared = inference.optimize_for_inference(network.to(GPU), dtype)
        near(prepared(x.to(GPU)), expected, tolerance)


def test_gradients_of_convolutions_over_views_are_the_same(near):
    torch.manual_seed(0)
    network = NETWORKS["r2plus1d_18"](5, 8)
    x, label = torch.randn(2, 3, 8, 32, 32), torch.tensor([1, 3])

    def gradients(network, x, label):
        nn.functional.cross_entropy(network.eval()(x), label).backward()
        return [p.grad.clone() for p in network.parameters()]

    expected = gradients(network, x, label)
    network.zero_grad()
    on_gpu = inference.conv3d_as_conv2d(network.to(GPU))
    for gradient, wanted in zip(gradients(on_gpu, x.to(GPU), label.to(GPU)), expected):
        near(gradient, wanted, DEEP)


@pytest.mark.parametrize("precision, tolerance", [("float32", DEEP), ("bfloat16", 2 * REDUCED)])
def test_fine_tuning_begins_with_the_same_losses(precision, tolerance, near):
    def losses(device, precision):
        options = dict(frozen_epochs=1, epochs=1, batch_size=10, device=device, precision=precision)
        tuned, history = training.fine_tune(
            weights.load(), small_clips(), small_clips(4), list("abcdefghij"), **options
        )
        assert next(tuned.network.parameters()).device.type == device
        assert all(p.isfinite().all() for p in tuned.network.parameters())
        return [line["loss"] for line in history]

    near(losses(GPU, precision), losses("cpu", "float32"), tolerance)


class Interrupted(StickFigures):
    """Ends the training before an epoch, once."""

    at = 1

    def set_epoch(self, epoch):
        if epoch == self.at:
            self.at = None
            raise KeyboardInterrupt


def test_training_goes_on_from_a_checkpoint(tmp_path, near):
    def run(clips, checkpoint):
        torch.manual_seed(0)
        network = NETWORKS["r2plus1d_18"](10, 8)
        options = dict(batch_size=10, checkpoint=checkpoint, device=GPU, precision="float32")
        return network, training.train(network, clips, small_clips(4), 2, **options)

    _, whole = run(small_clips(), tmp_path / "whole.pt")
    interrupted = Interrupted(20, seed=1, frames=8, size=32, transform=normalize)
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, tmp_path / "run.pt")
    network, history = run(interrupted, tmp_path / "run.pt")
    near([line["loss"] for line in history], [line["loss"] for line in whole], DEEP)
    again, same = run(interrupted, tmp_path / "run.pt")  # all is done
    assert same == history
    states = network.state_dict(), again.state_dict()
    assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(*map(dict.values, states)))
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_grad_cam_is_the_same(stickfigures, near):
    pytest.importorskip("matplotlib")
    from helpers.lessons.look_inside import heat_maps

    clip, label = stickfigures.preprocess(video.read_clip(CLIP)), stickfigures.labels.index("jumping jacks")
    expected = heat_maps(stickfigures.network, clip, label)
    for stage, heat in heat_maps(stickfigures.network.to(GPU), clip, label).items():
        assert heat.device.type == "cpu"  # to draw it
        near(heat, expected[stage], DEEP)


def test_the_explorer_of_the_network_runs_it_there(stickfigures, near):
    pytest.importorskip("matplotlib")
    from helpers.lessons import assemble_r2plus1d_18 as lesson

    clip = stickfigures.preprocess(video.read_clip(CLIP))
    names = ("stem", "layer1", "layer4", "avgpool", "fc")
    expected, explorer = lesson.stage_outputs(stickfigures.network, clip, names), lesson.network_explorer(stickfigures)
    stickfigures.network.to(GPU)
    for name, output in lesson.stage_outputs(stickfigures.network, clip, names).items():
        near(output, expected[name], DEEP)
    there = lesson.network_explorer(stickfigures)
    assert [label for label, _ in there.predictions] == [label for label, _ in explorer.predictions]
    near(*([probability for _, probability in each.predictions] for each in (there, explorer)), DEEP)
    assert next(stickfigures.network.parameters()).device.type == GPU


def test_the_explorer_of_the_timeline_runs_it_there(stickfigures, near):
    pytest.importorskip("matplotlib")
    from helpers.lessons.classify_a_clip import timeline_explorer

    expected = [probs.tolist() for _, probs in classify.predict_stream(CLIP, stickfigures, step=30, device="cpu")]
    explorer = timeline_explorer(CLIP, stickfigures, step=30)
    assert next(stickfigures.network.parameters()).device.type == GPU
    near(explorer.probs, expected, PROBABILITY, absolute=True)


@pytest.mark.parametrize("way", [way for way in figures.WAYS if way not in ("CUDA graph", "torch.compile")])
@pytest.mark.parametrize("case", ["one clip", "training step of 8 clips"])
def test_what_is_measured_computes_the_same(way, case, near):
    """The rows of `gpu_figures.json`: an untested way would be fast and wrong. Those left out may lack a compiler."""
    setup = benchmark.Setup(torch.device(GPU), os.fspath(CLIP), (3, 4, 32, 32))
    line = figures.Figure(case, way, "float32").line(setup.device)
    if line is not None:
        theirs, ours = (line.make(setup, side)() for side in benchmark.SIDES)
        near(ours, theirs, EXACT if case == "one clip" else DEEP)


TRAIN = """
import sys, torch
from helpers import processes, training
from helpers.networks import r2plus1d_18
from helpers.stickfigures import StickFigures
from helpers.transforms import normalize
device = processes.join_processes(torch.device("cuda"))
torch.manual_seed(0)
clips = StickFigures(20, seed=1, frames=8, size=32, transform=normalize)
network = r2plus1d_18(10, 8)
training.train(network, clips, clips, 2, batch_size=10, device=device)
sums = [float(p.detach().double().sum()) for p in network.parameters()]
torch.save(sums, f"{sys.argv[1]}.{processes.rank_and_world_size()[0]}")
processes.leave_processes()
"""


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs here")
def test_two_gpus_train_together(tmp_path):
    (tmp_path / "script.py").write_text(TRAIN, encoding="utf-8")
    done = torchrun(os.fspath(tmp_path / "script.py"), os.fspath(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2  # a line an epoch, not two
    first, second = (torch.load(tmp_path / f"run.{rank}") for rank in (0, 1))
    assert first == second and all(map(abs, first))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_autocast_computes_in_bfloat16_there():
    """And training takes it by itself where the device has it."""
    conv = nn.Conv3d(3, 8, 3).to(GPU)
    with torch.autocast(GPU, torch.bfloat16):
        assert F.relu(conv(torch.randn(1, 3, 4, 8, 8, device=GPU))).dtype == torch.bfloat16
    expected = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    assert training.default_precision(torch.device(GPU)) == expected
