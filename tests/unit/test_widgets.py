"""The widgets' callbacks, as a browser would set them off."""

import tempfile
from datetime import datetime

import numpy as np
import pytest
import torch
from conftest import write_film
from matplotlib.colors import to_hex
from torchvision.models import video as reference

from helpers import classify, plots, transforms, video, weights, widgets
from helpers.networks import FAMILY
from helpers.scale import inference
from helpers.widgets import (
    block_calculator,
    draw_member,
    draw_moment,
    draw_over_time,
    draw_stage,
    factorization_explorer,
    family_explorer,
    heat_player,
    kernel_explorer,
    player,
    progress,
    slice_explorer,
    stage_explorer,
    upload_button,
)


def upload(box, name, content):
    file = {
        "name": name,
        "type": "video/mp4",
        "size": len(content),
        "content": memoryview(content),
        "last_modified": datetime(2026, 1, 2),
    }
    box.button.value = (file,)


@pytest.fixture
def calls():
    return []


def test_an_uploaded_file_is_handed_on_whole(film, calls):
    def note(path):
        calls.append((path.name, path.read_bytes()))

    box = upload_button(note)
    content = film.read_bytes()
    upload(box, "my film.mp4", content)
    assert calls == [("my film.mp4", content)]
    upload(box, "my film.mp4", content)
    assert len(calls) == 2 and box.button.value == ()  # the same file once more
    other = write_film(film.parent / "other.mp4", [0, 0.1, 0.2]).read_bytes()
    upload(box, "my film.mp4", other)
    assert calls[2:] == [("my film.mp4", other)]


def test_a_name_with_a_path_stays_in_its_folder(film, calls):
    upload(upload_button(lambda path: calls.append(path)), "../../escape.mp4", film.read_bytes())
    assert calls[0].name == "escape.mp4" and ".." not in calls[0].parts
    assert not calls[0].exists()  # deleted when the answer was given


def test_what_is_no_video_gets_a_sentence(capsys):
    upload(upload_button(video.read_clip), "letter.txt", b"Dear reader")
    out = capsys.readouterr().out
    assert "letter.txt: is not a video" in out and str(tempfile.gettempdir()) not in out


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_slice_explorer_draws_what_its_sliders_say(place, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    film = np.random.default_rng(0).integers(0, 256, (9, 20, 30, 3), dtype=np.uint8)
    box = slice_explorer(film)
    values = {"first": (0, 0, 0), "middle": (4, 10, 15), "last": (8, 19, 29)}[place]
    for slider, value, last in zip(box.children, values, (8, 19, 29)):
        assert (slider.min, slider.max) == (0, last)
        slider.value = value
    box.update()
    figure, alt = drawn[-1]
    time, row, column = values
    assert alt.startswith(f"Frame {time} with row {row} and column {column} marked")
    frame, y_t, x_t = (np.asarray(axes.images[0].get_array()) for axes in figure.get_axes() if axes.images)
    assert np.array_equal(frame, film[time])
    assert np.array_equal(y_t[3, 2], film[2, 3, column]) and np.array_equal(x_t[2, 3], film[2, row, 3])


def measured(kind, inplanes, planes, t, d, stride):
    """Parameters, multiply-adds and output of real convolutions, counted on tensors without content."""
    x = torch.zeros(1, inplanes, 16, 56, 56, device="meta")
    p = {"2D": [(1, d, d)], "3D": [(t, d, d)], "(2+1)D": [(1, d, d), (t, 1, 1)]}[kind]
    steps = {"2D": [(1, stride, stride)], "3D": [stride], "(2+1)D": [(1, stride, stride), (stride, 1, 1)]}[kind]
    middle = int(t * d * d * inplanes * planes / (d * d * inplanes + t * planes))
    widths = [inplanes, middle, planes] if kind == "(2+1)D" else [inplanes, planes]
    parameters = multiply_adds = 0
    for i, (kernel, step) in enumerate(zip(p, steps)):
        half = tuple(k // 2 for k in kernel)
        layer = torch.nn.Conv3d(widths[i], widths[i + 1], kernel, step, half, bias=False, device="meta")
        x = layer(x)
        parameters += layer.weight.numel()
        multiply_adds += layer.weight[0].numel() * x.numel()
    return parameters, multiply_adds, tuple(x.shape[1:])


@pytest.mark.parametrize("kind", ["2D", "3D", "(2+1)D"])
@pytest.mark.parametrize(
    "t, d, stride, inplanes, planes, place",
    [(1, 1, 1, 3, 3, 0.0), (3, 3, 1, 64, 64, 0.57), (3, 5, 2, 64, 128, 0.5), (7, 7, 2, 512, 512, 1.0)],
)
def test_kernel_explorer_tells_the_truth(kind, t, d, stride, inplanes, planes, place, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    box = kernel_explorer()
    for control, value in zip(box.children, (kind, t, d, stride, inplanes, planes, place)):
        control.value = value
    box.update()
    figure, alt = drawn[-1]
    assert (f"{d} x {d} pixels in one frame" in alt) == (kind != "3D")
    long = "1 frame" if t == 1 else f"{t} frames"
    assert (f"through {long} at" in alt) == (kind == "(2+1)D") and (f"{long} deep" in alt) == (kind == "3D")
    parameters, multiply_adds, output = measured(kind, inplanes, planes, t, d, stride)
    told = capsys.readouterr().out.rpartition("parameters")[2].split("\n")  # what was printed last
    assert told[0].strip() == f"{parameters:,}" and told[1].split()[-1] == f"{multiply_adds:,}"
    if kind == "(2+1)D":
        middle = int(t * d * d * inplanes * planes / (d * d * inplanes + t * planes))
        assert told[2].split()[-1] == f"{middle:,}"
    assert told[-2] == f"{inplanes} x 16 x 56 x 56 -> {' x '.join(map(str, output))}"
    panels = [axes for axes in figure.get_axes() if axes.name == "3d"]
    assert [axes.get_title(loc="left") for axes in panels] == {
        "2D": [f"1 x {d} x {d}"], "3D": [f"{t} x {d} x {d}"], "(2+1)D": [f"1 x {d} x {d}", f"{t} x 1 x 1"],
    }[kind]  # fmt: skip


def test_kernel_explorer_reaches_the_ends_of_its_sliders():
    ends = [(control.min, control.max) for control in kernel_explorer().children if hasattr(control, "min")]
    assert ends == [(1, 7), (1, 7), (1, 2), (0, 1)]


@pytest.mark.parametrize("kernel, stride", [((3, 3, 3), (1, 1, 1)), ((1, 5, 5), (1, 2, 2)), ((7, 1, 1), (2, 1, 1))])
def test_the_kernel_moves_over_every_place(kernel, stride):
    counts = [len(range(0, 8, step)) for step in stride]  # padded by half, every stride-th cell is once in the middle
    axes = plots.new_figure(3, 3).add_subplot(projection="3d")
    assert plots.kernel_in_volume(axes, kernel, stride, place=0) == (0, 0, 0)
    assert plots.kernel_in_volume(axes, kernel, stride, place=1) == tuple(count - 1 for count in counts)


@pytest.mark.parametrize("motion", ["still edge", "moving edge", "moving bar", "flicker", "drift"])
@pytest.mark.parametrize("speed, filters", [(0, 1), (2, 4), (4, 7)])
def test_factorisation_explorer_tells_the_truth(motion, speed, filters, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    box = factorization_explorer()
    for control, value in zip(box.children, (motion, speed, filters)):
        control.value = value
    box.update()
    steps = np.arange(-3, 4)
    place = steps - speed * steps[:, None]  # of each column, seen from the thing that moves
    matrix = {
        "still edge": np.sign(place * 0 + steps), "moving edge": np.sign(place), "moving bar": np.exp(-place**2),
        "flicker": np.cos(np.pi / 4 * speed * steps)[:, None] * np.exp(-steps**2), "drift": np.sin(np.pi / 4 * place),
    }[motion]  # fmt: skip
    values = np.linalg.svd(np.tile(matrix, 7), compute_uv=False)
    told = capsys.readouterr().out.rpartition("singular values")[2].splitlines()
    assert told[0].split()[-7:] == [f"{value:.2f}" for value in values / np.linalg.norm(values)]
    assert told[1].split()[-1] == str(np.linalg.matrix_rank(matrix, tol=1e-4))
    left_out = np.sqrt((values[filters:] ** 2).sum() / (values**2).sum())
    assert told[2] == f"left out with {filters}: {left_out:.0%}"
    alt = drawn[-1][1]
    assert motion in alt and ("looks the same" in alt) == (left_out < 0.01)
    strip = drawn[-1][0].get_axes()[0].images
    assert np.allclose([image.get_array()[0] for image in strip[:7]], matrix, atol=1e-5)
    u, s, v = np.linalg.svd(matrix)
    best = u[:, :filters] * s[:filters] @ v[:filters]
    assert np.allclose([image.get_array()[0] for image in strip[7:14]], best, atol=1e-4)


def test_factorisation_explorer_reaches_the_ends_of_its_sliders():
    _, speed, filters = factorization_explorer().children[:3]
    assert (inference.min, inference.max, filters.min, filters.max) == (0, 4, 1, 7)


@pytest.mark.parametrize("stage", ["layer1", "layer2", "layer3", "layer4"])
@pytest.mark.parametrize("block", ["first", "second"])
@pytest.mark.parametrize("frames, size", [(1, 32), (16, 112), (33, 144), (64, 256)])
def test_block_calculator_tells_the_truth(stage, block, frames, size, monkeypatch, capsys):
    """Against torchvision's whole network, run on tensors without content, its shapes noted at that block."""
    drawn, seen = [], {}
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    with torch.device("meta"):
        network = reference.r2plus1d_18()
    theirs = getattr(network, stage)[block == "second"]
    for name, layer in theirs.named_modules():
        layer.register_forward_hook(
            lambda layer, x, y, name=name: seen.update({name: (layer, x[0].shape[1:], y.shape[1:])})
        )
    network(torch.empty(1, 3, frames, size, size, device="meta"))
    box = block_calculator()
    for control, value in zip(box.children, (stage, block, frames, size)):
        control.value = value
    box.update()
    told = ("in  " + capsys.readouterr().out.rpartition("in  ")[2]).splitlines()  # what was printed last
    assert told[0].split("  ")[-1].strip() == " x ".join(map(str, seen[""][1]))
    convolutions = {name: what for name, what in seen.items() if isinstance(what[0], torch.nn.Conv3d)}
    assert {line.split()[0] for line in told[1:-1]} == set(convolutions)
    for line in told[1:-1]:
        layer, _, output = convolutions[line.split()[0]]
        multiply_adds = layer.weight.numel() // layer.out_channels * output.numel()
        assert f" {' x '.join(map(str, output))} " in line and f" {layer.weight.numel():,} parameters" in line
        assert line.endswith(f" {multiply_adds / 1e6:,.0f} M multiply-adds")
    assert f" {sum(p.numel() for p in theirs.parameters()):,} parameters" in told[-1]
    words = [text.get_text() for text in drawn[-1][0].get_axes()[0].texts]
    assert ("identity" in words) == ("downsample" not in seen)


def test_block_calculator_reaches_the_ends_of_its_sliders():
    stage, block, frames, size = block_calculator().children[:4]
    assert (frames.min, frames.max, size.min, size.max) == (1, 64, 32, 256)
    assert list(stage.options) == ["layer1", "layer2", "layer3", "layer4"] and list(block.options) == [
        "first",
        "second",
    ]


@pytest.fixture(scope="module")
def seen():
    """A trained network, a clip, and what torch's own hooks see in it."""
    pretrained = weights.load("stickfigures")
    frames = video.read_clip(weights.ASSETS / "jumping_jacks.mp4")
    values = {"clip": pretrained.preprocess(frames)}
    hooks = []
    for name in ("stem", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"):
        part = getattr(pretrained.network, name)
        hooks.append(part.register_forward_hook(lambda module, x, y, name=name: values.update({name: y[0].clone()})))
    with torch.inference_mode():
        pretrained.network(values["clip"][None])
    for hook in hooks:
        hook.remove()
    values["mean"] = values.pop("avgpool").flatten()
    return pretrained, frames, values


@pytest.mark.parametrize("stage", ["clip", "stem", "layer1", "layer2", "layer3", "layer4", "mean", "fc"])
def test_stage_explorer_lights_the_stage_and_shows_what_is_there(stage, seen, monkeypatch, capsys):
    pretrained, frames, values = seen
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    box = stage_explorer(pretrained, frames)
    box.children[0].value = stage
    box.update()
    figure, alt = drawn[-1]
    network_map, *pictures = figure.get_axes()
    lit = [patch for patch in network_map.patches if to_hex(patch.get_facecolor()).upper() == plots.ANSWER]
    bold = [text.get_text() for text in network_map.texts if text.get_fontweight() == "bold"]
    assert len(lit) == 1 and bold == [stage] and f"{stage} lit" in alt
    assert f"{stage}: {' x '.join(map(str, values[stage].shape))}\n" in capsys.readouterr().out.rpartition("\x1b")[2]
    if stage == "clip":
        assert np.allclose([axes.images[0].get_array() for axes in pictures], transforms.denormalize(values["clip"]))
    elif stage == "mean":
        assert np.allclose([bar.get_height() for bar in pictures[0].patches], values["mean"], atol=1e-6)
    elif stage == "fc":
        best = values["fc"].softmax(0).topk(5)
        assert np.allclose([bar.get_width() for bar in pictures[0].patches], best.values, atol=1e-6)
        shown = dict(zip(pictures[0].get_yticks(), (label.get_text() for label in pictures[0].get_yticklabels())))
        assert [shown[4 - k] for k in range(5)] == [pretrained.labels[k] for k in best.indices]
    else:
        channels = []
        for axes in pictures:
            if axes.get_title(loc="left"):  # a channel's name stands above the first of its pictures
                channels.append(int(axes.get_title(loc="left").removeprefix("channel ")))
            maps = values[stage][channels[-1]]
            moment = round(float(axes.get_xlabel().removesuffix(" s")) * 15 * len(maps) / 16)
            assert np.allclose(axes.images[0].get_array(), maps[moment] / maps.max(), atol=1e-5)
        moments = min(8, values[stage].shape[1])
        assert len(pictures) == 24 and len(set(channels)) == len(channels) == 24 // moments
        assert f"{24 // moments} of its channels at {moments} moments" in alt


def test_stage_explorer_prints_field_and_zeros(seen, monkeypatch, capsys):
    pretrained, frames, values = seen
    monkeypatch.setattr(plots, "show", lambda figure, alt: None)
    draw_stage(pretrained, frames, "layer3")
    zeros = float((values["layer3"] == 0).float().mean())
    assert capsys.readouterr().out.splitlines()[1:] == [
        "one place of it sees 53 x 107 x 107 (frames, rows, columns)",
        f"zero: {zeros:.0%} of its numbers",
    ]


@pytest.mark.parametrize("member, theirs", [("r3d", "r3d_18"), ("mc3", "mc3_18"), ("r2plus1d", "r2plus1d_18")])
@pytest.mark.parametrize("frames, size", [(1, 32), (16, 112), (64, 256)])
def test_family_explorer_tells_the_truth(member, theirs, frames, size, monkeypatch, capsys):
    """Against torchvision's networks, run on tensors without content."""
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    with torch.device("meta"):
        network = getattr(reference, theirs)()
    work, shapes = {}, {}

    def note(module, x, y, name):
        group = name.split(".")[0]
        if hasattr(module, "weight") and module.weight.ndim > 1:
            work[group] = work.get(group, 0) + module.weight[0].numel() * y.numel()
        if "." not in name:
            shapes[name] = " x ".join(map(str, y.shape[1:]))

    for name, module in network.named_modules():
        if name:
            module.register_forward_hook(lambda module, x, y, name=name: note(module, x, y, name))
    network(torch.empty(1, 3, frames, size, size, device="meta"))
    box = family_explorer()
    for control, value in zip(box.children, (member, 18, frames, size)):
        control.value = value
    box.update()
    told = ("stem " + capsys.readouterr().out.rpartition("stem ")[2]).splitlines()
    assert [line.split()[0] for line in told] == ["stem", "layer1", "layer2", "layer3", "layer4", "fc", "whole"]
    for line in told[:-1]:
        name = line.split()[0]
        assert f" {shapes[name]} " in line and f"{work[name] / 1e9:.3f} G multiply-adds" in line
        assert f" {sum(p.numel() for p in getattr(network, name).parameters()):,} parameters" in line
    assert f" {sum(p.numel() for p in network.parameters()):,} parameters" in told[-1]
    assert f" {sum(work.values()) / 1e9:.3f} G multiply-adds" in told[-1]
    words = [text.get_text() for text in drawn[-1][0].get_axes()[0].texts]
    assert shapes["layer4"].replace(" ", "") in words and f"3x{frames}x{size}x{size}" in words


@pytest.mark.parametrize("member", FAMILY)
@pytest.mark.parametrize("depth", [18, 34])
def test_family_explorer_knows_every_member(member, depth, monkeypatch, capsys):
    monkeypatch.setattr(plots, "show", lambda figure, alt: None)
    draw_member(member, depth, frames=5, size=48)
    kept = [float(line.split("adds")[1].split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert kept[-1] > 0 and kept[-1] == pytest.approx(sum(kept[:-1]), abs=0.3)


def test_the_last_sliders_reach_their_ends(seen):
    stage = stage_explorer(*seen[:2]).children[0]
    assert list(stage.options) == ["clip", "stem", "layer1", "layer2", "layer3", "layer4", "mean", "fc"]
    member, depth, frames, size = family_explorer().children[:4]
    assert list(member.options) == list(FAMILY) and list(depth.options) == [18, 34]
    assert (frames.min, frames.max, size.min, size.max) == (1, 64, 32, 256)


def test_progress_counts_and_goes_away(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", shown.append)
    seen = [(item, shown[0].value) for item in progress("abc", 3)]
    assert seen == [("a", 1), ("b", 2), ("c", 3)] and shown[0].max == 3
    assert shown[0].comm is None  # closed
    with pytest.raises(KeyError):
        for _ in progress({}["nothing"] for _ in range(2)):
            pass
    assert shown[-1].comm is None


@pytest.mark.parametrize("place", [0, 2, -1])
def test_player_shows_what_the_network_saw_and_said(place, seen, monkeypatch, capsys):
    pretrained = seen[0]
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    monkeypatch.setattr(widgets, "display", lambda thing: None)
    path = weights.ASSETS / "jumping_jacks.mp4"
    box = player(path, pretrained, step=12)
    play, slider, _ = box.children
    assert (play.min, play.max, len(slider.options)) == (0, 4, 5) and len(box.rows) == 5
    assert play.interval == 800  # twelve frames at 15 a second
    play.value = range(5)[place]  # as playing does
    assert slider.index == range(5)[place]
    start, shares = box.rows[place]
    draw_moment(path, pretrained, start, shares)
    figure, alt = drawn[-1]
    clip = video.read_clip(path, start)
    expected = transforms.denormalize(transforms.preprocess(clip))[[0, 5, 10, 15]]
    assert np.array_equal([axes.images[0].get_array() for axes in figure.get_axes() if axes.images], expected)
    best = pretrained.labels[shares.argmax()]
    assert best in alt and f"{start:.1f} s: {best}, {shares.max():.0%}\n" in capsys.readouterr().out


def test_a_ribbon_for_a_file_in_one_line(seen, monkeypatch, capsys):
    pretrained, path = seen[0], weights.ASSETS / "jumping_jacks.mp4"
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    monkeypatch.setattr(widgets, "display", lambda thing: None)
    draw_over_time(path, pretrained, step=12)
    (figure, alt) = drawn[0]
    above, below = figure.get_axes()
    assert alt.endswith("a ribbon of answers: jumping jacks.")
    frames = [video.read_clip(path, 0.25 + k / 2, frames=1)[0] for k in range(8)]
    assert np.array_equal([image.get_array() for image in above.images], frames)
    assert [text.get_text() for text in below.texts] == ["jumping jacks"]
    clips = [video.read_clip(path, start) for start in (0, 0.8, 1.6, 2.4, 44 / 15)]
    share = classify.average_probs(pretrained, clips)[pretrained.labels.index("jumping jacks")]
    assert capsys.readouterr().out.split() == ["0.0", "to", "4.0", "s", f"{share:.1%}", "jumping", "jacks"]


def test_heat_player_shows_every_frame_of_every_stage(monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    film = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)
    heats = {"layer1": torch.rand(6, 8, 10) - 0.5, "layer4": torch.rand(6, 8, 10) - 0.5}
    stage, play, slider, _ = heat_player(film, heats).children
    assert stage.options == ("layer1", "layer4") and (slider.min, slider.max, play.max) == (0, 5, 5)
    for name, moment in (("layer4", 5), ("layer1", 0), ("layer1", 3)):
        stage.value, play.value = name, moment
        assert slider.value == moment
        widgets.draw_heat(film, heats, stage.value, slider.value)
        figure, alt = drawn[-1]
        frame, over, bars = figure.get_axes()
        heat = heats[name].clamp(min=0)
        assert np.array_equal(frame.images[0].get_array(), film[moment])
        assert np.array_equal(over.images[0].get_array(), plots.overlaid(film, heats[name])[moment])
        assert np.allclose([bar.get_height() for bar in bars.patches], heat.sum((1, 2)) / heat.sum())
        hottest = int(heat.sum((1, 2)).argmax())
        assert f"Frame {moment}," in alt and name in alt and alt.endswith(f"largest in frame {hottest}.")
        share = float(heat[moment].sum() / heat.sum())
        assert f"frame {moment}: {share:.0%} of the heat of {name}\n" in capsys.readouterr().out
    widgets.draw_heat(film, {"layer4": -torch.ones(6, 8, 10)}, moment=0)  # nothing positive: no division by zero
    assert drawn[-1][1].endswith("nothing anywhere.")
