"""What a GPU says of the project, in eight minutes at most: `make gpu`, on a machine with CUDA or Apple's MPS.

Three files of notebooks/runs: gpu_clip.json, the clip of notebook 07 classified there; gpu_tests.json, what the tests of
devices found and how far its numbers are from the CPU's; gpu_figures.json, the times of each way to compute. It runs with the
machine's own Python and PyTorch, and needs beside them only av, anywidget, tqdm and pytest: see tests/bundle.py.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch

from helpers import classify, commands, weights
from helpers.scale import benchmark, figures

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "notebooks" / "runs"
LIMIT = 480  # seconds for all of it
TESTS_LIMIT = 200  # of these for the tests
SPARE = 20  # of these to end a part that does not end by itself


def store(folder, name, table):
    """Write a table as JSON, whole or not at all."""
    new = Path(folder, f"{name}.new")
    new.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    os.replace(new, Path(folder, f"{name}.json"))


def classify_clip(device, repeats=5):
    """The clip of notebook 07: label, probability, and the seconds from file to prediction, of the first call and later."""
    classifier = classify.VideoClassifier(weights.load(), device=device)
    path = weights.ASSETS / "jumping_jacks.mp4"
    begun = time.perf_counter()
    best, *_ = classifier(path)
    first = time.perf_counter() - begun
    usual = classify.median_time(lambda: classifier(path), device, repeats)
    row = dict(file=path.name, clips=classifier.clips, label=best.label, probability=best.probability)
    return dict(machine=benchmark.machine(device)) | row | dict(seconds=usual, first_seconds=first)


def run_tests(device, seconds, more=()):
    """The tests of devices in a process of their own: counts, and a row for each."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
        # Neither the plugins of the machine nor the warnings of its versions decide about our numbers.
        command += ["-o", "addopts=", "-W", "default", "-p", "no:cacheprovider", f"--junitxml={report}", *more]
        command += [ROOT / "tests" / "unit" / "test_devices.py"]
        environment = os.environ | dict(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", VIDEO_RESNET_OFFLINE="1")
        begun = time.perf_counter()
        code = run(command, seconds, environment)
        table = dict(machine=benchmark.machine(device), exit_code=code, seconds=round(time.perf_counter() - begun))
        return table | (read_report(report) if report.exists() else dict(tests=[]))


def run(command, seconds, environment=None):
    """The exit code of a command, or None if it had to be ended."""
    try:
        return subprocess.run(command, env=environment, cwd=ROOT, timeout=max(seconds, 1)).returncode
    except subprocess.TimeoutExpired:
        return None


def read_report(path):
    """What pytest wrote: how many tests passed, failed, were skipped; of each its outcome, tolerance and largest deviation."""
    rows = []
    for case in ElementTree.parse(path).iter("testcase"):
        outcome = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passed")
        row = dict(name=case.get("name"), outcome=outcome.replace("failure", "failed").replace("error", "failed"))
        for name in ("tolerance", "deviation"):
            values = [float(p.get("value")) for p in case.iter("property") if p.get("name") == name]
            row |= {name: max(values)} if values else {}
        if outcome != "passed":
            row["reason"] = (case.find(outcome).get("message") or "").splitlines()[:1]
        rows.append(row)
    counts = {kind: sum(row["outcome"] == kind for row in rows) for kind in ("passed", "failed", "skipped")}
    return counts | dict(tests=rows)


def measure(options):
    """The figures, in this process, which `main` starts and can end."""
    frames, size = options.clip
    with tempfile.TemporaryDirectory() as folder:
        benchmark.draw_video(path := str(Path(folder, "drawn.mp4")))
        setup = benchmark.Setup(options.device, path, (3, frames, size, size))
        figures.measure_all(setup, os.fspath(Path(options.out, "gpu_figures.json")), 3, options.seconds, options.only)
    return 0


def main(arguments=None):
    """The command; 0, 1 if a test failed or did not end, 2 if there is no GPU."""
    parser = argparse.ArgumentParser("make gpu", description="What a GPU says of the project, in eight minutes.")
    add = parser.add_argument
    add("--device", type=commands.named_device, help="default: cuda or mps; cpu only if it is named here")
    add("--out", default=RUNS, help="the folder of the three files, default: %(default)s")
    add("--seconds", type=commands.number(0, kind=float), default=LIMIT, help="the limit, default: %(default)s")
    add("--only", default="", help="figures whose title holds this text")
    add(
        "--clip", type=commands.number(1), nargs=2, default=[16, 112], metavar=("FRAMES", "SIZE"), help="of the figures"
    )
    add("--figures", action="store_true", help="nothing but the figures")
    options, begun = parser.parse_args(arguments), time.perf_counter()
    named, options.device = options.device is not None, options.device or classify.get_device()
    if options.device.type == "cpu" and not named:
        print("There is no GPU here that PyTorch can use: make gpu needs CUDA or Apple's MPS.", file=sys.stderr)
        return 2
    if options.figures:
        return measure(options)
    clip = classify_clip(options.device)
    store(options.out, "gpu_clip", clip)
    print("{device}: {label}, {probability:.1%}, in {seconds:.3f} s".format(**clip | clip["machine"]), flush=True)
    tests = run_tests(options.device, min(TESTS_LIMIT, options.seconds))
    store(options.out, "gpu_tests", tests)
    left = options.seconds - (time.perf_counter() - begun)
    command = [sys.executable, __file__, "--figures", "--device", str(options.device), "--out", options.out]
    command += ["--seconds", str(max(0, left - SPARE)), "--only", options.only, "--clip", *map(str, options.clip)]
    run(command, left)
    return int(tests["exit_code"] != 0)


if __name__ == "__main__":
    with commands.terminal():
        torch.manual_seed(0)
        sys.exit(main())
