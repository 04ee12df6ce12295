"""What `make gpu` has measured, for notebooks 07, 09 and 13."""

import json
from pathlib import Path

from helpers.lessons.stored_runs import RUNS

__all__ = ["report"]

MISSING = "No figures of a GPU are stored here: `make gpu`, on a machine with CUDA or Apple's MPS, makes them in eight minutes."


def report(topic: str, runs: Path = RUNS) -> str:
    """The stored figures of a GPU as text; a sentence that says how to make them if they are not there.

    Args:
        topic: "clip" for the classified clip of notebook 07 and the tests, "training" for a training step, "inference" for all
            other cases.
        runs: the folder of gpu_clip.json, gpu_tests.json and gpu_figures.json.

    ValueError: another topic.
    """
    if topic not in ("clip", "training", "inference"):
        raise ValueError(f"{topic=}: choose clip, training or inference")
    names = ("gpu_clip", "gpu_tests") if topic == "clip" else ("gpu_figures",)
    paths = [runs / f"{name}.json" for name in names]
    if not all(path.exists() for path in paths):
        return MISSING
    tables = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return _clip(*tables) if topic == "clip" else _figures(*tables, topic == "training")


def _clip(clip, tests):
    """Two lines: the prediction, and what the tests found."""
    counts = ", ".join(f"{tests[kind]} {kind}" for kind in ("passed", "failed", "skipped") if kind in tests)
    return (
        f"{clip['machine']['device']}: {clip['label']}, {clip['probability']:.1%}, "
        f"{clip['seconds'] * 1e3:.0f} ms from file to prediction ({clip['clips']} clips; "
        f"the first call {clip['first_seconds']:.1f} s)\ntests against the CPU: {counts or 'not ended in their time'}"
    )


def _figures(table, training):
    """A line for each row: milliseconds, times as fast as torchvision's network, percent of the peak, gigabytes."""
    rows = [row for row in table["rows"] if row["case"].startswith("training") == training]
    _, *shape = table["size"]
    head = f"{'':52}{'ms':>8}{'times as fast':>15}{'of the peak':>13}{'GB':>6}"
    lines = [table["machine"]["device"], f"clips of {' x '.join(map(str, shape))}", head, *map(_line, rows)]
    left_out = sum(title.startswith("training") == training for title in table["left_out"])
    return "\n".join(lines + [f"{left_out} rows did not fit into the time."] * bool(left_out))


def _line(row):
    if "failed" in row:
        return f"{row['title']:52}  failed: {row['failed']}"
    share = "" if row["utilization"] is None else f"{row['utilization']:.0%}"
    memory = "" if row["memory"] is None else f"{row['memory'] / 1e9:.1f}"
    return f"{row['title']:52}{row['seconds']['ours'] * 1e3:8.1f}{row['ratio']:15.2f}{share:>13}{memory:>6}"
