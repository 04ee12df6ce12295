"""The benchmark: its arithmetic, on small clips; that both sides do the same; no time is judged."""

import json

import pytest
import torch
from conftest import ROOT

from helpers import benchmark, classify, speed, transforms, video, weights

CLIP = str(weights.ASSETS / "jumping_jacks.mp4")
CPU = torch.device("cpu")


@pytest.fixture
def how():
    return benchmark.How(CPU, CLIP, size=(3, 4, 32, 32))


def lines():
    return {line.title: line for line in benchmark.lines(CPU)}


def test_a_line_is_computed_from_interleaved_times(how, monkeypatch):
    rounds = dict(torchvision=[4.0, 6.0, 5.0], ours=[2.0, 2.5, 2.0], peak=[0.5, 1.0, 2.0])
    monkeypatch.setattr(
        speed, "interleaved", lambda functions, device, count: {name: rounds[name] for name in functions}
    )
    monkeypatch.setattr(benchmark, "_memory", lambda line, how, side: dict(torchvision=300, ours=200)[side])
    monkeypatch.setattr(speed, "matrix_product", lambda dtype, device: type("", (), dict(flop=1e9)))
    line = benchmark.Line(
        "made up", lambda how, side: lambda: torch.ones(10, 20) @ torch.ones(20, 30), torch.float32, 3
    )
    row = benchmark.measure(line, how, 3)
    assert row == dict(
        title="made up", seconds=dict(torchvision=5.0, ours=2.0), ratio=2.5, spread=[2.0, 2.5], clips_a_second=1.5,
        share_of_peak=2 * 10 * 20 * 30 / 2.0 / 1e9, megabytes=dict(torchvision=300, ours=200),
    )  # fmt: skip
    told = benchmark.told(row | dict(share_of_peak=0.5))
    assert told.split() == "made up 5000 ms 2000 ms 2.50 (2.00 to 2.50) 50% 300 and 200".split()
    assert len(told) == len(benchmark.HEADER)


@pytest.mark.parametrize(
    "title", [title for title in lines() if "clip" in title and "file" not in title and "training" not in title]
)
def test_both_sides_give_the_same_logits(how, title):
    torch.manual_seed(1)
    theirs, ours = (lines()[title].make(how, side) for side in ("torchvision", "ours"))
    assert theirs().shape == ours().shape == (8 if "eight" in title else 1, benchmark.CLASSES)


@pytest.mark.parametrize("title", [title for title in lines() if "training" in title])
def test_both_sides_take_the_same_step(how, title):
    losses = []
    for side in ("torchvision", "ours"):
        torch.manual_seed(1)
        step = lines()[title].make(how, side)
        losses.append([float(step()) for _ in range(2)])
    assert losses[0][0] != losses[0][1]  # the weights change
    assert abs(losses[0][0] - losses[1][0]) < 0.05 * losses[0][0]


def test_files_are_labelled_by_both(how):
    for title, line in lines().items():
        if "file to label" in title:
            theirs, ours = (line.make(how._replace(size=benchmark.SIZE), side)() for side in ("torchvision", "ours"))
            # The weights are random, so the best are nearly equal, and may change places in half precision.
            assert len(theirs) == len(ours) == 5 and ours[0].label in {answer.label for answer in theirs}


def test_decoding_gives_nearly_the_same_clips(how):
    theirs, ours = (
        lines()["decoding 5 clips of a file"].make(how._replace(size=benchmark.SIZE), side)()
        for side in ("torchvision", "ours")
    )
    # Places between frames are rounded differently, so single clips may be a frame apart.
    assert len(theirs) == len(ours) == 5 and theirs[0].shape == ours[0].shape == (3, 16, 112, 112)
    assert (theirs[0] - ours[0]).abs().mean() < 0.05
    wanted = transforms.preprocess(video.read_clip(CLIP))
    assert (theirs[0] - wanted).abs().max() < 0.02


def test_memory_is_that_of_a_process_of_its_own(how):
    held = bytearray(900_000_000)  # it must not be counted
    held[::4096] = b"x" * len(held[::4096])
    line = lines()["one clip, float32"]
    assert 200 < benchmark._memory(line, how, "torchvision") < 900


def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch):
    decoding = lines()["decoding 5 clips of a file"]
    monkeypatch.setattr(benchmark, "lines", lambda device: [decoding])
    monkeypatch.setattr(benchmark, "_memory", lambda line, how, side: 1)
    assert benchmark.main(["--out", str(tmp_path / "b.json"), "--rounds", "1", "--device", "cpu"]) == 0
    table = json.loads((tmp_path / "b.json").read_text())
    assert table["machine"]["device"] == classify.device_name("cpu") and len(table["rows"]) == 1
    out = capsys.readouterr().out
    assert benchmark.HEADER in out and benchmark.told(table["rows"][0]) in out
    assert table["rows"][0]["ratio"] > 0 and table["rows"][0]["share_of_peak"] is None


def test_the_readme_quotes_the_stored_table():
    rows = {row["title"]: row for row in json.loads((ROOT / "notebooks/runs/speed_benchmark.json").read_text())["rows"]}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for title in ("one clip", "eight clips at once", "file to label, 5 clips", "training step of 4 clips"):
        single, half = (rows[f"{title}, {dtype}"]["ratio"] for dtype in ("float32", "bfloat16"))
        assert f"| {title} | {single:.2f} | {half:.2f} |\n" in readme
    assert f"at {rows['one clip, float32']['share_of_peak']:.0%}".replace("%", " %") in readme
