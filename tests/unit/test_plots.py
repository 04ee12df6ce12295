"""The drawings of plots: what is on them, their alternative texts, and that matplotlib's settings stay as they are."""

import base64
import io

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

from helpers import plots

PREDICTIONS = [("walk", 0.61), ("moonwalk", 0.3), ("wave", 0.09)]


def noise(count, height=32, width=40):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def pictures(figure):
    return [axes.images[0].get_array() for axes in figure.get_axes() if axes.images]


def colors(patches):
    return [to_hex(patch.get_facecolor()).upper() for patch in patches]


@pytest.fixture
def stored(monkeypatch):
    """What `show` stores in a notebook: data and metadata of each figure."""
    outputs = []
    monkeypatch.setattr(plots, "display", lambda data, raw, metadata: outputs.append((data, metadata)))
    return outputs


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_show_stores_a_picture_with_its_text(stored):
    plots.show(plots.film_strip(noise(4)), alt="Four frames of noise.")
    ((data, metadata),) = stored
    assert pixels(base64.b64decode(data["image/png"])).std() > 10  # something is on it
    assert data["text/plain"] == metadata["image/png"]["alt"] == "Four frames of noise."
    with pytest.raises(ValueError, match="describe in a sentence"):
        plots.show(plots.film_strip(noise(4)), alt=" ")


def panel(**more):
    return dict(title="loss", xlabel="step", ylabel="", lines={"a": ([0, 1], [100, 110], {})}) | more


def test_the_global_settings_stay_and_do_not_matter(stored):
    def settings():
        return {name: value for name, value in matplotlib.rcParams.copy().items() if name != "backend"}

    def draw():
        figure = plots.new_figure(4, 2)
        with plots.style():
            plots.draw_predictions(figure.add_subplot(title="A title"), PREDICTIONS)
        for drawn in (figure, plots.curves([panel()]), plots.matrix([[1]], ["a"], ["b"], title="c")):
            plots.show(drawn, "A figure.")

    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        before = settings()
        draw()
        assert settings() == before
    with matplotlib.rc_context({"text.color": "red", "axes.edgecolor": "red", "xtick.color": "red", "font.size": 20}):
        before = settings()
        draw()
        assert settings() == before
    first, second = stored[:3], stored[3:]
    assert [data["image/png"] for data, _ in first] == [data["image/png"] for data, _ in second]


@pytest.mark.parametrize(
    "frames, tolerance", [(np.full((16, 112, 112, 3), 90, np.uint8), 1), (noise(16, 112, 112), 30)]
)
def test_a_stored_picture_is_small_and_keeps_the_colors_of_the_series(frames, tolerance, stored):
    """Even with four frames of noise, which use up the palette, the colors are off by 30 in 255 at most."""
    figure, full = plots.predictions_beside_frames(frames, PREDICTIONS), io.BytesIO()
    plots.show(figure, "A picture.")
    with plots.style():
        figure.savefig(full, format="png")
    png = base64.b64decode(stored[0][0]["image/png"])
    small, large = pixels(png), pixels(full.getvalue())
    assert len(np.unique(small.reshape(-1, 3), axis=0)) <= 192 and len(png) < 0.55 * len(full.getvalue())
    for color in (plots.TIME, plots.ANSWER, plots.INK, plots.PALE, "#FFFFFF"):
        rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        where = (large == rgb).all(-1)
        assert where.sum() > 10 and np.abs(small[where] - rgb).max() <= tolerance, color
    assert np.abs(small - large).mean() < 6  # the others are near


def test_a_clip_plays_at_its_speed_in_its_colors_and_again(stored):
    """Ten flat frames: each comes back, in order, after a fifteenth of a second; names stand above two side by side."""
    film = np.stack([np.full((28, 40, 3), (20 * t, 0, 200 - 20 * t), np.uint8) for t in range(10)])
    plots.play({"there": film, "and back": film[::-1]}, alt="Two clips of one colour each.", width=80)
    ((data, metadata),) = stored
    assert data["text/plain"] == metadata["image/png"]["alt"] == "Two clips of one colour each."
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert (picture.n_frames, picture.info["loop"], picture.size) == (10, 0, (168, 22 + 56))
    for t in range(10):
        picture.seek(t)
        assert abs(picture.info["duration"] - 1000 / 15) < 1
        shown = np.asarray(picture.convert("RGB")).astype(int)
        assert (
            np.abs(shown[24:, :78] - film[t, 0, 0]).max() < 16
            and np.abs(shown[24:, 90:] - film[9 - t, 0, 0]).max() < 16
        )
        assert shown[:20, :80].min() < 100 and shown[24:, 82:86].min() > 240  # a name, and the gap


def test_a_clip_that_is_too_large_or_unnamed_is_refused(stored):
    with pytest.raises(ValueError, match="more than 150,000: take fewer or smaller frames"):
        plots.play(noise(100, 112, 112), alt="Noise.")
    with pytest.raises(ValueError, match="describe in a sentence"):
        plots.play(noise(2), alt=" ")
    plots.play(noise(16, 112, 112), alt="Noise.")  # a clip in full noise fits
    assert len(base64.b64decode(stored[0][0]["image/png"])) <= 150_000


@pytest.mark.parametrize("count, columns, grid", [(16, 8, (2, 8)), (5, 8, (1, 5)), (9, 4, (3, 4))])
def test_film_strip_shows_every_frame_in_order(count, columns, grid):
    frames = noise(count)
    figure = plots.film_strip(frames, [f"{k} s" for k in range(count)], columns=columns)
    assert np.array_equal(pictures(figure), frames)
    assert [axes.get_xlabel() for axes in figure.get_axes()] == [f"{k} s" for k in range(count)]
    assert all(axes.get_subplotspec().get_gridspec().get_geometry() == grid for axes in figure.get_axes())


def test_film_strip_names_its_rows_and_a_short_one_is_narrow():
    names = [axes.get_ylabel() for axes in plots.film_strip(noise(6), columns=3, rows=["one", "two"]).get_axes()]
    assert names == ["one", "", "", "two", "", ""]
    short, long = (plots.film_strip(noise(count, 40, 40), columns=8) for count in (2, 8))
    assert np.allclose(long.get_figwidth(), 9.6) and np.allclose(short.get_figwidth(), 2.4)


def test_four_frames_from_first_to_last_beside_the_predictions():
    frames = noise(16)
    figure = plots.predictions_beside_frames(frames, PREDICTIONS)
    assert np.array_equal(pictures(figure), frames[[0, 5, 10, 15]])
    axes = figure.get_axes()[-1]
    bars = sorted(axes.patches, key=lambda bar: -bar.get_y())  # from top to bottom
    assert [bar.get_width() for bar in bars] == [0.61, 0.3, 0.09]
    assert colors(bars) == [plots.ANSWER, plots.PALE, plots.PALE]
    assert [text.get_text() for text in axes.texts] == ["61%", "30%", "9%"]
    labels = {tick: label.get_text() for tick, label in zip(axes.get_yticks(), axes.get_yticklabels())}
    assert labels[2] == "walk" and labels[0] == "wave"


@pytest.mark.parametrize("columns", [["a", "b"], ["jumping jacks", "arm circles"] * 4])
def test_a_matrix_writes_every_number_in_its_cell(columns):
    values = np.arange(3 * len(columns)).reshape(3, -1)
    figure = plots.matrix(values, ["x", "y", "z"], columns, "{:.0f}".format, values / 10)
    (axes,) = figure.get_axes()
    assert np.allclose(axes.images[0].get_array(), values / 10)
    assert [(text.get_text(), *text.get_position()) for text in axes.texts] == [
        (f"{values[row, column]}", column, row) for row in range(3) for column in range(len(columns))
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == columns
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y", "z"]
    FigureCanvasAgg(figure).draw()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_rotation() == 0]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:]))


def test_a_matrix_says_what_it_holds():
    labels = dict(title="loss", xlabel="frozen frames", ylabel="action")
    figure = plots.matrix([[-1, 0.5]], ["walk"], ["0 to 7", "8 to 15"], "{:.1f}".format, color=plots.TIME, **labels)
    (axes,) = figure.get_axes()
    assert [text.get_text() for text in axes.texts] == ["\N{MINUS SIGN}1.0", "0.5"]
    assert axes.get_title(loc="left") == "loss" and axes.get_ylabel() == "action"
    assert axes.get_xlabel() == "frozen frames" and axes.xaxis.label.get_color() == plots.TIME
    assert {label.get_color() for label in axes.get_xticklabels()} == {plots.TIME}
    assert {label.get_color() for label in axes.get_yticklabels()} == {plots.INK}
    shades = axes.images[0].cmap
    assert to_hex(shades(0.0)).upper() == "#FFFFFF" and to_hex(shades(1.0)).upper() == plots.ANSWER


def test_curves_have_their_names_scales_and_axes():
    lines = {"a": ([0, 1], [2, 3], dict(ls="--")), "b": ([0, 1], [1, 4], {})}
    figure = plots.curves([panel(lines=lines, log=True), panel(lines=lines, title="again", xticks=(0, 1))])
    first, second = figure.get_axes()
    assert [list(line.get_ydata()) for line in first.lines] == [[2, 3], [1, 4]] and first.lines[
        0
    ].get_linestyle() == "--"
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["a", "b"]
    assert (first.get_yscale(), second.get_yscale(), second.get_title(loc="left")) == ("log", "linear", "again")
    assert list(second.get_xticks()) == [0, 1]


def test_positions_of_curves_may_have_texts():
    axes = plots.curves([panel(xticks={0: "0.001", 1: "0.002"}), panel(xticks=(0, 1))]).get_axes()
    assert [[label.get_text() for label in part.get_xticklabels()] for part in axes] == [["0.001", "0.002"], ["0", "1"]]


def test_curves_may_share_an_axis_and_have_no_name_or_no_legend():
    low = panel(lines={"": ([0, 1], [1, 2], {})}, xcolor=plots.TIME)
    first, alone, shared = plots.curves([panel(), low, low | dict(like=0)]).get_axes()
    assert first.get_ylim() == shared.get_ylim() != alone.get_ylim() and first.get_ylim()[0] < 1
    assert [axes.xaxis.label.get_color() for axes in (first, alone, shared)] == [plots.INK, plots.TIME, plots.TIME]
    assert alone.get_legend() is None
    silent, told = plots.curves([panel(legend=False), panel(beside=True)]).get_axes()
    assert silent.get_legend() is None and told.get_legend() is not None


def test_bars_are_as_long_as_their_values_and_write_them():
    panels = {"count": ([3, 5], lambda value: f"{value} M"), "size": ([2, 1], str)}
    count, size = plots.bars(["a", "b"], panels).get_axes()
    assert [bar.get_width() for bar in count.patches] == [3, 5] and [bar.get_width() for bar in size.patches] == [2, 1]
    assert [text.get_text() for text in count.texts] == ["3 M", "5 M"]
    assert [label.get_text() for label in count.get_yticklabels()] == ["a", "b"]
    assert count.patches[0].get_y() > count.patches[1].get_y()  # from top to bottom
    assert count.get_xlim()[1] > size.get_xlim()[1] >= 2
    assert len({axes.get_xlim() for axes in plots.bars(["a", "b"], panels, shared=True).get_axes()}) == 1


def test_scatter_draws_every_point_and_names_it_in_one_legend():
    names = ["R2D", "f-R2D", "R3D", "MC2", "MC3", "MC4", "MC5", "rMC2", "rMC3", "R(2+1)D"]
    points = [{name: (k + shift, shift * k) for k, name in enumerate(names)} for shift in (1, 2)]
    looks = {"R(2+1)D": dict(color=plots.ANSWER, ms=12), "R2D": dict(marker="x")}
    figure = plots.scatter([dict(title="a", xlabel="b", ylabel="c", points=some) for some in points], looks)
    for axes, some in zip(figure.get_axes(), points, strict=True):
        drawn = {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines}
        assert drawn == some and {line.get_linestyle() for line in axes.lines} == {"None"}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    marks = [(line.get_marker(), line.get_color()) for line in axes.lines]
    assert len(set(marks)) == len(names) and marks[0][0] == "x"
    assert [color == plots.ANSWER for _, color in marks] == [False] * 9 + [True]
    FigureCanvasAgg(figure).draw()
    assert all(not legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.get_axes())


def test_a_network_has_its_shapes_and_what_is_lit():
    axes = plots.new_figure(10.4, 2.3).add_subplot()
    plots.draw_network(axes, lit=("stem", "fc"))
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [color == plots.ANSWER for color in colors(boxes)] == [name in ("stem", "fc") for name in plots.PARTS]
    words = [text.get_text() for text in axes.texts]
    assert words[::2] == ["clip", "stem", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"]
    assert words[1::2] == list(plots.FULL_SHAPES.values()) and words[-1] == "400"
    assert all(left.get_x() + left.get_width() < right.get_x() for left, right in zip(boxes, boxes[1:]))


def test_kinds_of_convolution_have_the_two_colors():
    axes = plots.new_figure(10.4, 2.3).add_subplot()
    plots.draw_network(axes, kinds={"stem": "2D", "layer1": "3D", "layer2": "(2+1)D"})
    drawn = colors(patch for patch in axes.patches if isinstance(patch, (Rectangle, Polygon)))
    assert drawn == [plots.PALE, plots.SPACE, plots.SPACE, plots.TIME, plots.SPACE, plots.TIME, *[plots.PALE] * 4]
