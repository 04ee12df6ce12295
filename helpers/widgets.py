"""Sliders and buttons around the drawings. Each is a plain function with a widget in front, so that it also works alone."""

import tempfile
from pathlib import Path

import ipywidgets
import torch
from IPython.display import display
from torch import nn

from helpers import classify, plots, video
from helpers.blocks import KINDS, BasicBlock, Layer, cost, kept_for_training, output_size, receptive_field, summary
from helpers.kernels import MOTIONS, best_pair, motion_kernel
from helpers.networks import FAMILY, LAYERS, NETWORKS
from helpers.video import VideoError, denormalize


def upload_button(function):
    """A button that takes a file from the reader's computer and calls `function` with its path.

    What `function` prints and draws appears below the button; a file that is no video gives a sentence there.

    Returns:
        The widget, to be displayed; `.button` is the upload button, `.output` where the results appear.
    """
    button = ipywidgets.FileUpload(accept="video/*,.avi,.mkv,.mov,.mp4,.webm", multiple=False, description="Your video")
    output = ipywidgets.Output()

    def uploaded(change):
        if not change["new"]:
            return
        file = change["new"][0]
        output.clear_output()
        with output, tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(file["name"]).name)
            path.write_bytes(file["content"])
            try:
                function(path)
            except VideoError as error:
                print(str(error).replace(str(path), path.name))
            finally:
                button.value = ()  # so that the same file can be sent again, and its bytes are let go

    button.observe(uploaded, names="value")
    box = ipywidgets.VBox([button, output])
    box.button, box.output = button, output
    return box


def slice_explorer(film):
    """Sliders for the moment, the row and the column of `plots.slices`; (T, H, W, 3) uint8.

    Returns:
        The widget; `.children[0]` to `[2]` are its sliders.
    """
    frames, height, width = film.shape[:3]

    def draw(time, row, column):
        alt = f"Frame {time} with row {row} and column {column} marked, and how these two look in all frames."
        plots.show(plots.slices(film, time, row, column), alt)

    def slider(count, value):
        return ipywidgets.IntSlider(value, 0, count - 1, continuous_update=False)

    sliders = dict(time=slider(frames, frames // 2), row=slider(height, height // 2), column=slider(width, width // 2))
    return ipywidgets.interactive(draw, **sliders)


def draw_kernels(kind="(2+1)D", t=3, d=3, stride=1, inplanes=64, planes=64, place=0.57):
    """Show what a convolution looks like and costs on a clip of 16 frames of 56 x 56; see `blocks.cost`."""
    long = "1 frame" if t == 1 else f"{t} frames"
    flat, rod = f"a flat square of {d} x {d} pixels in one frame", f"a rod through {long} at one pixel"
    alts = {
        "2D": f"Inside the block of a clip, {flat}.",
        "3D": f"Inside the block of a clip, a smaller block: {long} deep, {d} rows high and {d} columns wide.",
        "(2+1)D": f"Two blocks of a clip: inside the left one {flat}, inside the right one {rod}.",
    }
    plots.show(plots.kernels(kind, t, d, stride, place), alts[kind])
    spent = cost(kind, inplanes, planes, t, d, stride)
    print(f"parameters            {spent.parameters:>18,}")
    print(f"multiply-adds         {spent.multiply_adds:>18,}")
    if spent.middle is not None:
        print(f"M, between the halves {spent.middle:>18,}")
    print(f"{inplanes} x 16 x 56 x 56 -> {' x '.join(map(str, spent.output))}")


def kernel_explorer():
    """`draw_kernels` with a control for each of its arguments; `.children` are the controls, in that order."""

    def odd(value):
        return ipywidgets.IntSlider(value, 1, 7, step=2, continuous_update=False)

    channels = dict(options=(3, 16, 32, 64, 128, 256, 512), value=64, continuous_update=False)
    return ipywidgets.interactive(
        draw_kernels,
        kind=ipywidgets.ToggleButtons(options=KINDS, value="(2+1)D"),
        t=odd(3),
        d=odd(3),
        stride=ipywidgets.IntSlider(1, 1, 2, continuous_update=False),
        inplanes=ipywidgets.SelectionSlider(**channels),
        planes=ipywidgets.SelectionSlider(**channels),
        place=ipywidgets.FloatSlider(0.57, min=0, max=1, step=0.01, continuous_update=False),
    )


def draw_factorisation(motion="moving edge", speed=1.0, filters=2):
    """Show a 7 x 7 x 7 kernel tuned to a motion, and the best that so many middle filters make of it; see `kernels`."""
    kernel = motion_kernel(motion, speed)
    patterns, courses, values = best_pair(kernel, filters)
    left_out = values[filters:].norm() / values.norm()
    looks = "looks the same" if left_out < 0.01 else "is blurred" if left_out < 0.5 else "hardly resembles it"
    made = "one middle filter makes" if filters == 1 else f"{filters} middle filters make"
    alt = f"The kernel of a {motion}, frame by frame; below it, what {made} of it {looks}. "
    alt += "Then the filters, and on the right its singular values as bars."
    plots.show(plots.factorised(kernel, patterns, courses, values), alt)
    print("singular values, shares of their length:", *(f"{value:.2f}" for value in values.abs() / values.norm()))
    print(f"filters needed to be exact: {int((values > 1e-5 * values[0]).sum())}")
    print(f"left out with {filters}: {left_out:.0%}")


def factorisation_explorer():
    """`draw_factorisation` with a control for each of its arguments; `.children` are the controls, in that order."""
    return ipywidgets.interactive(
        draw_factorisation,
        motion=ipywidgets.ToggleButtons(options=MOTIONS, value="moving edge"),
        speed=ipywidgets.FloatSlider(1.0, min=0, max=4, step=0.5, continuous_update=False),
        filters=ipywidgets.IntSlider(2, 1, 7, continuous_update=False),
    )


STAGES = {"layer1": (64, 64), "layer2": (64, 128), "layer3": (128, 256), "layer4": (256, 512)}  # channels in, out


def draw_block(stage="layer2", block="first", frames=16, size=112):
    """Show shapes and costs of a residual block of R(2+1)D-18, for a clip of so many frames of `size` x `size` pixels."""
    inplanes, planes = STAGES[stage]
    stride = 1 if stage == "layer1" or block == "second" else 2
    halvings = int(stage[-1]) - 1 - (stride == 2)  # of what comes in, by the blocks before this one
    frames, size = _halved(frames, halvings), _halved(size, 1 + halvings)
    inplanes = planes if block == "second" else inplanes
    with torch.device("meta"):
        downsample = None
        if stride == 2:
            downsample = nn.Sequential(nn.Conv3d(inplanes, planes, 1, 2, bias=False), nn.BatchNorm3d(planes))
        layers = summary(BasicBlock(inplanes, planes, stride, downsample), (inplanes, frames, size, size))
    boxes = []
    for layer in layers:
        if layer.name.startswith("conv"):
            color = plots.PALE if layer.kernel is None else plots.SPACE if layer.kernel[0] == 1 else plots.TIME
            text = {"BatchNorm3d": "norm", "ReLU": "ReLU"}.get(layer.kind) or _times(layer.kernel)
            boxes.append((text, color, _times(layer.output) if layer.kernel else None))
    shortcut = "identity" if stride == 1 else "1 x 1 x 1 with stride 2, norm"
    alt = f"The {block} block of {stage}: four convolutions in a row, and around them a shortcut, {shortcut}."
    plots.show(plots.residual_block(boxes, shortcut), alt)
    print(f"{'in':28}{_times((inplanes, frames, size, size)):>22}")
    for layer in layers:
        if layer.kernel:
            print(f"{layer.name:14}{_times(layer.kernel):14}{_times(layer.output):>22}", end="")
            print(f"{layer.parameters:>12,} parameters{layer.multiply_adds / 1e6:>9,.0f} M multiply-adds")
    parameters, multiply_adds = (sum(getattr(layer, what) for layer in layers) for what in Layer._fields[-2:])
    print(f"{'with batch norms':50}{parameters:>12,} parameters{multiply_adds / 1e6:>9,.0f} M multiply-adds")


def _halved(n, times):
    """What is left of `n` after so many strides of 2."""
    for _ in range(times):
        n = output_size(n, 3, 2, 1)
    return n


def _times(numbers):
    return " x ".join(map(str, numbers))


def block_calculator():
    """`draw_block` with a control for each of its arguments; `.children` are the controls, in that order."""
    return ipywidgets.interactive(
        draw_block,
        stage=ipywidgets.ToggleButtons(options=list(STAGES), value="layer2"),
        block=ipywidgets.ToggleButtons(options=("first", "second")),
        frames=ipywidgets.IntSlider(16, 1, 64, continuous_update=False),
        size=ipywidgets.IntSlider(112, 32, 256, step=16, continuous_update=False),
    )


def draw_stage(pretrained, frames, stage="layer1"):
    """Show what a part of a trained R(2+1)D network makes of a clip: the channels that vary most, in the course of time.

    Args:
        pretrained: as `weights.load` gives it.
        frames: uint8 (T, H, W, 3), what it is to see.
        stage: one of `plots.PARTS`.
    """
    clip = pretrained.preprocess(frames)
    seen = outputs(pretrained.network, clip)
    shapes = {name: "x".join(map(str, values.shape)) for name, values in seen.items()}
    values = seen[stage]
    alt = f"The network as eight boxes, {stage} lit; below, "
    if stage == "clip":
        labels = [f"{k / pretrained.rate:.2f} s" for k in range(len(frames))]
        plots.show(plots.stage(shapes, stage, denormalize(clip), labels), f"{alt}its {len(frames)} frames.")
    elif stage == "fc":
        shares, best = values.softmax(0), pretrained.labels[values.argmax()]
        plots.show(plots.stage(shapes, stage, shares, pretrained.labels), f"{alt}the best answers, {best} first.")
    elif stage == "mean":
        plots.show(plots.stage(shapes, stage, values), f"{alt}a bar for each of its {len(values)} numbers.")
    else:
        pictures, labels, heads = _liveliest(values, len(frames) / pretrained.rate)
        channels = sum(map(bool, heads))
        alt += (
            f"{channels} of its channels at {len(heads) // channels} moments, bright where they answer to the figure."
        )
        plots.show(plots.stage(shapes, stage, pictures, labels, heads), alt)
    print(f"{stage}: {_times(values.shape)}")
    if values.ndim == 4 and stage != "clip":
        parts = list(plots.PARTS)
        path = nn.Sequential(*(getattr(pretrained.network, name) for name in parts[1 : parts.index(stage) + 1]))
        print(f"one place of it sees {_times(receptive_field(path))} (frames, rows, columns)")
        print(f"zero: {(values == 0).float().mean():.0%} of its numbers")


def outputs(network, clip):
    """What each of `plots.PARTS` holds for one clip (3, T, H, W), without the batch axis."""
    seen = {"clip": clip}
    x = clip[None]
    with torch.inference_mode():
        for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
            x = getattr(network, name)(x)
            seen[name] = x[0]
        seen["mean"] = network.avgpool(x).flatten()
        seen["fc"] = network.fc(seen["mean"])
    return seen


def _liveliest(maps, seconds, count=24):
    """The channels of (C, T, H, W) that vary most, each from 0 to 1, as pictures (count, H, W).

    Returns:
        The pictures, the time of each, and above the first of each channel its name.
    """
    moments = min(8, maps.shape[1])
    chosen = maps.flatten(1).var(1).argsort(descending=True)[: count // moments]
    columns = torch.linspace(0, maps.shape[1] - 1, moments).round().long()
    largest = maps[chosen].flatten(1).amax(1).clamp(min=1e-6)
    pictures = maps[chosen][:, columns] / largest[:, None, None, None]
    labels = [f"{t * seconds / maps.shape[1]:.2f} s" for t in columns.tolist()] * len(chosen)
    heads = [f"channel {c}" if k == 0 else "" for c in chosen.tolist() for k in range(moments)]
    return pictures.flatten(0, 1), labels, heads


def stage_explorer(pretrained, frames):
    """`draw_stage` with a slider for its stage, which is `.children[0]`."""
    stage = ipywidgets.SelectionSlider(options=list(plots.PARTS), value="layer1", continuous_update=False)
    return ipywidgets.interactive(lambda stage: draw_stage(pretrained, frames, stage), stage=stage)


def draw_member(member="mc3", depth=18, frames=16, size=112):
    """Show shapes and costs of a network of the family, for one clip of so many frames of `size` x `size` pixels."""
    with torch.device("meta"):
        network = NETWORKS[f"{member}_{depth}"](frames=frames)
    layers = summary(network, (3, frames, size, size))
    groups = ("stem", "layer1", "layer2", "layer3", "layer4")
    last = {layer.name.split(".")[0]: layer.output for layer in layers}
    last |= {"clip": (3, frames, size, size), "mean": last["layer4"][:1]}
    figure = plots.new_figure(9.6, 2.2)
    shapes = {name: "x".join(map(str, shape)) for name, shape in last.items()}
    plots.draw_network(plots.add_axes(figure), shapes, kinds=dict(zip(groups, FAMILY[member])))
    kinds = "; ".join(f"{place} in {kind}" for place, kind in zip(groups, FAMILY[member]))
    plots.show(figure, f"The network from the clip to the logits; {kinds}.")
    sums = {name: [0, 0, 0] for name in (*groups, "fc")}
    for layer in layers:
        if (name := layer.name.split(".")[0]) in sums:
            for k, value in enumerate((layer.parameters, layer.multiply_adds, kept_for_training(layer))):
                sums[name][k] += value
    sums["whole"] = [sum(column) for column in zip(*sums.values())]
    for name, (count, multiply_adds, kept) in sums.items():
        print(f"{name:7}{_times(last.get(name, ())):>22}{count:>13,} parameters", end="")
        print(f"{multiply_adds / 1e9:>9.3f} G multiply-adds{kept / 1e6:>9.1f} MB kept for training")


def family_explorer():
    """`draw_member` with a control for each of its arguments; `.children` are the controls, in that order."""
    return ipywidgets.interactive(
        draw_member,
        member=ipywidgets.Dropdown(options=list(FAMILY), value="mc3"),
        depth=ipywidgets.ToggleButtons(options=list(LAYERS)),
        frames=ipywidgets.IntSlider(16, 1, 64, continuous_update=False),
        size=ipywidgets.IntSlider(112, 32, 256, step=16, continuous_update=False),
    )


def progress(items, total=1):
    """Go through items with a bar that shows how far it is, and that goes away at the end.

    Args:
        items: any iterable.
        total: how many there will be, as well as one knows.
    """
    bar = ipywidgets.IntProgress(0, 0, max(1, total))
    display(bar)
    try:
        for item in items:
            bar.value += 1
            yield item
    finally:
        bar.close()


def draw_over_time(path, pretrained, step=8):
    """Show what happens when in a video of any length: eight of its frames, and a ribbon of answers below.

    Classifies the video first, with a progress bar; `step` as for `classify.over_time`.

    Raises:
        VideoError: the file cannot be read.
    """
    rows, seconds = _answers_over_time(path, pretrained, step)
    found = classify.stretches(rows, pretrained.labels, pretrained.frames / pretrained.rate)
    moments = [(k + 0.5) * seconds / 8 for k in range(8)]
    frames = [video.read_clip(path, moment, frames=1)[0] for moment in moments]
    ribbon = plots.ribbon(torch.stack(frames), found, found[-1].end)
    answers = list(dict.fromkeys(one.label for one in found))  # each once, in the order of time
    told = ", ".join(answers[:5]) + ", and others" * (len(answers) > 5)
    plots.show(ribbon, f"Eight frames of the video, and below them a ribbon of answers: {told}.")
    print(*found, sep="\n")


def _answers_over_time(path, pretrained, step):
    """The rows of `classify.over_time`, with a progress bar while they come, and how many seconds the video lasts."""
    seconds = video.probe(path).seconds
    return list(progress(classify.over_time(path, pretrained, step), int(seconds * pretrained.rate / step))), seconds


def draw_moment(path, pretrained, start, shares):
    """Show a clip of a video as the network saw it, and what it said."""
    clip = pretrained.preprocess(video.read_clip(path, start, pretrained.frames, pretrained.rate))
    answers = classify.top(shares, pretrained.labels)
    plots.show(
        plots.answers_beside_frames(denormalize(clip), answers),
        f"Four frames of the clip, of which {answers[0].label} is the answer.",
    )
    print(f"{start:.1f} s: {answers[0].label}, {answers[0].probability:.0%}")


def player(path, pretrained, step=8):
    """Play a video as the network saw it, with its five best answers moving along.

    Classifies the video first, with a progress bar; `step` as for `classify.over_time`.

    Returns:
        The widget, to be displayed; `.children` are the play button, the slider and the output, `.rows` the answers.

    Raises:
        VideoError: the file cannot be read.
    """
    rows, _ = _answers_over_time(path, pretrained, step)
    play = ipywidgets.Play(0, 0, len(rows) - 1, interval=int(1000 * step / pretrained.rate))
    slider = ipywidgets.SelectionSlider(
        options=[(f"{start:.1f} s", k) for k, (start, _) in enumerate(rows)], description="time"
    )
    output = ipywidgets.interactive_output(lambda k: draw_moment(path, pretrained, *rows[k]), {"k": slider})
    play.observe(lambda change: setattr(slider, "index", change["new"]), names="value")
    box = ipywidgets.VBox([play, slider, output])
    box.rows = rows
    return box


def draw_heat(frames, heats, stage="layer4", moment=8):
    """Show one frame of a clip beside where the heat lies in it, and how the heat changes in the course of time.

    Args:
        frames: uint8 (T, H, W, 3).
        heats: by stage, (T, H, W); what is not positive counts as nothing.
        moment: which frame.
    """
    heat = heats[stage].clamp(min=0)
    figure = plots.new_figure(9.6, 3.2)
    pair = frames[moment], plots.overlaid(frames, heat)[moment]
    for place, (picture, text) in enumerate(zip(pair, ("the frame", f"the heat of {stage}")), start=1):
        axes = plots.add_axes(figure, 1, 3, place)
        plots.draw_frame(axes, picture)
        axes.set_title(text)
    shares = (heat.sum((1, 2)) / heat.sum().clamp(min=1e-12)).tolist()
    axes = plots.add_axes(figure, 1, 3, 3)
    axes.bar(
        range(len(frames)), shares, color=[plots.ANSWER if k == moment else plots.PALE for k in range(len(frames))]
    )
    axes.set_title("its share by frame")
    axes.set_xlabel("frame", color=plots.TIME)
    largest = f"largest in frame {shares.index(max(shares))}" if max(shares) > 0 else "nothing anywhere"
    alt = f"Frame {moment}, the same with the heat of {stage} over it, and bars for its share by frame, {largest}."
    plots.show(figure, alt)
    print(f"frame {moment}: {shares[moment]:.0%} of the heat of {stage}")


def heat_player(frames, heats):
    """`draw_heat` with buttons for the stage, and a slider for the frame that can play.

    Returns:
        The widget; `.children` are the buttons, the play button, the slider and the output.
    """
    stage = ipywidgets.ToggleButtons(options=list(heats), value=list(heats)[-1])
    play = ipywidgets.Play(0, 0, len(frames) - 1, interval=300)
    slider = ipywidgets.IntSlider(0, 0, len(frames) - 1, description="frame")
    ipywidgets.link((play, "value"), (slider, "value"))
    controls = dict(stage=stage, moment=slider)
    output = ipywidgets.interactive_output(lambda stage, moment: draw_heat(frames, heats, stage, moment), controls)
    return ipywidgets.VBox([stage, play, slider, output])
