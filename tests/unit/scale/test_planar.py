"""A (2+1)D network in 2D convolutions: equal to the network, and as a file for the page."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import ROOT
from torch import nn

from helpers import transforms, weights
from helpers.blocks import randomize_batchnorm_
from helpers.networks import NETWORKS
from helpers.scale import export
from helpers.scale.export import Planar


def network_of(name, width=8, **options):
    torch.manual_seed(0)
    network = NETWORKS[name](5, width, **options)
    randomize_batchnorm_(network)
    return network.eval()


@pytest.mark.parametrize("name", ["r2plus1d_18", "r2plus1d_34"])
@pytest.mark.parametrize("paper_widths", [True, False])
def test_it_is_the_network(name, paper_widths):
    network, clip = network_of(name, paper_widths=paper_widths), torch.randn(1, 3, 9, 31, 45)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    planar, expected = Planar(network), []
    with torch.inference_mode():
        x = clip
        for stage in Planar.STAGES:
            x = network.get_submodule(stage)(x)
            expected.append(x)
        logits, features, *maps = planar(clip)
        assert torch.allclose(logits, network(clip), rtol=1e-4, atol=1e-5)
    assert torch.allclose(features, x.mean((2, 3, 4)), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(maps, expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_it_holds_no_3d_convolution_and_no_norm():
    network = network_of("r2plus1d_18")
    kinds = {type(layer) for layer in Planar(network).modules()}
    assert not kinds & {nn.Conv3d, nn.BatchNorm3d}
    widths = [len(layer.weight) for layer in network.modules() if isinstance(layer, nn.Conv3d)]
    assert any(width % 3 == 0 and width % 4 for width in widths)  # those that WebGPU computes wrongly
    assert all(len(m.weight) % 4 == 0 for m in Planar(network).modules() if getattr(m, "kernel_size", ()))


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "rmc3_18"])
def test_a_3d_convolution_is_refused(name):
    with pytest.raises(ValueError, match="convolves over space and time at once"):
        Planar(network_of(name))


def test_train_mode_is_refused():
    with pytest.raises(ValueError, match=r"network\.eval\(\)"):
        Planar(network_of("r2plus1d_18").train())


@pytest.fixture(scope="module")
def small():
    """A network for clips of 4 x 32 x 32, with all that belongs to it."""
    settings = dict(network="r2plus1d_18", width=8)
    return weights.Pretrained(
        "small", network_of("r2plus1d_18"), tuple("abcde"), partial(transforms.preprocess, crop_size=32), 4, 15.0,
        "Random weights.", "Not tested.", settings, 32,
    )  # fmt: skip


@pytest.mark.slow
def test_a_folder_for_the_page(small, tmp_path):
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    about = export.export_for_page(small, tmp_path / "mine")
    file = tmp_path / "mine" / "network.onnx"
    assert json.loads((tmp_path / "mine" / "network.json").read_text(encoding="utf-8")) == json.loads(json.dumps(about))
    assert about["bytes"] == file.stat().st_size and about["sha256"] == weights.checksum(file)
    assert (about["labels"], about["frames"], about["crop"], about["resized"]) == (list("abcde"), 4, 32, (37, 49))
    model = onnx.load(file)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds
    kernels = {t.name: len(t.dims) for t in model.graph.initializer}
    assert 4 in kernels.values() and all(dims < 5 or name.endswith("_half") for name, dims in kernels.items())
    assert str(ROOT) not in str(model)
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.inference_mode():
        expected = small.network(clip)
    pytest.importorskip("onnxruntime")
    assert torch.allclose(export.onnx_runtime(file)(clip), expected, atol=0.02 * float(expected.abs().max()))


def test_what_a_page_cannot_use_is_refused(small, tmp_path):
    for wrong in (replace(small, labels=None), replace(small, preprocess=lambda frames: frames)):
        with pytest.raises(ValueError, match=r"small: a page needs labels, and transforms\.preprocess"):
            export.export_for_page(wrong, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_the_command(small, tmp_path):
    pytest.importorskip("onnxscript")
    weights.save(tmp_path / "mine.pt", small)
    run = partial(
        subprocess.run, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    done = run([sys.executable, "-m", "helpers.scale.export", "mine.pt"])
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("mine: 5 labels,")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["network.json", "network.onnx"]
    done = run([sys.executable, "-m", "helpers.scale.export", "yours.pt"])
    assert done.returncode == 2 and "unknown weights 'yours.pt'" in done.stderr and "Traceback" not in done.stderr
