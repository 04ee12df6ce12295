"""The clock, and networks prepared for inference: what counts and what does not; the same answers, sooner."""

import shutil
import time

import pytest
import torch
from torch import nn
from torchvision.models import video as video_networks

from helpers import classify, speed, transforms, weights
from helpers.networks import NETWORKS
from helpers.scale import inference
from helpers.stickfigures import StickFigures


def test_the_first_call_does_not_count_and_the_median_does():
    waits = iter([0.5, 0.02, 0.3, 0.02, 0.02, 0.02])
    taken = classify.median_time(lambda: time.sleep(next(waits)), "cpu", repeats=5)
    assert 0.02 <= taken < 0.1
    assert next(waits, None) is None


def test_half_precision_is_compared_with_full():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 2 * 6 * 6, 4)).eval()
    ratio, deviation = inference.compare_precisions(network, torch.randn(1, 3, 4, 8, 8), "cpu")
    assert ratio > 0 and 0 < deviation < 0.05


def test_a_gpu_is_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    classify.median_time(lambda: waited.append("call"), "cuda", repeats=1)
    assert waited == ["cuda", "call", "cuda"] * 2
    waited.clear()
    classify.median_time(lambda: waited.append("call"), "mps", repeats=1)
    assert waited == ["mps", "call", "mps"] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_gpu():
    network, x = nn.Conv3d(3, 64, 3).cuda().eval(), torch.randn(4, 3, 16, 112, 112, device="cuda")
    ratio, deviation = inference.compare_precisions(network, x, "cuda")
    assert ratio > 0 and 0 < deviation < 0.05


def settled(network):
    """With batch norms that do something, as trained ones do."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            for values, low, high in (
                (module.running_mean, -0.1, 0.1),
                (module.running_var, 0.5, 2),
                (module.weight.data, 0.5, 2),
                (module.bias.data, -0.1, 0.1),
            ):
                values.uniform_(low, high)
    return network.eval()


@pytest.fixture(
    params=[
        "r2plus1d_18",
        "r3d_18",
        "mc3_18",
        "r2d_18",
        "fr2d_18",
        "rmc3_34",
        "torchvision r2plus1d_18",
        "torchvision mc3_18",
    ]
)
def network(request):
    torch.manual_seed(0)
    name = request.param.removeprefix("torchvision ")
    if name != request.param:
        return settled(getattr(video_networks, name)(num_classes=7))
    return settled(NETWORKS[name](7, 8, frames=8))


@pytest.fixture(params=["packed", "folded"])
def way(request, monkeypatch):
    if request.param == "folded":
        monkeypatch.setattr(speed, "_packs", lambda dtype: False)
    elif not inference._packs(torch.float32):
        pytest.skip("no oneDNN here")


@pytest.mark.parametrize("dtype, allowed", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_a_prepared_network_says_the_same(network, way, dtype, allowed):
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no bfloat16 here")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fast = inference.optimize_for_inference(network, dtype, size=(3, 8, 40, 56))
    for shape in ((3, 3, 8, 40, 56), (1, 3, 8, 32, 32)):
        x = torch.randn(shape)
        given = x.clone()
        with torch.inference_mode():
            wanted, logits = network(x), fast(x)
        assert torch.equal(x, given), "the clip was written over"
        assert logits.dtype == torch.float32 and logits.shape == wanted.shape
        assert (logits - wanted).abs().max() < allowed * wanted.abs().max()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with torch.no_grad():  # nothing is shared
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    with torch.inference_mode():
        assert torch.equal(fast(x), logits)


def test_every_norm_is_folded(network, way):
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


def test_functions_are_measured_in_turn_after_a_round_that_does_not_count():
    calls, waits = [], iter([0.5, 0.0, 0.02, 0.0, 0.04, 0.0])

    def wait(name):
        calls.append(name)
        time.sleep(next(waits))

    taken = inference.interleaved(dict(a=lambda: wait("a"), b=lambda: wait("b")), rounds=2)
    assert calls == ["a", "b"] * 3
    assert [round(seconds, 2) for seconds in taken["a"]] == [0.02, 0.04] and len(taken["b"]) == 2


def test_ceilings_are_the_shortest_of_some_times(monkeypatch):
    monkeypatch.setattr(
        speed, "interleaved", lambda functions, device, rounds: {name: [0.5, 0.25, 1.0] for name in functions}
    )
    assert inference.peak_flops() == 2 * 4096**3 / 0.25
    assert inference.bandwidth(size=1000) == 2 * 1000 / 0.25


def test_a_matrix_product_is_one():
    product = inference.matrix_product(torch.bfloat16, crop_size=8)
    assert product().shape == (8, 8) and product().dtype == torch.bfloat16 and product.flop == 1024


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own making
@pytest.mark.parametrize("way", ["packed", "folded"], indirect=True)
def test_a_compiled_network_says_the_same(way):
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a compiler")
    torch.manual_seed(0)
    network = settled(NETWORKS["r2plus1d_18"](7, 8, frames=8))
    fast = inference.optimize_for_inference(network, size=(3, 8, 32, 32), compiled=True)
    x = torch.randn(2, 3, 8, 32, 32)
    with torch.inference_mode():
        wanted, found = network(x), fast(x)
    assert isinstance(fast, torch._dynamo.OptimizedModule)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype, allowed", [(torch.float32, 1e-3), (torch.bfloat16, 2e-2), (torch.float16, 5e-3)])
def test_prepared_on_a_gpu(dtype, allowed, compiled):
    torch.manual_seed(0)
    network = settled(NETWORKS["r2plus1d_18"](7, 8, frames=8)).cuda()
    fast = inference.optimize_for_inference(network, dtype, size=(3, 8, 32, 32), compiled=compiled)
    x = torch.randn(4, 3, 8, 32, 32, device="cuda")
    with torch.inference_mode():
        wanted = network(x)
        for _ in range(3):  # a CUDA graph is recorded first, then replayed
            assert (fast(x) - wanted).abs().max() < allowed * wanted.abs().max()


def test_bfloat16_gives_the_trained_networks_answers():
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no bfloat16 here")
    network = weights.load("stickfigures").network
    fast = inference.optimize_for_inference(network, torch.bfloat16)
    clips = StickFigures(200, seed=4321, frames=16, size=112, transform=transforms.normalize)
    with torch.inference_mode():
        wanted, found = (torch.cat([one(x[None]) for x, _ in clips]) for one in (network, fast))
    assert (found.argmax(1) == wanted.argmax(1)).float().mean() >= 0.995
    assert (found - wanted).abs().max() < 1e-2 * wanted.abs().max()
