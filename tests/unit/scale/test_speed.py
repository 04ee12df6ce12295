"""The clock, and networks prepared for inference: what counts and what does not; the same logits, sooner."""

import time

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import video as video_networks

from helpers import classify, transforms, weights
from helpers.blocks import randomize_batchnorm_
from helpers.networks import NETWORKS
from helpers.scale import inference
from helpers.stickfigures import StickFigures


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only where a test says so: call it with seconds."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_the_first_call_does_not_count_and_the_median_does(clock):
    waits = iter([9.0, 2, 30, 3, 1, 4])
    assert classify.median_time(lambda: clock(next(waits)), "cpu", repeats=5) == 3
    assert next(waits, None) is None


def test_functions_are_measured_in_turn_after_a_round_that_does_not_count(clock):
    calls, waits = [], iter([9.0, 0, 2, 1, 4, 3])

    def wait(name):
        calls.append(name)
        clock(next(waits))

    taken = inference.interleaved(dict(a=lambda: wait("a"), b=lambda: wait("b")), rounds=2)
    assert calls == ["a", "b"] * 3 and taken == dict(a=[2, 4], b=[1, 3])


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_is_waited_for(device, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.accelerator, "synchronize", calls.append)
    classify.median_time(lambda: calls.append("call"), device, repeats=1)
    inference.interleaved(dict(a=lambda: calls.append("call")), device, rounds=1)
    assert calls == [device, "call", device] * 4
    calls.clear()
    classify.median_time(lambda: calls.append("call"), "cpu", repeats=1)
    assert calls == ["call"] * 2


def test_times_are_medians_and_ratios_go_with_their_round():
    table = inference.compare_times(dict(first=[6.0, 8, 20], second=[3.0, 1, 2]))
    assert table["first"] == dict(seconds=8.0, ratio=1.0, spread=[1.0, 1.0])
    assert table["second"] == dict(seconds=2.0, ratio=4.0, spread=[2.0, 10.0])


def test_peaks_are_the_shortest_of_some_times(monkeypatch):
    times = [0.5, 0.25, 1.0]
    monkeypatch.setattr(inference, "interleaved", lambda functions, device, rounds: dict.fromkeys(functions, times))
    assert inference.peak_flops(dict(few=(None, 100), more=(None, 1000))) == dict(few=400, more=4000)
    assert inference.bandwidth(size=1000) == 3 * 1000 / 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dense_products_count_their_flop(dtype):
    products = inference.dense_products(dtype, side=256)
    assert ("matrices, by NumPy" in products) == (dtype == torch.float32)
    for name, (function, flop) in products.items():
        with FlopCounterMode(display=False) as counter:
            y = function()
        if "NumPy" in name:
            assert y.shape == (256, 256) and flop == 2 * 256**3
        else:
            assert y.dtype == dtype and counter.get_total_flops() == flop


NAMES = ["r2plus1d_18", "r3d_18", "mc3_18", "r2d_18", "fr2d_18", "rmc3_34", "torchvision's mc3_18"]


@pytest.fixture(params=NAMES)
def network(request):
    torch.manual_seed(0)
    make = NETWORKS.get(request.param)
    network = make(7, 8, frames=8) if make else video_networks.mc3_18(num_classes=7)
    randomize_batchnorm_(network)
    return network.eval()


@pytest.fixture(params=["packed", "folded"])
def way(request, monkeypatch):
    if request.param == "folded":
        monkeypatch.setattr(inference, "_packs", lambda dtype: False)
    elif not inference._packs(torch.float32):
        pytest.skip("no oneDNN here")


@pytest.mark.parametrize("dtype, allowed", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_a_prepared_network_computes_the_same(network, way, dtype, allowed):
    if dtype == torch.bfloat16 and not inference.cpu_has_bfloat16():
        pytest.skip("no bfloat16 here")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fast = inference.optimize_for_inference(network, dtype, size=(3, 8, 40, 56))
    for shape in ((3, 3, 8, 40, 56), (1, 3, 8, 32, 32)):
        x = torch.randn(shape)
        before_call = x.clone()
        with torch.inference_mode():
            expected, logits = network(x), fast(x)
        assert torch.equal(x, before_call), "the clip was written over"
        assert logits.dtype == torch.float32 and logits.shape == expected.shape
        assert (logits - expected).abs().max() < allowed * expected.abs().max()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with torch.no_grad():  # nothing is shared
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    with torch.inference_mode():
        assert torch.equal(fast(x), logits)


def test_every_batch_norm_is_folded(network, way):
    convolutions = sum(isinstance(module, torch.nn.Conv3d) for module in network.modules())
    fast = inference.optimize_for_inference(network, size=(3, 8, 32, 32))
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in fast.modules())
    assert sum(isinstance(module, inference._Folded) for module in fast.modules()) == convolutions


def test_what_cannot_be_prepared_is_refused():
    network = NETWORKS["r2plus1d_18"](7, 8)
    with pytest.raises(ValueError, match=r"network\.eval\(\) first"):
        inference.optimize_for_inference(network)
    network.layer1[0].conv1.append(torch.nn.Dropout3d())
    with pytest.raises(TypeError, match="Dropout3d is no part"):
        inference.optimize_for_inference(network.eval())


def test_bfloat16_gives_the_trained_networks_predictions():
    if not inference.cpu_has_bfloat16():
        pytest.skip("no bfloat16 here")
    network = weights.load("stickfigures").network
    fast = inference.optimize_for_inference(network, torch.bfloat16)
    clips = StickFigures(60, seed=4321, frames=16, size=112, transform=transforms.normalize)
    with torch.inference_mode():
        expected, logits = (torch.cat([module(x[None]) for x, _ in clips]) for module in (network, fast))
    assert (logits.argmax(1) == expected.argmax(1)).all()
    assert (logits - expected).abs().max() < 1e-2 * expected.abs().max()


def test_what_would_be_left_out_is_refused():
    def network():
        return NETWORKS["r2plus1d_18"](5, 8).eval()

    pooled, straight, hooked, half = (network() for _ in range(4))
    pooled.avgpool = nn.AdaptiveMaxPool3d(1).eval()
    straight.layer2[0].relu = nn.Identity().eval()
    hooked.layer1.register_forward_hook(lambda *_: None)
    for other in (pooled, straight, hooked):
        with pytest.raises(TypeError, match="other parts than a video ResNet"):
            inference.optimize_for_inference(other, size=(3, 4, 16, 16))
    half.layer3.train()
    with pytest.raises(ValueError, match="eval"):
        inference.optimize_for_inference(half, size=(3, 4, 16, 16))
    plain, state = network(), torch.get_rng_state()
    inference.optimize_for_inference(plain, size=(3, 4, 16, 16))
    assert torch.equal(torch.get_rng_state(), state)
