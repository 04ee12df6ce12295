"""A network leaves PyTorch: as an ONNX file, in float32 or 8-bit integers, for other runtimes. See notebook 14.

    python -m helpers.scale.export mine.pt      makes the folder `mine`, which the page "Try it" of the site opens

What this needs beyond PyTorch comes with `make extras`; without it every function raises an ImportError that says so.
"""

import argparse
import copy
import functools
import hashlib
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from helpers import transforms, weights
from helpers.commands import terminal
from helpers.scale.inference import conv3d_as_conv2d

__all__ = ["Planar", "export", "export_for_page", "export_planar", "main", "onnx_runtime", "openvino", "quantize"]


def export(network: nn.Module, path: str | os.PathLike, size: tuple[int, ...] = (3, 16, 112, 112)) -> None:
    """Write a network in eval mode to an ONNX file, for batches of any number of clips of one size (C, T, H, W).

    Its input is called "clips", float32 (B, C, T, H, W), its output "logits", float32 (B, classes). torch.onnx folds batch
    norms into convolutions. An existing file is replaced. Raises ValueError for a network or a part of it in train mode.
    """
    _require_eval(network)
    onnx, _ = _package("onnx"), _package("onnxscript")
    names = dict(input_names=["clips"], output_names=["logits"])
    batch = ({0: torch.export.Dim("batch")},)
    clips = torch.zeros(2, *size)  # two, because a batch of one would count as fixed
    program = torch.onnx.export(network, (clips,), dynamo=True, verbose=False, dynamic_shapes=batch, **names)
    _save(program.model_proto, path, onnx)


def quantize(path: str | os.PathLike, out: str | os.PathLike, clips: Iterable[Tensor]) -> None:
    """Write what `export` wrote once more, with convolutions, ReLUs and sums in 8-bit integers, a quarter as large.

    Static quantization after training (arXiv 2004.09602): activations are counted in steps between the smallest and the
    largest that occur in the given clips (C, T, H, W), some dozens of training clips; weights in steps of their own for
    each channel. A processor without 8-bit dot products (x86 without VNNI) may cut off sums of two products.
    """
    tools = _package("onnxruntime.quantization")
    batches = ({"clips": _array(clip)[None]} for clip in clips)
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready.onnx")
        tools.quant_pre_process(path, ready, skip_symbolic_shape=True)
        kinds = dict(activation_type=tools.QuantType.QUInt8, weight_type=tools.QuantType.QInt8, per_channel=True)
        kinds["op_types_to_quantize"] = ["Conv", "Relu", "Add"]  # the linear layer is little work, 8 bits cost it most
        method, reader = tools.CalibrationMethod.MinMax, SimpleNamespace(get_next=lambda: next(batches, None))
        tools.quantize_static(ready, out, reader, calibrate_method=method, **kinds)


def onnx_runtime(path: str | os.PathLike, threads: int = 0) -> Callable[[Tensor], Tensor]:
    """A function from clips (B, C, T, H, W) to float32 logits (B, classes), by ONNX Runtime; 0 threads are one a core."""
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would go on waiting busily after a call, and slow down whatever comes next in this process.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    return lambda clips: torch.from_numpy(session.run(["logits"], {"clips": _array(clips)})[0])


def openvino(path: str | os.PathLike, threads: int = 0, precision: str = "f32") -> Callable[[Tensor], Tensor]:
    """The same by OpenVINO; what is float32 in the file is computed as "f32" or "bf16", 8-bit integers as these."""
    settings = dict(INFERENCE_PRECISION_HINT=precision, INFERENCE_NUM_THREADS=threads)
    compiled = _core(_package("openvino")).compile_model(os.fspath(path), "CPU", settings)
    return lambda clips: torch.from_numpy(compiled(_array(clips))["logits"])


@functools.cache
def _core(package):
    """One for all models, kept: each Core gives its thread a stack for signals, and takes it back when it is dropped (2026.4).

    Of two that are dropped as they came, the thread keeps one that is gone, and dies when a loader's worker ends.
    """
    return package.Core()


class Planar(nn.Module):
    """A (2+1)D network of 2D convolutions only, its batch norms folded; for one clip (1, 3, T, H, W) at a time.

    The channels between the halves are filled up with zeros to a multiple of four, which changes no answer: on WebGPU onnxruntime
    1.30 convolves 9, 45 or 57 channels to other numbers (https://github.com/microsoft/onnxruntime/issues/29651).

    It gives the logits (1, classes), the features (1, channels) before the last layer, and the feature maps of the stem and
    of the four stages, (1, C, T, H, W) each. ValueError for a network in train mode, or with a convolution over space and
    time at once, for which there is no 2D convolution.
    """

    STAGES = "stem", "layer1", "layer2", "layer3", "layer4"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        _require_eval(network)
        self.network, conv = copy.deepcopy(network), None
        for name, layer in list(self.network.named_modules()):
            if isinstance(layer, nn.Conv3d):
                conv = name
            elif isinstance(layer, nn.BatchNorm3d):  # every one follows a convolution
                self.network.set_submodule(conv, fuse_conv_bn_eval(self.network.get_submodule(conv), layer))
                self.network.set_submodule(name, nn.Identity())
        convs = [layer for layer in self.network.modules() if isinstance(layer, nn.Conv3d)]
        for over_space, over_time in zip(convs, convs[1:]):
            if over_space.kernel_size[0] == 1 < over_time.kernel_size[0]:
                _pad_channels(over_space, over_time)
        conv3d_as_conv2d(self.network)
        self.eval()
        left = [name for name, layer in self.network.named_modules() if isinstance(layer, nn.Conv3d)]
        if left:
            raise ValueError(f"{left[0]} convolves over space and time at once; only (2+1)D networks have a 2D form")

    def forward(self, clip: Tensor) -> tuple[Tensor, ...]:
        x, maps = clip, []
        for stage in self.STAGES:
            x = self.network.get_submodule(stage)(x)
            maps.append(x)
        features = x.mean((2, 3, 4))
        return self.network.fc(features), features, *maps


def export_planar(network: nn.Module, path: str | os.PathLike, size: tuple[int, ...] = (3, 16, 112, 112)) -> None:
    """Write a (2+1)D network as `Planar` computes it to an ONNX file with weights in half precision, computed in float32.

    Its input is called "clips", float32, one clip (1, C, T, H, W); its outputs are "logits", "features" and `Planar.STAGES`.
    """
    onnx, _ = _package("onnx"), _package("onnxscript")
    names = dict(input_names=["clips"], output_names=["logits", "features", *Planar.STAGES])
    program = torch.onnx.export(Planar(network), (torch.zeros(1, *size),), dynamo=True, verbose=False, **names)
    model = program.model_proto  # a new one each time
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:  # a runtime casts it back once, when it loads the file
            name, half = tensor.name, onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}_half"))
            model.graph.node.insert(0, onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    _save(model, path, onnx)


def export_for_page(pretrained: weights.Pretrained, folder: str | os.PathLike) -> dict:
    """Write what a browser needs to run a (2+1)D network: `network.onnx`, see `export_planar`, and `network.json`.

    The second holds the labels, the clip's frames, rate and size, the preprocessing, and the last layer. The folder is made.
    Returns what is in it. ValueError as of `Planar`, or for a network without labels or with another preprocessing.
    """
    size = weights.crop_size_of(pretrained)
    if pretrained.labels is None or size is None:
        raise ValueError(f"{pretrained.name}: a page needs labels, and transforms.preprocess as the preprocessing")
    file = Path(folder, "network.onnx")
    file.parent.mkdir(parents=True, exist_ok=True)
    export_planar(pretrained.network, file, (3, pretrained.frames, size, size))
    content, last = file.read_bytes(), pretrained.network.fc
    about = dict(
        labels=list(pretrained.labels), frames=pretrained.frames, fps=pretrained.fps, crop=size,
        resized=transforms.resized_size(size), mean=transforms.MEAN, std=transforms.STD,
        trained_on=pretrained.trained_on, score=pretrained.score, bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        weight=np.round(last.weight.tolist(), 6).tolist(), bias=last.bias.tolist(),
    )  # fmt: skip
    file.with_suffix(".json").write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")
    return about


def _pad_channels(first, second):
    """Give two convolutions in a row more channels between them, which are zero, up to a multiple of four."""
    more = -len(first.weight) % 4
    first.weight = nn.Parameter(F.pad(first.weight, (0, 0, 0, 0, 0, 0, 0, 0, 0, more)))
    first.bias = nn.Parameter(F.pad(first.bias, (0, more)))
    second.weight = nn.Parameter(F.pad(second.weight, (0, 0, 0, 0, 0, 0, 0, more)))


def _save(model, path, onnx):
    for node in model.graph.node:
        del node.metadata_props[:]  # they hold, for one, the paths of this computer
    onnx.save(model, os.fspath(path))


def _require_eval(network):
    if any(module.training for module in network.modules()):
        raise ValueError("call network.eval() first: in train mode batch norms take the statistics of the batch")


def _array(clips):
    return np.ascontiguousarray(clips, dtype=np.float32)


def _package(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed here. Install it with `make extras`") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 if the folder was written, 2 if it could not be."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.scale.export", description="Make a folder that the page 'Try it' of the site opens."
    )
    parser.add_argument("weights", help="a file of helpers.training, or a name that helpers.classify knows")
    parser.add_argument("--out", help="the folder to write; by default the name of the weights")
    options = parser.parse_args(arguments)
    folder = options.out or Path(options.weights).stem
    with terminal():
        try:
            about = export_for_page(weights.load(options.weights), folder)
        except (ValueError, ImportError, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        print(f"{folder}: {len(about['labels'])} labels, {about['bytes'] / 1e6:.1f} MB. Open it on the page 'Try it'.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
