"""The exercises' checkers: right answers pass, wrong ones get a hint, and nothing that a reader writes makes them raise."""

import bisect
import math
import re

import pytest
import torch

from helpers import checks

RIGHT = {
    "frame_at": lambda times, moment: bisect.bisect_right(times, moment) - 1,
    "clip_seconds": lambda frames, rate: (frames - 1) / rate,
    "y_t_slice": lambda clip, column: clip[..., column].permute(2, 1, 0),
    "conv3d_macs": lambda weight, output: math.prod(weight) * output[0] * math.prod(output[2:]),
    "factorise": lambda kernel: best_pair(kernel),
}
WRONG = {
    "frame_at": [
        (lambda times, moment: bisect.bisect_left(times, moment) - 1, "At the very moment"),
        (lambda times, moment: min(range(len(times)), key=lambda k: abs(times[k] - moment)), "the nearest frame is not meant"),
        (lambda times, moment: [t > moment for t in times].index(True) - 1, "ValueError"),
        (lambda times, moment: round(moment / (times[1] - times[0]) - 0.49), "."),
    ],
    "clip_seconds": [(lambda frames, rate: frames / rate, "count the gaps"), (lambda frames, rate: frames - 1, "16 frames at 15")],
    "y_t_slice": [
        (lambda clip, column: clip[..., column], r"not \(H, T, C\)"),
        (lambda clip, column: clip[..., 0].permute(2, 1, 0), "wrong place"),
        (lambda clip, column: None, "Return a tensor"),
        (lambda clip: clip, "TypeError"),
    ],
    "conv3d_macs": [
        (lambda weight, output: math.prod(weight) * math.prod(output), "its own"),
        (lambda weight, output: math.prod(weight), "every clip of the batch"),
        (lambda weight, output: 0, "one product a weight"),
    ],
    "factorise": [
        (lambda kernel: (kernel[:, 0, 0], kernel[0]), "not the kernel"),
        (lambda kernel: (kernel[0], kernel[:, 0, 0]), "The shapes are"),
        (lambda kernel: [kernel], "two tensors"),
    ],
}


def best_pair(kernel):
    u, s, v = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
    return u[:, 0] * s[0], v[0].view(kernel.shape[1:])


def test_every_checker_is_tried():
    public = {name for name in vars(checks) if callable(getattr(checks, name)) and not name.startswith("_")} - {"Fraction"}
    assert public == set(RIGHT) == set(WRONG)


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass_and_missing_ones_do_not(name, capsys):
    assert getattr(checks, name)(RIGHT[name]) is True
    assert capsys.readouterr().out == f"{name}: right.\n"
    assert getattr(checks, name)(None) is False
    assert "not yet. Write the function" in capsys.readouterr().out


@pytest.mark.parametrize("name, number", [(name, k) for name in WRONG for k in range(len(WRONG[name]))])
def test_wrong_answers_get_a_hint(name, number, capsys):
    answer, hint = WRONG[name][number]
    assert getattr(checks, name)(answer) is False
    out = capsys.readouterr().out
    assert out.startswith(f"{name}: not yet. ")
    assert re.search(hint, out), out
