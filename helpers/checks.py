"""Checkers of the exercises. Each tries an answer on many cases and says what is still missing, one hint at a time.

A checker prints a sentence and returns whether the answer is right; it never raises, so that a notebook with unsolved
exercises still runs from top to bottom.
"""

from fractions import Fraction

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.video import resnet as reference


def _check(name, answer, attempt):
    """Run `attempt`, which raises AssertionError with a hint, and say how it went."""
    if answer is None:
        print(f"{name}: not yet. Write the function, then run this cell again.")
        return False
    try:
        attempt()
    except AssertionError as hint:
        print(f"{name}: not yet. {hint}")
    except Exception as error:  # the reader's own code may fail in any way
        print(f"{name}: not yet. It raised {type(error).__name__}: {error}")
    else:
        print(f"{name}: right.")
        return True
    return False


def frame_at(answer):
    """Notebook 01: the index of the frame that is shown at a moment, given the times of all frames."""

    def attempt():
        assert answer([0.0, 0.1, 0.2], 0.1) == 1, "At the very moment at which frame 1 appears, frame 1 is shown."
        assert answer([0.0, 0.1, 0.2], 0.19) == 1, "Frame 1 stays until frame 2 comes; the nearest frame is not meant."
        assert answer([0.0, 0.1, 0.2], 5.0) == 2, "After the last frame has come, it stays."
        rng = np.random.default_rng(0)
        for _ in range(200):
            times = np.cumsum(rng.integers(1, 9, 30)).tolist()
            moment = int(rng.integers(times[0], times[-1] + 5))
            right = sum(time <= moment for time in times) - 1
            assert answer(times, moment) == right, f"For times {times[:6]}... and moment {moment} it is {right}."

    return _check("frame_at", answer, attempt)


def clip_seconds(answer):
    """Notebook 01: how many seconds lie between the first and the last frame of a clip."""

    def attempt():
        assert answer(2, 1) == 1, "Two frames at one a second are one second apart: count the gaps, not the frames."
        for frames, rate in [(16, 15), (1, 30), (32, 30), (8, 7.5)]:
            right = float((frames - 1) / Fraction(rate))
            assert abs(answer(frames, rate) - right) < 1e-9, f"{frames} frames at {rate} a second: {right:.4g} s."

    return _check("clip_seconds", answer, attempt)


def y_t_slice(answer):
    """Notebook 01: one column of a normalised clip (C, T, H, W) in the course of time, as (H, T, C)."""

    def attempt():
        clip = torch.randn(3, 7, 11, 13, generator=torch.Generator().manual_seed(0))
        result = answer(clip, 4)
        assert isinstance(result, torch.Tensor), "Return a tensor."
        assert result.shape == (11, 7, 3), f"Its shape is {tuple(result.shape)}, not (H, T, C) = (11, 7, 3)."
        for y, t, c in [(0, 0, 0), (10, 6, 2), (3, 5, 1)]:
            assert result[y, t, c] == clip[c, t, y, 4], "The shape is right, but a value stands in the wrong place."

    return _check("y_t_slice", answer, attempt)


def conv3d_macs(answer):
    """Notebook 02: multiply-adds of a 3D convolution, from the shape of its weight and that of its output."""

    def attempt():
        assert answer((1, 1, 3, 3, 3), (1, 1, 1, 1, 1)) == 27, "One output of one channel needs one product a weight."
        assert answer((8, 4, 3, 3, 3), (1, 8, 1, 1, 1)) == 864, "Each of the 8 outputs has its own 4 x 3 x 3 x 3 weights."
        assert answer((64, 3, 3, 7, 7), (2, 64, 16, 56, 56)) == 2832334848, "Count every place and every clip of the batch."

    return _check("conv3d_macs", answer, attempt)


def factorise(answer):
    """Notebook 02: a (time) x (space) kernel of rank 1 into its temporal and its spatial part."""

    def attempt():
        generator = torch.Generator().manual_seed(0)
        for t, d in ((3, 3), (5, 7)):
            time, space = torch.randn(t, generator=generator), torch.randn(d, d, generator=generator)
            kernel = time[:, None, None] * space  # (t, d, d)
            parts = answer(kernel)
            assert len(parts) == 2, "Return two tensors, first the temporal one (t,), then the spatial one (d, d)."
            assert tuple(parts[0].shape) == (t,) and tuple(parts[1].shape) == (d, d), f"The shapes are ({t},) and ({d}, {d})."
            again = parts[0][:, None, None] * parts[1]
            assert torch.allclose(again, kernel, atol=1e-5), "Their product is not the kernel. (torch.linalg.svd may help.)"

    return _check("factorise", answer, attempt)


def _same_layers(mine, theirs, clip):
    """Hold a module against another one: keys, shapes, then what both make of a clip with the same random weights."""
    assert isinstance(mine, nn.Module), "Return a torch.nn.Module."
    keys, expected = mine.state_dict(), theirs.state_dict()
    for missing in (key for key in expected if key not in keys):
        raise AssertionError(f"Its state dict has no {missing}.")
    for extra in (key for key in keys if key not in expected):
        raise AssertionError(f"Its state dict has {extra}, which torchvision's has not.")
    for key, value in expected.items():
        assert keys[key].shape == value.shape, f"{key} is {tuple(keys[key].shape)}, not {tuple(value.shape)}."
    _randomise(theirs)
    mine.load_state_dict(theirs.state_dict())
    for train, what in ((False, "in eval mode"), (True, "in train mode")):
        with torch.no_grad():
            given, right = mine.train(train)(clip.clone()), theirs.train(train)(clip.clone())
        assert given.shape == right.shape, f"It gives {tuple(given.shape)}, not {tuple(right.shape)}."
        assert torch.allclose(given, right, atol=1e-4 * right.abs().max().item()), (
            f"Keys and shapes are right, but with the same weights it gives other numbers {what}: look at each padding, "
            "normalisation and ReLU."
        )


def _randomise(network):
    """Give every batch norm random weights and statistics, so that none of them can be left out unnoticed."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5, generator=generator)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-0.5, 0.5, generator=generator)


def conv2plus1d(answer):
    """Notebook 03: the factorised convolution, a module built from its channels in, out and between, and its stride."""

    def attempt():
        clip = torch.randn(2, 4, 5, 9, 8, generator=torch.Generator().manual_seed(0))
        for stride in (1, 2):
            _same_layers(answer(4, 6, 5, stride), reference.Conv2Plus1D(4, 6, 5, stride), clip)

    return _check("conv2plus1d", answer, attempt)


def as_pair(answer):
    """Notebook 03: the nearest pair of a spatial and a temporal convolution to a 3D convolution, nothing between them."""

    def attempt():
        weight = torch.randn(4, 3, 3, 3, 3, generator=torch.Generator().manual_seed(0))
        clip = torch.randn(1, 3, 5, 6, 6, generator=torch.Generator().manual_seed(1))
        values = torch.linalg.svdvals(weight.permute(0, 2, 1, 3, 4).reshape(12, 27))
        for filters in (12, 5, 1):
            space, time = answer(weight, filters)
            shapes = (filters, 3, 1, 3, 3), (4, filters, 3, 1, 1)
            assert (tuple(space.shape), tuple(time.shape)) == shapes, f"The shapes are {shapes[0]} and {shapes[1]}."
            whole = torch.einsum("omt,mihw->oithw", time[..., 0, 0], space[:, :, 0])
            error, best = (whole - weight).norm(), values[filters:].square().sum().sqrt()
            assert error < best + 1e-3, f"With {filters} filters {best:.2f} is left out at best, and yours leaves out {error:.2f}."
            again = F.conv3d(F.conv3d(clip, space), time)
            assert torch.allclose(again, F.conv3d(clip, whole), atol=1e-3)

    return _check("as_pair", answer, attempt)


def basic_block(answer):
    """Notebook 04: the residual block, a module built from its channels in and out and its stride."""

    def attempt():
        clip = torch.randn(2, 4, 6, 9, 8, generator=torch.Generator().manual_seed(0))
        for planes, stride in ((4, 1), (6, 2), (6, 1)):
            projection = None
            if planes != 4 or stride != 1:
                projection = nn.Sequential(nn.Conv3d(4, planes, 1, stride, bias=False), nn.BatchNorm3d(planes))
            theirs = reference.BasicBlock(4, planes, reference.Conv2Plus1D, stride, projection)
            _same_layers(answer(4, planes, stride), theirs, clip)

    return _check("basic_block", answer, attempt)


def places_read(answer):
    """Notebook 04: how many of n places along an axis reach the end of some projection shortcuts in a row."""

    def attempt():
        for n, blocks, why in [(16, 0, "No block, no loss."), (16, 1, "Every second place."), (7, 1, "The first one counts.")]:
            assert answer(n, blocks) == len(range(n)[:: 2**blocks]), why
        for n in range(1, 40):
            for blocks in range(5):
                right = len(range(0, n, 2**blocks))
                assert answer(n, blocks) == right, f"Of {n} places {right} reach the end of {blocks} shortcuts."

    return _check("places_read", answer, attempt)
