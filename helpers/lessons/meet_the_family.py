"""The figures, explorers and exercise checks of notebook 08."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import anywidget
import torch
import traitlets
from matplotlib.figure import Figure
from torchvision import models

from helpers import plots
from helpers.blocks import activation_bytes, summary
from helpers.explorers import front
from helpers.lessons import shape_text
from helpers.lessons.exercises import exercise, require
from helpers.networks import FAMILY, NETWORKS
from helpers.plots import ANSWER, INK, SPACE, TIME, draw_kind, new_figure

__all__ = ["ACCURACY", "LOOKS", "MULTIPLY_ADDS", "NAMES", "PARAMETERS", "STAGES", "FamilyExplorer", "Published",
           "accuracy_figure", "check_frames_left", "check_keeps_all_frames", "check_kinds_of", "draw_member",
           "family_explorer", "family_figure", "published_figure", "published_networks"]  # fmt: skip

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
    "r2d": (46.7, 59.5, 47.0, 58.9), "fr2d": (48.1, 59.4, 50.3, 60.5),
    "mc2": (50.2, 62.5, 53.1, 64.2), "mc3": (50.7, 62.9, 53.7, 64.7),
    "mc4": (50.5, 62.5, 53.7, 65.1), "mc5": (50.3, 62.5, 53.7, 65.1),
    "rmc2": (49.8, 62.1, 53.1, 64.9), "rmc3": (49.8, 62.3, 53.2, 65.0),
    "rmc4": (49.9, 62.3, 53.4, 65.1), "rmc5": (49.4, 61.2, 52.1, 63.1),
    "r3d": (49.4, 61.8, 52.5, 64.2), "r2plus1d": (52.8, 64.8, 56.8, 68.0),
}  # fmt: skip
PARAMETERS = dict(  # the paper's Table 2, millions
    r2d=11.4, fr2d=11.4, mc2=11.4, mc3=11.7, mc4=12.7, mc5=16.9, rmc2=33.3, rmc3=33.0, rmc4=32.0, rmc5=27.9, r3d=33.4,
    r2plus1d=33.3,
)  # fmt: skip
MULTIPLY_ADDS = dict(  # G (10^9) for a clip of 16 frames: facebookresearch/VMZ, tutorials/models.md
    r2d=2.2, fr2d=27.6, mc2=28.5, mc3=43.3, mc4=40.0, mc5=39.9, rmc2=39.8, rmc3=25.0, rmc4=29.1, rmc5=30.8, r3d=40.7,
    r2plus1d=41.5,
)  # fmt: skip


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


def accuracy_figure(costs: Mapping[int, Mapping[str, tuple[float, float]]]) -> Figure:
    """The video accuracies of the paper's Table 2 over what a network costs; all panels have one scale of accuracy.

    Args:
        costs: for clips of 8 and of 16 frames, by member: the parameters in millions, and the multiply-adds in G (10^9).
    """
    panels = []
    for k, what in enumerate(("million parameters", "G multiply-adds for a clip")):
        for frames, family in costs.items():
            column, title = {8: 1, 16: 3}[frames], f"clips of {frames} frames"
            points = {NAMES[member]: (cost[k], ACCURACY[member][column]) for member, cost in family.items()}
            panels.append(dict(title=title, xlabel=what, ylabel="video accuracy, %", points=points))
    figure = plots.scatter(panels, LOOKS)
    drawn = [row[column] for row in ACCURACY.values() for column in (1, 3)]
    for axes in figure.axes:
        axes.set_ylim(min(drawn) - 1, max(drawn) + 1)
    figure.get_layout_engine().set(h_pad=0.1)
    return figure


class Published(NamedTuple):
    """What torchvision's metadata say of a network with weights for Kinetics-400."""

    builder: str  #: its name in torchvision
    accuracy: float  #: top-1, in %
    level: str  #: of the accuracy: "clip" or "video"
    clips: int  #: of each video
    frames: int  #: of a clip
    size: int  #: of a frame, in pixels
    fps: float
    parameters: float  #: in millions
    multiply_adds: float  #: in G (10^9)


def published_networks() -> dict[str, Published]:
    """torchvision's video networks by name, the least accurate first. It reads the installed package, and no weights."""
    found = {}
    for builder in models.list_models(module=models.video):
        for weights in models.get_model_weights(builder):
            meta = weights.meta
            level = re.search(r"(\w+)-level", meta["_docs"])[1]
            clips, frames, fps = (
                float(re.search(rf"{name}=([\d.]+)", meta["_docs"])[1])
                for name in ("clips_per_video", "clip_len", "frame_rate")
            )
            accuracy, size = meta["_metrics"]["Kinetics-400"]["acc@1"], weights.transforms().crop_size[0]
            costs = meta["num_params"] / 1e6, meta["_ops"]
            name = builder + " from ImageNet-22k" * ("IMAGENET22K" in weights.name)
            found[name] = Published(builder, accuracy, level, int(clips), int(frames), size, fps, *costs)
    return dict(sorted(found.items(), key=lambda item: item[1].accuracy))


@plots.style()
def published_figure(published: Mapping[str, Published], work: Mapping[str, float]) -> Figure:
    """Published accuracies over `work`, by name the multiply-adds for all clips of a video, in G (10^9)."""
    axes = (figure := new_figure(9.6, 3.8)).add_subplot(title="torchvision's networks (open circle: clip accuracy)")
    axes.set(xlabel="G multiply-adds for a video, all its clips", ylabel="top-1 accuracy, %", xscale="log")
    for name, p in published.items():
        single = p.level == "clip"
        look = LOOKS["R(2+1)D"] if name == "r2plus1d_18" else dict(marker="o", color=INK, mfc="none" if single else INK)
        axes.plot(work[name], p.accuracy, label=name, ls="", **look)
        aside, side = (-9, "right") if "from" in name else (9, "left")  # the longest name would leave the figure
        up = {"s3d": 6, "r2plus1d_18": -3, "mc3_18": 5, "r3d_18": -5}.get(name, 0)  # names of neighbors would overlap
        place = dict(xytext=(aside, up), textcoords="offset points", ha=side, va="center_baseline", fontsize=10)
        axes.annotate(name + ", one clip" * single, (work[name], p.accuracy), **place)
    axes.set_xlim(right=2.2 * max(work.values()))  # room for names
    axes.margins(y=0.1)
    axes.set_xticks([150, 300, 1000, 3000], ["150", "300", "1,000", "3,000"])
    axes.minorticks_off()
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
    """A video ResNet of any mixture of convolutions: what it costs, and how many weights get a gradient at so many frames.

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
def check_keeps_all_frames(solution: Callable) -> None:
    """Notebook 08: whether all frames of a clip are left in layer4's output, from the five kinds of a network."""
    require(solution(FAMILY["mc3"]), "MC3 has 2D in layer2, layer3 and layer4, so no stride halves its frames.")
    require(not solution(FAMILY["r2plus1d"]), "(2+1)D convolutions stride over time, too, not only 3D.")
    require(not solution(FAMILY["r2d"]), "R2D's stem makes one image of all frames.")
    for name, kinds in FAMILY.items():
        right = kinds[0] != "R2D" and set(kinds[2:]) == {"2D"}
        require(bool(solution(kinds)) == right, f"For {NAMES[name]} the function must return {right}.")


@exercise
def check_kinds_of(solution: Callable) -> None:
    """Notebook 08: "2D" or "3D" for the stem and the four stages of a mixed network, from its name, "mc3" or "rmc3"."""
    hint = "In MC2 only the stem, part 1 in the paper's count, comes before part 2."
    require(list(solution("mc2")) == ["3D", "2D", "2D", "2D", "2D"], hint)
    hint = "In rMC5, 2D and 3D have changed their roles, not their order: 3D from part 5 on."
    require(list(solution("rmc5")) == ["2D", "2D", "2D", "2D", "3D"], hint)
    for name in ("mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4"):
        require(list(solution(name)) == list(FAMILY[name]), f"For {name} it is {', '.join(FAMILY[name])}.")


@exercise
def check_frames_left(solution: Callable) -> None:
    """Notebook 08: the frames that are left in layer4's output, from the five kinds of a network and the frames of a clip."""
    require(solution(FAMILY["r3d"], 16) == 2, "Three stages of R3D have a temporal stride of 2: 16, 8, 4, 2.")
    require(solution(FAMILY["fr2d"], 16) == 16, "2D convolutions leave the number of frames as it is.")
    require(solution(FAMILY["mc3"], 16) == 16, "The stem and layer1 have no temporal stride, of any kind.")
    require(solution(FAMILY["r2d"], 16) == 1, "R2D's stem makes one image of all frames.")
    for name, kinds in FAMILY.items():
        for frames in (1, 5, 8, 16, 33):
            strides = 2 ** sum(kind != "2D" for kind in kinds[2:])
            right = 1 if kinds[0] == "R2D" else -(-frames // strides)
            hint = f"{NAMES[name]} leaves {right} of {frames} frames. A stride of 2 rounds up, and (2+1)D strides as 3D does."
            require(solution(kinds, frames) == right, hint)
