"""Notebook 14: PyTorch's predictions and speed against those of other runtimes; what the notebook stores."""

import json
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers import networks, transforms, weights
from helpers.scale import export, inference
from helpers.stickfigures import StickFigures

__all__ = ["compare_forms", "compare_logits", "compare_runtimes", "runtimes"]


def compare_runtimes(calibration: int = 64, clips: int = 800, rounds: int = 9) -> dict:
    """How far the other runtimes are from PyTorch's logits, and how much faster; the stored run of notebook 14.

    Predictions are those of the weights "stickfigures" for clips of their test's seed; the ranges for 8 bits come from so
    many clips of their training's seed. Speed is that of one clip, for these weights and for R(2+1)D-18 at full width with
    random weights. All use as many threads as torch, and are measured in turn, in so many rounds.
    """
    seeds = json.loads((weights.ASSETS / "stickfigures.json").read_text(encoding="utf-8"))["clip_seeds"]
    training = StickFigures(calibration, seeds["train"], transform=transforms.normalize)
    test = StickFigures(clips, seeds["test"], transform=transforms.normalize)
    trained = runtimes(weights.load().network, (training[k][0] for k in range(calibration)))
    predictions = compare_logits(trained, (test[k] for k in range(clips)))
    wide = runtimes(networks.r2plus1d_18().eval(), torch.randn(4, 3, 16, 112, 112))
    speed = {"trained": (trained, test[0][0][None]), "full width": (wide, torch.randn(1, 3, 16, 112, 112))}
    table = dict(predictions=predictions)
    for name, (functions, x) in speed.items():
        calls = {runtime: partial(function, x) for runtime, function in functions.items()}
        table[name] = inference.compare_times(inference.interleaved(calls, rounds=rounds))
    return table


def compare_forms(rounds: int = 9) -> dict:
    """The time of a clip in ONNX Runtime on one thread, by 3D convolutions and by 2D ones; a stored run of notebook 14.

    For the weights "stickfigures", and for R(2+1)D-18 at full width with random weights; measured in turn.
    """
    table, x = {}, torch.randn(1, 3, 16, 112, 112)
    for name, network in (("trained", weights.load().network), ("full width", networks.r2plus1d_18().eval())):
        with tempfile.TemporaryDirectory() as folder:
            files = {"3D convolutions": Path(folder, "3d.onnx"), "2D convolutions": Path(folder, "2d.onnx")}
            for file, write in zip(files.values(), (export.export, export.export_planar)):
                write(network, file)
            calls = {form: partial(export.onnx_runtime(file, 1), x) for form, file in files.items()}
            table[name] = inference.compare_times(inference.interleaved(calls, rounds=rounds))
            table[name] |= dict(megabytes={form: file.stat().st_size / 1e6 for form, file in files.items()})
    return table


def runtimes(network: nn.Module, calibration: Iterable[Tensor]) -> dict[str, Callable[[Tensor], Tensor]]:
    """By name, functions from clips to logits: first the network itself, then what files of it compute."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        file, small = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        export.export(network, file)
        export.quantize(file, small, calibration)
        return {
            "PyTorch float32": torch.inference_mode()(network.forward),
            "ONNX Runtime float32": export.onnx_runtime(file, threads),
            "OpenVINO float32": export.openvino(file, threads),
            "OpenVINO bfloat16": export.openvino(file, threads, "bf16"),
            "ONNX Runtime int8": export.onnx_runtime(small, threads),
            "OpenVINO int8": export.openvino(small, threads),
        }


def compare_logits(functions: dict[str, Callable], clips: Iterable[tuple[Tensor, int]]) -> dict[str, dict]:
    """For each function its "accuracy" on clips with labels, "agreement" with the first one's predictions, and "deviation".

    The deviation is the largest difference from a logit of the first function, relative to the largest of its logits.
    """
    labels, logits = [], []
    for clip, label in clips:
        labels.append(label)
        logits.append(torch.cat([function(clip[None]) for function in functions.values()]))
    logits = torch.stack(logits, 1)  # (functions, clips, classes)
    predictions = logits.argmax(2)
    accuracy, agreement = ((predictions == y).double().mean(1).tolist() for y in (torch.tensor(labels), predictions[0]))
    deviation = ((logits - logits[0]).abs().amax((1, 2)) / logits[0].abs().max()).tolist()
    rows = zip(accuracy, agreement, deviation)
    return {name: dict(zip(("accuracy", "agreement", "deviation"), row)) for name, row in zip(functions, rows)}
