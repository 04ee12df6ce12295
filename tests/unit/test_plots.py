"""The drawings, by what they draw: frames, bars, texts and the sentence for those who cannot see them."""

import base64
import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Polygon, Rectangle
from matplotlib.text import Text
from PIL import Image

from helpers import plots

ANSWERS = [("walk", 0.61), ("moonwalk", 0.3), ("wave", 0.09)]


def frames(count, height=32, width=40):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def drawn_frames(figure):
    return [axes.images[0].get_array() for axes in figure.get_axes() if axes.images]


@pytest.mark.parametrize("count, columns, grid", [(16, 8, (2, 8)), (5, 8, (1, 5)), (9, 4, (3, 4))])
def test_film_strip_shows_every_frame_in_order(count, columns, grid):
    film = frames(count)
    figure = plots.film_strip(film, [f"{k} s" for k in range(count)], columns=columns)
    assert np.array_equal(drawn_frames(figure), film)
    assert [axes.get_xlabel() for axes in figure.get_axes()] == [f"{k} s" for k in range(count)]
    assert all(axes.get_subplotspec().get_gridspec().get_geometry() == grid for axes in figure.get_axes())


def test_film_strip_names_its_rows():
    names = [axes.get_ylabel() for axes in plots.film_strip(frames(6), columns=3, rows=["one", "two"]).get_axes()]
    assert names == ["one", "", "", "two", "", ""]


def test_a_short_film_strip_is_narrow_and_its_frames_are_as_large():
    short, long = (plots.film_strip(frames(count, 40, 40), columns=8) for count in (2, 8))
    assert np.allclose(long.get_figwidth(), 9.6) and np.allclose(short.get_figwidth(), 2.4)
    sizes = []
    for figure in (short, long):
        figure.draw_without_rendering()
        sizes.append(figure.get_axes()[0].get_window_extent().width)
    assert abs(sizes[0] - sizes[1]) < 2


def test_answers_are_bars_in_order_with_their_shares():
    figure = plots.new_figure(4, 2)
    axes = figure.add_subplot()
    plots.draw_predictions(axes, ANSWERS)
    bars = sorted(axes.patches, key=lambda bar: -bar.get_y())  # from top to bottom
    assert [bar.get_width() for bar in bars] == [0.61, 0.3, 0.09]
    assert [text.get_text() for text in axes.texts] == ["61%", "30%", "9%"]
    labels = {tick: label.get_text() for tick, label in zip(axes.get_yticks(), axes.get_yticklabels())}
    assert labels[2] == "walk" and labels[0] == "wave"


def test_four_frames_from_first_to_last_beside_the_answers():
    film = frames(16)
    figure = plots.predictions_beside_frames(film, ANSWERS, title="A walk")
    assert np.array_equal(drawn_frames(figure), film[[0, 5, 10, 15]])
    assert figure.get_suptitle() == "A walk"


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
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_rotation() == 0]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:]))


def test_a_matrix_says_what_it_holds():
    how = dict(title="loss", xlabel="frames held", ylabel="action", color=plots.TIME)
    (axes,) = plots.matrix([[-1, 0.5]], ["walk"], ["0 to 7", "8 to 15"], "{:.1f}".format, **how).get_axes()
    assert [text.get_text() for text in axes.texts] == ["\N{MINUS SIGN}1.0", "0.5"]
    assert axes.get_title(loc="left") == "loss" and axes.get_ylabel() == "action"
    assert axes.get_xlabel() == "frames held" and axes.xaxis.label.get_color() == plots.TIME
    assert {label.get_color() for label in axes.get_xticklabels()} == {plots.TIME}
    assert {label.get_color() for label in axes.get_yticklabels()} == {plots.INK}
    colours = axes.images[0].cmap
    assert to_hex(colours(0.0)).upper() == "#FFFFFF" and to_hex(colours(1.0)).upper() == plots.ANSWER


def test_shares_by_clip_are_drawn_as_numbers():
    shares = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])
    figure = plots.probs_by_clip(shares, ("walk", "wave", "kick"), [0.0, 2.0], keep=2)
    axes = figure.get_axes()[0]
    assert np.allclose(axes.images[0].get_array(), [[0.7, 0.25], [0.2, 0.5]])  # the two largest on the mean, a row each
    assert [label.get_text() for label in axes.get_yticklabels()] == ["walk", "wave"]
    assert [text.get_text() for text in axes.texts] == ["70%", "25%", "20%", "50%"]


def test_show_stores_a_picture_with_its_sentence(monkeypatch):
    displayed = []
    monkeypatch.setattr(plots.style, "display", lambda data, raw, metadata: displayed.append((data, metadata)))
    plots.show(plots.film_strip(frames(4)), alt="Four frames of noise.")
    ((data, metadata),) = displayed
    picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.ndim == 3 and picture.std() > 0.05  # something is on it
    assert data["text/plain"] == metadata["image/png"]["alt"] == "Four frames of noise."
    with pytest.raises(ValueError, match="say in a sentence"):
        plots.show(plots.film_strip(frames(4)), alt=" ")


def stored_pixels(figure, monkeypatch):
    """What `show` stores of a figure, and how matplotlib would store it; uint8 (H, W, 3) both, and their bytes."""
    displayed = []
    monkeypatch.setattr(plots.style, "display", lambda data, raw, metadata: displayed.append(data["image/png"]))
    plots.show(figure, alt="A picture.")
    small, full = io.BytesIO(base64.b64decode(displayed[0])), io.BytesIO()
    figure.savefig(full, format="png")
    pixels = [np.asarray(Image.open(file).convert("RGB")) for file in (small, full)]
    return *pixels, small.getbuffer().nbytes, full.getbuffer().nbytes


def test_a_stored_picture_of_noise_is_small_and_keeps_the_colours_of_the_series(monkeypatch):
    figure = plots.predictions_beside_frames(frames(16, 112, 112), ANSWERS)
    small, full, few_bytes, all_bytes = stored_pixels(figure, monkeypatch)
    assert len(np.unique(full.reshape(-1, 3), axis=0)) > 10_000
    assert len(np.unique(small.reshape(-1, 3), axis=0)) <= 192 and few_bytes < all_bytes / 2
    for color in (plots.TIME, plots.ANSWER, plots.INK, plots.PALE, "#FFFFFF"):
        rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        where = (full == rgb).all(-1)
        assert where.sum() > 10 and (small[where] == rgb).all(), color
    assert np.abs(small.astype(int) - full).mean() < 10  # the others are near


def test_a_stored_picture_of_few_colours_is_what_was_drawn(monkeypatch):
    film = np.random.default_rng(0).integers(0, 256, (100, 1, 1, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    small, full, *_ = stored_pixels(plots.film_strip(film, columns=25), monkeypatch)
    assert 100 < len(np.unique(full.reshape(-1, 3), axis=0)) <= 192 and np.array_equal(small, full)


def block_of_layers():
    convolutions = [
        ("1 x 3 x 3", plots.SPACE, "1152 x 16 x 128 x 128"),
        ("3 x 1 x 1", plots.TIME, "1152 x 16 x 128 x 128"),
    ]
    rest = [("norm", plots.PALE, None), ("ReLU", plots.PALE, None)]
    return [convolutions[0], *rest, convolutions[1], *rest, convolutions[0], *rest, convolutions[1], rest[0]]


def panel_of_points():
    """As crowded as the paper's Table 2."""
    sizes = (11.4, 11.4, 33.4, 11.4, 11.7, 12.7, 16.9, 33.4, 33.1, 32.0, 27.9, 33.4)
    scores = (58.9, 60.5, 64.2, 64.2, 64.7, 65.1, 65.1, 64.9, 65.0, 65.1, 63.1, 68.0)
    places = list(zip(sizes, scores))
    names = ["R2D", "f-R2D", "R3D", "MC2", "MC3", "MC4", "MC5", "rMC2", "rMC3", "rMC4", "rMC5", "R(2+1)D"]
    return dict(
        title="clips of 16 frames",
        xlabel="million parameters",
        ylabel="accuracy",
        points=dict(zip(names, places)),
        lit=["R(2+1)D"],
    )


def drawings():
    """Each kind of drawing, with the longest labels of Kinetics-400 where it has labels."""
    long = [
        ("celebrating", 1.0),
        ("springboard diving", 0.4),
        ("getting a haircut", 0.2),
        ("passing American football", 0.05),
        ("tai chi", 0.01),
    ]
    return (
        plots.predictions_beside_frames(frames(16), long, title="A title"),
        plots.film_strip(frames(16), [f"{k / 15:.2f} s" for k in range(16)], title="A title"),
        plots.probs_by_clip(np.full((5, 10), 0.1), [f"label {k}" for k in range(10)], [0, 1, 2, 3, 4]),
        plots.slices(frames(12), 5, 7, 11),
        plots.t_x_slices(np.ones((5, 7, 7)), [f"{k}: 100% left out" for k in range(5)], np.eye(5, 7) + 0.1),
        plots.factorized(np.ones((7, 7, 7)), np.ones((7, 7, 7)), np.ones((7, 7)), np.ones(7)),
        plots.residual_block(block_of_layers(), "1 x 1 x 1 with stride 2, norm"),
        plots.curves(
            [
                dict(
                    title="gradients after 40 steps",
                    xlabel="block",
                    ylabel="length",
                    log=True,
                    lines={"plain": (range(9), range(1, 10), {})},
                )
            ]
            * 3
        ),
        plots.family({name: ("R2D", "2D", "3D", "3D", "(2+1)D") for name in panel_of_points()["points"]}),
        plots.bars(
            ["stem", "layer1"],
            {"kept for training": ([1, 2], lambda value: "22,196.3 MB")} | {str(k): ([3, 4], str) for k in range(2)},
        ),
        plots.stage(plots.FULL_SHAPES, "layer1", np.ones((24, 7, 7)), ["ch 511, 0.93 s"] * 24),
        plots.stage(plots.FULL_SHAPES, "fc", np.full(10, 0.1), ["passing American football"] * 10),
        plots.scatter([panel_of_points(), panel_of_points()]),
        plots.curves(
            [
                dict(
                    title="more clips",
                    xlabel="clips",
                    ylabel="accuracy, %",
                    beside=True,
                    lines={"published: 57.50, 67.463": ([1, 2], [3, 4], {})},
                )
            ]
        ),
        plots.filters(np.ones((45, 3, 7, 7)), np.ones((64, 45, 3))),
        plots.ribbon(
            frames(8),
            [
                (0, 2.4, "wave", 0.9),
                (2.4, 2.9, "lower arms", 0.4),
                (2.9, 3.4, "walk", 0.5),
                (3.4, 12, "jumping jacks", 0.9),
            ],
            12,
        ),
        plots.film_strip(frames(6, 112, 112), ["jumping jacks"] * 6, 8, "A title", plots.INK),
        plots.films_beside_values(
            [frames(16)] * 7, ["every second frame"] * 7, ["R(2+1)D", "R3D", "f-R2D"], np.ones((7, 3))
        ),
        plots.timeline(np.arange(70) / 30, [np.arange(16) / 15] * 4, ["16 frames at 15/s"] * 4),
        plots.film_strip(frames(16), ["0.00 s"] * 16, 8, "A title", rows=["jumping jacks", "arm circles"]),
        plots.matrix(np.eye(5), ["arm circles"] * 5, ["arm circles"] * 5, title="a", xlabel="b", ylabel="c"),
        plots.stage(plots.FULL_SHAPES, "layer4", np.ones((24, 7, 7)), ["0.93 s"] * 24, ["channel 511", ""] * 12),
        plots.roofline({"norms": ([0.25, 80], [4, 300], {})}, peak=400, bandwidth=25),
        plots.receptive_fields(
            frames(16), {"stem": (3, 7, 7), "layer1": (5, 9, 9), "layer2": (25, 50, 50), "fc": (109, 219, 221)}
        ),
    )


def test_texts_are_in_the_style_of_the_series():
    ours = {plots.SPACE, plots.TIME, plots.ANSWER, plots.INK, "#FFFFFF"}
    for figure in drawings():
        FigureCanvasAgg(figure).draw()
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible():
                assert to_hex(text.get_color()).upper() in ours, text.get_text()
                assert text.get_fontsize() >= 9, text.get_text()
        for axes in figure.get_axes():
            assert axes.get_title() == ""  # titles stand on the left, which is another text


def test_nothing_is_cut_off_or_overlaps():
    """Texts lie within their figure, and no two of them on each other."""
    for figure in drawings():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        outside = _labels_outside(figure)
        texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible() and t not in outside]
        boxes = [Text.get_window_extent(text, renderer) for text in texts]  # of an annotation without its line
        for number, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0 + 1 and box.x1 <= figure.bbox.x1 + 1, texts[number].get_text()
            assert figure.bbox.y0 <= box.y0 + 1 and box.y1 <= figure.bbox.y1 + 1, texts[number].get_text()
            for other in range(number):
                assert not _overlap(box, boxes[other]), (texts[number].get_text(), texts[other].get_text())


def _labels_outside(figure):
    """Tick labels beyond their axis, which matplotlib keeps and does not draw."""
    labels = []
    for axis in (axis for axes in figure.get_axes() for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        labels += [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
    return labels


def _overlap(a, b, slack=1):
    return a.x0 < b.x1 - slack and b.x0 < a.x1 - slack and a.y0 < b.y1 - slack and b.y0 < a.y1 - slack


def test_slices_cut_the_film_along_time():
    film = frames(12, height=20, width=30)
    figure = plots.slices(film, time=5, row=7, column=11)
    frame, y_t, x_t = (np.asarray(axes.images[0].get_array()) for axes in figure.get_axes() if axes.images)
    assert np.array_equal(frame, film[5])
    assert y_t.shape == (20, 12, 3) and x_t.shape == (12, 30, 3)
    for t, y, x in [(0, 0, 0), (11, 19, 29), (3, 8, 17)]:
        assert np.array_equal(y_t[y, t], film[t, y, 11]) and np.array_equal(x_t[t, x], film[t, 7, x])
    marks = [[line.get_xydata().tolist() for line in axes.lines] for axes in figure.get_axes() if axes.images]
    assert marks[0][0][0][1] == 7 and marks[0][1][0][0] == 11 and marks[1][0][0][0] == 5 and marks[2][0][0][1] == 5


def test_timeline_marks_the_moments_asked_for():
    figure = plots.timeline([0, 0.1, 0.2, 0.3], [[0, 0.2], [0.1, 0.3]], ["even", "odd"])
    axes = figure.get_axes()[0]
    assert [line.get_xdata().tolist() for line in axes.lines] == [[0, 0.2], [0.1, 0.3]]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0, 0], [1, 1]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["even", "odd"]


def test_t_x_slices_are_drawn_with_the_shares_of_their_singular_values():
    pictures = np.random.default_rng(0).normal(size=(2, 5, 7))
    figure = plots.t_x_slices(pictures, ["a", "b"], values=[[3, 0, 4], [1, 0, 0]])
    images, bars = figure.get_axes()[0::2], figure.get_axes()[1::2]
    assert [axes.get_title(loc="left") for axes in images] == ["a", "b"]
    assert np.array_equal([axes.images[0].get_array() for axes in images], pictures)
    assert [[round(bar.get_height(), 6) for bar in axes.patches] for axes in bars] == [[0.6, 0, 0.8], [1, 0, 0]]


def test_factorised_shows_kernel_approximation_and_filters():
    rng = np.random.default_rng(0)
    patterns, courses = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 2))
    kernel = rng.normal(size=(5, 3, 4))
    figure = plots.factorized(kernel, patterns, courses, values=[2, 1, 0.5])
    left, right = figure.get_axes()
    drawn = [image.get_array() for image in left.images]
    approximation = [sum(courses[t, m] * patterns[m] for m in range(2)) for t in range(5)]
    assert len(drawn) == 12 and np.allclose(drawn, [*kernel, *approximation, *patterns])
    assert len({image.get_clim() for image in left.images[:10]}) == 1  # kernel and approximation are as bright
    curves = [line.get_ydata() for line in left.lines if len(line.get_ydata()) == 5]
    for curve, course in zip(curves, courses.T, strict=True):
        assert np.allclose(np.corrcoef(curve, course)[0, 1], -1)  # the axis runs down
    assert [bar.get_facecolor() == right.patches[0].get_facecolor() for bar in right.patches] == [True, True, False]
    nothing = plots.factorized(kernel, patterns, courses, values=[2, 1e-9, 0])
    assert len(nothing.get_axes()[0].images) == 11  # a filter that adds nothing is not drawn


def test_residual_block_draws_its_layers_in_order():
    layers = block_of_layers()
    axes = plots.residual_block(layers, "identity").get_axes()[0]
    boxes = sorted((patch for patch in axes.patches if isinstance(patch, Rectangle)), key=lambda box: box.get_x())
    drawn = [to_hex(box.get_facecolor()).upper() for box in boxes]
    assert drawn == [color for _, color, _ in layers] + [plots.PALE]  # the last ReLU comes after the sum
    words = [text.get_text() for text in sorted(axes.texts, key=lambda text: text.get_position()[0])]
    for word in ("identity", "+", "1 x 3 x 3", "1152 x 16 x 128 x 128"):
        assert word in words


def test_curves_are_drawn_with_their_names_and_scales():
    panel = dict(
        title="loss",
        xlabel="step",
        ylabel="loss",
        log=True,
        lines={"a": ([0, 1], [2, 3], dict(ls="--")), "b": ([0, 1], [1, 4], {})},
    )
    figure = plots.curves([panel, panel | dict(log=False, title="again", xticks=(0, 1))])
    first, second = figure.get_axes()
    assert list(second.get_xticks()) == [0, 1]
    assert [list(line.get_ydata()) for line in first.lines] == [[2, 3], [1, 4]] and first.lines[
        0
    ].get_linestyle() == "--"
    assert [line.get_label() for line in first.lines] == ["a", "b"]
    assert (first.get_yscale(), second.get_yscale(), second.get_title(loc="left")) == ("log", "linear", "again")


def test_curves_may_share_an_axis_and_have_the_colour_of_time():
    panel = dict(title="", xlabel="frame", ylabel="", lines={"": ([0, 1], [100, 110], {})})
    low = panel | dict(lines={"": ([0, 1], [1, 2], {})}, xcolor=plots.TIME)
    first, alone, shared = plots.curves([panel, low, low | dict(like=0)]).get_axes()
    assert first.get_ylim() == shared.get_ylim() != alone.get_ylim() and first.get_ylim()[0] < 1
    colors = [axes.xaxis.label.get_color() for axes in (first, alone, shared)]
    assert colors == [plots.INK, plots.TIME, plots.TIME]


def colors_of(patches):
    return [to_hex(patch.get_facecolor()).upper() for patch in patches]


def test_network_is_drawn_with_its_shapes_and_what_is_lit():
    axes = plots.new_figure(10.4, 2.3).add_subplot()
    plots.draw_network(axes, lit=("stem", "fc"))
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [color == plots.ANSWER for color in colors_of(boxes)] == [name in ("stem", "fc") for name in plots.PARTS]
    words = [text.get_text() for text in axes.texts]
    assert words[::2] == list(plots.PARTS)
    assert words[1::2] == [
        "3x16x112x112",
        "64x16x56x56",
        "64x16x56x56",
        "128x8x28x28",
        "256x4x14x14",
        "512x2x7x7",
        "512",
        "400",
    ]
    assert all(left.get_x() + left.get_width() < right.get_x() for left, right in zip(boxes, boxes[1:]))


def test_kinds_have_the_two_colours():
    axes = plots.new_figure(10.4, 2.3).add_subplot()
    plots.draw_network(axes, kinds={"stem": "2D", "layer1": "3D", "layer2": "(2+1)D"})
    drawn = colors_of(patch for patch in axes.patches if isinstance(patch, (Rectangle, Polygon)))
    assert drawn == [plots.PALE, plots.SPACE, plots.SPACE, plots.TIME, plots.SPACE, plots.TIME, *[plots.PALE] * 4]


def test_family_draws_a_column_for_each_member():
    figure = plots.family({"one": ("R2D", "2D", "2D", "2D", "2D"), "two": ("3D", "3D", "(2+1)D", "2D", "2D")})
    axes = figure.get_axes()[0]
    first = [
        patch
        for patch in axes.patches
        if isinstance(patch, Rectangle) and -0.5 < patch.get_x() < 0.5 and patch.get_y() > -2.5
    ]
    assert colors_of(first) == [plots.SPACE] * 5
    oranges = [patch for patch in axes.patches if colors_of([patch]) == [plots.TIME] and patch.get_extents().y0 >= -2.5]
    assert sum(isinstance(patch, Polygon) for patch in oranges) == 2 + 1  # two groups in 3D, and one in the legend
    words = [text.get_text() for text in axes.texts]
    assert words.count("3L") == 1 + 1 and {"one", "two", "stem", "layer4"} <= set(words)


def test_bars_are_as_long_as_their_values_and_say_them():
    figure = plots.bars(["a", "b"], {"count": ([3, 5], lambda value: f"{value} M"), "size": ([2, 1], str)})
    count, size = figure.get_axes()
    assert [bar.get_width() for bar in count.patches] == [3, 5] and [bar.get_width() for bar in size.patches] == [2, 1]
    assert [text.get_text().strip() for text in count.texts] == ["3 M", "5 M"]
    assert [label.get_text() for label in count.get_yticklabels()] == ["a", "b"]
    assert count.patches[0].get_y() > count.patches[1].get_y()  # from top to bottom


def test_bars_that_are_to_be_compared_share_their_scale():
    panels = {"count": ([3, 5], str), "size": ([2, 1], str)}
    limits = [[axes.get_xlim()[1] for axes in plots.bars(["a", "b"], panels, how).get_axes()] for how in (False, True)]
    assert limits[0][0] > limits[0][1] >= 2 and limits[1] == [limits[0][0]] * 2


def test_receptive_fields_are_drawn_to_scale():
    film = frames(16, 112, 100)
    figure = plots.receptive_fields(film, {"stem": (3, 7, 9), "layer4": (109, 219, 221)})
    space, time = figure.get_axes()
    assert np.array_equal(space.images[0].get_array(), film[8]) and np.array_equal(
        time.images[0].get_array(), film[:, 56]
    )
    assert space.images[0].get_extent() == [-50, 50, 56, -56] and time.images[0].get_extent() == [-50, 50, 8, -8]
    sizes = [[(box.get_width(), box.get_height()) for box in axes.patches] for axes in (space, time)]
    assert sizes == [[(9, 7), (221, 219)], [(9, 3), (221, 109)]]
    for box in (*space.patches, *time.patches):
        assert box.get_x() == -box.get_width() / 2 and box.get_y() == -box.get_height() / 2


def test_stage_draws_pictures_in_order():
    pictures = np.random.default_rng(0).random((10, 5, 6))
    figure = plots.stage(plots.FULL_SHAPES, "layer2", pictures, [f"{k} s" for k in range(10)])
    _, *panels = figure.get_axes()
    assert np.array_equal([axes.images[0].get_array() for axes in panels], pictures)
    assert [axes.get_xlabel() for axes in panels] == [f"{k} s" for k in range(10)]
    assert {axes.get_title(loc="left") for axes in panels} == {""}
    heads = ["one", "", "two", "", ""] * 2
    _, *panels = plots.stage(plots.FULL_SHAPES, "layer2", pictures, [""] * 10, heads).get_axes()
    assert [axes.get_title(loc="left") for axes in panels] == heads
    _, panel = plots.stage(plots.FULL_SHAPES, "mean", [0.1, 0.9]).get_axes()
    assert [bar.get_height() for bar in panel.patches] == [0.1, 0.9]
    _, panel = plots.stage(plots.FULL_SHAPES, "fc", [0.05, 0.8, 0.15], ["a", "b", "c"]).get_axes()
    assert [(bar.get_width(), text.get_text()) for bar, text in zip(panel.patches, panel.texts)] == [
        (0.8, "80%"),
        (0.15, "15%"),
        (0.05, "5%"),
    ]


def test_scatter_names_its_points_beside_them():
    figure = plots.scatter([panel_of_points()])
    axes = figure.get_axes()[0]
    drawn = {text.get_text(): tuple(text.xy) for text in axes.texts}
    assert drawn == panel_of_points()["points"]
    dots = [(line.get_xdata()[0], line.get_ydata()[0], line.get_color()) for line in axes.lines]
    assert [dot[:2] for dot in dots] == list(panel_of_points()["points"].values())
    assert [dot[2] == plots.ANSWER for dot in dots] == [False] * 11 + [True]


def test_lines_to_names_lie_on_no_name_and_no_other_point():
    """Eight points so close that only a few of the names have room beside them."""
    points = {f"a network {k}": (0.05 * k, 0.1 * k**0.5) for k in range(8)}
    panel = dict(title="", xlabel="", ylabel="", points=points | {"far": (1, 1), "away": (-1, -1)}, lit=[])
    figure = plots.scatter([panel], columns=1)
    (axes,) = figure.get_axes()
    FigureCanvasAgg(figure).draw()
    named = {text.get_text(): (text.xy, Text.get_window_extent(text), text.arrow_patch) for text in axes.texts}
    lines = {
        name: line.get_transform().transform_path(line.get_path()).interpolated(50).vertices
        for name, (_, _, line) in named.items()
        if line is not None
    }
    assert len(lines) >= 3 and "far" not in lines  # a name beside its point needs none
    for name, line in lines.items():
        for other, (point, box, _) in named.items():
            if other != name:
                assert not any(box.contains(*place) for place in line), (name, other)
                apart = np.hypot(*(line - axes.transData.transform(point)).T).min()
                assert apart > 4, (name, other)


def test_filters_are_drawn_as_patches_and_curves():
    rng = np.random.default_rng(0)
    patches, courses = rng.normal(size=(14, 3, 7, 7)), rng.normal(size=(5, 4, 3))
    axes = plots.filters(patches, courses).get_axes()
    drawn = [one.images[0].get_array() for one in axes if one.images]
    expected = [0.5 + 0.5 * patch.transpose(1, 2, 0) / abs(patch).max() for patch in patches]
    assert np.allclose(drawn, expected)
    for one, course in zip([one for one in axes if not one.images], courses, strict=True):
        lines = [line for line in one.lines if len(line.get_ydata()) == 3]
        assert np.allclose([line.get_ydata() for line in lines[:4]], course)
        assert np.allclose(lines[4].get_ydata(), course[abs(course).max(1).argmax()]) and lines[4].get_linewidth() > 1


def test_heat_is_brightest_where_it_is_highest_and_leaves_the_rest_grey():
    film = np.full((2, 4, 5, 3), (30, 90, 60), dtype=np.uint8)
    heat = np.zeros((2, 4, 5))
    heat[0, 1, 2], heat[1, 3, 4], heat[1, 0, 0] = 8, 2, -5
    over = plots.overlaid(film, heat)
    assert over.shape == film.shape and over.dtype == np.uint8
    grey = np.all(over == 60, axis=-1)
    assert grey.sum() == 2 * 4 * 5 - 2 and not grey[0, 1, 2] and not grey[1, 3, 4]  # what is negative stays grey, too
    assert over[0, 1, 2].astype(int).sum() > over[1, 3, 4].astype(int).sum() > 180
    assert np.array_equal(plots.overlaid(film, 100 * heat), over)
    assert (plots.overlaid(film, -np.ones((2, 4, 5))) == 60).all()


def test_films_stand_beside_their_values():
    films = [frames(16), frames(8), frames(32)]
    values = np.array([[0.1, 0.25], [0.5, 1.0], [0.0, 0.75]])
    figure = plots.films_beside_values(films, ["a", "b", "c"], ["one", "two"], values)
    (axes,) = figure.get_axes()
    shown = [film[k] for film in films for k in np.linspace(0, len(film) - 1, 8).round().astype(int)]
    assert np.array_equal([image.get_array() for image in axes.images], shown)
    rows = [(image.get_extent()[2] + image.get_extent()[3]) / 2 for image in axes.images]
    assert np.allclose(rows, np.repeat([0.5, 1.5, 2.5], 8))
    assert [text.get_text() for text in axes.texts] == ["10%", "25%", "50%", "100%", "0%", "75%"]
    assert [text.get_position()[1] for text in axes.texts] == [0.5, 0.5, 1.5, 1.5, 2.5, 2.5]  # each beside its film
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["first", "last", "one", "two"]
    lightness = [sum(patch.get_facecolor()[:3]) for patch in axes.patches]
    assert np.array_equal(np.argsort(lightness)[::-1], np.argsort(values.flatten()))  # the larger the darker


def test_ribbon_lies_below_its_film():
    film = frames(4)
    above, below = plots.ribbon(film, [(0.0, 2.5, "walk", 1.0), (2.5, 10.0, "wave", 0.2)], 10).get_axes()
    assert np.array_equal([image.get_array() for image in above.images], film)
    assert [image.get_extent()[0] for image in above.images] == [
        0,
        2.5,
        5,
        7.5,
    ] and above.get_xlim() == below.get_xlim() == (0, 10)
    assert [(box.get_x(), box.get_width()) for box in below.patches] == [(0, 2.5), (2.5, 7.5)]
    assert below.patches[0].get_alpha() > below.patches[1].get_alpha()
    assert [text.get_text() for text in below.texts] == ["walk", "wave"]


def test_curves_without_a_name_get_no_legend():
    panels = [dict(title="", xlabel="frame", ylabel="", lines={name: ([0, 1], [2, 3], {})}) for name in ("", "a")]
    without, named = plots.curves(panels).get_axes()
    assert without.get_legend() is None and named.get_legend().get_texts()[0].get_text() == "a"


def test_curves_may_begin_at_zero():
    panel = dict(title="", xlabel="", ylabel="", lines={"": ([0, 1], [100, 110], {})})
    free, from_zero = plots.curves([panel, panel | dict(from_zero=True)]).get_axes()
    assert free.get_ylim()[0] > 90 and from_zero.get_ylim()[0] == 0 and from_zero.get_ylim()[1] > 110


def test_roofline_is_the_lower_of_its_two_ceilings():
    kinds = {"norms": ([0.25, 0.5], [4, 9], dict(color="k")), "convolutions": ([80.0], [310], dict(color="b"))}
    (axes,) = plots.roofline(kinds, peak=400, bandwidth=25).get_axes()
    slanted, flat, *points = axes.lines
    assert np.allclose(slanted.get_ydata(), 25 * np.array(slanted.get_xdata())) and list(flat.get_ydata()) == [400, 400]
    assert slanted.get_xdata()[0] == 0.125 and slanted.get_xdata()[1] == flat.get_xdata()[0] == 16  # where they meet
    assert flat.get_xdata()[1] >= 160 and (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [list(line.get_xdata()) for line in points] == [[0.25, 0.5], [80.0]] and list(points[1].get_ydata()) == [310]
    assert [text.get_text() for text in axes.texts] == ["computing: 400 GFLOP a second", "moving: 25 GB a second"]
    assert {(line.get_marker(), line.get_linestyle()) for line in points} == {("o", "None")}
    squares = {"time": ([80.0], [310], dict(marker="s"))}
    assert plots.roofline(squares, peak=400, bandwidth=25).get_axes()[0].lines[2].get_marker() == "s"
