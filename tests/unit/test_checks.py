"""The exercises' checkers: right answers pass, wrong ones get a hint, and nothing that a reader writes makes them raise."""

import bisect
import copy
import inspect
import math
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import video as video_networks

from helpers import blocks, checks, networks

RIGHT = {
    "frame_at": lambda times, moment: bisect.bisect_right(times, moment) - 1,
    "clip_seconds": lambda frames, rate: (frames - 1) / rate,
    "y_t_slice": lambda clip, column: clip[..., column].permute(2, 1, 0),
    "conv3d_macs": lambda weight, output: math.prod(weight) * output[0] * math.prod(output[2:]),
    "factorize": lambda kernel: svd_factorize(kernel),
    "conv2plus1d": lambda n_in, n_out, middle, stride: two_convolutions(n_in, n_out, middle, stride),
    "as_pair": lambda weight, filters: pair_of_convolutions(weight, filters),
    "basic_block": lambda n_in, n_out, stride: Block(n_in, n_out, stride),
    "places_read": lambda n, blocks: len(range(0, n, 2**blocks)),
    "last_map": lambda *sizes: [math.ceil(n / step) for n, step in zip(sizes, (8, 16, 16))],
    "r2plus1d_18": lambda classes: Whole(classes),
    "group_kinds": lambda name: group_kinds(name),
    "frames_left": lambda kinds, frames: frames_left(kinds, frames),
    "mend": lambda state, network: mended(state, network),
    "load_features": lambda network, state: load_all_but(network, state, {"fc.weight", "fc.bias"}),
    "protocol_starts": lambda n: torch.linspace(0, n - 16, 5, dtype=torch.float64).floor().int().tolist(),
    "vote": lambda logits: int(logits.softmax(1).sum(0).argmax()),
    "ceiling": lambda actions, pairs: 1 - pairs / actions,
    "order_matters": lambda network, clip: backwards_differs(network, clip),
    "on_both_sides": lambda training, testing: recordings(training) & recordings(testing),
    "accumulate": lambda network, x, label, parts: in_parts(network, x, label, parts),
    "class_activation": lambda network, clip, label: activation(network, clip, network.fc.weight[label]),
    "pointing_game": lambda heat, mask: hits(heat, mask).mean(),
    "frames_seen": lambda extents, strides: reach(extents, strides),
    "settled": lambda logits: last_change(logits.argmax(1).tolist()),
    "least_seconds": lambda flop, size, peak, bandwidth: max(flop / peak, size / bandwidth),
    "fold_before": lambda norm, conv: before_it(norm, conv),
}
WRONG = {
    "least_seconds": [
        (lambda flop, size, peak, bandwidth: flop / peak, "200 GB at 50"),
        (lambda flop, size, peak, bandwidth: size / bandwidth, "200 GFLOP at 100"),
        (lambda flop, size, peak, bandwidth: flop / peak + size / bandwidth, "200 GFLOP at 100"),
        (lambda flop, size, peak, bandwidth: max(2, 4 if flop < size else 0), "The longer of computing and moving"),
    ],
    "fold_before": [
        (lambda norm, conv: nn.Sequential(norm, conv), "a single convolution"),
        (lambda norm, conv: conv, "which axis of the weights"),
        (lambda norm, conv: before_it(norm, conv, through=False), "Only the bias is wrong"),
        (lambda norm, conv: before_it(norm, conv, own=False), "Only the bias is wrong"),
        (lambda norm, conv: before_it(norm, conv, inputs=False), "which axis of the weights"),
        (lambda norm, conv: before_it(norm, conv, new=False), "make a new one"),
    ],
    "protocol_starts": [
        (lambda n: [0, n // 4, n // 2, 3 * n // 4, n], "A video of 16 frames"),
        (lambda n: [k * (n - 16) // 5 for k in range(5)], "the last clip begins at 44"),
        (lambda n: [round(k * (n - 16) / 4) for k in range(5)], "Of 17 frames .* rounded down"),
        (lambda n: [0] * 5 if n == 16 else [0, n - 16], "Five clips are wanted"),
    ],
    "vote": [
        (lambda logits: int(logits.softmax(1).min(0).values.argmin()), "a single clip"),
        (lambda logits: int(logits.mean(0).argmax()), "average after the softmax"),
        (lambda logits: int(logits.argmax(1).mode().values), "Do not count heads"),
    ],
    "ceiling": [
        (lambda actions, pairs: 0.7, "Without pairs nothing"),
        (lambda actions, pairs: (actions - 2 * pairs) / actions, "of every two clips one can be right"),
        (lambda actions, pairs: (actions - pairs) / max(actions, 2) if actions < 11 else 0.9, "400 actions"),
    ],
    "order_matters": [
        (lambda network, clip: True, "A mean over single frames"),
        (lambda network, clip: False, "A 3D convolution changes"),
        (
            lambda network, clip: bool((network(clip[None]) != network(clip.flip(1)[None])).any()),
            "Allow for rounding|Ask in eval mode",
        ),
        (lambda network, clip: backwards_differs(network, clip, stay=True), "Put the network back"),
        (
            lambda network, clip: backwards_differs(network, clip, axis=2),
            "does not depend on their order|Turn the axis of time",
        ),
        (lambda network, clip: network(clip), "ValueError: a network takes a batch"),
    ],
    "on_both_sides": [
        (lambda training, testing: [], "Return a set"),
        (lambda training, testing: set(training) & set(testing), "stand on two sides; you say nothing"),
        (
            lambda training, testing: {n.split("_c")[0] for n in training} & {n.split("_c")[0] for n in testing},
            "Cut off the last _c only",
        ),
        (lambda training, testing: {n[-11:-8] for n in training} & {n[-11:-8] for n in testing}, "v_Archery_g03"),
        (lambda training, testing: {"v_Archery_g03"} if len(training) == 2 else {"g"}, "another recording"),
    ],
    "frames_seen": [
        (lambda extents, strides: 10, "whatever its stride"),
        (lambda extents, strides: sum(extents) - len(extents) + 1, "Slow fusion's third layer"),
        (lambda extents, strides: reach(extents, strides) + (strides[0] > 2), "whatever its stride"),
        (lambda extents, strides: reach(extents, [2] * len(extents)), "with stride 1"),
        (lambda extents, strides: reach(extents[:3], strides), "(7, 3, 3, 3)"),
    ],
    "settled": [
        (lambda logits: 0, "stands from frame 2 on"),
        (lambda logits: logits.argmax(1).tolist().index(logits[-1].argmax()), "(2, 1, 2, 1, 1, 1)"),
        (lambda logits: len(logits) - 1, "stands from frame 2 on; you say 4"),
        (lambda logits: last_change(logits.argmin(1).tolist()), "If the answers are"),
        (lambda logits: last_change((logits[:, -1] > -1.5).tolist()), "If the answers are"),
        (lambda logits: last_change(logits.argmax(1).tolist()) or 1, "(3, 3, 3)"),
    ],
    "class_activation": [
        (
            lambda network, clip, label: activation(network, clip, network.fc.weight[label]).mean(0),
            "one number for each place of layer4",
        ),
        (
            lambda network, clip, label: activation(network, clip, network.fc.weight[label - 1]),
            "the logit without its bias",
        ),
        (
            lambda network, clip, label: activation(network, clip, network.fc.weight[label]) / 2,
            "the logit without its bias",
        ),
        (lambda network, clip, label: activation(network, clip, network.fc.weight[2]), "the logit without its bias"),
        (
            lambda network, clip, label: activation(network, clip, network.fc.weight[label]).flip(1),
            "The mean is right, the places are not",
        ),
    ],
    "pointing_game": [
        (lambda heat, mask: hits(heat, mask).sum(), "In three of four frames"),
        (lambda heat, mask: float(mask.flatten()[heat.argmax()]), "In three of four frames"),
        (lambda heat, mask: hits(heat * mask, mask).mean(), "negative everywhere"),
        (lambda heat, mask: hits(heat.clamp(min=0), mask).mean(), "negative everywhere"),
        (lambda heat, mask: 0.75, "Without a figure|Only the last"),
        (
            lambda heat, mask: (heat.flatten(1).argmax(1) == mask.flatten(1).float().argmax(1)).float().mean(),
            "In three|Without a figure",
        ),
    ],
    "accumulate": [
        (lambda network, x, label, parts: in_parts(network, x, label, 1), "With 2 parts the network was given"),
        (
            lambda network, x, label, parts: in_parts(network, x, label, parts, weigh=False),
            "Weigh each part by its share",
        ),
        (lambda network, x, label, parts: in_parts(network, x, label, parts, clear=False), "Gradients add up"),
        (
            lambda network, x, label, parts: in_parts(network, x, label, parts, scale=2),
            "A mean of means|Gradients add up",
        ),
    ],
    "frame_at": [
        (lambda times, moment: bisect.bisect_left(times, moment) - 1, "At the very moment"),
        (
            lambda times, moment: min(range(len(times)), key=lambda k: abs(times[k] - moment)),
            "the nearest frame is not meant",
        ),
        (lambda times, moment: [t > moment for t in times].index(True) - 1, "ValueError"),
        (lambda times, moment: round(moment / (times[1] - times[0]) - 0.49), "."),
    ],
    "clip_seconds": [
        (lambda frames, rate: frames / rate, "count the gaps"),
        (lambda frames, rate: frames - 1, "16 frames at 15"),
    ],
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
    "factorize": [
        (lambda kernel: (kernel[:, 0, 0], kernel[0]), "not the kernel"),
        (lambda kernel: (kernel[0], kernel[:, 0, 0]), "The shapes are"),
        (lambda kernel: [kernel], "two tensors"),
    ],
    "conv2plus1d": [
        (lambda *sizes: None, "Return a torch.nn.Module"),
        (lambda *sizes: nn.Sequential(nn.Conv3d(4, 5, (1, 3, 3), bias=False)), "no 1.weight"),
        (lambda *sizes: two_convolutions(*sizes, bias=True), "has 0.bias"),
        (
            lambda n_in, n_out, middle, stride: two_convolutions(n_in, n_out, 8, stride),
            r"0.weight is \(8, 4, 1, 3, 3\)",
        ),
        (lambda n_in, n_out, middle, stride: two_convolutions(n_in, n_out, middle, 1), "It gives"),
        (lambda *sizes: two_convolutions(*sizes, bend=nn.Identity), "other numbers in eval mode"),
        (
            lambda *sizes: two_convolutions(*sizes, norm=lambda n: nn.BatchNorm3d(n, eps=0.1)),
            "other numbers in eval mode",
        ),
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
    "last_map": [
        (lambda t, h, w: (t // 8, h // 16, w // 16), "Of one frame one is left"),
        (lambda t, h, w: (t // 16 + 1, h // 16, w // 16), r"9 x 33 x 128 leaves \(2, 3, 8\)"),
        (lambda t, h, w: (t, h, w), "leaves 2 x 7 x 7"),
    ],
    "r2plus1d_18": [
        (lambda classes: None, "Return a torch.nn.Module"),
        (lambda classes: nn.Linear(3, classes), r"has no stem\.0\.weight\. It has weight, which"),
        (
            lambda classes: altered("delete", "layer2.0.downsample", classes),
            r"no layer2\.0\.downsample.*Complete are: stem, layer1, layer3",
        ),
        (
            lambda classes: altered("delete", "fc", classes),
            r"no fc\.weight\. Complete are: stem, layer1, layer2, layer3, layer4\.",
        ),
        (lambda classes: altered("extra", "layer5", classes), "has layer5.weight, which torchvision's has not"),
        (lambda classes: video_networks.r2plus1d_18(num_classes=400), r"fc\.weight is \(400, 512\), not \(5, 512\)"),
        (lambda classes: networks.r2plus1d_18(classes, paper_widths=True), r"layer2\.0\.conv2\.0\.0\.weight is \(288"),
        (lambda classes: altered("eps", "stem.1", classes), r"The first difference is in what comes out of stem\.1"),
        (
            lambda classes: altered("stride", "layer2.0.conv1.0.0", classes),
            r"RuntimeError.*what comes out of layer2\.0\.conv1\.0\.0 is \(3, 230, 16, 16, 20\), not",
        ),
        (
            lambda classes: altered("padding", "layer1.1.conv2.0.3", classes),
            r"RuntimeError.*what comes out of layer1\.1\.conv2\.0\.3 is",
        ),
        (lambda classes: altered("first frame", "avgpool", classes), r"in what (comes out of avgpool|goes into fc)"),
        (lambda classes: altered("skip", "layer3.1.relu", classes), r"what comes out of layer3\.1\.relu"),
        (
            lambda classes: altered("delete", "stem.5", classes),
            r"what comes out of stem: what it is made of agrees; is a ReLU or a sum missing",
        ),
        (
            lambda classes: altered("before", "layer2.0", classes),
            r"what goes into layer2\.0.*: is something before it missing",
        ),
        (
            lambda classes: altered("dropout", "fc", classes),
            r"in train mode\. The first difference is in what comes out of fc",
        ),
        (lambda classes: altered("after", "fc", classes), "All named layers agree up to there"),
        (lambda classes: altered("freeze", "stem.0", classes), r"no gradient reaches stem\.0\.weight"),
        (
            lambda classes: altered("gradient", "layer4.0.conv1.0.0", classes),
            r"gradient of layer4\.0\.conv1\.0\.0\.weight is another",
        ),
    ],
    "group_kinds": [
        (lambda name: ["3D"] * int(name[-1]) + ["2D"] * (5 - int(name[-1])), "only the stem"),
        (
            lambda name: ["3D" if k < int(name[-1]) else "2D" for k in range(1, 6)],
            "changed their roles, not their order",
        ),
        (lambda name: group_kinds(name if name in ("mc2", "rmc5") else "mc4"), "For mc3 it is 3D, 3D, 2D"),
    ],
    "frames_left": [
        (lambda kinds, frames: frames // 2 ** sum(kind == "3D" for kind in kinds), "Three groups"),
        (lambda kinds, frames: -(-frames // 8), "leave the frames alone"),
        (lambda kinds, frames: 8 if kinds[1:3] == ("3D", "2D") else frames_left(kinds, frames), "The stem and layer1"),
        (lambda kinds, frames: frames_left(("2D", *kinds[1:]), frames), "one picture of all frames"),
        (lambda kinds, frames: max(1, frames_left(kinds, frames // 2 * 2)), "rounds up"),
    ],
    "mend": [
        (
            lambda state, network: {name.removeprefix("module."): value for name, value in state.items()},
            "prefix 'model.backbone.'",
        ),
        (lambda state, network: {name.partition(".")[2]: value for name, value in state.items()}, "prefix ''"),
        (lambda state, network: list(state), "Return a dict"),
        (lambda state, network: dict(zip(network.state_dict(), state.values())), "changed places"),
    ],
    "load_features": [
        (lambda network, state: network.load_state_dict(state), "RuntimeError"),
        (lambda network, state: None, "stem.weight was not loaded"),
        (
            lambda network, state: network.load_state_dict(
                {n: t for n, t in state.items() if n[:2] != "fc"}, strict=False
            ),
            "when a name is missing",
        ),
        (
            lambda network, state: load_all_but(network, state, {"fc.weight", "fc.bias"}, unexpected=False),
            "when a name is unexpected",
        ),
        (
            lambda network, state: load_all_but(network, state, {"fc.weight", "fc.bias", "stem.weight"}),
            "stem.weight was not loaded",
        ),
        (lambda network, state: load_with_assert(network, state), "raise a ValueError, not an AssertionError"),
    ],
}


def mended(state, network):
    cut = min(map(len, state)) - min(map(len, network.state_dict()))
    return {name[cut:]: value for name, value in state.items()}


def load_with_assert(network, state):
    kept = {name: value for name, value in state.items() if name[:2] != "fc"}
    assert kept.keys() | {"fc.weight", "fc.bias"} == network.state_dict().keys()
    network.load_state_dict(kept, strict=False)


def load_all_but(network, state, names, unexpected=True):
    report = network.load_state_dict({name: value for name, value in state.items() if name not in names}, strict=False)
    if set(report.missing_keys) - names or (unexpected and report.unexpected_keys):
        raise ValueError("does not fit")


def altered(how, where, classes):
    """torchvision's network with one mistake in it."""
    network = video_networks.r2plus1d_18(num_classes=classes)
    parent, _, name = where.rpartition(".")
    part = None if how == "extra" else network.get_submodule(where)
    if how == "delete":
        if parent == "stem":
            network.stem = nn.Sequential(*list(network.stem)[: int(name)])
        else:
            setattr(network.get_submodule(parent), name, None)
    elif how == "extra":
        setattr(network, name, nn.Linear(1, 1))
    elif how == "eps":
        part.eps = 1e-3
    elif how == "stride":
        part.stride = (1, 1, 1)
    elif how == "padding":
        part.padding = (0, 0, 0)
    elif how == "skip":
        part.forward = lambda x: x
    elif how == "dropout":
        part.register_forward_hook(lambda module, x, y: nn.functional.dropout(y, 0.5, module.training))
    elif how == "before":
        part.register_forward_pre_hook(lambda module, x: (x[0] - 1,), prepend=True)
    elif how == "first frame":
        part.forward = lambda x: x[:, :, :1].mean((2, 3, 4), keepdim=True)
    elif how == "after":
        network.register_forward_hook(lambda module, x, y: y + 1)
    elif how == "freeze":
        part.weight.requires_grad_(False)
    elif how == "gradient":
        part.weight.register_hook(lambda gradient: 2 * gradient)
    return network


class Whole(nn.Module):
    def __init__(self, classes):
        super().__init__()
        stem = [nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False), nn.BatchNorm3d(45), nn.ReLU()]
        self.stem = nn.Sequential(
            *stem, nn.Conv3d(45, 64, (3, 1, 1), padding=(1, 0, 0), bias=False), nn.BatchNorm3d(64), nn.ReLU()
        )
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x))))).mean((2, 3, 4)))


def backwards_differs(network, clip, axis=1, stay=False):
    mode = network.training
    network.eval()
    with torch.no_grad():
        one, other = network(clip[None]), network(clip.flip(axis)[None])
    if not stay:
        network.train(mode)
    return not torch.allclose(one, other, atol=1e-5)


def activation(network, clip, weight):
    x = clip[None]
    for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
        x = getattr(network, name)(x)
    return (weight[:, None, None, None] * x[0]).sum(0)


def reach(extents, strides):
    return 1 + sum((extent - 1) * math.prod(strides[:k]) for k, extent in enumerate(extents))


def before_it(norm, conv, through=True, own=True, inputs=True, new=True):
    """A convolution with the norm before it folded in; and what may go wrong."""
    folded = copy.deepcopy(conv) if new else conv
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    passed = conv.weight.flatten(2).sum(2) @ shift if through else shift.sum().expand(conv.out_channels)
    bias = passed + (conv.bias if own and conv.bias is not None else 0)
    shape = (1, -1, 1, 1, 1) if inputs else (-1, 1, 1, 1, 1)
    scale = scale if inputs else scale.mean().expand(conv.out_channels)
    folded.weight.data = conv.weight.data * scale.view(shape)
    folded.bias = nn.Parameter(bias)
    return folded


def last_change(answers):
    return max((k for k in range(1, len(answers)) if answers[k] != answers[k - 1]), default=0)


def hits(heat, mask):
    return mask.flatten(1).gather(1, heat.flatten(1).argmax(1, keepdim=True)).float()


def recordings(names):
    return {name.rpartition("_c")[0] for name in names}


def in_parts(network, x, label, parts, weigh=True, clear=True, scale=1):
    if clear:
        network.zero_grad()
    for some, theirs in zip(x.chunk(parts), label.chunk(parts)):
        share = len(some) / len(x) if weigh else 1 / parts
        (scale * share * F.cross_entropy(network(some), theirs)).backward()


def group_kinds(name):
    kinds = ["3D"] * (int(name[-1]) - 1)
    kinds += ["2D"] * (5 - len(kinds))
    return kinds if name[0] == "m" else [{"2D": "3D", "3D": "2D"}[kind] for kind in kinds]


def frames_left(kinds, frames):
    return 1 if kinds[0] == "R2D" else math.ceil(frames / 2 ** sum(kind != "2D" for kind in kinds[2:]))


def svd_factorize(kernel):
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
