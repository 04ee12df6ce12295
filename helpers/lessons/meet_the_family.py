"""The figures, explorers and exercise checks of notebook 08."""

import ipywidgets
import torch

from helpers import plots
from helpers.blocks import activation_bytes, summary
from helpers.lessons.build_the_residual_block import _times
from helpers.lessons.exercises import check
from helpers.networks import FAMILY, LAYERS, NETWORKS
from helpers.plots import _kind_box, new_figure


def family(members):
    """Networks side by side, the stem of each on top and its four groups below; colours as in `draw_network`.

    Args:
        members: for each name five kinds, "2D", "3D" or "(2+1)D"; an R2D stem is 2D, with 3L on it.
    """
    figure = new_figure(9.6, 3.6)
    axes = figure.add_subplot()
    for column, (name, kinds) in enumerate(members.items()):
        for row, kind in enumerate(kinds):
            width, height = 0.34 + 0.07 * row, 0.4
            x, y = column - width / 2, -0.52 * row
            _kind_box(axes, x, y, width, height, kind)
            if kind not in ("2D", "3D", "(2+1)D"):
                axes.text(column, y + height / 2, "3L", color="white", ha="center", va="center", fontsize=9)
        axes.text(column, 0.62, name, ha="center", va="center", fontsize=10)
    for row, place in enumerate(("stem", "layer1", "layer2", "layer3", "layer4")):
        axes.text(-0.75, 0.2 - 0.52 * row, place, ha="right", va="center", fontsize=10)
    for x, kind, text in (
        (-0.6, "2D", "2D: space"),
        (1.4, "2D", "3L: all frames at once"),
        (4.8, "3D", "3D: space and time at once"),
        (8.7, "(2+1)D", "(2+1)D: space, then time"),
    ):
        _kind_box(axes, x, -2.85, 0.4, 0.3, kind)
        if text.startswith("3L"):
            axes.text(x + 0.2, -2.7, "3L", color="white", ha="center", va="center", fontsize=9)
        axes.text(x + 0.5, -2.7, text, va="center", fontsize=10)
    axes.set(xlim=(-1.6, len(members) - 0.4), ylim=(-2.95, 0.8), xticks=[], yticks=[])
    axes.set_axis_off()
    return figure


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
    plots.draw_network(figure.add_subplot(), shapes, kinds=dict(zip(groups, FAMILY[member])))
    kinds = "; ".join(f"{place} in {kind}" for place, kind in zip(groups, FAMILY[member]))
    plots.show(figure, f"The network from the clip to the logits; {kinds}.")
    sums = {name: [0, 0, 0] for name in (*groups, "fc")}
    for layer in layers:
        if (name := layer.name.split(".")[0]) in sums:
            for k, value in enumerate((layer.parameters, layer.multiply_adds, activation_bytes(layer))):
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


def check_group_kinds(answer):
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

    return check("group_kinds", answer, attempt)


def check_frames_left(answer):
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

    return check("frames_left", answer, attempt)
