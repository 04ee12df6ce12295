"""Notebook 14: the arithmetic of its comparison with other runtimes, and one small comparison."""

import json

import pytest
import torch

from helpers import networks
from helpers.lessons import take_it_further as lesson
from helpers.networks import NETWORKS


def test_logits_are_compared_with_those_of_the_first():
    table = torch.tensor([[4.0, 0, 0], [0, 2, 1], [0, 1, 2], [1, 0, 0]])
    other = torch.tensor([[4.0, 0, 0], [0, 1, 2], [0, 1, 2], [0.5, 0, 0]])
    functions = dict(first=lambda x: table[x], second=lambda x: other[x])
    table = lesson.compare_logits(functions, ((torch.tensor(k), label) for k, label in enumerate([0, 2, 2, 1])))
    assert table == dict(
        first=dict(accuracy=0.5, agreement=1.0, deviation=0.0),
        second=dict(accuracy=0.75, agreement=0.75, deviation=0.25),
    )


@pytest.mark.slow
def test_all_is_measured(monkeypatch):
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):  # an extra, installed for `make test-all`
        pytest.importorskip(package)
    monkeypatch.setattr(networks, "r2plus1d_18", lambda: NETWORKS["r2plus1d_18"](7, 8))
    table = json.loads(json.dumps(lesson.compare_runtimes(calibration=2, clips=3, rounds=1)))
    names = ["PyTorch float32", "ONNX Runtime float32", "OpenVINO float32"]
    names += ["OpenVINO bfloat16", "ONNX Runtime int8", "OpenVINO int8"]
    assert list(table) == ["predictions", "trained", "full width"]
    assert all(list(part) == names for part in table.values())
    deviations = [table["predictions"][name]["deviation"] for name in names]
    assert deviations[0] == 0 and max(deviations[1:3]) < 1e-5 < 1e-3 < min(deviations[4:])
    assert all(row["seconds"] > 0 for part in ("trained", "full width") for row in table[part].values())
