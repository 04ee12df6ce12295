"""Notebook 14: its stored runs in small, the arithmetic of its comparisons, its figures and the checks of its exercises."""

import json
import re
import subprocess
import sys
import time

import nbformat
import pytest
import torch
from conftest import ROOT
from lesson_tests import assert_readable, exercise_tests
from torch.nn import functional as F

from helpers import networks, video
from helpers.lessons import take_it_further as lesson
from helpers.networks import NETWORKS


def files_left(names, rows):
    finished = {row["file"] for row in rows}
    return [name for name in names if name not in finished]


def to_uint8(x, low, high):
    return ((x - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8)


def shortcut_2d(x, weight):
    frames = x[:, :, ::2].transpose(1, 2)  # (B, T', C, H, W)
    y = F.conv2d(frames.flatten(0, 1), weight[:, :, 0], stride=2)
    return y.unflatten(0, frames.shape[:2]).transpose(1, 2)


def mixed_up(x, weight):
    """Right for a batch of one; in a larger one the frames of different clips change places."""
    frames = x[:, :, ::2].transpose(1, 2)  # (B, T', C, H, W)
    y = F.conv2d(frames.flatten(0, 1), weight[:, :, 0], stride=2)
    return y.unflatten(0, (frames.shape[1], len(x))).permute(1, 2, 0, 3, 4)


test_right, test_wrong = exercise_tests(
    lesson,
    right={"check_files_left": files_left, "check_shortcut_2d": shortcut_2d, "check_to_uint8": to_uint8},
    wrong={
        "check_files_left": [
            (lambda names, rows: set(names), "as a list"),
            (lambda names, rows: names, "a row, too"),
            (lambda names, rows: names[len(rows) :], "b.mp4 and d.mp4"),
            (lambda names, rows: names[1::2] if len(rows) == 2 else names, "changes nothing"),
            (lambda names, rows: files_left(names, [row for row in rows if "error" not in row]), "not tried again"),
        ],
        "check_shortcut_2d": [
            (lambda x, weight: F.conv3d(x, weight, stride=2), "3D convolution"),
            (lambda x, weight: torch.conv3d(x, weight, stride=2), "3D convolution"),
            (lambda x, weight: torch.nn.Conv3d(4, 3, 1, 2)(x), "3D convolution"),
            (lambda x, weight: shortcut_2d(x[:, :, ::2], weight), r"not \(1, 3, 3, 4, 5\)"),
            (lambda x, weight: shortcut_2d(x.flip(2), weight), "in their order"),
            (mixed_up, "in their order"),
        ],
        "check_to_uint8": [
            (lambda x, low, high: to_uint8(x, low, high).float(), "torch.uint8"),
            (lambda x, low, high: ((x - low) / (high - low) * 256).to(torch.uint8), "255 steps"),
            (lambda x, low, high: ((x - low) / (high - low) * 255).clamp(0, 255).to(torch.uint8), "round"),
            (lambda x, low, high: ((x - low) / (high - low) * 255).round().to(torch.int16).to(torch.uint8), "clamp"),
        ],
    },
)


def test_videos_are_written_and_the_rest_are_links(tmp_path):
    lesson.write_videos(tmp_path, 5, different=2)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"{k:05}.mp4" for k in range(5)]
    assert [file.samefile(files[k % 2]) for k, file in enumerate(files)] == [True] * 5
    assert not files[0].samefile(files[1])
    first, second = (video.read_clip(file) for file in files[:2])
    assert first.shape == second.shape == (16, 112, 112, 3) and not torch.equal(first, second)


def test_a_folder_run_notes_time_and_memory():
    rows = json.loads(json.dumps(lesson.folder_run(files=3)))["rows"]
    done, seconds, megabytes = zip(*rows)
    assert done == (0, 1, 2, 3)
    assert 0 < seconds[0] < seconds[1] < seconds[2] < seconds[3] and min(megabytes) > 50


def test_a_row_of_the_image_is_a_frame_and_a_column_is_a_pixel():
    figure = lesson.rows_figure()
    assert_readable(figure)
    *frames, image = ([text.get_text() for text in axes.texts] for axes in figure.get_axes())
    assert frames == [[f"{pixel}{t}" for pixel in "abcdef"] for t in (1, 2, 3)]
    assert image[:18] == [text for frame in frames for text in frame]
    kernel = figure.get_axes()[-1].patches[-1]
    assert (kernel.get_x(), kernel.get_width(), kernel.get_height()) == (2, 1, 3)


@pytest.mark.slow
def test_the_lines_of_the_page_export_and_run(tmp_path, monkeypatch):
    """What notebook 14 shows and does not execute, because the packages are an extra."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    (path,) = (ROOT / "notebooks").glob("14_*.ipynb")
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    blocks = [
        block for cell in cells for block in re.findall(r"```python\n(.+?)```", cell, re.DOTALL) if "onnx" in block
    ]
    monkeypatch.chdir(tmp_path)
    network, x = NETWORKS["r2plus1d_18"](7, 8).eval(), torch.randn(1, 3, 4, 16, 16)
    names = dict(torch=torch, network=network, array=x.numpy())
    for block in blocks:
        exec(block.replace("16, 112, 112", "4, 16, 16"), names)
    assert len(blocks) == 2
    with torch.inference_mode():
        assert torch.allclose(torch.from_numpy(names["logits"]), network(x), atol=1e-4)


def test_speed_is_drawn_with_its_range():
    row = dict(ratio=1.0, spread=[1.0, 1.0])
    tables = [{"PyTorch": row, "another": dict(ratio=ratio, spread=[ratio - 1, ratio + 2])} for ratio in (3.0, 17.0)]
    figure = lesson.speed_figure(dict(zip(["trained", "full width"], tables)))
    assert_readable(figure)
    for axes, ratio in zip(figure.get_axes(), (3.0, 17.0), strict=True):
        assert [bar.get_width() for bar in axes.patches] == [1.0, ratio]
        assert [list(line.get_xdata()) for line in axes.lines] == [[1.0, 1.0], [ratio - 1, ratio + 2]]
        assert [text.get_text() for text in axes.texts] == ["1.0", f"{ratio:.1f}"]


@pytest.mark.slow
def test_workers_make_the_rows_of_a_single_process():
    """In a process of its own: Ray stays in the one that starts it, and ends it if a busy machine lets Ray's servers down."""
    pytest.importorskip("ray")
    code = "from helpers.lessons import take_it_further as lesson; print(lesson.cluster_run(files=4, workers=2))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "{'rows': 4, 'equal': True}"


def test_both_forms_are_measured(monkeypatch):
    """With files and a runtime that are none: export, in tests/unit/scale, has the real ones."""
    monkeypatch.setattr(networks, "r2plus1d_18", lambda: NETWORKS["r2plus1d_18"](7, 8))
    for name, size in (("export", 4_000_000), ("export_planar", 3_000_000)):
        monkeypatch.setattr(lesson.export, name, lambda network, file, size=size: file.write_bytes(bytes(size)))
    seconds = {4_000_000: 0.02, 3_000_000: 0.01}

    def runtime(file, threads):
        assert threads == 1
        size = file.stat().st_size
        return lambda x: time.sleep(seconds[size])

    monkeypatch.setattr(lesson.export, "onnx_runtime", runtime)
    table = json.loads(json.dumps(lesson.compare_forms(rounds=2)))
    assert list(table) == ["trained", "full width"]
    for part in table.values():
        assert part["megabytes"] == {"3D convolutions": 4.0, "2D convolutions": 3.0}
        assert part["3D convolutions"]["seconds"] >= 0.02 and part["2D convolutions"]["seconds"] >= 0.01


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
