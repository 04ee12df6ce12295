"""The figures, explorers and exercise checks of notebook 11."""

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch import nn

from helpers import plots
from helpers.lessons.exercises import check
from helpers.networks import NETWORKS
from helpers.plots import INK, SHADES, TIME, new_figure


def overlaid(frames, heat):
    """Frames in grey with heat laid over them, from violet to yellow; where there is none they stay grey.

    Args:
        frames: uint8 (T, H, W, 3).
        heat: (T, H, W); the largest value is drawn brightest, what is not positive not at all.

    Returns:
        uint8 (T, H, W, 3).
    """
    frames, heat = np.asarray(frames), np.clip(np.asarray(heat, dtype=np.float32), 0, None)
    share = heat / (heat.max() or 1)
    grey = frames.mean(-1, keepdims=True) / 255
    colour = plt.get_cmap("plasma")(0.3 + 0.7 * share)[..., :3]
    mixed = grey + 0.9 * share[..., None] ** 0.8 * (colour - grey)
    return (255 * mixed).round().astype(np.uint8)


def films_beside_values(films, rows, columns, values, write="{:.0%}".format):
    """A row for each film: eight of its frames, and numbers beside them, the larger the darker.

    Args:
        films: for each row uint8 (T, H, W, 3), T at least 8.
        rows, columns: a text for each film, and for each column of `values`.
        values: (rows, columns), 0 to 1.
    """
    values = np.asarray(values)
    wide, gap = 1.6, 0.3  # of a number's cell, and between frames and numbers; a frame is 1 wide and 1 high
    figure = new_figure(9.6, 0.5 + 0.62 * len(rows))
    axes = figure.add_subplot()
    for row, film in enumerate(films):
        chosen = np.linspace(0, len(film) - 1, 8).round().astype(int)
        for column, k in enumerate(chosen):
            axes.imshow(np.asarray(film)[k], extent=(column + 0.04, column + 0.96, row + 0.96, row + 0.04))
        for column, value in enumerate(values[row]):
            left = 8 + gap + column * wide
            axes.add_patch(Rectangle((left, row), wide, 1, color=SHADES(value / 1.3), lw=0))
            axes.text(left + wide / 2, row + 0.5, write(value), ha="center", va="center", fontsize=10)
    axes.set(xlim=(0, 8 + gap + wide * len(columns)), ylim=(len(rows), 0), aspect="equal")
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    places = [0.5, 7.5] + [8 + gap + wide * (k + 0.5) for k in range(len(columns))]
    axes.set_xticks(places, ["first", "last", *columns], fontsize=9)
    for k, label in enumerate(axes.get_xticklabels()):
        label.set(color=TIME if k < 2 else INK, va="baseline")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", pad=12)
    return figure


def draw_heat(frames, heats, stage="layer4", moment=8):
    """Show one frame of a clip beside where the heat lies in it, and how the heat changes in the course of time.

    Args:
        frames: uint8 (T, H, W, 3).
        heats: by stage, (T, H, W); what is not positive counts as nothing.
        moment: which frame.
    """
    heat = heats[stage].clamp(min=0)
    figure = plots.new_figure(9.6, 3.2)
    pair = frames[moment], overlaid(frames, heat)[moment]
    for place, (picture, text) in enumerate(zip(pair, ("the frame", f"the heat of {stage}")), start=1):
        axes = figure.add_subplot(1, 3, place)
        plots.draw_frame(axes, picture)
        axes.set_title(text)
    shares = (heat.sum((1, 2)) / heat.sum().clamp(min=1e-12)).tolist()
    axes = figure.add_subplot(1, 3, 3)
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


def check_class_activation(answer):
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

    return check("class_activation", answer, attempt)


def check_pointing_game(answer):
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

    return check("pointing_game", answer, attempt)
