"""What notebooks print of a GPU: from files that the real writing code has made, here of the CPU and tiny, and without them."""

import json

import pytest
import torch
from gpu import classify_clip, read_report, store

from helpers import weights
from helpers.lessons import on_a_gpu
from helpers.scale import benchmark, figures, inference

CPU = torch.device("cpu")
SETUP = benchmark.Setup(CPU, str(weights.ASSETS / "jumping_jacks.mp4"), (3, 4, 16, 16))
REPORT = """<testsuites><testsuite>
<testcase name="a"><properties><property name="tolerance" value="0.03"/><property name="deviation" value="0.001"/>
<property name="deviation" value="0.002"/></properties></testcase>
<testcase name="b"><failure message="off by 2">long</failure></testcase>
<testcase name="c"><skipped message="there are no two GPUs here"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of the three files."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "report.xml").write_text(REPORT, encoding="utf-8")
    store(folder, "gpu_clip", classify_clip(CPU, repeats=1))
    store(folder, "gpu_tests", read_report(folder / "report.xml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "_products", lambda dtype, device: inference.dense_products(dtype, device, side=256))
        patch.setattr(torch, "compile", broken)
        figures.measure_all(SETUP, str(folder / "gpu_figures.json"), rounds=1, seconds=1e9, only="one clip")
    return folder


def broken(network):
    raise RuntimeError("no compiler\nand more")


def test_the_clip_is_told_with_its_device(runs):
    first, second = on_a_gpu.report("clip", runs).splitlines()
    name = json.loads((runs / "gpu_clip.json").read_text(encoding="utf-8"))["machine"]["device"]
    assert first.startswith(f"{name}: jumping jacks, 9") and "ms from file to prediction (5 clips; the first" in first
    assert second == "tests against the CPU: 1 passed, 1 failed, 1 skipped"


def test_a_report_of_tests_keeps_the_largest_deviation(runs):
    passed, failed, skipped = json.loads((runs / "gpu_tests.json").read_text(encoding="utf-8"))["tests"]
    assert passed == dict(name="a", outcome="passed", tolerance=0.03, deviation=0.002)
    assert failed == dict(name="b", outcome="failed", reason=["off by 2"])
    assert skipped["outcome"] == "skipped" and skipped["reason"] == ["there are no two GPUs here"]


def test_every_row_is_printed_and_what_fails_says_why(runs):
    table = json.loads((runs / "gpu_figures.json").read_text(encoding="utf-8"))
    _, shape, _, *lines = on_a_gpu.report("inference", runs).splitlines()
    assert shape == "clips of 4 x 16 x 16" and len(lines) == len(table["rows"]) == 8
    for line, row in zip(lines, table["rows"]):
        assert line.startswith(row["title"])
        if row["way"] == "torch.compile":
            assert line.endswith("  failed: RuntimeError: no compiler")
        else:
            assert f"{row['ratio']:.2f}" in line and line.endswith("%      ")  # a CPU tells no memory
            assert row["deviation"] < (3e-2 if row["precision"] == "bfloat16" else 1e-4)
    assert table["left_out"] == [] and table["machine"]["device"]


def test_what_did_not_fit_into_the_time_is_named(tmp_path):
    figures.measure_all(SETUP, str(tmp_path / "gpu_figures.json"), seconds=-1.0)
    table = json.loads((tmp_path / "gpu_figures.json").read_text(encoding="utf-8"))
    assert table["rows"] == [] and table["left_out"] == [", ".join(row) for row in figures.figures(CPU)]
    training = sum(title.startswith("training") for title in table["left_out"])
    assert on_a_gpu.report("training", tmp_path).endswith(f"\n{training} rows did not fit into the time.")


@pytest.mark.parametrize("topic", ["clip", "training", "inference"])
def test_without_the_files_it_says_how_to_make_them(topic, tmp_path):
    assert on_a_gpu.report(topic, tmp_path) == on_a_gpu.MISSING
    assert "`make gpu`" in on_a_gpu.MISSING and on_a_gpu.MISSING.count(".") == 1


def test_another_topic_is_refused(tmp_path):
    with pytest.raises(ValueError, match="choose clip, training or inference"):
        on_a_gpu.report("video", tmp_path)
