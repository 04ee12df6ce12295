"""Code for a GPU, run without one: does it keep its tensors on one device?

A device written in Python (`elsewhere.py`) has numbers, so that all tests of `test_devices.py` run on it; but it is not called
CUDA. PyTorch's FakeTensorMode knows on which device the result of each operation is, "cuda" too, and computes no numbers. What
runs under it is less: code up to where it asks for a number (`tolist`), and forward passes alone, for without CUDA's driver a
backward pass ends in an error, and a copy of fake parameters (`copy.deepcopy`, which folds batch norms) reads memory that is
not there. The device "meta" is of no use: nothing can be copied from it, and every prediction ends on the CPU. None of them
shows what the kernels of a GPU compute, nor CUDA graphs, pinned memory, several processes: that is left to `make gpu`.
"""

import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers import classify, training, weights
from helpers.lessons import assemble_r2plus1d_18 as lesson
from helpers.networks import NETWORKS

CUDA = torch.device("cuda")


@pytest.fixture
def fake(monkeypatch):
    """In this block tensors have a device and no numbers; autocast believes that there is a GPU with bfloat16."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    monkeypatch.setattr(nn.Module, "_apply", move)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def move(module, function, recurse=True):
    """As `nn.Module.to` does it, with new parameters: it cannot swap fake ones in place."""
    for child in module.children():
        child._apply(function)
    for name, p in module._parameters.items():
        module._parameters[name] = None if p is None else nn.Parameter(function(p.detach()), p.requires_grad)
    for name, buffer in module._buffers.items():
        module._buffers[name] = function(buffer)
    return module


def test_a_forgotten_move_is_seen(fake):
    network = NETWORKS["r2plus1d_18"](7, 8).eval().to(CUDA)
    with pytest.raises(RuntimeError, match="same device"):
        network(torch.randn(1, 3, 8, 32, 32))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_stays_on_its_device(name, fake):
    network = NETWORKS[name](7, 8, frames=8).to(CUDA)
    y = network(torch.randn(2, 3, 8, 32, 32).to(CUDA))
    assert y.device.type == "cuda" and y.shape == (2, 7)


def test_a_new_head_is_where_the_network_is(fake):
    network = NETWORKS["r2plus1d_18"](7, 8).to(CUDA)
    training.replace_head(network, 10)
    with torch.autocast("cuda", torch.bfloat16):
        y = network(torch.randn(2, 3, 8, 32, 32).to(CUDA))
    assert y.device.type == "cuda" and y.dtype == torch.bfloat16 and y.shape == (2, 10)
    assert training.default_precision(CUDA) == "bfloat16"


@pytest.fixture
def pretrained():
    """Loaded before anything is fake: `weights.load` looks at the numbers."""
    return weights.load()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probabilities_come_back_to_the_cpu(dtype, pretrained, fake):
    """As far as the probabilities of a clip: `top_k` asks for their numbers."""
    clips = [torch.zeros(16, 128, 171, 3, dtype=torch.uint8)] * 2
    rows = list(classify.predict_clips(pretrained, clips, CUDA, dtype))
    assert len(rows) == 2
    for probs in rows:
        assert probs.device.type == "cpu" and probs.dtype == torch.float32 and probs.shape == (10,)
    assert next(pretrained.network.parameters()).device.type == "cuda"
    outputs = lesson.stage_outputs(pretrained.network, torch.randn(3, 16, 112, 112), ("layer4", "avgpool", "fc"))
    assert {output.device.type for output in outputs.values()} == {"cpu"}


def run_device_tests(choice):
    """The tests of devices on the device that is none, in a process of their own, which keeps it."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "elsewhere", "-p", "no:cacheprovider"]
    command += ["-k", choice, "tests/unit/test_devices.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)


def test_device_tests_pass_on_a_device_that_is_none():
    done = run_device_tests("mix or taken or (same and r2plus1d_18) or stream or (command and fast)")
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\b5 passed", done.stdout), done.stdout[-3000:]


@pytest.mark.slow
def test_all_device_tests_pass_on_a_device_that_is_none():
    done = run_device_tests("test")
    assert done.returncode == 0, done.stdout[-3000:]
    assert " 2 skipped" in done.stdout  # those that name CUDA
