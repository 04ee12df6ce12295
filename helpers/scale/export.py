"""A network leaves PyTorch: as an ONNX file, in float32 or 8-bit integers, for runtimes that know no PyTorch. See notebook 13.

What this needs beyond PyTorch comes with `make extras`.
"""

import importlib
import os
import statistics
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torchvision.models.video import r2plus1d_18

from helpers import transforms, weights
from helpers.assets.make import TEST, TRAIN
from helpers.scale import inference
from helpers.stickfigures import StickFigures

# Nearly all of the work. What follows, a mean and a linear layer, is little work and stays in float32: the logits are few
# numbers of a wide range, and 8 bits for them were seen to cost more than 8 bits for all the rest.
IN_8_BITS = ["Conv", "Relu", "Add"]


def export(network, path, size=(3, 16, 112, 112)):
    """Write a network to an ONNX file, for batches of any number of clips of one size.

    Its input is called "clips", float32 (B, C, T, H, W), its output "logits", float32 (B, classes). torch.onnx folds batch
    norms into convolutions: what is left are convolutions, ReLUs and sums, then a mean and a linear layer.

    Args:
        network: a `VideoResNet`, or torchvision's, in eval mode, on the CPU; it stays as it is.
        path: where to, weights included; an existing file is replaced.
        size: (C, T, H, W) of the clips.

    Raises:
        ValueError: a network in train mode, or a part of it, whose batch norms depend on the batch.
        ImportError: a package is missing; says how to install it.
        OSError: the file cannot be written.
    """
    if any(module.training for module in network.modules()):
        raise ValueError("call network.eval() first: in train mode batch norms take the statistics of the batch")
    onnx, _ = _package("onnx"), _package("onnxscript")
    clips = torch.zeros(2, *size)  # two, for a batch of one could be taken for a rule
    how = dict(input_names=["clips"], output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},))
    model = torch.onnx.export(network, (clips,), dynamo=True, verbose=False, **how).model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # they tell, for one, where the source code lies on this computer
    onnx.save(model, os.fspath(path))


def quantize(path, out, clips):
    """Write what `export` wrote once more, with convolutions and sums in 8-bit integers; the file is a quarter as large.

    This is static quantization after training (arXiv 2004.09602): numbers between layers are counted in steps of a fixed
    size, from the smallest to the largest that was met in the given clips; weights in steps of their own for each channel.
    A processor without 8-bit dot products (x86 without VNNI) may cut off sums of two products: it is less exact.

    Args:
        path: the file that `export` wrote.
        out: where to; an existing file is replaced.
        clips: an iterable of float tensors (C, T, H, W), preprocessed as for the network: some dozens, of all kinds that will
            come. None of those that the result is to be tested with.

    Raises:
        ValueError: no clips.
        ImportError: a package is missing; says how to install it.
    """
    quantization = _package("onnxruntime.quantization")
    batches = ({"clips": _array(clip)[None]} for clip in clips)
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready.onnx")
        quantization.quant_pre_process(path, ready, skip_symbolic_shape=True)  # the next one asks for it, on the screen
        quantization.quantize_static(
            ready,
            out,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            calibrate_method=quantization.CalibrationMethod.MinMax,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=IN_8_BITS,
        )


def onnx_runtime(path, threads=None):
    """What an ONNX file computes, by ONNX Runtime on the CPU.

    Args:
        path: a file of `export` or `quantize`.
        threads: how many; by default as many as there are cores.

    Returns:
        A function: clips (B, C, T, H, W), an array or a tensor on the CPU, to logits, a float32 tensor (B, classes).

    Raises:
        ImportError: a package is missing; says how to install it.
    """
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    # Its threads would go on waiting busily after a call, and slow down whatever comes next in this process.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    return lambda clips: torch.from_numpy(session.run(["logits"], {"clips": _array(clips)})[0])


def openvino(path, threads=None, precision="f32"):
    """What an ONNX file computes, by OpenVINO on the CPU.

    Args:
        path, threads: as for `onnx_runtime`.
        precision: of what the file has in float32: "f32", or "bf16", which OpenVINO would take unasked where the processor
            has it. What the file has in 8-bit integers is computed in these either way.

    Returns:
        A function, as `onnx_runtime` does.

    Raises:
        ImportError: a package is missing; says how to install it.
    """
    how = dict(INFERENCE_PRECISION_HINT=precision, INFERENCE_NUM_THREADS=threads or 0)
    compiled = _package("openvino").compile_model(os.fspath(path), "CPU", how)
    return lambda clips: torch.from_numpy(compiled(_array(clips))["logits"])


def measured(calibration=64, clips=800, rounds=9):
    """How far from PyTorch's answers the two runtimes are, and how much faster: float32, bfloat16 and 8-bit integers.

    Answers are those of the weights "stickfigures" to clips drawn from their test's seed; the ranges for 8 bits come from
    clips of their training's. Speed is that of one clip of 3 x 16 x 112 x 112, for these weights and for torchvision's
    R(2+1)D-18 at full width, whose weights and clips are random: nothing is predicted, and speed does not depend on them.
    All ways use as many threads as torch, and are measured in turn.

    Args:
        calibration: from how many clips the ranges come.
        clips: how many are answered.
        rounds: how often each way is measured.

    Returns:
        A dictionary of what JSON can hold: "answers" as `compare` gives them, "trained" and "full width" as `times` does.
    """
    known = StickFigures(calibration, TRAIN, transform=transforms.normalize)
    new = StickFigures(clips, TEST, transform=transforms.normalize)
    trained = all_ways(weights.load().network, (known[k][0] for k in range(calibration)))
    told = dict(
        answers=compare(trained, (new[k] for k in range(clips))), trained=times(trained, new[0][0][None], rounds)
    )
    wide = all_ways(r2plus1d_18().eval(), torch.randn(4, 3, 16, 112, 112))
    return told | {"full width": times(wide, torch.randn(1, 3, 16, 112, 112), rounds)}


def all_ways(network, calibration):
    """By name, functions that take clips to logits: first the network itself, then what files of it compute."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        file, small = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        export(network, file)
        quantize(file, small, calibration)
        return {
            "PyTorch float32": torch.inference_mode()(network.forward),
            "ONNX Runtime float32": onnx_runtime(file, threads),
            "OpenVINO float32": openvino(file, threads),
            "OpenVINO bfloat16": openvino(file, threads, "bf16"),
            "ONNX Runtime int8": onnx_runtime(small, threads),
            "OpenVINO int8": openvino(small, threads),
        }


def compare(ways, clips):
    """Answers to clips with labels, an iterable of pairs: for each way of `all_ways` a dictionary.

    right: share of the clips. agree: share that gets the answer of the first way. deviation: the largest of a logit from the
    first way's, as a share of the first way's largest logit.
    """
    labels, logits = [], []
    for clip, label in clips:
        labels.append(label)
        logits.append(torch.cat([way(clip[None]) for way in ways.values()]))
    logits = torch.stack(logits, 1)  # (ways, clips, classes)
    answers = logits.argmax(2)
    right, agree = ((answers == wanted).double().mean(1).tolist() for wanted in (torch.tensor(labels), answers[0]))
    deviation = ((logits - logits[0]).abs().amax((1, 2)) / logits[0].abs().max()).tolist()
    return {
        name: dict(zip(("right", "agree", "deviation"), row)) for name, row in zip(ways, zip(right, agree, deviation))
    }


def times(ways, x, rounds):
    """Seconds for a batch: for each way of `all_ways` the median, and the ratio: how many times as fast as the first it is.

    spread: the smallest and the largest ratio of the rounds.
    """
    taken = inference.interleaved({name: lambda way=way: way(x) for name, way in ways.items()}, "cpu", rounds)
    first, *_ = taken.values()
    told = {}
    for name, mine in taken.items():
        ratios = [a / b for a, b in zip(first, mine)]
        seconds = statistics.median(mine)
        told[name] = dict(seconds=seconds, ratio=statistics.median(first) / seconds, spread=[min(ratios), max(ratios)])
    return told


def _array(clips):
    return np.ascontiguousarray(clips, dtype=np.float32)


def _package(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed here. Install it with `make extras`") from None
