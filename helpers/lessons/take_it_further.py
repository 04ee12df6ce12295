"""Notebook 14: PyTorch's predictions and speed against those of other runtimes; what the notebook stores."""

import json
import statistics
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers import networks, transforms, weights
from helpers.scale import export, inference
from helpers.stickfigures import StickFigures

__all__ = ["compare_logits", "compare_runtimes", "runtimes", "times"]


def compare_runtimes(calibration: int = 64, clips: int = 800, rounds: int = 9) -> dict:
    """How far the other runtimes are from PyTorch's logits, and how much faster; the stored run of notebook 14.

    Predictions are those of the weights "stickfigures" for clips of their test's seed; the ranges for 8 bits come from so
    many clips of their training's seed. Speed is that of one clip, for these weights and for R(2+1)D-18 at full width with
    random weights. All ways use as many threads as torch, and are measured in turn, in so many rounds.
    """
    seeds = json.loads((weights.ASSETS / "stickfigures.json").read_text(encoding="utf-8"))["clip_seeds"]
    training = StickFigures(calibration, seeds["train"], transform=transforms.normalize)
    test = StickFigures(clips, seeds["test"], transform=transforms.normalize)
    trained = runtimes(weights.load().network, (training[k][0] for k in range(calibration)))
    predictions = compare_logits(trained, (test[k] for k in range(clips)))
    wide = runtimes(networks.r2plus1d_18().eval(), torch.randn(4, 3, 16, 112, 112))
    speed = {"trained": (trained, test[0][0][None]), "full width": (wide, torch.randn(1, 3, 16, 112, 112))}
    return dict(predictions=predictions) | {name: times(ways, x, rounds) for name, (ways, x) in speed.items()}


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


def compare_logits(ways: dict[str, Callable], clips: Iterable[tuple[Tensor, int]]) -> dict[str, dict]:
    """For each way its "accuracy" on clips with labels, its "agreement" with the predictions of the first, its "deviation".

    The deviation is the largest of a logit from the first way's, relative to the first way's largest logit.
    """
    labels, logits = [], []
    for clip, label in clips:
        labels.append(label)
        logits.append(torch.cat([way(clip[None]) for way in ways.values()]))
    logits = torch.stack(logits, 1)  # (ways, clips, classes)
    predictions = logits.argmax(2)
    accuracy, agreement = ((predictions == y).double().mean(1).tolist() for y in (torch.tensor(labels), predictions[0]))
    deviation = ((logits - logits[0]).abs().amax((1, 2)) / logits[0].abs().max()).tolist()
    rows = zip(accuracy, agreement, deviation)
    return {name: dict(zip(("accuracy", "agreement", "deviation"), row)) for name, row in zip(ways, rows)}


def times(ways: dict[str, Callable], x: Tensor, rounds: int) -> dict[str, dict]:
    """For each way its median "seconds", their "ratio" to those of the first, and the "spread" of the rounds' ratios."""
    taken = inference.interleaved({name: lambda way=way: way(x) for name, way in ways.items()}, "cpu", rounds)
    first, table = next(iter(taken.values())), {}
    for name, seconds in taken.items():
        ratios, median = [a / b for a, b in zip(first, seconds)], statistics.median(seconds)
        ratio = statistics.median(first) / median
        table[name] = dict(seconds=median, ratio=ratio, spread=[min(ratios), max(ratios)])
    return table
