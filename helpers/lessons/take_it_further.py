"""Notebook 14: its stored runs (folders, a cluster, other runtimes), its figures and the checks of its exercises."""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import networks, plots, transforms, video, weights
from helpers.lessons.exercises import close, exercise, require
from helpers.scale import cluster, export, folder, inference
from helpers.stickfigures import ACTIONS, StickFigures, scene

__all__ = ["check_files_left", "check_shortcut_2d", "check_to_uint8", "cluster_run", "compare_forms", "compare_logits",
           "compare_runtimes", "folder_run", "rows_figure", "runtimes", "speed_figure", "write_videos"]  # fmt: skip


def write_videos(home: Path, count: int, different: int = 100) -> None:
    """Write `count` videos, 00000.mp4 and so on, of 16 frames of 112 x 112 pixels. All after `different` are links."""
    for number in range(count):
        path = home / f"{number:05}.mp4"
        if number < different:
            video.write_video(path, scene(ACTIONS[number % 10], seed=13, index=number, size=112).frames)
        else:
            path.hardlink_to(home / f"{number % different:05}.mp4")


def folder_run(files: int) -> dict:
    """Classify a folder of so many videos; a stored run. Its "rows" are triples: videos done, seconds, MB of memory."""
    home, rows, pretrained = Path(tempfile.mkdtemp()), [], weights.load()
    write_videos(home, files)
    begun, process = time.perf_counter(), psutil.Process()
    for progress in folder.classify_folder(home, home / "rows", pretrained, clips=1, device="cpu", fast=True):
        if progress.done % max(1, files // 100) == 0:
            rows.append((progress.done, time.perf_counter() - begun, process.memory_info().rss / 1e6))
    return dict(rows=rows)


def cluster_run(files: int, workers: int) -> dict:
    """Classify a folder alone and by workers of Ray Data, of which one is killed after half of the files; a stored run.

    Returns how many "rows" the workers made, and whether they are "equal" to those of the single process.
    """
    home, out, threads = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp()), torch.get_num_threads()
    write_videos(home, files)
    alone, together = out / "alone.jsonl", out / "together.jsonl"
    torch.set_num_threads(1)  # as each worker has one, or sums are computed in another order
    list(folder.classify_folder(home, alone, weights.load(), clips=1, device="cpu"))
    torch.set_num_threads(threads)
    for progress in cluster.classify_folder(home, together, clips=1, workers=workers):
        if progress.done == files // 2:
            children = psutil.Process().children(recursive=True)
            next(process for process in children if process.name().startswith("ray::Map")).kill()
    first, second = (sorted(path.read_text(encoding="utf-8").splitlines()) for path in (alone, together))
    return dict(rows=len(second), equal=first == second)


def compare_runtimes(calibration: int = 64, clips: int = 800, rounds: int = 9) -> dict:
    """The logits and the speed of other runtimes against PyTorch's; a stored run.

    Predictions are those of the weights "stickfigures" for test clips. The ranges for 8 bits come from `calibration` clips of
    the training set. Speed is that of one clip, for these weights and for R(2+1)D-18 at full width with random weights. All
    use as many threads as torch, and are measured in turn, in so many rounds.
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
    """The time of a clip in ONNX Runtime on one thread, by 3D convolutions and by 2D convolutions; a stored run.

    For the weights "stickfigures", and for R(2+1)D-18 at full width with random weights; measured in turn.
    """
    table, x = {}, torch.randn(1, 3, 16, 112, 112)
    for name, network in (("trained", weights.load().network), ("full width", networks.r2plus1d_18().eval())):
        with tempfile.TemporaryDirectory() as home:
            files = {"3D convolutions": Path(home, "3d.onnx"), "2D convolutions": Path(home, "2d.onnx")}
            for file, write in zip(files.values(), (export.export, export.export_planar)):
                write(network, file)
            calls = {form: partial(export.onnx_runtime(file, 1), x) for form, file in files.items()}
            table[name] = inference.compare_times(inference.interleaved(calls, rounds=rounds))
            table[name] |= dict(megabytes={form: file.stat().st_size / 1e6 for form, file in files.items()})
    return table


def runtimes(network: nn.Module, calibration: Iterable[Tensor]) -> dict[str, Callable[[Tensor], Tensor]]:
    """By name, functions from clips to logits: first the network itself, then the runtimes that run its ONNX file."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as home:
        file, small = Path(home, "float32.onnx"), Path(home, "int8.onnx")
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


@plots.style()
def speed_figure(panels: Mapping[str, Mapping[str, Mapping]]) -> Figure:
    """How many times as fast as the first row each one is: a bar for the median, a line for the range of single rounds.

    Args:
        panels: for each title what `inference.compare_times` gives. All panels have the same rows.
    """
    figure = plots.new_figure(9.6, 2.9)
    for number, (title, table) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number, title=title)
        positions = np.arange(len(table))[::-1]
        ratios = [row["ratio"] for row in table.values()]
        colors = [plots.PALE] + [plots.ANSWER] * (len(table) - 1)
        axes.barh(positions, ratios, height=0.62, color=colors)
        for position, row in zip(positions, table.values()):
            axes.plot(row["spread"], [position] * 2, color=plots.INK, lw=1.5)
            text = f"{row['ratio']:.1f}"
            axes.annotate(text, (max(row["spread"]), position), (5, 0), textcoords="offset points", va="center")
        axes.set_yticks(positions, table if number == 1 else [""] * len(table))
        axes.set(xlim=(0, 1.2 * max(max(row["spread"]) for row in table.values())), xlabel="times as fast")
    return figure


@plots.style()
def rows_figure() -> Figure:
    """One channel of three frames of 2 x 3 pixels, and the same numbers as an image of 3 rows and 6 columns."""
    figure = plots.new_figure(9.6, 2.2)
    pixels = np.array([[f"{letter}{t}" for letter in "abcdef"] for t in "123"])
    *frames, image = figure.subplots(1, 4, width_ratios=(3.4, 3.4, 3.4, 8))
    for t, axes in enumerate(frames):
        _draw_cells(axes, pixels[t].reshape(2, 3))
        axes.set_title(f"frame {t + 1}", color=plots.TIME, loc="center", fontsize=10)
    _draw_cells(image, pixels)
    for t in range(3):
        image.text(-0.15, -t - 0.5, f"frame {t + 1}", color=plots.TIME, ha="right", va="center", fontsize=10)
    image.set_title("one column for each pixel", color=plots.SPACE, loc="center", fontsize=10)
    image.add_patch(Rectangle((2, -3), 1, 3, fc="none", ec=plots.TIME, lw=3, zorder=3))
    image.text(2.5, -3.15, "kernel of 3 x 1", color=plots.TIME, ha="center", va="top", fontsize=10)
    return figure


def _draw_cells(axes, texts):
    for (y, x), text in np.ndenumerate(texts):
        axes.add_patch(Rectangle((x, -y - 1), 1, 1, fc="white", ec=plots.INK))
        axes.text(x + 0.5, -y - 0.5, text, ha="center", va="center", fontsize=10)
    axes.set(xlim=(-0.1, texts.shape[1] + 0.1), ylim=(-3.5, 0.1), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()


@exercise
def check_files_left(solution: Callable) -> None:
    """Exercise 1: the names of the files that have no row yet, in their order."""
    names = ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    rows = [{"file": "c.mp4", "predictions": []}, {"file": "a.mp4", "error": "damaged"}]
    require(solution(names, []) == names, "Without any row, all names are left, as a list in their order.")
    left = solution(names, rows)
    require("a.mp4" not in left, "A row with an error is a row, too: its file is not tried again.")
    require(left == ["b.mp4", "d.mp4"], "Here b.mp4 and d.mp4 have no row: give these two, in this order.")
    rows.append({"file": "elsewhere.mp4", "predictions": []})
    require(solution(names, rows) == left, "A row of a file that is not in the folder changes nothing.")


@exercise
def check_to_uint8(solution: Callable) -> None:
    """Exercise 2: numbers as 8-bit integers, the nearest of 256 values from low to high."""
    low, high = -1.0, 4.1  # 255 steps of 0.02
    x = torch.tensor([low, high, low + 0.02, 0.0, 0.009, 0.011])
    steps = solution(x, low, high)
    require(isinstance(steps, Tensor) and steps.dtype == torch.uint8, "Return a tensor of torch.uint8.")
    require(
        steps[:2].tolist() == [0, 255], "low becomes 0 and high becomes 255: 256 values have 255 steps between them."
    )
    require(steps.tolist() == [0, 255, 1, 50, 50, 51], "Take the nearest of the 256 values: round before you convert.")
    hint = "A number below low becomes 0, one above high becomes 255: clamp before you convert."
    require(solution(torch.tensor([-9.0, 9.0]), low, high).tolist() == [0, 255], hint)


@exercise
def check_shortcut_2d(solution: Callable) -> None:
    """Exercise 3: a projection shortcut, 1 x 1 x 1 with stride 2, by 2D convolutions."""

    def refuse(*_: Sequence, **__: Mapping) -> None:
        require(False, "It calls a 3D convolution. F.conv2d is enough.")

    for shape in ((1, 4, 6, 8, 10), (2, 4, 5, 7, 9)):
        x, weight = torch.randn(shape), torch.randn(3, 4, 1, 1, 1)
        expected = F.conv3d(x, weight, stride=2)
        with mock.patch.object(F, "conv3d", refuse), mock.patch.object(torch, "conv3d", refuse):
            output = solution(x, weight)
        shapes = f"From {tuple(x.shape)} it gives {tuple(output.shape)}, not {tuple(expected.shape)}."
        require(output.shape == expected.shape, shapes)
        hint = "The shape is right, the numbers are not. Are frames and clips still in their order?"
        require(close(output, expected), hint)
