"""The figures, explorers and exercise checks of notebook 08."""

from collections.abc import Callable, Mapping, Sequence

import anywidget
import torch
import traitlets
from matplotlib.figure import Figure

from helpers import plots
from helpers.blocks import activation_bytes, summary
from helpers.explorers import front
from helpers.lessons import shape_text
from helpers.lessons.exercises import exercise, require
from helpers.networks import FAMILY, NETWORKS
from helpers.plots import ANSWER, INK, SPACE, TIME, draw_kind, new_figure

__all__ = [
    "ACCURACY",
    "LOOKS",
    "NAMES",
    "FamilyExplorer",
    "check_frames_left",
    "check_group_kinds",
    "draw_member",
    "family_explorer",
    "family_figure",
]

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
# The markers of `plots.scatter`: one shape for each stage at which a mixed network changes, one color for each direction.
LOOKS = {
    f"{prefix}{k}": dict(marker=marker, color=color, mfc="none", mew=1.6)
    for prefix, color in (("MC", SPACE), ("rMC", TIME))
    for k, marker in zip((2, 3, 4, 5), "os^D")
} | {
    "R2D": dict(marker="x", mew=1.8, color=INK),
    "f-R2D": dict(marker="+", mew=1.8, ms=9, color=INK),
    "R3D": dict(marker="*", ms=10, color=INK),
    "R(2+1)D": dict(marker="*", ms=13, color=ANSWER),
}


NAMES = dict(r2d="R2D", fr2d="f-R2D", r3d="R3D", r2plus1d="R(2+1)D")
NAMES |= {f"{prefix.lower()}{k}": f"{prefix}{k}" for prefix in ("MC", "rMC") for k in (2, 3, 4, 5)}
ACCURACY = {  # the paper's Table 2, top-1 on Kinetics-400 in %: clip and video with 8 frames, then with 16
    "r2d": (46.7, 59.5, 47.0, 58.9),
    "fr2d": (48.1, 59.4, 50.3, 60.5),
    "r3d": (49.4, 61.8, 52.5, 64.2),
    "mc2": (50.2, 62.5, 53.1, 64.2),
    "mc3": (50.7, 62.9, 53.7, 64.7),
    "mc4": (50.5, 62.5, 53.7, 65.1),
    "mc5": (50.3, 62.5, 53.7, 65.1),
    "rmc2": (49.8, 62.1, 53.1, 64.9),
    "rmc3": (49.8, 62.3, 53.2, 65.0),
    "rmc4": (49.9, 62.3, 53.4, 65.1),
    "rmc5": (49.4, 61.2, 52.1, 63.1),
    "r2plus1d": (52.8, 64.8, 56.8, 68.0),
}


@plots.style()
def family_figure(members: Mapping[str, Sequence[str]]) -> Figure:
    """Networks side by side: the stem of each on top and its four stages below, in the colors of `draw_kind`.

    Args:
        members: for each name five kinds, "2D", "3D", "(2+1)D" or, only for a stem, "R2D": 2D with 3L channels.
    """
    figure = new_figure(9.6, 3.6)
    axes = figure.add_subplot()

    def box(x, y, width, height, kind):
        draw_kind(axes, x, y, width, height, kind)
        if kind == "R2D":
            axes.text(x + width / 2, y + height / 2, "3L", color="white", ha="center", va="center", fontsize=9)

    for column, (name, kinds) in enumerate(members.items()):
        for row, kind in enumerate(kinds):
            width = 0.34 + 0.07 * row
            box(column - width / 2, -0.52 * row, width, 0.4, kind)
        axes.text(column, 0.62, name, ha="center", va="center", fontsize=10)
    for row, stage in enumerate(STAGES):
        axes.text(-0.75, 0.2 - 0.52 * row, stage, ha="right", va="center", fontsize=10)
    for x, kind, text in (
        (-0.6, "2D", "2D: space"),
        (1.4, "R2D", "3L: all frames at once"),
        (4.8, "3D", "3D: space and time at once"),
        (8.7, "(2+1)D", "(2+1)D: space, then time"),
    ):
        box(x, -2.85, 0.4, 0.3, kind)
        axes.text(x + 0.5, -2.7, text, va="center", fontsize=10)
    axes.set(xlim=(-1.6, len(members) - 0.4), ylim=(-2.95, 0.8), xticks=[], yticks=[])
    axes.set_axis_off()
    return figure


def draw_member(member: str = "mc3", depth: int = 18, frames: int = 16, size: int = 112) -> None:
    """Show shapes and costs of a network of the family, for a clip of `frames` frames of `size` x `size` pixels."""
    with torch.device("meta"):
        network = NETWORKS[f"{member}_{depth}"](frames=frames)
    layers = summary(network, (3, frames, size, size))
    outputs = {layer.name.split(".")[0]: layer.output for layer in layers}  # the last one of each stage
    outputs |= {"clip": (3, frames, size, size), "avgpool": outputs["layer4"][:1]}
    _show_member(outputs, dict(zip(STAGES, FAMILY[member])))
    costs = {}
    for stage in (*STAGES, "fc"):
        own = [layer for layer in layers if layer.name.split(".")[0] == stage]
        costs[stage] = [
            sum(layer.parameters for layer in own),
            sum(layer.multiply_adds for layer in own),
            sum(map(activation_bytes, own)),
        ]
    costs["total"] = [sum(column) for column in zip(*costs.values())]
    for stage, (parameters, multiply_adds, saved) in costs.items():
        print(f"{stage:7}{shape_text(outputs.get(stage, ())):>22}{parameters:>13,} parameters", end="")
        print(f"{multiply_adds / 1e9:>9.3f} G multiply-adds{saved / 1e6:>9.1f} MB saved activations")


@plots.style()
def _show_member(outputs: Mapping[str, tuple], kinds: Mapping[str, str]) -> None:
    figure = new_figure(9.6, 2.2)
    shapes = {name: "x".join(map(str, shape)) for name, shape in outputs.items()}
    plots.draw_network(figure.add_subplot(), shapes, kinds=kinds)
    listed = "; ".join(f"{stage} in {kind}" for stage, kind in kinds.items())
    plots.show(figure, f"The network from the clip to the logits; {listed}.")


class FamilyExplorer(anywidget.AnyWidget):
    """A video ResNet of any mixture of convolutions: what it costs, and how many of its weights can learn at so many frames.

    `family`, `names` and `accuracy` are by member: its five kinds, its name in the paper, and its row of `ACCURACY`.
    """

    _esm, _css = front("family")
    kinds = traitlets.List(list(FAMILY["r3d"])).tag(sync=True)
    depth = traitlets.Int(18).tag(sync=True)
    frames, size = traitlets.Int(8).tag(sync=True), traitlets.Int(112).tag(sync=True)
    family = traitlets.Dict(FAMILY).tag(sync=True)
    names = traitlets.Dict(NAMES).tag(sync=True)
    accuracy = traitlets.Dict(ACCURACY).tag(sync=True)


def family_explorer() -> FamilyExplorer:
    """The explorer of notebook 08."""
    return FamilyExplorer()


@exercise
def check_group_kinds(solution: Callable) -> None:
    """Notebook 08: "2D" or "3D" for the stem and the four stages of a mixed network, from its name, "mc3" or "rmc3"."""
    hint = "In MC2 only the stem, group 1 of the paper, comes before group 2."
    require(list(solution("mc2")) == ["3D", "2D", "2D", "2D", "2D"], hint)
    hint = "In rMC5, 2D and 3D have changed their roles, not their order: 3D from group 5 on."
    require(list(solution("rmc5")) == ["2D", "2D", "2D", "2D", "3D"], hint)
    for name in ("mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4"):
        require(list(solution(name)) == list(FAMILY[name]), f"For {name} it is {', '.join(FAMILY[name])}.")


@exercise
def check_frames_left(solution: Callable) -> None:
    """Notebook 08: the frames that are left in the last feature map, from the five kinds of a network and its frames."""
    require(solution(FAMILY["r3d"], 16) == 2, "Three stages of R3D have a temporal stride of 2: 16, 8, 4, 2.")
    require(solution(FAMILY["fr2d"], 16) == 16, "2D convolutions leave the number of frames as it is.")
    require(solution(FAMILY["mc3"], 16) == 16, "The stem and layer1 have no temporal stride, of any kind.")
    require(solution(FAMILY["r2d"], 16) == 1, "R2D's stem makes one picture of all frames.")
    for name, kinds in FAMILY.items():
        for frames in (1, 5, 8, 16, 33):
            strides = 2 ** sum(kind != "2D" for kind in kinds[2:])
            right = 1 if kinds[0] == "R2D" else -(-frames // strides)
            hint = (
                f"{name} leaves {right} of {frames} frames. A stride of 2 rounds up, and (2+1)D has the strides of 3D."
            )
            require(solution(kinds, frames) == right, hint)
