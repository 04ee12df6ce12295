"""Notebook 12: the checks of its exercises."""

from lesson_tests import exercise_tests
from torch.nn import functional as F

from helpers.lessons import fine_tune_on_your_own_clips as lesson


def groups(names):
    return {name.rpartition("_c")[0] for name in names}


def accumulate(network, x, label, parts, weigh=True, clear=True, scale=1):
    if clear:
        network.zero_grad()
    for clips, labels in zip(x.chunk(parts), label.chunk(parts)):
        weight = len(clips) / len(x) if weigh else 1 / parts
        (scale * weight * F.cross_entropy(network(clips), labels)).backward()


test_right, test_wrong = exercise_tests(
    lesson,
    right={"check_on_both_sides": lambda a, b: groups(a) & groups(b), "check_accumulate": accumulate},
    wrong={
        "check_on_both_sides": [
            (lambda a, b: [], "Return a set"),
            (lambda a, b: set(a) & set(b), "in different lists; you return nothing"),
            (lambda a, b: {n.split("_c")[0] for n in a} & {n.split("_c")[0] for n in b}, "Cut off only the last _c"),
            (lambda a, b: {n[-11:-8] for n in a} & {n[-11:-8] for n in b}, "v_Archery_g03"),
            (lambda a, b: {"v_Archery_g03"} if len(a) == 2 else {"g"}, "another group"),
        ],
        "check_accumulate": [
            (lambda network, x, label, parts: accumulate(network, x, label, 1), "With 2 parts the network got"),
            (lambda *batch: accumulate(*batch, weigh=False), "Weigh each part by its fraction"),
            (lambda *batch: accumulate(*batch, clear=False), "Gradients add up"),
            (lambda *batch: accumulate(*batch, scale=2), "Average the means|Gradients add up"),
        ],
    },
)
