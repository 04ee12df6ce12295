"""What leaves PyTorch says the same elsewhere: as an ONNX file in float32 and in 8-bit integers, in two runtimes."""

import copy
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn
from torchvision.models import video as video_networks

from helpers import transforms, weights
from helpers.blocks import randomize_batchnorm_
from helpers.lessons import take_it_further as lesson
from helpers.networks import NETWORKS
from helpers.scale import export, inference
from helpers.stickfigures import StickFigures

pytestmark = pytest.mark.slow  # the packages are an extra, installed for `make test-all`
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")

SIZE = (3, 8, 24, 40)
TRAIN, TEST = 1, 2  # seeds of the clips, as in stickfigures.json
RUNTIMES = [export.onnx_runtime, export.openvino]
NAMES = ["r2plus1d_18", "mc3_18", "r2d_18", "torchvision's mc3_18"]


@pytest.fixture(scope="module", params=NAMES)
def pair(request, tmp_path_factory):
    """A network and its file."""
    torch.manual_seed(0)
    make = NETWORKS.get(request.param)
    network = make(7, 8, frames=8) if make else video_networks.mc3_18(num_classes=7)
    randomize_batchnorm_(network)
    network.eval()
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    before = copy.deepcopy(network.state_dict())
    export.export(network, path, SIZE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    return network, path


def deviation(network, runtime, count):
    """The largest of a logit, as a share of the largest logit."""
    x = torch.randn(count, *SIZE)
    with torch.inference_mode():
        expected = network(x)
    logits = runtime(x)
    assert logits.dtype == torch.float32 and logits.shape == expected.shape
    return ((logits - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_file_computes_the_same_to_batches_of_any_size(pair, runtime):
    network, path = pair
    compute = runtime(path)
    for count in (1, 3, 5):
        assert deviation(network, compute, count) < 1e-5


def changes(network):
    """Change a network in one place after another; in between it is as it was."""
    for place, module in list(network.named_modules()):
        if isinstance(module, nn.ReLU):
            module.forward = lambda x: x
            yield f"{place} left out"
            del module.forward
        elif isinstance(module, nn.BatchNorm3d):
            before = module.running_var.clone()
            module.running_var.mul_(1.01)
            yield f"what comes out of {place} half a percent smaller"
            module.running_var.copy_(before)


@pytest.mark.parametrize("pair", ["r2plus1d_18", "mc3_18"], indirect=True)
def test_a_change_anywhere_is_seen(pair):
    """A file that leaves something out does not pass the test above."""
    network, path = pair
    compute = export.onnx_runtime(path)
    for change in changes(network):
        assert deviation(network, compute, 1) > 1e-4, change
    assert deviation(network, compute, 1) < 1e-5


def test_a_file_holds_convolutions_relus_and_sums(pair):
    network, path = pair
    nodes = [node.op_type for node in onnx.load(str(path)).graph.node]
    convolutions = sum(isinstance(module, nn.Conv3d) for module in network.modules())
    blocks = sum(len(layer) for layer in (network.layer1, network.layer2, network.layer3, network.layer4))
    assert nodes.count("Conv") == convolutions and nodes.count("Add") == blocks and nodes.count("Gemm") == 1
    assert set(nodes) <= {"Conv", "Relu", "Add", "ReduceMean", "Reshape", "Unsqueeze", "Gemm"}


def test_a_file_is_one_and_does_not_tell_where_it_was_made(pair):
    _, path = pair
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    content = path.read_bytes()
    assert str(ROOT).encode() not in content and b"site-packages" not in content
    graph = onnx.load(str(path)).graph
    assert [[value.name for value in values] for values in (graph.input, graph.output)] == [["clips"], ["logits"]]


def test_train_mode_is_refused(tmp_path):
    network = NETWORKS["fr2d_18"](7, 8)
    with pytest.raises(ValueError, match=r"network\.eval\(\) first"):
        export.export(network, tmp_path / "a.onnx", SIZE)
    network.eval().layer3[0].conv1.train()
    with pytest.raises(ValueError, match=r"network\.eval\(\) first"):
        export.export(network, tmp_path / "a.onnx", SIZE)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The trained network of this repository, its file, and the same in 8 bits."""
    network, folder = weights.load().network, tmp_path_factory.mktemp("onnx")
    export.export(network, folder / "float32.onnx")
    clips = StickFigures(32, TRAIN, transform=transforms.normalize)
    export.quantize(folder / "float32.onnx", folder / "int8.onnx", (clips[k][0] for k in range(32)))
    return network, folder / "float32.onnx", folder / "int8.onnx"


def test_trained_weights_predict_the_same(trained):
    network, file, _ = trained
    ways = dict(torch=network, runtime=export.onnx_runtime(file), openvino=export.openvino(file))
    clips = StickFigures(10, TEST, transform=transforms.normalize)
    with torch.inference_mode():
        table = lesson.compare_logits(ways, (clips[k] for k in range(10)))
    assert all(row["agreement"] == row["accuracy"] == 1 and row["deviation"] < 1e-5 for row in table.values())


def test_8_bits_give_the_same_answers(trained):
    """A hundred clips that neither the weights nor the ranges come from. By the test above float32 is as good as PyTorch."""
    _, file, small = trained
    ways = dict(float32=export.onnx_runtime(file), runtime=export.onnx_runtime(small), openvino=export.openvino(small))
    clips = StickFigures(100, TEST, transform=transforms.normalize)
    table = lesson.compare_logits(ways, (clips[k] for k in range(100)))
    assert table["float32"]["accuracy"] >= 0.97
    for name in ("runtime", "openvino"):
        assert table[name]["agreement"] >= 0.99 and table[name]["accuracy"] >= 0.97
        assert 1e-3 < table[name]["deviation"] < 0.06  # without VNNI up to 0.05, else 0.02


def test_convolutions_and_what_goes_between_them_are_8_bits(trained):
    _, file, small = trained
    assert small.stat().st_size < 0.28 * file.stat().st_size
    graph = onnx.load(str(small)).graph
    made_by = {name: node for node in graph.node for name in node.output}
    held = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv":
            x, weight = (made_by[name] for name in node.input[:2])
            assert x.op_type == weight.op_type == "DequantizeLinear"
            assert held[weight.input[0]].data_type == onnx.TensorProto.INT8
            assert held[weight.input[1]].dims == held[weight.input[0]].dims[:1]  # a scale for each channel
            assert held[x.input[2]].data_type == onnx.TensorProto.UINT8
        elif node.op_type == "Add":
            assert all(made_by[name].op_type == "DequantizeLinear" for name in node.input)
            assert [other.op_type for other in graph.node if node.output[0] in other.input] == ["QuantizeLinear"]
        elif node.op_type == "Gemm":
            assert held[node.input[1]].data_type == onnx.TensorProto.FLOAT
    assert sum(node.op_type == "Conv" for node in graph.node) == 37


@pytest.fixture
def compiled(monkeypatch):
    """What OpenVINO has made of files."""
    made, compile_model = [], openvino.Core.compile_model
    monkeypatch.setattr(openvino.Core, "compile_model", lambda *how: made.append(compile_model(*how)) or made[-1])
    return made


def precisions(model):
    """In which precision OpenVINO computes convolutions."""
    about = [node.get_rt_info() for node in model.get_runtime_model().get_ordered_ops()]
    return {node["runtimePrecision"].astype(str) for node in about if node["layerType"].astype(str) == "Convolution"}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="OpenVINO has other kernels elsewhere")
def test_openvino_computes_in_the_precision_that_it_is_table(trained, compiled):
    _, file, small = trained
    export.openvino(file), export.openvino(small)
    assert [precisions(model) for model in compiled] == [{"f32"}, {"u8"}]
    if inference.cpu_has_bfloat16():
        export.openvino(file, precision="bf16"), export.openvino(small, precision="bf16")
        assert [precisions(model) for model in compiled[2:]] == [{"bf16"}, {"u8"}]


def test_threads_are_as_many_as_asked_for(pair, compiled, monkeypatch):
    import onnxruntime

    sessions, make = [], onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: sessions.append(make(*a, **k)) or sessions[-1])
    export.openvino(pair[1], threads=1), export.onnx_runtime(pair[1], threads=1)
    assert compiled[0].get_property("INFERENCE_NUM_THREADS") == 1
    options = sessions[0].get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_arrays_and_tensors_of_any_layout_are_taken_and_answers_kept(pair, runtime):
    compute = runtime(pair[1])
    x = torch.randn(2, *SIZE)
    first = compute(x)
    kept = first.clone()
    assert not torch.equal(compute(x + 1), kept) and torch.equal(first, kept)
    assert torch.equal(compute(x.numpy()), kept)
    assert torch.equal(compute(x.numpy().astype(np.float64)), kept)
    assert torch.equal(compute(x.to(memory_format=torch.channels_last_3d)), kept)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGCHLD")
@pytest.mark.parametrize("pair", NAMES[:1], indirect=True)
def test_a_process_outlives_the_models_that_it_drops(pair):
    """Two of OpenVINO, dropped in the order in which they were made; then a child ends, as a loader's worker does."""
    code = """
import signal, subprocess, sys
from helpers.scale import export
models = [export.openvino(sys.argv[1]) for _ in range(2)]
while models:
    del models[0]
signal.signal(signal.SIGCHLD, lambda *_: None)
subprocess.run([sys.executable, "-c", ""])
"""
    done = subprocess.run([sys.executable, "-c", code, str(pair[1])], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ranges_need_clips(pair, tmp_path):
    with pytest.raises(ValueError, match="No data"):
        export.quantize(pair[1], tmp_path / "int8.onnx", [])


def test_nothing_is_printed(tmp_path):
    """In a process of its own, for logging and what is not Python go past pytest."""
    code = """
import sys, torch
from helpers import networks
from helpers.scale import export
folder, network = sys.argv[1], networks.r2plus1d_18(7, 8).eval()
export.export(network, folder + "/float32.onnx", (3, 4, 32, 32))
export.quantize(folder + "/float32.onnx", folder + "/int8.onnx", torch.randn(2, 3, 4, 32, 32))
for runtime in (export.onnx_runtime, export.openvino):
    for file in ("/float32.onnx", "/int8.onnx"):
        assert runtime(folder + file)(torch.randn(2, 3, 4, 32, 32)).shape == (2, 7)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float32.onnx", "int8.onnx"]


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime", "onnxruntime.quantization", "openvino"])
def test_what_is_missing_is_named(pair, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    _, path = pair
    calls = {
        "onnx": lambda: export.export(pair[0], tmp_path / "a.onnx", SIZE),
        "onnxscript": lambda: export.export(pair[0], tmp_path / "a.onnx", SIZE),
        "onnxruntime": lambda: export.onnx_runtime(path),
        "onnxruntime.quantization": lambda: export.quantize(path, tmp_path / "b.onnx", torch.randn(1, *SIZE)),
        "openvino": lambda: export.openvino(path),
    }
    with pytest.raises(ImportError, match=f"^{missing} is not installed here. Install it with `make extras`"):
        calls[missing]()
