"""Notebook 12: its tables, its figures and the checks of its exercises."""

import pytest
from lesson_tests import assert_readable, exercise_tests
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

RESULTS = {"linear probe": {1: [50.0, 60.0], 5: [70.0, 80.0]}, "from scratch": {5: [31.6]}}


def test_results_stand_in_the_columns_of_their_counts(capsys):
    lesson.print_results("accuracy", RESULTS)
    title, head, probe, scratch = capsys.readouterr().out.splitlines()
    assert title == "accuracy" and probe.split() == ["linear", "probe", "2", "55", "(-9-100)", "75", "(11-100)"]
    assert scratch.split() == ["from", "scratch", "1", "32"]
    assert head.index("5") == probe.index("75") == scratch.index("32") > head.index("1") == probe.index("55")
    lesson.print_results("accuracy", RESULTS, intervals=False)
    assert capsys.readouterr().out.splitlines()[2].split() == ["linear", "probe", "2", "55", "75"]


def test_a_lead_counts_the_draws_that_both_have(capsys):
    results = RESULTS | {"augmented": {5: [73.0, 81.0, 99.0]}}
    lesson.print_lead(results, "augmented", "linear probe", 5)
    printed = capsys.readouterr().out
    assert " +3.0  +1.0 " in printed and "mean  +2.0" in printed and "augmented over linear probe" in printed
    with pytest.raises(KeyError):
        lesson.print_lead(results, "augmented", "linear probe", 1)


def test_the_numbers_of_clips_are_evenly_spaced():
    figure = lesson.study_figure(RESULTS | {"augmented": {1: [60.0, 62.0, 64.0], 20: [90.0, 92.0, 94.0]}})
    (axes,) = figure.axes
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert lines["linear probe"] == ([0, 1], [55, 75]) and lines["from scratch"] == ([1], [31.6])
    assert lines["augmented"] == ([0, 2], [62, 92]) and lines["_augmented2"] == ([0, 2], [64, 94])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "5", "20"] and len(lines) == 8
    assert_readable(figure)


def test_a_row_of_a_confusion_matrix_is_shaded_by_its_fractions():
    figure = lesson.confusion_figure([[3, 1], [0, 8]], ["bow", "hop"])
    (axes,) = figure.axes
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "8"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "action")
    assert_readable(figure)
