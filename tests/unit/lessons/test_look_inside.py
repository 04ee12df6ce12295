"""Notebook 11: its figures, its player and the checks of its exercises."""

import ast
import json

import numpy as np
import pytest
import torch
from conftest import ROOT
from lesson_tests import assert_readable, exercise_tests, noise, pictures, record

from helpers.lessons import look_inside as lesson
from helpers.networks import NETWORKS


def activation(network, clip, weight):
    x = clip[None]
    for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
        x = getattr(network, name)(x)
    return (weight[:, None, None, None] * x[0]).sum(0)


def class_activation(network, clip, label):
    return activation(network, clip, network.fc.weight[label])


def hits(attribution, mask):
    return mask.flatten(1).gather(1, attribution.flatten(1).argmax(1, keepdim=True)).float()


def first_pixel(attribution, mask):
    return (attribution.flatten(1).argmax(1) == mask.flatten(1).float().argmax(1)).float().mean()


test_right, test_wrong = exercise_tests(
    lesson,
    right={"check_class_activation": class_activation, "check_pointing_game": lambda a, mask: hits(a, mask).mean()},
    wrong={
        "check_class_activation": [
            (lambda network, clip, label: class_activation(network, clip, label).mean(0), "each position of layer4"),
            (lambda network, clip, label: class_activation(network, clip, label - 1), "the logit without its bias"),
            (lambda network, clip, label: class_activation(network, clip, label) / 2, "the logit without its bias"),
            (lambda network, clip, label: class_activation(network, clip, 2), "the logit without its bias"),
            (lambda network, clip, label: class_activation(network, clip, label).flip(1), "the positions are not"),
        ],
        "check_pointing_game": [
            (lambda a, mask: hits(a, mask).sum(), "In three of four frames"),
            (lambda a, mask: float(mask.flatten()[a.argmax()]), "In three of four frames"),
            (lambda a, mask: hits(a * mask, mask).mean(), "negative everywhere"),
            (lambda a, mask: hits(a.clamp(min=0), mask).mean(), "negative everywhere"),
            (lambda a, mask: 0.75, "Without a figure|Only the last"),
            (first_pixel, "In three|Without a figure"),
        ],
    },
)


def test_an_attribution_map_is_brightest_where_it_is_largest_and_leaves_the_rest_gray():
    frames = np.full((2, 4, 5, 3), (30, 90, 60), dtype=np.uint8)
    attribution = np.zeros((2, 4, 5))
    attribution[0, 1, 2], attribution[1, 3, 4], attribution[1, 0, 0] = 8, 2, -5
    over = lesson.overlay(frames, attribution)
    assert over.shape == frames.shape and over.dtype == np.uint8
    gray = np.all(over == 60, axis=-1)
    assert gray.sum() == 2 * 4 * 5 - 2 and not gray[0, 1, 2] and not gray[1, 3, 4]  # what is negative stays gray, too
    assert over[0, 1, 2].astype(int).sum() > over[1, 3, 4].astype(int).sum() > 180
    assert np.array_equal(lesson.overlay(frames, 100 * attribution), over)
    assert (lesson.overlay(frames, -np.ones((2, 4, 5))) == 60).all()


def test_frames_stand_beside_their_values():
    videos = [noise(16), noise(8), noise(32)]
    values = np.array([[0.1, 0.25], [0.5, 1.0], [0.0, 0.75]])
    figure = lesson.frames_beside_values_figure(videos, ["a", "b", "c"], ["one", "two"], values)
    (axes,) = figure.get_axes()
    drawn = [frames[k] for frames in videos for k in np.linspace(0, len(frames) - 1, 8).round().astype(int)]
    assert np.array_equal([image.get_array() for image in axes.images], drawn)
    rows = [(image.get_extent()[2] + image.get_extent()[3]) / 2 for image in axes.images]
    assert np.allclose(rows, np.repeat([0.5, 1.5, 2.5], 8))
    assert [text.get_text() for text in axes.texts] == ["10%", "25%", "50%", "100%", "0%", "75%"]
    assert [text.get_position()[1] for text in axes.texts] == [0.5, 0.5, 1.5, 1.5, 2.5, 2.5]  # each in its row
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["first", "last", "one", "two"]
    lightness = [sum(patch.get_facecolor()[:3]) for patch in axes.patches]
    assert np.array_equal(np.argsort(lightness)[::-1], np.argsort(values.flatten()))  # the larger, the darker
    names = ["every second frame"] * 7, ["R(2+1)D", "R3D", "f-R2D"]
    assert_readable(lesson.frames_beside_values_figure([noise(8)] * 7, *names, np.ones((7, 3))))


def test_every_frame_of_every_stage_is_shown(monkeypatch, capsys):
    shown, frames = record(monkeypatch), noise(6, 8, 10)
    generator = torch.Generator().manual_seed(0)
    maps = {stage: torch.rand(6, 8, 10, generator=generator) - 0.5 for stage in ("layer1", "layer4")}
    for name, moment in (("layer4", 5), ("layer1", 0), ("layer1", 3)):
        lesson.draw_attribution(frames, maps, name, moment)
        figure, alt = shown[-1]
        attribution = maps[name].clamp(min=0)
        frame, over = pictures(figure)
        assert np.array_equal(frame, frames[moment])
        assert np.array_equal(over, lesson.overlay(frames, maps[name])[moment])
        fractions = attribution.sum((1, 2)) / attribution.sum()
        assert np.allclose([bar.get_height() for bar in figure.get_axes()[-1].patches], fractions)
        assert (
            f"Frame {moment}," in alt and name in alt and alt.endswith(f"largest in frame {int(fractions.argmax())}.")
        )
        out = capsys.readouterr().out
        assert f"frame {moment}: {fractions[moment]:.0%} of the attribution by {name}\n" in out
    assert_readable(figure)
    lesson.draw_attribution(frames, {"layer4": -torch.ones(6, 8, 10)}, moment=0)  # no division by zero
    assert shown[-1][1].endswith("zero everywhere.")


@pytest.fixture(scope="module")
def heat_maps():
    """The notebook's Grad-CAM."""
    cells = json.loads((ROOT / "notebooks" / "11_look_inside.ipynb").read_text(encoding="utf-8"))["cells"]
    (source,) = ("".join(cell["source"]) for cell in cells if "def heat_maps" in "".join(cell["source"]))
    (function,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == "heat_maps")
    names = dict(torch=torch, STAGES=("layer1", "layer2", "layer3", "layer4"))
    exec(compile(ast.Module([function], []), "notebook 11", "exec"), names)
    return names["heat_maps"]


def test_grad_cam_of_a_frozen_network_is_that_of_another_and_leaves_it_as_it_is(heat_maps):
    torch.manual_seed(0)
    network, clip = NETWORKS["r2plus1d_18"](5, 8).eval(), torch.randn(3, 8, 32, 32)
    expected = heat_maps(network, clip, 2)
    network.requires_grad_(False)
    found = heat_maps(network, clip, 2)
    assert all(torch.allclose(found[stage], expected[stage], atol=1e-6) for stage in expected)
    assert expected["layer4"].abs().max() > 0 and not clip.requires_grad and not network.training
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
