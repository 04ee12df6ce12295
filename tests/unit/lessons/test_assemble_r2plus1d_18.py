"""Notebook 05: its figures, its explorer and the checks of its exercises."""

import math

import numpy as np
import pytest
import torch
from lesson_tests import assert_readable, colors, exercise_tests, noise, pictures, record
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models import video as reference

from helpers import networks, plots, video, weights
from helpers.lessons import assemble_r2plus1d_18 as lesson


def altered(change, classes):
    """torchvision's network with a mistake in it."""
    network = reference.r2plus1d_18(num_classes=classes)
    change(network)
    return network


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_last_map": lambda *sizes: [math.ceil(n / step) for n, step in zip(sizes, (8, 16, 16))],
        "check_r2plus1d_18": networks.r2plus1d_18,
    },
    wrong={
        "check_last_map": [
            (lambda t, h, w: (t // 8, h // 16, w // 16), "One frame stays one frame"),
            (lambda t, h, w: (t // 16 + 1, h // 16, w // 16), r"9 x 33 x 128 leaves \(2, 3, 8\)"),
            (lambda t, h, w: (t, h, w), "leaves 2 x 7 x 7"),
        ],
        "check_r2plus1d_18": [  # mistakes within the network are tried in test_exercises, on a narrow one
            (lambda classes: None, "Return a torch.nn.Module"),
            (lambda classes: nn.Linear(3, classes), r"has no stem\.0\.weight\. It has weight, which"),
            (lambda classes: networks.r2plus1d_18(400), r"fc\.weight is \(400, 512\), not \(5, 512\)"),
            (
                lambda classes: networks.r2plus1d_18(classes, paper_widths=True),
                r"layer2\.0\.conv2\.0\.0\.weight is \(288",
            ),
            (
                lambda classes: altered(lambda n: setattr(n.stem[1], "eps", 1e-3), classes),
                r"The first difference is in what comes out of stem\.1",
            ),
            (
                lambda classes: altered(lambda n: n.stem[0].weight.requires_grad_(False), classes),
                r"no gradient reaches stem\.0\.weight",
            ),
            (
                lambda classes: altered(
                    lambda n: n.layer4[0].conv1[0][0].weight.register_hook(lambda g: 2 * g), classes
                ),
                r"gradient of layer4\.0\.conv1\.0\.0\.weight is different",
            ),
        ],
    },
)


def test_receptive_fields_are_drawn_to_scale():
    frames = noise(16, 112, 100)
    figure = lesson.receptive_fields_figure(frames, {"stem": (3, 7, 9), "layer4": (109, 219, 221)})
    space, time = figure.get_axes()
    assert np.array_equal(pictures(figure)[0], frames[8]) and space.images[0].get_extent() == [-50, 50, 56, -56]
    assert [(box.get_width(), box.get_height()) for box in space.patches] == [(9, 7), (221, 219)]
    for box in space.patches:
        assert box.get_x() == -box.get_width() / 2 and box.get_y() == -box.get_height() / 2
    (bars,) = time.containers
    assert [bar.get_width() for bar in bars] == [3, 109] and [bar.get_x() for bar in bars] == [-1.5, -54.5]
    assert [text.get_text() for text in time.get_yticklabels()] == ["stem", "layer4"]
    assert {"3", "109"} < {text.get_text() for text in time.texts} and band(time) == (-8, 8)
    assert bars[0].get_y() > bars[1].get_y()  # the stem stands above
    fields = {"stem": (3, 7, 7), "layer1": (5, 9, 9), "layer2": (25, 50, 50), "fc": (109, 219, 221)}
    assert_readable(lesson.receptive_fields_figure(frames, fields))


def band(axes):
    """From where to where the band that is marked as the clip goes."""
    (span,) = (patch for patch in axes.patches if colors([patch]) == [plots.PALE])
    assert "clip" in {text.get_text() for text in axes.texts}
    return span.get_x(), span.get_x() + span.get_width()


def test_influence_is_drawn_around_the_middle_as_fractions():
    figure = lesson.influence_figure(np.array([0.0, 1, 2, 1]), torch.tensor([1.0, 6, 1]), clip=(2, 1))
    (time,), (space,) = (axes.lines for axes in figure.get_axes())
    assert list(time.get_xdata()) == [-2, -1, 0, 1] and list(space.get_xdata()) == [-1, 0, 1]
    assert list(time.get_ydata()) == [0, 0.25, 0.5, 0.25] and list(space.get_ydata()) == [0.125, 0.75, 0.125]
    assert [line.get_color() for line in (time, space)] == [plots.TIME, plots.SPACE]
    assert [axes.get_xlabel() for axes in figure.get_axes()] == ["frames from the middle", "pixels from the middle"]
    assert [band(axes) for axes in figure.get_axes()] == [(-1, 1), (-0.5, 0.5)]
    assert_readable(figure)


def test_a_stage_is_drawn_in_order():
    maps = np.random.default_rng(0).random((10, 5, 6))
    heads = ["one", "", "two", "", ""] * 2
    _, *panels = lesson.stage_figure(plots.FULL_SHAPES, "layer2", maps, list("abcdefghij"), heads).get_axes()
    assert np.array_equal([axes.images[0].get_array() for axes in panels], maps)
    assert [axes.get_xlabel() for axes in panels] == list("abcdefghij")
    assert [axes.get_title(loc="left") for axes in panels] == heads
    times, channels = ["0.93 s"] * 24, ["channel 511", ""] * 12
    assert_readable(lesson.stage_figure(plots.FULL_SHAPES, "layer4", np.ones((24, 7, 7)), times, channels))


@pytest.fixture(scope="module")
def explored():
    """A trained network, frames, and what torch's own hooks see in the network."""
    pretrained = weights.load("stickfigures")
    frames = video.read_clip(weights.ASSETS / "jumping_jacks.mp4")
    values = {"clip": pretrained.preprocess(frames)}
    hooks = []
    for name in plots.PARTS:
        if name != "clip":
            part = getattr(pretrained.network, name)
            hooks.append(part.register_forward_hook(lambda m, x, y, name=name: values.update({name: y[0].clone()})))
    with torch.inference_mode():
        pretrained.network(values["clip"][None])
    for hook in hooks:
        hook.remove()
    values["avgpool"] = values["avgpool"].flatten()
    return pretrained, frames, values


@pytest.mark.parametrize("stage", ["stem", "layer1", "layer2", "layer3", "layer4"])
def test_a_stage_is_lit_and_its_maps_are_shown(stage, explored, monkeypatch, capsys):
    pretrained, frames, values = explored
    shown = record(monkeypatch)
    lesson.draw_stage(pretrained, frames, stage)
    figure, alt = shown[-1]
    network_map, *panels = figure.get_axes()
    bold = [text.get_text() for text in network_map.texts if text.get_fontweight() == "bold"]
    assert colors(network_map.patches).count(plots.ANSWER) == 1 and bold == [stage] and f"{stage} lit" in alt
    assert f"{stage}: {' x '.join(map(str, values[stage].shape))}\n" in capsys.readouterr().out
    _assert_channels(panels, values[stage], alt)


def _assert_channels(panels, maps, alt):
    channels = []
    for axes in panels:
        if axes.get_title(loc="left"):  # a channel's name stands above the first of its pictures
            channels.append(int(axes.get_title(loc="left").removeprefix("channel ")))
        own = maps[channels[-1]]
        moment = round(float(axes.get_xlabel().removesuffix(" s")) * 15 * len(own) / 16)
        assert np.allclose(axes.images[0].get_array(), own[moment] / own.max(), atol=1e-5)
    moments = min(8, maps.shape[1])
    assert len(panels) == 24 and len(set(channels)) == len(channels) == 24 // moments
    assert f"{24 // moments} of its channels at {moments} moments" in alt


def test_a_stage_has_its_receptive_field_and_its_zeros(explored, monkeypatch, capsys):
    pretrained, frames, values = explored
    record(monkeypatch)
    lesson.draw_stage(pretrained, frames, "layer3")
    zeros = float((values["layer3"] == 0).float().mean())
    assert capsys.readouterr().out.splitlines()[1:] == [
        "receptive field of an output position: 53 x 107 x 107 (frames, rows, columns)",
        f"zero: {zeros:.0%} of its values",
    ]


def test_the_notebook_s_answer_about_zeros_is_true(explored):
    """In the middle of a pair 40 to 58 %; at the end of a block 22 to 42 % if its shortcut is the identity, else about half."""
    pretrained, _, values = explored
    relus = [name for name, module in pretrained.network.named_modules() if isinstance(module, nn.ReLU)]
    outputs = lesson.stage_outputs(pretrained.network, values["clip"], relus)
    zeros = {name: round((outputs[name] == 0).float().mean().item(), 2) for name in relus}
    middle = [zeros[name] for name in relus if name.endswith("0.2")]
    projected = [zeros[f"layer{k}.0.relu"] for k in (2, 3, 4)]
    identity = [zeros[name] for name in relus if name.endswith("relu") and name[5:8] not in ("2.0", "3.0", "4.0")]
    assert len(middle) == 16 and min(middle) >= 0.40 and max(middle) <= 0.58
    assert len(identity) == 5 and min(identity) >= 0.22 and max(identity) <= 0.42
    assert all(0.45 < fraction < 0.55 for fraction in projected)


def test_the_stages_of_a_network_on_a_gpu_come_to_the_cpu():
    with FakeTensorMode():  # as on a GPU: tensors of several devices cannot be mixed
        with torch.device("cuda"):
            network = networks.r2plus1d_18(5, 8).eval()
        outputs = lesson.stage_outputs(network, torch.zeros(3, 8, 32, 32))
    assert list(outputs) == list(plots.PARTS) and {x.device.type for x in outputs.values()} == {"cpu"}
    assert next(network.parameters()).device.type == "cuda"  # where it was
