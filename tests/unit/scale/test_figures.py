"""The figures of a GPU: which rows there are, in which order, and what a row does to PyTorch's settings. No time is judged."""

import pytest
import torch

from helpers import weights
from helpers.scale import benchmark, figures

CUDA, MPS, CPU = map(torch.device, ("cuda", "mps", "cpu"))


def test_every_way_precision_and_case_has_a_row_on_cuda():
    rows = list(figures.figures(CUDA))
    assert len(set(rows)) == len(rows) == 5 * 3 * 5 - 3 * 2  # a file has neither graph nor compiler
    assert [row.way for row in rows] == sorted((row.way for row in rows), key=list(figures.WAYS).index)
    assert rows[0] == ("one clip", "as it comes", "bfloat16") and rows[-1].way == "torch.compile"


@pytest.mark.parametrize("device", [MPS, CPU], ids=str)
def test_elsewhere_there_are_no_rows_that_only_cuda_has(device):
    rows = list(figures.figures(device))
    assert len(rows) == 4 * 2 * 5 - 2
    assert not any(row.precision == "TF32" or row.way == "CUDA graph" for row in rows)


def test_tensor_float_32_is_on_inside_and_afterwards_as_it_was():
    def allowed():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = allowed()
    assert figures.tf32(True)(allowed)() == (True, True) and figures.tf32(False)(allowed)() == (False, False)
    with pytest.raises(KeyError), figures.tf32(not before[0]):
        raise KeyError
    assert allowed() == before == (True, False)  # PyTorch's own choice, which torchvision's side keeps


def test_only_our_side_computes_in_the_precision_of_the_row(monkeypatch):
    seen = []
    real = benchmark.random_network

    def watched(device):
        network = real(device)
        network.stem.register_forward_pre_hook(
            lambda module, inputs: seen.append((inputs[0].dtype, torch.backends.cuda.matmul.allow_tf32))
        )
        return network

    monkeypatch.setattr(benchmark, "random_network", watched)
    setup = benchmark.Setup(CPU, str(weights.ASSETS / "jumping_jacks.mp4"), (3, 2, 16, 16))
    for precision, dtype, allowed in (("TF32", torch.float32, True), ("bfloat16", torch.bfloat16, False)):
        row = figures.Figure("one clip", "as it comes", precision)
        for side in benchmark.SIDES:
            figures._make(setup, side, row)()
        assert seen == [(torch.float32, False), (dtype, allowed)]
        seen.clear()
