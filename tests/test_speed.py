"""The clock: what counts, and what does not."""

import time

import pytest
import torch
from torch import nn

from helpers import speed


def test_the_first_call_does_not_count_and_the_median_does():
    waits = iter([0.5, 0.02, 0.3, 0.02, 0.02, 0.02])
    taken = speed.seconds(lambda: time.sleep(next(waits)), "cpu", repeats=5)
    assert 0.02 <= taken < 0.1
    assert next(waits, None) is None


def test_half_precision_is_compared_with_full():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 2 * 6 * 6, 4)).eval()
    ratio, deviation = speed.half_precision(network, torch.randn(1, 3, 4, 8, 8), "cpu")
    assert ratio > 0 and 0 < deviation < 0.05


def test_a_gpu_is_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    speed.seconds(lambda: waited.append("call"), "cuda", repeats=1)
    assert waited == ["cuda", "call", "cuda"] * 2
    waited.clear()
    speed.seconds(lambda: waited.append("call"), "mps", repeats=1)
    assert waited == ["mps", "call", "mps"] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_gpu():
    network, x = nn.Conv3d(3, 64, 3).cuda().eval(), torch.randn(4, 3, 16, 112, 112, device="cuda")
    ratio, deviation = speed.half_precision(network, x, "cuda")
    assert ratio > 0 and 0 < deviation < 0.05
