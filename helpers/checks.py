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

from helpers.networks import FAMILY, NETWORKS


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
        assert answer((8, 4, 3, 3, 3), (1, 8, 1, 1, 1)) == 864, (
            "Each of the 8 outputs has its own 4 x 3 x 3 x 3 weights."
        )
        assert answer((64, 3, 3, 7, 7), (2, 64, 16, 56, 56)) == 2832334848, (
            "Count every place and every clip of the batch."
        )

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
            assert tuple(parts[0].shape) == (t,) and tuple(parts[1].shape) == (d, d), (
                f"The shapes are ({t},) and ({d}, {d})."
            )
            again = parts[0][:, None, None] * parts[1]
            assert torch.allclose(again, kernel, atol=1e-5), (
                "Their product is not the kernel. (torch.linalg.svd may help.)"
            )

    return _check("factorise", answer, attempt)


def _same_layers(mine, theirs, clip):
    """Hold a module against another one: keys, shapes, then what both make of a clip with the same random weights."""
    assert isinstance(mine, nn.Module), "Return a torch.nn.Module."
    keys, expected = mine.state_dict(), theirs.state_dict()
    missing, extra = (
        [key for key in some if key not in others] for some, others in ((expected, keys), (keys, expected))
    )
    instead = f" It has {extra[0]}, which torchvision's has not: count the layers, each ReLU is one." if extra else ""
    assert not missing, f"Its state dict has no {missing[0]}.{instead}{_complete(theirs, keys)}"
    assert not extra, f"Its state dict has {extra[0]}, which torchvision's has not."
    for key, value in expected.items():
        assert keys[key].shape == value.shape, f"{key} is {tuple(keys[key].shape)}, not {tuple(value.shape)}."
    _randomise(theirs)
    mine.load_state_dict(theirs.state_dict())
    for train, what in ((False, "in eval mode"), (True, "in train mode")):
        right, wanted = _trace(theirs.train(train), clip)
        given, seen = _trace(mine.train(train), clip)
        assert isinstance(given, torch.Tensor), f"It raised {type(given).__name__}: {given}.{_difference(seen, wanted)}"
        assert given.shape == right.shape, (
            f"It gives {tuple(given.shape)}, not {tuple(right.shape)}.{_difference(seen, wanted)}"
        )
        assert _close(given, right), (
            f"Keys and shapes are right, but with the same weights it gives other numbers {what}.{_difference(seen, wanted)}"
        )


def _complete(network, keys):
    """Which parts of a network have all of their keys already, as a sentence."""
    parts = [name for name, part in network.named_children() if part.state_dict()]
    done = [name for name in parts if all(f"{name}.{key}" in keys for key in getattr(network, name).state_dict())]
    return f" Complete are: {', '.join(done)}." if done else ""


def _close(given, right, share=1e-4):
    return given.shape == right.shape and torch.allclose(given, right, atol=share * right.abs().max().item())


def _trace(network, clip):
    """What a network gives, or the error that it raises; and what went into each named module and came out, in that order."""
    went_in, seen, hooks = {}, {}, []

    def before(name):
        def hook(module, inputs):
            if inputs and isinstance(inputs[0], torch.Tensor):
                went_in.setdefault(name, inputs[0].clone())  # a ReLU in place may write over it

        return hook

    def after(name):
        def hook(module, inputs, output):
            if name in went_in and isinstance(output, torch.Tensor):
                seen.setdefault(name, (went_in[name], output.clone()))

        return hook

    for name, module in network.named_modules():
        if name:
            hooks += module.register_forward_pre_hook(before(name)), module.register_forward_hook(after(name))
    try:
        with torch.no_grad():
            return network(clip.clone()), seen
    except Exception as error:  # the reader's own code may fail in any way
        return error, seen
    finally:
        for hook in hooks:
            hook.remove()


def _difference(seen, wanted):
    """Where two traces part for the first time, as a sentence."""
    for name in (name for name in wanted if name in seen):
        for k, what in enumerate(("goes into", "comes out of")):
            given, right = seen[name][k], wanted[name][k]
            if given.shape != right.shape:
                return f" The first difference: what {what} {name} is {tuple(given.shape)}, not {tuple(right.shape)}."
            if not _close(given, right):
                inside = any(other.startswith(f"{name}.") for other in wanted)
                cause = "is something before it missing, or too much: a ReLU, a norm, a sum, a dropout?"
                if k == 1:
                    cause = (
                        "what it is made of agrees; is a ReLU or a sum missing?"
                        if inside
                        else "its stride, its padding, its eps?"
                    )
                return f" The first difference is in what {what} {name}: {cause}"
    return " All named layers agree up to there: look at what comes between them or after the last."


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
            assert error < best + 1e-3, (
                f"With {filters} filters {best:.2f} is left out at best, and yours leaves out {error:.2f}."
            )
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
        for n, blocks, why in [
            (16, 0, "No block, no loss."),
            (16, 1, "Every second place."),
            (7, 1, "The first one counts."),
        ]:
            assert answer(n, blocks) == len(range(n)[:: 2**blocks]), why
        for n in range(1, 40):
            for blocks in range(5):
                right = len(range(0, n, 2**blocks))
                assert answer(n, blocks) == right, f"Of {n} places {right} reach the end of {blocks} shortcuts."

    return _check("places_read", answer, attempt)


def last_map(answer):
    """Notebook 05: the shape (T, H, W) of R(2+1)D-18's last map, from the frames, height and width of a clip."""

    def attempt():
        assert tuple(answer(16, 112, 112)) == (2, 7, 7), "A clip of 16 x 112 x 112 leaves 2 x 7 x 7."
        assert tuple(answer(1, 112, 112)) == (1, 7, 7), (
            "Of one frame one is left: with padding 1, a stride of 2 rounds up."
        )
        for frames, height, width in ((9, 33, 128), (17, 1, 113), (32, 224, 171), (5, 16, 15)):
            right = (-(-frames // 8), -(-height // 16), -(-width // 16))
            assert tuple(answer(frames, height, width)) == right, f"{frames} x {height} x {width} leaves {right}."

    return _check("last_map", answer, attempt)


def r2plus1d_18(answer):
    """Notebook 05: R(2+1)D-18 from memory, a function from the number of classes to the network."""

    def attempt():
        clips = torch.randn(3, 3, 16, 32, 40, generator=torch.Generator().manual_seed(0))  # leaves 2 x 2 x 3 places
        mine, theirs = answer(5), reference.r2plus1d_18(num_classes=5)
        _same_layers(mine, theirs, clips)
        for network in (mine, theirs):
            F.cross_entropy(network(clips.clone()), torch.tensor([0, 1, 2])).backward()
        for (name, given), right in zip(
            sorted(mine.named_parameters()), (p for _, p in sorted(theirs.named_parameters()))
        ):
            assert given.grad is not None, f"The logits are right, but no gradient reaches {name}."
            assert _close(given.grad, right.grad, 1e-3), (
                f"The logits are right, but the gradient of {name} is another one."
            )

    return _check("r2plus1d_18", answer, attempt)


def group_kinds(answer):
    """Notebook 08: the kinds of stem and groups of a mixed network, "2D" or "3D", from its name, "mc3" or "rmc3"."""

    def attempt():
        assert list(answer("mc2")) == ["3D", "2D", "2D", "2D", "2D"], (
            "In MC2 only the stem, group 1, comes before group 2."
        )
        assert list(answer("rmc5")) == ["2D", "2D", "2D", "2D", "3D"], (
            "In rMC5, 2D and 3D have changed their roles, not their order: 3D from group 5 on."
        )
        for name in ("mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4"):
            assert list(answer(name)) == list(FAMILY[name]), f"For {name} it is {', '.join(FAMILY[name])}."

    return _check("group_kinds", answer, attempt)


def frames_left(answer):
    """Notebook 08: how many frames are left in the last map, from the five kinds of a network and the frames of its clip."""

    def attempt():
        assert answer(FAMILY["r3d"], 16) == 2, "Three groups of R3D stride by 2 over time: 16, 8, 4, 2."
        assert answer(FAMILY["fr2d"], 16) == 16, "2D convolutions leave the frames alone."
        assert answer(FAMILY["mc3"], 16) == 16, "The stem and layer1 do not stride over time, whatever they are."
        assert answer(FAMILY["r2d"], 16) == 1, "R2D's stem has made one picture of all frames."
        for name, kinds in FAMILY.items():
            for frames in (1, 5, 8, 16, 33):
                strides = 2 ** sum(kind != "2D" for kind in kinds[2:])
                right = 1 if kinds[0] == "R2D" else -(-frames // strides)
                why = "A stride of 2 rounds up, and (2+1)D strides like 3D."
                assert answer(kinds, frames) == right, f"{name} leaves {right} of {frames} frames. {why}"

    return _check("frames_left", answer, attempt)


def mend(answer):
    """Notebook 06: a state dict with the names that fit a network, when all of them have one wrong prefix or none."""

    def attempt():
        network = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Sequential(nn.Linear(4, 2)))
        _randomise(network)
        state = dict(reversed(network.state_dict().items()))  # a file may have another order
        for prefix in ("module.", "", "model.backbone.", "0."):
            given = answer({prefix + name: tensor for name, tensor in state.items()}, network)
            assert isinstance(given, dict), "Return a dict of names and tensors."
            assert set(given) == set(state), (
                f"With the prefix {prefix!r} the first name becomes {next(iter(given), None)!r}."
            )
            assert all(torch.equal(given[name], state[name]) for name in state), (
                "The names are right, but the tensors have changed places."
            )

    return _check("mend", answer, attempt)


def load_features(answer):
    """Notebook 06: load all but fc.weight and fc.bias into a network; ValueError if any other name does not fit."""

    def attempt():
        generator = torch.Generator().manual_seed(0)

        def network(classes):
            return nn.ModuleDict({"stem": nn.Conv3d(3, 4, 1), "norm": nn.BatchNorm3d(4), "fc": nn.Linear(4, classes)})

        state = {
            name: torch.rand(tensor.shape, generator=generator) for name, tensor in network(400).state_dict().items()
        }
        state["norm.num_batches_tracked"] = torch.tensor(7)
        mine = network(5)
        last = mine.fc.weight.clone()
        answer(mine, dict(state))
        loaded = mine.state_dict()
        for name in ("stem.weight", "stem.bias", "norm.running_var"):
            assert torch.equal(loaded[name], state[name]), f"{name} was not loaded."
        assert torch.equal(loaded["fc.weight"], last), "The last layer of the network has changed."
        for what, wrong in {
            "a name is missing": {name: tensor for name, tensor in state.items() if name != "stem.bias"},
            "a name is unexpected": state | {"layer5.weight": torch.zeros(1)},
            "every name has a prefix": {f"module.{name}": tensor for name, tensor in state.items()},
        }.items():
            try:
                answer(network(5), dict(wrong))
            except ValueError:
                continue
            except AssertionError as error:
                raise AssertionError(f"When {what}, raise a ValueError, not an AssertionError.") from error
            raise AssertionError(f"Raise a ValueError when {what}.")
        answer(network(5), {name: tensor for name, tensor in state.items() if not name.startswith("fc")})

    return _check("load_features", answer, attempt)


def protocol_starts(answer):
    """Notebook 07: at which frames torchvision's five clips of 16 begin, given how many frames a video has."""

    def attempt():
        assert list(answer(16)) == [0] * 5, "A video of 16 frames has one clip, from frame 0; it is taken five times."
        last = list(answer(60))[-1]
        assert last == 44, f"Of 60 frames the last clip begins at 44, so that it ends with the video; yours at {last}."
        for n in (60, 17, 20, 31, 100, 6751):
            right, given = [k * (n - 16) // 4 for k in range(5)], list(answer(n))
            assert len(given) == 5, f"Five clips are wanted; you say {given}."
            assert given == right, f"Of {n} frames they begin at {right}: evenly spread, rounded down. You say {given}."

    return _check("protocol_starts", answer, attempt)


def vote(answer):
    """Notebook 07: the answer for a video from the logits of its clips (clips, classes), an index."""

    def attempt():
        alone = torch.tensor([[1.0, 3.0, 2.0]])
        assert answer(alone) == 1, "With a single clip it is the class with the highest logit."
        loud = torch.tensor([[30.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0]])
        assert answer(loud) == 1, "One clip with large logits has overruled two: average after the softmax."
        close = torch.tensor([[2.0, 1.9, 0], [2.0, 1.9, 0], [0, 3.0, 0]])
        assert answer(close) == 1, "Do not count heads: a clip that is nearly undecided has half a voice for each."

    return _check("vote", answer, attempt)


def ceiling(answer):
    """Notebook 09: the highest accuracy without the order of frames, from the number of actions and of reversed pairs."""

    def attempt():
        assert answer(10, 0) == 1, "Without pairs nothing is out of reach."
        assert answer(2, 1) == 0.5, "Two actions that are each other's reverse: of every two clips one can be right."
        for actions, pairs in [(10, 3), (4, 2), (7, 1), (400, 25)]:
            right = (actions - pairs) / actions
            assert abs(answer(actions, pairs) - right) < 1e-9, (
                f"Of {actions} actions with {pairs} pairs, {right:.4g} can be had."
            )

    return _check("ceiling", answer, attempt)


class _FrameByFrame(nn.Module):
    """Looks at single frames and takes the mean; in train mode its answers differ from call to call."""

    def __init__(self):
        super().__init__()
        self.frame = nn.Sequential(nn.Conv3d(3, 8, (1, 3, 3)), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool3d(1))
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        if x.ndim != 5:
            raise ValueError("a network takes a batch (B, C, T, H, W), a batch of one for example")
        return self.fc(self.frame(x).flatten(1))


def order_matters(answer):
    """Notebook 09: whether a network's logits for a clip (C, T, H, W) depend on the direction of time."""

    def attempt():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            clip = torch.randn(3, 6, 8, 8)
            blind, seeing = _FrameByFrame(), _FrameByFrame()
            seeing.frame[0] = nn.Conv3d(3, 8, 3)
            for mode in (False, True):
                blind.train(mode), seeing.train(mode)
                assert answer(seeing, clip) in (True, 1), (
                    "A 3D convolution changes its answer when a clip is played backwards."
                )
                hint = (
                    "Ask in eval mode: dropout answers differently each time."
                    if mode
                    else "Allow for rounding: compare with torch.allclose."
                )
                assert answer(blind, clip) in (False, 0), (
                    f"A mean over single frames does not depend on their order. {hint}"
                )
                assert blind.training == seeing.training == mode, "Put the network back into the mode in which it came."
            still = clip[:, :1].expand(-1, 6, -1, -1)
            assert not answer(seeing, still), "A clip of equal frames is its own reverse."
            sideways = torch.randn(3, 1, 8, 8)
            assert not answer(seeing.__class__().eval(), sideways), (
                "Turn the axis of time, which is the second of (C, T, H, W)."
            )

    return _check("order_matters", answer, attempt)


def on_both_sides(answer):
    """Notebook 12: recordings that stand in two lists of names as UCF101 gives them."""

    def attempt():
        given = answer(
            ["v_Archery_g03_c01.avi", "v_Archery_g04_c01.avi"], ["v_Archery_g03_c02.avi", "v_Archery_g05_c01.avi"]
        )
        assert isinstance(given, set), "Return a set."
        assert given == {"v_Archery_g03"}, (
            f"Cut 1 and cut 2 of v_Archery_g03 stand on two sides; you say {given or 'nothing'}."
        )
        assert answer(["v_Bow_g01_c01.avi"], ["v_Kick_g01_c01.avi"]) == set(), (
            "g01 of another class is another recording."
        )
        assert answer(["v_A_g1_c1.avi"], ["v_A_g10_c1.avi"]) == set(), "g1 is not g10."
        assert answer(["a_c01_g02_c11.mp4"], ["a_c01_g02_c03.mp4"]) == {"a_c01_g02"}, "Cut off the last _c only."

    return _check("on_both_sides", answer, attempt)


def accumulate(answer):
    """Notebook 12: the gradient of a whole batch, from its parts."""

    def attempt():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(
                nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 5)
            )
            x, label = torch.randn(10, 3, 4, 6, 6), torch.arange(10) % 5
        sizes = []
        network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
        for parts in (1, 2, 3, 4, 10):
            network.zero_grad()
            F.cross_entropy(network(x), label).backward()
            right = [p.grad.clone() for p in network.parameters()]
            sizes.clear()
            answer(network, x, label, parts)  # the gradients of before are still there
            assert sum(sizes) == 10 and max(sizes) <= -(-10 // parts), (
                f"With {parts} parts the network was given {sizes} clips."
            )
            for p, wanted in zip(network.parameters(), right):
                twice = torch.allclose(p.grad, 2 * wanted, atol=1e-5)
                assert not twice, "Gradients add up: set those of before to zero first."
                hint = (
                    "Weigh each part by its share of the clips." if 10 % parts else "A mean of means, each over a part."
                )
                assert torch.allclose(p.grad, wanted, atol=1e-5), f"With {parts} parts the gradient is another. {hint}"

    return _check("accumulate", answer, attempt)


def class_activation(answer):
    """Notebook 11: where the last stage finds a class, (T, H, W), without a gradient."""

    def attempt():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = NETWORKS["r2plus1d_18"](7, 8).eval()
            nn.init.normal_(network.fc.bias)
            clip = torch.randn(3, 9, 40, 56)
        with torch.inference_mode():
            maps = network.layer4(network.layer3(network.layer2(network.layer1(network.stem(clip[None])))))[0]
            logits = network(clip[None])[0]
            for label in (2, 5):
                heat = answer(network, clip, label)
                shape, wanted = tuple(heat.shape), tuple(maps.shape[1:])
                assert shape == wanted, f"Give one number for each place of layer4, {wanted}; yours has {shape}."
                rest = float(logits[label] - network.fc.bias[label])
                given = float(heat.mean())
                assert abs(given - rest) < 1e-3 * abs(rest), (
                    f"Its mean is to be the logit without its bias, {rest:.4f}; it is {given:.4f}."
                )
                right = torch.einsum("c,cthw->thw", network.fc.weight[label], maps)
                assert torch.allclose(heat, right, atol=1e-4 * float(right.abs().max())), (
                    "The mean is right, the places are not."
                )

    return _check("class_activation", answer, attempt)


def pointing_game(answer):
    """Notebook 11: the share of frames whose hottest pixel lies on the figure, from two (T, H, W)."""

    def attempt():
        heat, mask = torch.zeros(4, 3, 5), torch.zeros(4, 3, 5, dtype=torch.bool)
        places = [(0, 0), (2, 4), (1, 3), (2, 0)]
        for k, (row, column) in enumerate(places):
            heat[k, row, column] = 1.0 + k
            mask[k, row, column] = k != 2
            mask[k, 1, 1] = True
        assert abs(answer(heat, mask) - 0.75) < 1e-6, (
            "In three of four frames the hottest pixel lies on the figure: 0.75."
        )
        assert abs(answer(heat.flip(0), mask.flip(0)) - 0.75) < 1e-6, (
            "Each frame counts for itself, however hot the others are."
        )
        assert abs(answer(heat - 10, mask) - 0.75) < 1e-6, (
            "Heat may be negative everywhere; one pixel is the hottest all the same."
        )
        assert abs(answer(heat, torch.zeros_like(mask))) < 1e-6, "Without a figure nothing can be hit: 0."
        assert abs(answer(heat, heat == heat.amax()) - 0.25) < 1e-6, (
            "Only the last frame has a figure where it is hottest: 0.25."
        )

    return _check("pointing_game", answer, attempt)


def frames_seen(answer):
    """Notebook 10: over how many frames one number of the last layer reaches, from the extents and strides of all layers."""

    def attempt():
        assert answer((4, 2, 2), (2, 2, 2)) == 10, "Slow fusion's third layer sees ten frames."
        assert answer((5,), (3,)) == 5, "One layer sees its extent, whatever its stride."
        assert answer((3, 3), (1, 1)) == 5, "Two layers of 3 with stride 1 see 5 frames."
        for extents, strides in (
            ((3, 1, 3), (2, 2, 1)),
            ((1, 1), (4, 4)),
            ((7, 3, 3, 3), (1, 2, 2, 2)),
            ((2, 5), (3, 1)),
        ):
            seen = {0}  # walked from the last layer to the clip
            for extent, stride in zip(reversed(extents), reversed(strides)):
                seen = {place * stride + k for place in seen for k in range(extent)}
            right = max(seen) - min(seen) + 1
            given = answer(extents, strides)
            assert given == right, (
                f"Extents {extents} with strides {strides} reach over {right} frames; you say {given}."
            )

    return _check("frames_seen", answer, attempt)


def settled(answer):
    """Notebook 10: from logits (T, classes) the frame from which on the answer stays the same."""

    def attempt():
        def logits(*answers):
            return F.one_hot(torch.tensor(answers), 4).float() - 2

        for answers, right in (
            ((0, 1, 2, 2, 2), 2),
            ((3, 3, 3), 0),
            ((1, 1, 0), 2),
            ((2, 1, 2, 1, 1, 1), 3),
            ((0,), 0),
        ):
            given = answer(logits(*answers))
            assert given == right, (
                f"If the answers are {answers}, the last one stands from frame {right} on; you say {given}."
            )
        assert answer(torch.tensor([[1.0, 2.0], [3.0, 2.0], [9.0, 2.0]])) == 1, (
            "Its answer is the class with the highest logit."
        )

    return _check("settled", answer, attempt)


def least_seconds(answer):
    """Notebook 13: the time that the roofline leaves a layer, from its FLOP, its bytes, a peak and a bandwidth."""

    def attempt():
        assert abs(answer(200e9, 1e9, 100e9, 50e9) - 2) < 1e-9, (
            "200 GFLOP at 100 a second take 2 seconds, if moving takes less."
        )
        assert abs(answer(1e9, 200e9, 100e9, 50e9) - 4) < 1e-9, (
            "200 GB at 50 a second take 4 seconds, however little is computed."
        )
        for case in ((3e9, 7e9, 2e9, 5e9), (5e10, 4e10, 5e10, 4e10), (0.0, 8e6, 3e11, 2e10), (8e6, 0.0, 3e11, 2e10)):
            right = max(case[0] / case[2], case[1] / case[3])
            given = answer(*case)
            told = f"The longer of computing and moving counts: {right:.3g} s for {case}; you say {given:.3g}."
            assert abs(given - right) <= 1e-9 * right, told

    return _check("least_seconds", answer, attempt)


def fold_before(answer):
    """Notebook 13: a convolution that does the work of the batch norm before it as well, from norm and convolution."""

    def attempt():
        torch.manual_seed(0)
        for bias, kernel in ((False, 1), (True, 1), (True, (3, 1, 2))):
            norm, conv = nn.BatchNorm3d(4).eval(), nn.Conv3d(4, 6, kernel, bias=bias)
            with torch.no_grad():
                for values, low, high in (
                    (norm.running_mean, -1, 1),
                    (norm.running_var, 0.5, 2),
                    (norm.weight, 0.5, 2),
                    (norm.bias, -1, 1),
                ):
                    values.uniform_(low, high)
            before = [value.clone() for value in (*norm.state_dict().values(), *conv.state_dict().values())]
            x = torch.randn(2, 4, 5, 6, 6)
            with torch.inference_mode():
                wanted, folded = conv(norm(x)), answer(norm, conv)
                assert isinstance(folded, nn.Conv3d), "Give a single convolution."
                given = folded(x)
            after = (*norm.state_dict().values(), *conv.state_dict().values())
            assert all(map(torch.equal, before, after)), "Leave norm and convolution as they are: make a new one."
            shifted = (given - wanted).flatten(2).std(-1).max() < 1e-4 and not _close(given, wanted)
            assert not shifted, (
                "Only the bias is wrong: what the norm adds goes through the filters, too, and the convolution may have a bias."
            )
            assert _close(given, wanted), (
                "It does not give conv(norm(x)). The norm scales what comes in: which axis of the weights is that?"
            )

    return _check("fold_before", answer, attempt)
