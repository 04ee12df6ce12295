"""The exercises' checkers: right answers pass, wrong ones get a hint, and nothing that a reader writes makes them raise."""

import bisect
import inspect
import math
import re

import pytest
import torch
from torch import nn

from helpers import blocks, checks

RIGHT = {
    "frame_at": lambda times, moment: bisect.bisect_right(times, moment) - 1,
    "clip_seconds": lambda frames, rate: (frames - 1) / rate,
    "y_t_slice": lambda clip, column: clip[..., column].permute(2, 1, 0),
    "conv3d_macs": lambda weight, output: math.prod(weight) * output[0] * math.prod(output[2:]),
    "factorise": lambda kernel: best_pair(kernel),
    "conv2plus1d": lambda n_in, n_out, middle, stride: two_convolutions(n_in, n_out, middle, stride),
    "as_pair": lambda weight, filters: pair_of_convolutions(weight, filters),
    "basic_block": lambda n_in, n_out, stride: Block(n_in, n_out, stride),
    "places_read": lambda n, blocks: len(range(0, n, 2**blocks)),
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
    "conv2plus1d": [
        (lambda *sizes: None, "Return a torch.nn.Module"),
        (lambda *sizes: nn.Sequential(nn.Conv3d(4, 5, (1, 3, 3), bias=False)), "no 1.weight"),
        (lambda *sizes: two_convolutions(*sizes, bias=True), "has 0.bias"),
        (lambda n_in, n_out, middle, stride: two_convolutions(n_in, n_out, 8, stride), r"0.weight is \(8, 4, 1, 3, 3\)"),
        (lambda n_in, n_out, middle, stride: two_convolutions(n_in, n_out, middle, 1), "It gives"),
        (lambda *sizes: two_convolutions(*sizes, bend=nn.Identity), "other numbers in eval mode"),
        (lambda *sizes: two_convolutions(*sizes, norm=lambda n: nn.BatchNorm3d(n, eps=0.1)), "other numbers in eval mode"),
    ],
    "as_pair": [
        (lambda weight, filters: pair_of_convolutions(weight, filters)[::-1], "The shapes are"),
        (lambda weight, filters: pair_of_convolutions(weight.flip(2), filters), "is left out at best"),
        (lambda weight, filters: pair_of_convolutions(weight, filters, smallest=True), "With 5 filters"),
    ],
    "basic_block": [
        (lambda n_in, n_out, stride: nn.Identity(), "no conv1.0.0.weight"),
        (lambda n_in, n_out, stride: Block(n_in, n_out, stride, project=False), "no downsample.0.weight"),
        (lambda n_in, n_out, stride: Block(n_in, n_out, stride, shortcut=False), "other numbers in eval mode"),
        (lambda n_in, n_out, stride: Block(n_in, n_out, stride, last=nn.Identity()), "other numbers in eval mode"),
        (lambda n_in, n_out, stride: blocks.BasicBlock(n_in, n_out, stride, paper_widths=True), "downsample.0.weight"),
    ],
    "places_read": [
        (lambda n, blocks: n // 2**blocks, "The first one counts"),
        (lambda n, blocks: n, "Every second place"),
        (lambda n, blocks: (n + 1) // 2, "No block, no loss"),
        (lambda n, blocks: -(-n // (2 * blocks)) if blocks else n, "reach the end"),
    ],
}


def best_pair(kernel):
    u, s, v = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
    return u[:, 0] * s[0], v[0].view(kernel.shape[1:])


def two_convolutions(n_in, n_out, middle, stride, bias=False, norm=nn.BatchNorm3d, bend=nn.ReLU):
    space = nn.Conv3d(n_in, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=bias)
    time = nn.Conv3d(middle, n_out, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=bias)
    return nn.Sequential(space, norm(middle), bend(), time)


class Block(nn.Module):
    def __init__(self, n_in, n_out, stride, project=True, shortcut=True, last=None):
        super().__init__()
        middle = blocks.midplanes(n_in, n_out)
        self.conv1 = nn.Sequential(two_convolutions(n_in, n_out, middle, stride), nn.BatchNorm3d(n_out), nn.ReLU())
        self.conv2 = nn.Sequential(two_convolutions(n_out, n_out, middle, 1), nn.BatchNorm3d(n_out))
        if project and (stride > 1 or n_in != n_out):
            self.downsample = nn.Sequential(nn.Conv3d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm3d(n_out))
        self.shortcut, self.last = shortcut, last or nn.ReLU()

    def forward(self, x):
        around = getattr(self, "downsample", nn.Identity())(x)
        return self.last(self.conv2(self.conv1(x)) + (around if self.shortcut else 0))


def pair_of_convolutions(weight, filters, smallest=False):
    n_out, n_in, t, d, _ = weight.shape
    u, s, v = torch.linalg.svd(torch.einsum("oithw->otihw", weight).flatten(0, 1).flatten(1), full_matrices=False)
    keep = slice(-filters, None) if smallest else slice(filters)
    space = v[keep].view(filters, n_in, 1, d, d)
    return space, torch.einsum("otm,m->omt", u[:, keep].view(n_out, t, filters), s[keep])[..., None, None]


def test_every_checker_is_tried():
    public = {name for name, value in vars(checks).items() if inspect.isfunction(value) and not name.startswith("_")}
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
