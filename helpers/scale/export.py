"""A network leaves PyTorch: as an ONNX file, in float32 or 8-bit integers, for other runtimes. See notebook 14.

What this needs beyond PyTorch comes with `make extras`; without it every function raises an ImportError that says so.
"""

import importlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["export", "onnx_runtime", "openvino", "quantize"]


def export(network: nn.Module, path: str | os.PathLike, size: tuple[int, ...] = (3, 16, 112, 112)) -> None:
    """Write a network in eval mode to an ONNX file, for batches of any number of clips of one size (C, T, H, W).

    Its input is called "clips", float32 (B, C, T, H, W), its output "logits", float32 (B, classes). torch.onnx folds batch
    norms into convolutions. An existing file is replaced. Raises ValueError for a network or a part of it in train mode.
    """
    if any(module.training for module in network.modules()):
        raise ValueError("call network.eval() first: in train mode batch norms take the statistics of the batch")
    onnx, _ = _package("onnx"), _package("onnxscript")
    names = dict(input_names=["clips"], output_names=["logits"])
    batch = ({0: torch.export.Dim("batch")},)
    clips = torch.zeros(2, *size)  # two, because a batch of one would count as fixed
    program = torch.onnx.export(network, (clips,), dynamo=True, verbose=False, dynamic_shapes=batch, **names)
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # they hold, for one, the paths of this computer
    onnx.save(model, os.fspath(path))


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
        tools.quantize_static(
            ready,
            out,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            calibrate_method=tools.CalibrationMethod.MinMax,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv", "Relu", "Add"],  # the linear layer is little work, and 8 bits cost it most
        )


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
    compiled = _package("openvino").compile_model(os.fspath(path), "CPU", settings)
    return lambda clips: torch.from_numpy(compiled(_array(clips))["logits"])


def _array(clips):
    return np.ascontiguousarray(clips, dtype=np.float32)


def _package(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed here. Install it with `make extras`") from None
