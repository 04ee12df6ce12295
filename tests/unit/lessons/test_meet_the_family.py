"""Notebook 08: its figure, its explorer and the checks of its exercises."""

import math

import pytest
import torch
from lesson_tests import assert_readable, colors, exercise_tests, record
from matplotlib.patches import Polygon, Rectangle
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights
from torchvision.models import video as reference

from helpers import plots
from helpers.lessons import meet_the_family as lesson
from helpers.networks import FAMILY

NAMES = ("R2D", "f-R2D", "MC2", "MC3", "MC4", "MC5", "rMC2", "rMC3", "rMC4", "rMC5", "R3D", "R(2+1)D")


def kinds_of(name):
    kinds = ["3D"] * (int(name[-1]) - 1)
    kinds += ["2D"] * (5 - len(kinds))
    return kinds if name[0] == "m" else [{"2D": "3D", "3D": "2D"}[kind] for kind in kinds]


def keeps_all_frames(kinds):
    return frames_left(kinds, 16) == 16


def frames_left(kinds, frames):
    return 1 if kinds[0] == "R2D" else math.ceil(frames / 2 ** sum(kind != "2D" for kind in kinds[2:]))


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_keeps_all_frames": keeps_all_frames,
        "check_frames_left": frames_left,
        "check_kinds_of": kinds_of,
    },
    wrong={
        "check_keeps_all_frames": [
            (lambda kinds: "3D" not in kinds, "no stride halves"),
            (lambda kinds: "3D" not in kinds[2:], "not only 3D"),
            (lambda kinds: set(kinds[2:]) == {"2D"}, "one image of all frames"),
            (lambda kinds: kinds[0] != "R2D" and kinds[2] == "2D", "For rMC4 the function must return False"),
        ],
        "check_kinds_of": [
            (lambda name: ["3D"] * int(name[-1]) + ["2D"] * (5 - int(name[-1])), "only the stem"),
            (lambda name: ["3D" if k < int(name[-1]) else "2D" for k in range(1, 6)], "roles, not their order"),
            (lambda name: kinds_of(name if name in ("mc2", "rmc5") else "mc4"), "For mc3 it is 3D, 3D, 2D"),
        ],
        "check_frames_left": [
            (lambda kinds, frames: frames // 2 ** sum(kind == "3D" for kind in kinds), "Three stages"),
            (lambda kinds, frames: -(-frames // 8), "leave the number of frames"),
            (
                lambda kinds, frames: 8 if kinds[1:3] == ("3D", "2D") else frames_left(kinds, frames),
                "The stem and layer1 have no temporal stride",
            ),
            (lambda kinds, frames: frames_left(("2D", *kinds[1:]), frames), "one image of all frames"),
            (lambda kinds, frames: max(1, frames_left(kinds, frames // 2 * 2)), "rounds up"),
        ],
    },
)


def test_the_family_has_a_column_for_each_member():
    figure = lesson.family_figure({"one": ("R2D", "2D", "2D", "2D", "2D"), "two": ("3D", "3D", "(2+1)D", "2D", "2D")})
    (axes,) = figure.get_axes()
    above = [patch for patch in axes.patches if patch.get_extents().y0 >= -2.5]  # the legend is below
    first = [patch for patch in above if isinstance(patch, Rectangle) and -0.5 < patch.get_x() < 0.5]
    assert colors(first) == [plots.SPACE] * 5
    orange = [patch for patch in above if colors([patch]) == [plots.TIME]]
    assert sum(isinstance(patch, Polygon) for patch in orange) == 3  # two stages in 3D, and half of a (2+1)D one
    words = [text.get_text() for text in axes.texts]
    assert words.count("3L") == 2 and {"one", "two", "stem", "layer4"} <= set(words)
    assert_readable(lesson.family_figure(dict.fromkeys(NAMES, ("R2D", "2D", "3D", "3D", "(2+1)D"))))


def test_every_member_has_a_marker_of_its_own():
    points = dict.fromkeys(NAMES, (1, 1))
    figure = plots.scatter([dict(title="a", xlabel="b", ylabel="c", points=points)], lesson.LOOKS)
    marks = {(line.get_marker(), line.get_color()) for line in figure.get_axes()[0].lines}
    assert set(lesson.LOOKS) == set(NAMES) and len(marks) == 12
    assert_readable(figure)


def test_accuracies_are_drawn_over_both_costs():
    costs = {8: dict.fromkeys(FAMILY, (1, 2)) | dict(mc3=(3, 4)), 16: dict.fromkeys(FAMILY, (5, 6))}
    figure = lesson.accuracy_figure(costs)
    points = [{line.get_label(): (*line.get_xdata(), *line.get_ydata()) for line in a.lines} for a in figure.axes]
    assert [panel["MC3"] for panel in points] == [(3, 62.9), (5, 64.7), (4, 62.9), (6, 64.7)]
    assert [a.get_title(loc="left") for a in figure.axes] == ["clips of 8 frames", "clips of 16 frames"] * 2
    assert len({a.get_ylim() for a in figure.axes}) == 1  # so that 8 and 16 frames can be compared
    assert_readable(figure)


def test_what_torchvision_publishes_is_read_from_its_metadata():
    published = lesson.published_networks()
    accuracies = [network.accuracy for network in published.values()]
    assert accuracies == sorted(accuracies) and len(published) >= 10
    r2plus1d, s3d, swin = (published[name] for name in ("r2plus1d_18", "s3d", "swin3d_b from ImageNet-22k"))
    assert r2plus1d == ("r2plus1d_18", 67.463, "video", 5, 16, 112, 15.0, 31.505325, 40.519)
    assert (s3d.level, s3d.clips, s3d.frames, s3d.size) == ("clip", 1, 128, 224)
    assert (swin.builder, swin.clips, swin.frames) == ("swin3d_b", 12, 32)
    assert swin.accuracy > published["swin3d_b"].accuracy
    work = {name: p.multiply_adds * p.frames / 16 * p.clips for name, p in published.items()}
    figure = lesson.published_figure(published, work)
    (axes,) = figure.axes
    points = {line.get_label(): (*line.get_xdata(), *line.get_ydata()) for line in axes.lines}
    assert points == {name: (work[name], published[name].accuracy) for name in published}
    assert axes.get_xscale() == "log"
    beside = {text.get_text(): tuple(text.xy) for text in axes.texts}
    assert beside == {name + ", one clip" * (name == "s3d"): point for name, point in points.items()}
    assert [line.get_label() for line in axes.lines if line.get_markerfacecolor() == "none"] == ["s3d"]
    assert_readable(figure)


@pytest.mark.parametrize("member, theirs", [("r3d", "r3d_18"), ("mc3", "mc3_18"), ("r2plus1d", "r2plus1d_18")])
@pytest.mark.parametrize("frames, size", [(1, 32), (64, 256)])
def test_what_is_drawn_is_true(member, theirs, frames, size, monkeypatch, capsys):
    """Against torchvision's networks, run on tensors without content."""
    shown = record(monkeypatch)
    network, work, shapes = measured(theirs, frames, size)
    lesson.draw_member(member, 18, frames, size)
    printed = ("stem " + capsys.readouterr().out.rpartition("stem ")[2]).splitlines()
    assert [line.split()[0] for line in printed] == ["stem", "layer1", "layer2", "layer3", "layer4", "fc", "total"]
    for line in printed[:-1]:
        name = line.split()[0]
        assert f" {shapes[name]} " in line and f"{work[name] / 1e9:.3f} G multiply-adds" in line
        assert f" {sum(p.numel() for p in getattr(network, name).parameters()):,} parameters" in line
    assert f" {sum(p.numel() for p in network.parameters()):,} parameters" in printed[-1]
    assert f" {sum(work.values()) / 1e9:.3f} G multiply-adds" in printed[-1]
    words = [text.get_text() for text in shown[-1][0].get_axes()[0].texts]
    assert shapes["layer4"].replace(" ", "") in words and f"3x{frames}x{size}x{size}" in words


def measured(name, frames, size):
    """A network of torchvision, and of each of its parts the multiply-adds and the shape of the output."""
    with torch.device("meta"):
        network = getattr(reference, name)()
    work, shapes = {}, {}

    def note(module, x, y, name):
        part = name.split(".")[0]
        if hasattr(module, "weight") and module.weight.ndim > 1:
            work[part] = work.get(part, 0) + module.weight[0].numel() * y.numel()
        if "." not in name:
            shapes[name] = " x ".join(map(str, y.shape[1:]))

    for name, module in network.named_modules():
        if name:
            module.register_forward_hook(lambda module, x, y, name=name: note(module, x, y, name))
    network(torch.empty(1, 3, frames, size, size, device="meta"))
    return network, work, shapes


@pytest.mark.parametrize("member, depth", [*((member, 18) for member in FAMILY), ("r2d", 34), ("r2plus1d", 34)])
def test_the_total_of_every_member_is_the_sum_of_its_parts(member, depth, monkeypatch, capsys):
    record(monkeypatch)
    lesson.draw_member(member, depth, frames=5, size=48)
    saved = [float(line.split("adds")[1].split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert saved[-1] > 0 and saved[-1] == pytest.approx(sum(saved[:-1]), abs=0.3)


@pytest.mark.parametrize(
    "name, frames, giga", [("r2plus1d_18", 16, 40.5), ("s3d", 16, 18.0), ("s3d", 128, 143.8), ("swin3d_t", 32, 87.8)]
)
def test_a_published_count_of_multiply_adds_is_that_of_16_frames(name, frames, giga):
    """What the notebook concludes: the clip of the accuracy may cost a multiple of `_ops`."""
    weights = get_model_weights(name).KINETICS400_V1
    with torch.device("meta"):
        network, clip = getattr(reference, name)().eval(), torch.empty(1, 3, frames, *weights.transforms().crop_size)
    with FlopCounterMode(display=False) as counter:
        network(clip)
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, abs=0.05)
    assert (frames == 16) == (counter.get_total_flops() / 2e9 == pytest.approx(weights.meta["_ops"], abs=0.001))


def test_r2plus1d_takes_clips_of_other_sizes_and_mvit_does_not():
    clip = torch.empty(1, 3, 5, 64, 80, device="meta")
    with torch.device("meta"):
        free, bound = reference.r2plus1d_18().eval(), reference.mvit_v2_s().eval()
    assert free(clip).shape == (1, 400)
    for shape in ((32, 224, 224), (16, 256, 256)):
        with pytest.raises(RuntimeError, match="shape"):
            bound(torch.empty(1, 3, *shape, device="meta"))
