"""On a GPU: the same numbers as on the CPU, within a stated tolerance. Skipped where there is none."""

import os

import pytest
import torch
from torch import nn

from helpers import classify, training, weights
from helpers.blocks import randomize_batchnorm_
from helpers.networks import NETWORKS
from helpers.scale import inference
from helpers.stickfigures import StickFigures
from helpers.transforms import normalize

# On some virtual machines MPS is said to be there, and has no memory.
MPS = torch.backends.mps.is_available() and classify.mps_convolves()
GPU = "cuda" if torch.cuda.is_available() else "mps" if MPS else None
pytestmark = pytest.mark.skipif(GPU is None, reason="there is no GPU here")
CLIP = weights.ASSETS / "jumping_jacks.mp4"
EXACT = 1e-4  # float32 sums in another order, relative to the largest number
REDUCED = 3e-2  # 8 bits of bfloat16


@pytest.fixture(autouse=True)
def float32_products(monkeypatch):
    """TensorFloat-32 keeps 10 bits; what is compared with the CPU computes with 23."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.delenv("VIDEO_RESNET_DEVICE", raising=False)


@pytest.fixture(scope="module")
def stickfigures():
    return weights.load("stickfigures")


def deviation(result, expected):
    result, expected = result.detach().float().cpu(), expected.detach().float().cpu()
    return float((result - expected).abs().max() / expected.abs().max())


def test_the_gpu_is_taken_by_itself():
    assert classify.get_device().type == GPU
    assert classify.device_name(GPU)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_computes_the_same(name):
    torch.manual_seed(0)
    network = NETWORKS[name](7, 8, frames=8)
    randomize_batchnorm_(network)
    x = torch.randn(2, 3, 8, 32, 32)
    with torch.inference_mode():
        expected = network.eval()(x)
        assert deviation(network.to(GPU)(x.to(GPU)), expected) < EXACT


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-3), (torch.bfloat16, 3e-2)])
def test_a_video_gets_the_same_predictions(stickfigures, dtype, tolerance, fast):
    expected = classify.predict_video(CLIP, stickfigures, device="cpu")
    predictions = classify.predict_video(CLIP, stickfigures, device=GPU, dtype=dtype, fast=fast)
    assert predictions[0].label == expected[0].label == "jumping jacks"
    assert abs(predictions[0].probability - expected[0].probability) < tolerance


def test_a_stream_gets_the_same_predictions(stickfigures):
    expected = list(classify.predict_stream(CLIP, stickfigures, step=16, device="cpu"))
    rows = list(classify.predict_stream(CLIP, stickfigures, step=16, device=GPU))
    assert [start for start, _ in rows] == [start for start, _ in expected]
    for (_, probs), (_, others) in zip(rows, expected):
        assert torch.allclose(probs, others, atol=1e-3)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, EXACT), (torch.bfloat16, REDUCED)])
def test_a_prepared_network_computes_the_same(stickfigures, dtype, tolerance):
    x = torch.stack([stickfigures.preprocess(StickFigures(3, seed=5)[k][0]) for k in range(3)])
    network = stickfigures.network.cpu()
    with torch.inference_mode():
        expected = network(x)
        prepared = inference.optimize_for_inference(network.to(GPU), dtype)
        assert deviation(prepared(x.to(GPU)), expected) < tolerance


def test_gradients_of_convolutions_over_views_are_the_same():
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
        assert deviation(gradient, wanted) < 1e-2


def test_training_goes_on_from_a_checkpoint(tmp_path):
    def run(checkpoint, epochs=2):
        torch.manual_seed(0)
        network = NETWORKS["r2plus1d_18"](10, 8)
        clips = StickFigures(20, seed=1, frames=8, size=32, transform=normalize)
        history = training.train(network, clips, clips, epochs, batch_size=10, checkpoint=checkpoint, device=GPU)
        return network, history

    network, history = run(tmp_path / "run.pt")
    again, same = run(tmp_path / "run.pt")
    assert [line["loss"] for line in same] == [line["loss"] for line in history]
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values()))
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_the_command_classifies_there(capsys):
    assert classify.main(["--device", GPU, os.fspath(CLIP)]) == 0
    assert "jumping jacks" in capsys.readouterr().out
