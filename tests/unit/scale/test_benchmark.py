"""The benchmark: its arithmetic, on small clips; that both sides do the same; no time is judged."""

import functools
import json

import pytest
import torch
from conftest import ROOT

from helpers import classify, transforms, video, weights
from helpers.scale import benchmark, inference

CLIP = str(weights.ASSETS / "jumping_jacks.mp4")
CPU = torch.device("cpu")


@pytest.fixture
def setup():
    return benchmark.Setup(CPU, CLIP, size=(3, 4, 32, 32))


def lines():
    return {line.title: line for line in benchmark.lines(CPU)}


def test_a_line_is_computed_from_interleaved_times(setup, monkeypatch):
    rounds = dict(torchvision=[4.0, 6.0, 5.0], ours=[2.0, 2.5, 2.0], peak=[0.5, 1.0, 2.0])
    monkeypatch.setattr(
        inference, "interleaved", lambda functions, device, count: {name: rounds[name] for name in functions}
    )
    products = dict(slow=(None, 1e9), fast=(None, 1e9))
    monkeypatch.setattr(inference, "dense_products", lambda dtype, device, side: products)
    monkeypatch.setattr(inference, "peak_flops", lambda products, device, repeats: dict(slow=1.0, fast=2.0))
    monkeypatch.setattr(benchmark, "_flop", lambda line, setup: 12e9)
    line = benchmark.Line("made up", lambda setup, side: None, torch.float32, 3)
    row = benchmark.measure(line, setup, 3)
    assert row == dict(
        title="made up", seconds=dict(torchvision=5.0, ours=2.0), ratio=2.5, spread=[2.0, 2.5],
        utilization=12 / 2.0, utilization_spread=[3, 12],
    )  # fmt: skip
    line_of_text = benchmark.format_row(row | dict(utilization=0.5, utilization_spread=[0.4, 0.6]))
    assert line_of_text.split() == "made up 5000 ms 2000 ms 2.50 (2.00 to 2.50) 50% (40% to 60%)".split()
    assert len(line_of_text) == len(benchmark.HEADER)


def test_flop_are_those_of_the_network():
    """40.52 billion multiply-adds a clip; a training step computes two gradients as well, but none of the clip."""
    setup = benchmark.Setup(CPU, CLIP)
    flop = {title: benchmark._flop(line, setup) for title, line in lines().items() if line.clips}
    assert round(flop["one clip, float32"] / 2e9, 2) == 40.52
    assert flop["eight clips at once, float32"] == 8 * flop["one clip, float32"]
    assert 2.8 < flop["training step of 4 clips, float32"] / flop["one clip, float32"] / 4 < 3


@pytest.mark.parametrize("title", [title for title in lines() if "one clip" in title or "eight" in title])
def test_both_sides_give_logits_of_every_clip(setup, title):
    theirs, ours = (lines()[title].make(setup, side)() for side in benchmark.SIDES)
    assert theirs.shape == ours.shape == (8 if "eight" in title else 1, 400)


@pytest.mark.parametrize("title", [title for title in lines() if "training" in title])
def test_both_sides_take_the_same_step(setup, title):
    losses = []
    for side in ("torchvision", "ours"):
        torch.manual_seed(1)
        step = lines()[title].make(setup, side)
        losses.append([float(step()) for _ in range(2)])
    assert losses[0][0] != losses[0][1]  # the weights change
    assert abs(losses[0][0] - losses[1][0]) < 0.05 * losses[0][0]


@pytest.mark.slow
def test_files_are_classified_by_both(setup):
    for title, line in lines().items():
        if "file to label" in title:
            theirs, ours = (line.make(setup, side)() for side in benchmark.SIDES)
            # The weights are random, so the best are nearly equal, and may change places in reduced precision.
            assert len(theirs) == len(ours) == 5 and ours[0].label in {prediction.label for prediction in theirs}


def test_decoding_gives_nearly_the_same_clips(setup):
    theirs, ours = (lines()["decoding 5 clips of a file"].make(setup, side)() for side in benchmark.SIDES)
    # Times between frames are rounded differently, so single clips may be a frame apart.
    assert len(theirs) == len(ours) == 5 and theirs[0].shape == ours[0].shape == (3, 16, 112, 112)
    assert (theirs[0] - ours[0]).abs().mean() < 0.05
    assert (theirs[0] - transforms.preprocess(video.read_clip(CLIP))).abs().max() < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_gpu():
    setup = benchmark.Setup(torch.device("cuda"), CLIP)
    for line in benchmark.lines(setup.device):
        row = benchmark.measure(line, setup, 1)
        assert row["ratio"] > 0 and line.title in benchmark.format_row(row)


def test_the_stored_table_can_be_printed():
    rows = json.loads((ROOT / "notebooks/runs/speed_benchmark.json").read_text(encoding="utf-8"))["rows"]
    assert all(benchmark.format_row(row).startswith(row["title"]) for row in rows)


@pytest.mark.slow
def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch):
    decoding = lines()["decoding 5 clips of a file"]
    monkeypatch.setattr(benchmark, "lines", lambda device: [decoding])
    monkeypatch.setattr(benchmark, "_products", functools.partial(inference.dense_products, side=256))
    assert benchmark.main(["--out", str(tmp_path / "b.json"), "--rounds", "1", "--device", "cpu"]) == 0
    table = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert table["machine"]["device"] == classify.device_name("cpu") and len(table["rows"]) == 1
    out = capsys.readouterr().out
    assert benchmark.HEADER in out and benchmark.format_row(table["rows"][0]) in out
    assert table["rows"][0]["ratio"] > 0 and table["rows"][0]["utilization"] is None


def test_what_cannot_be_written_is_said_before_anything_is_measured(tmp_path, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--out", str(tmp_path)])
    assert "is a folder: name a file in it" in capsys.readouterr().err


def test_the_readme_quotes_the_stored_table():
    rows = {
        row["title"]: row
        for row in json.loads((ROOT / "notebooks/runs/speed_benchmark.json").read_text(encoding="utf-8"))["rows"]
    }
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for title in ("one clip", "eight clips at once", "file to label, 5 clips", "training step of 4 clips"):
        single, half = (rows[f"{title}, {dtype}"]["ratio"] for dtype in ("float32", "bfloat16"))
        assert f"| {title} | {single:.2f} | {half:.2f} |\n" in readme
    assert f"at {rows['one clip, float32']['utilization']:.0%}".replace("%", " %") in readme


def test_what_is_said_of_a_gpu_is_in_its_stored_table():
    rows = {
        row["title"]: row
        for row in json.loads((ROOT / "notebooks/runs/gpu_benchmark.json").read_text(encoding="utf-8"))["rows"]
    }
    titles = ("one clip", "eight clips at once", "file to label, 5 clips")
    one, eight, file = ([f"{rows[f'{title}, {t}']['ratio']:.2f}" for t in ("float32", "bfloat16")] for title in titles)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"one clip was {one[0]} times as fast in float32 and {one[1]} times in bfloat16" in readme
    assert (
        f"eight clips at once {eight[0]} and {eight[1]} times, a file to its labels {file[0]} and {file[1]} times"
        in readme
    )
    page = (ROOT / "notebooks/13_make_it_fast.ipynb").read_text(encoding="utf-8")
    assert f"{one[0]} times as fast for one clip in float32, {eight[0]} times for eight at once" in page
    assert f"and {eight[1]} times for eight in bfloat16" in page


def test_lines_that_do_not_exist_are_told(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--only", "zzz", "--device", "cpu"])
    assert "no line has 'zzz' in its title" in capsys.readouterr().err
