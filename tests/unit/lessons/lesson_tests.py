"""What the tests of several lessons need."""

import re

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from helpers import plots

COLORS = {plots.SPACE, plots.TIME, plots.ANSWER, plots.INK, "#FFFFFF"}


def noise(count, height=32, width=40):
    """Frames of noise, uint8 (T, H, W, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def record(monkeypatch):
    """A list to which `plots.show` appends each figure and its alternative text, and displays nothing."""
    shown = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: shown.append((figure, alt)))
    return shown


def pictures(figure):
    """The pixels of each axes with a picture."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.get_axes() if axes.images]


def colors(patches):
    """The face colors of patches, as in `plots`."""
    return [to_hex(patch.get_facecolor()).upper() for patch in patches]


def assert_readable(figure):
    """Texts have colors of the series and 9 pt or more, lie within their figure, and no two of them overlap."""
    canvas = FigureCanvasAgg(figure)
    with plots.style():
        canvas.draw()
    outside = _labels_outside(figure)
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible() and t not in outside]
    boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in texts]  # of an annotation without its line
    for number, (text, box) in enumerate(zip(texts, boxes)):
        assert to_hex(text.get_color()).upper() in COLORS and text.get_fontsize() >= 9, text.get_text()
        assert figure.bbox.x0 <= box.x0 + 1 and box.x1 <= figure.bbox.x1 + 1, text.get_text()
        assert figure.bbox.y0 <= box.y0 + 1 and box.y1 <= figure.bbox.y1 + 1, text.get_text()
        for other in range(number):
            assert not _overlap(box, boxes[other]), (text.get_text(), texts[other].get_text())


def _labels_outside(figure):
    """Tick labels beyond their axis, which matplotlib keeps and does not draw."""
    labels = []
    for axis in (axis for axes in figure.get_axes() for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        labels += [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
    return labels


def _overlap(a, b, slack=1):
    return a.x0 < b.x1 - slack and b.x0 < a.x1 - slack and a.y0 < b.y1 - slack and b.y0 < a.y1 - slack


def settings():
    """matplotlib's global settings."""
    return {name: value for name, value in matplotlib.rcParams.copy().items() if name != "backend"}


def exercise_tests(lesson, right, wrong):
    """Two tests of a lesson's checks.

    Args:
        right: for the name of each check a right solution.
        wrong: for the name of each check pairs of a wrong solution and of a pattern that its hint matches.
    """

    @pytest.mark.parametrize("name", right)
    def test_right(name, capsys):
        assert {name for name in lesson.__all__ if name.startswith("check_")} == set(right) == set(wrong)
        check, exercise, state = getattr(lesson, name), name.removeprefix("check_"), torch.random.get_rng_state()
        assert check(right[name]) is True
        assert capsys.readouterr().out == f"{exercise}: right.\n"
        assert torch.equal(torch.random.get_rng_state(), state)
        assert check(None) is False
        assert "not yet. Write the function" in capsys.readouterr().out

    @pytest.mark.parametrize("name, number", [(name, k) for name in wrong for k in range(len(wrong[name]))])
    def test_wrong(name, number, capsys):
        solution, hint = wrong[name][number]
        assert getattr(lesson, name)(solution) is False
        out = capsys.readouterr().out
        assert out.startswith(f"{name.removeprefix('check_')}: not yet. ") and re.search(hint, out), out

    return test_right, test_wrong
