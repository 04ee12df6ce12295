"""The figures, the tables and the exercise checks of notebook 12."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import nn
from torch.nn import functional as F

from helpers import plots
from helpers.intervals import paired_interval
from helpers.lessons.exercises import exercise, require

__all__ = ["check_accumulate", "check_on_both_sides", "confusion_figure", "print_lead", "print_results", "study_figure"]

# By method and number of training clips of each action: accuracies in %, one for each draw of the clips.
Results = Mapping[str, Mapping[int, Sequence[float]]]
LOOKS = {  # color and dashes of a method's curve
    "nearest neighbor": (plots.INK, ":"),
    "linear probe": (plots.INK, "--"),
    "all layers": (plots.ANSWER, "--"),
    "augmented": (plots.ANSWER, "-"),
    "from scratch": (plots.INK, "-."),
}


def confusion_figure(table: ArrayLike, classes: Sequence[str]) -> Figure:
    """A confusion matrix of counts, (actions, predictions). The larger a cell's fraction of its row, the darker it is."""
    table = np.asarray(table)
    shades = table / table.sum(1, keepdims=True)
    labels = dict(xlabel="prediction", ylabel="action")
    return plots.matrix(table, classes, classes, "{:.0f}".format, shades=shades, **labels)


def print_results(title: str, results: Results, intervals: bool = True) -> None:
    """A line for each method, a column for each number of clips: the mean over the draws, with its 95 % interval."""
    counts = sorted(set().union(*results.values()))
    lines = [f"{'clips of each action':20} draws  " + "".join(f"{count:<13}" for count in counts)]
    for method, row in results.items():
        cells = (_mean(row.get(count, ()), intervals) for count in counts)
        lines.append(f"{method:20} {len(next(iter(row.values()))):5}  " + "".join(f"{cell:13}" for cell in cells))
    print(title, *(line.rstrip() for line in lines), sep="\n")


def _mean(values, interval):
    """The mean of accuracies in %, as text; with an interval if there are several."""
    if len(values) == 0:
        return ""
    if len(values) == 1 or not interval:
        return f"{np.mean(values):.0f}"
    mean, low, high = paired_interval(values)
    return f"{mean:.0f} ({low:.0f}-{min(high, 100):.0f})"


def print_lead(results: Results, better: str, worse: str, count: int) -> None:
    """By how many points a method is ahead of another in each draw that both have, with so many clips of each action."""
    leads = [a - b for a, b in zip(results[better][count], results[worse][count])]
    mean, low, high = paired_interval(leads)
    each = " ".join(f"{lead:+5.1f}" for lead in leads)
    names = f"{better} over {worse}:"
    print(f"{count:2} clips, {names:29} {each}   mean {mean:+5.1f} ({low:+.1f} to {high:+.1f})")


def study_figure(results: Results) -> Figure:
    """A curve for each method over the number of clips of each action: the means, and pale the single draws."""
    counts = sorted(set().union(*results.values()))
    lines = {}
    for method, row in results.items():
        places, draws = [counts.index(count) for count in row], list(zip(*row.values()))
        look = dict(zip(("color", "ls"), LOOKS[method]))
        for k, draw in enumerate(draws if len(draws) > 1 else []):
            lines[f"_{method}{k}"] = places, draw, look | dict(alpha=0.25)
        lines[method] = places, np.mean(draws, 0), look | dict(marker="o")
    panel = dict(title="200 test clips of five new actions (pale: single draws)", lines=lines, beside=True)
    panel |= dict(xlabel="training clips of each action", ylabel="test accuracy, %")
    return plots.curves([panel | dict(xticks={k: str(count) for k, count in enumerate(counts)})])


@exercise
def check_on_both_sides(solution: Callable) -> None:
    """Notebook 12: the groups with clips in two lists of names, which are named as in UCF101."""
    training = ["v_Archery_g03_c01.avi", "v_Archery_g04_c01.avi"]
    groups = solution(training, ["v_Archery_g03_c02.avi", "v_Archery_g05_c01.avi"])
    require(isinstance(groups, set), "Return a set.")
    hint = f"Clips 1 and 2 of v_Archery_g03 are in different lists; you return {groups or 'nothing'}."
    require(groups == {"v_Archery_g03"}, hint)
    hint = "g01 of another class is another group."
    require(solution(["v_Bow_g01_c01.avi"], ["v_Kick_g01_c01.avi"]) == set(), hint)
    require(solution(["v_A_g1_c1.avi"], ["v_A_g10_c1.avi"]) == set(), "g1 is not g10.")
    require(solution(["a_c01_g02_c11.mp4"], ["a_c01_g02_c03.mp4"]) == {"a_c01_g02"}, "Cut off only the last _c.")


@exercise
def check_accumulate(solution: Callable) -> None:
    """Notebook 12: the gradient of a whole batch, from its parts."""
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 5))
    x, label = torch.randn(10, 3, 4, 6, 6), torch.arange(10) % 5
    sizes = []
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    for parts in (1, 2, 3, 4, 10):
        network.zero_grad()
        F.cross_entropy(network(x), label).backward()
        right = [p.grad.clone() for p in network.parameters()]
        sizes.clear()
        solution(network, x, label, parts)  # the earlier gradients are still there
        hint = f"With {parts} parts the network got {sizes} clips."
        require(sum(sizes) == 10 and max(sizes) <= -(-10 // parts), hint)
        for p, expected in zip(network.parameters(), right):
            twice = torch.allclose(p.grad, 2 * expected, atol=1e-5)
            require(not twice, "Gradients add up: set the earlier ones to zero first.")
            hint = "Weigh each part by its fraction of the clips." if 10 % parts else "Average the means of the parts."
            same = torch.allclose(p.grad, expected, atol=1e-5)
            require(same, f"With {parts} parts the gradient is different. {hint}")
