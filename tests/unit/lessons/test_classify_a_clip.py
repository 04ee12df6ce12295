"""Notebook 07: its figures, upload button, timeline, player and the checks of its exercises."""

import re
import tempfile
from datetime import datetime

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT
from lesson_tests import assert_readable, exercise_tests, noise
from nbclient import NotebookClient

from helpers import classify, video, weights
from helpers.intervals import wilson_interval
from helpers.lessons import classify_a_clip as lesson

CLIP = weights.ASSETS / "jumping_jacks.mp4"


def choose_threshold(known, unknown, cost):
    """All thresholds at once, from low to high."""
    steps = torch.cat([known, unknown, torch.tensor([1.5])]).sort().values[:, None]
    return steps[((known < steps).sum(1) + cost * (unknown >= steps).sum(1)).argmin()].item()


test_right, test_wrong = exercise_tests(
    lesson,
    right={
        "check_choose_threshold": choose_threshold,
        "check_protocol_starts": lambda n: torch.linspace(0, n - 16, 5, dtype=torch.float64).floor().int().tolist(),
        "check_predict_from_clips": lambda logits: int(logits.softmax(1).sum(0).argmax()),
    },
    wrong={
        "check_choose_threshold": [
            (
                lambda known, unknown, cost: known.quantile(0.05),
                "With a cost of 0 your threshold costs 2.0, .* costs 0.0",
            ),
            (lambda known, unknown, cost: known.min(), "your threshold costs"),
            (
                lambda known, unknown, cost: choose_threshold(known, unknown, 1.0) if cost else 0.0,
                "With a cost of 0.3 your",
            ),
            (lambda known, unknown, cost: choose_threshold(known, unknown, min(cost, 1.0)), "With a cost of 5 your"),
            (lambda known, unknown, cost: choose_threshold(unknown, known, cost), "your threshold costs"),
        ],
        "check_protocol_starts": [
            (lambda n: [0, n // 4, n // 2, 3 * n // 4, n], "A video of 16 frames"),
            (lambda n: [k * (n - 16) // 5 for k in range(5)], "the last clip begins at 44"),
            (lambda n: [round(k * (n - 16) / 4) for k in range(5)], "Of 17 frames .* rounded down"),
            (lambda n: [0] * 5 if n == 16 else [0, n - 16], "Return five starts"),
        ],
        "check_predict_from_clips": [
            (lambda logits: int(logits.softmax(1).min(0).values.argmin()), "a single clip"),
            (lambda logits: int(logits.mean(0).argmax()), "average after the softmax"),
            (lambda logits: int(logits.argmax(1).mode().values), "Do not count the best class"),
        ],
    },
)


def test_the_labels_with_the_largest_means_have_a_row_each():
    probs = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])
    figure = lesson.probs_by_clip_figure(probs, ("walk", "wave", "kick"), [0.0, 2.0], keep=2)
    axes = figure.get_axes()[0]
    assert np.allclose(axes.images[0].get_array(), [[0.7, 0.25], [0.2, 0.5]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["walk", "wave"]
    assert [text.get_text() for text in axes.texts] == ["70%", "25%", "20%", "50%"]
    assert_readable(figure)


def test_a_timeline_lies_below_its_frames():
    frames = noise(4)
    figure = lesson.timeline_figure(frames, [(0.0, 2.5, "walk", 1.0), (2.5, 10.0, "wave", 0.2)], 10)
    above, below = figure.get_axes()
    assert np.array_equal([image.get_array() for image in above.images], frames)
    assert [image.get_extent()[0] for image in above.images] == [0, 2.5, 5, 7.5]
    assert above.get_xlim() == below.get_xlim() == (0, 10)
    assert [(box.get_x(), box.get_width()) for box in below.patches] == [(0, 2.5), (2.5, 7.5)]
    assert below.patches[0].get_alpha() > below.patches[1].get_alpha()
    assert [text.get_text() for text in below.texts] == ["walk\n100%", "wave\n20%"]
    segments = [(0, 2.4, "wave", 0.9), (2.4, 2.9, "lower arms", 0.4), (2.9, 3.4, "walk", 0.5), (3.4, 12, "kick", 0.9)]
    figure = lesson.timeline_figure(noise(8), segments, 12)
    texts = [text.get_text() for text in figure.get_axes()[1].texts]
    assert texts == ["wave\n90%", "40%", "lower arms", "50%", "walk", "kick\n90%"]
    assert_readable(figure)


def test_a_threshold_lies_on_the_curve_of_all_thresholds():
    figure = lesson.threshold_figure(torch.tensor([0.5, 0.8, 0.9, 0.95]), torch.tensor([0.3, 0.85]), 0.8)
    every, one, chance = (line.get_xydata() for line in figure.get_axes()[0].lines)
    assert np.allclose(one, [[0.5, 0.75]]) and (every == one).all(1).any()
    assert np.allclose(every[[0, -1]], [[0, 1], [1, 0]]) and np.allclose(chance, [[0, 1], [1, 0]])
    assert [text.get_text() for text in figure.get_axes()[0].get_legend().texts][1] == "threshold 0.80"
    assert_readable(figure)


def test_a_reliability_diagram_has_the_interval_of_each_bin():
    panels = {"T = 1": [(3, 10, 0.5), (10, 10, 0.9)], "T fitted": [(1, 2, 0.4)]}
    figure = lesson.reliability_figure(panels)
    left, right = figure.get_axes()
    assert [axes.get_title(loc="left") for axes in (left, right)] == list(panels)
    for axes, bins in zip((left, right), panels.values()):
        diagonal, *lines = [line.get_xydata() for line in axes.lines]
        assert np.array_equal(diagonal, [[0, 0], [1, 1]])
        for (correct, of, confidence), bar, point in zip(bins, lines[::2], lines[1::2], strict=True):
            low, high = wilson_interval(correct, of)
            assert np.allclose(bar, [[confidence, low], [confidence, high]])
            assert np.allclose(point, [[confidence, correct / of]])
        assert axes.get_xlim()[1] > 1 < axes.get_ylim()[1]  # a point at 1 is drawn whole
    assert_readable(figure)


@pytest.fixture
def calls():
    return []


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a short video."""
    path = tmp_path_factory.mktemp("video") / "walk.mp4"
    video.write_video(path, noise(4, 64, 96), fps=15)
    return path.read_bytes()


def upload(box, name, content):
    file = {"name": name, "type": "video/mp4", "size": len(content), "content": memoryview(content)}
    box.button.value = (file | {"last_modified": datetime(2026, 1, 2)},)


def test_an_uploaded_file_is_handed_on_whole_and_more_than_once(content, calls):
    box = lesson.upload_button(lambda path: calls.append((path.name, path.read_bytes())))
    upload(box, "my video.mp4", content)
    assert calls == [("my video.mp4", content)]
    upload(box, "my video.mp4", content)
    assert len(calls) == 2 and box.button.value == ()  # the same file once more
    upload(box, "my video.mp4", content[:-1])
    assert calls[2:] == [("my video.mp4", content[:-1])]


def test_a_name_with_a_path_stays_in_its_folder(content, calls):
    upload(lesson.upload_button(calls.append), "../../escape.mp4", content)
    assert calls[0].name == "escape.mp4" and ".." not in calls[0].parts
    assert not calls[0].exists()  # deleted afterwards


def test_what_is_no_video_gets_a_sentence(capsys):
    upload(lesson.upload_button(video.read_clip), "letter.txt", b"Dear reader")
    out = capsys.readouterr().out
    assert "letter.txt: is not a video" in out and str(tempfile.gettempdir()) not in out


def test_the_button_goes_on_after_any_failure(content, calls, capsys):
    def fails_once(path):
        calls.append(path.name)
        if len(calls) == 1:
            raise ZeroDivisionError("a fault of the reader's")

    box = lesson.upload_button(fails_once)
    upload(box, "my video.mp4", content)
    assert "my video.mp4: ZeroDivisionError: a fault of the reader's\n" in capsys.readouterr().out
    upload(box, "my video.mp4", content)
    assert calls == ["my video.mp4"] * 2 and box.button.value == () and "Error" not in capsys.readouterr().out


def test_the_button_tells_the_limit_that_the_makefile_sets():
    (limit,) = re.findall(r'"websocket_max_message_size": (\d+)', (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert int(limit) == lesson.UPLOAD_LIMIT
    text = lesson.upload_button(print).children[0].children[1].value
    assert f"Up to {int(limit) // 10**6} MB if JupyterLab was started by make lab, else 10 MB. A larger one:" in text


@pytest.fixture(scope="module")
def pretrained():
    return weights.load("stickfigures")


def test_the_timeline_has_the_predictions_of_every_clip(pretrained, capsys):
    explorer = lesson.timeline_explorer(CLIP, pretrained, step=12)
    rows = list(classify.predict_stream(CLIP, pretrained, step=12))
    assert explorer.starts == [round(15 * start) for start, _ in rows] and explorer.shape == [60, 112, 112]
    assert np.allclose(explorer.probs, torch.stack([probs for _, probs in rows]), atol=1e-4)
    assert capsys.readouterr().err == ""  # no progress bar where there is neither a notebook nor a terminal


def test_of_a_long_video_the_timeline_has_two_minutes(pretrained, monkeypatch):
    clips = [(float(start), torch.zeros(16, 8, 8, 3, dtype=torch.uint8)) for start in range(0, 300, 40)]
    monkeypatch.setattr(lesson.video, "stream_clips", lambda *_: iter(clips))
    monkeypatch.setattr(lesson.classify, "predict_clips", lambda _, given: (torch.ones(10) / 10 for _ in given))
    assert lesson.timeline_explorer(CLIP, pretrained).starts == [0, 600, 1200, 1800]


@pytest.mark.slow
def test_in_a_notebook_the_progress_bar_is_a_widget_that_goes_away():
    """In a kernel of its own, as under nbval: nothing on stderr, and the bar is hidden at the end."""
    source = f"""\
import torch
from helpers.lessons import classify_a_clip as lesson

lesson.classify.predict_clips = lambda _, clips: (torch.ones(10) / 10 for _ in clips)
clips = [(0.0, torch.zeros(16, 8, 8, 3, dtype=torch.uint8))] * 2
lesson.video.stream_clips = lambda *_: iter(clips)  # seven clips are expected, two come
print(len(lesson.timeline_explorer({str(CLIP)!r}).starts))
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120, store_widget_state=True, resources={"metadata": {"path": ROOT}}).execute()
    outputs = notebook.cells[0].outputs
    assert [output["text"] for output in outputs if output.output_type == "stream"] == ["2\n"]
    (bar,) = (output.data for output in outputs if output.output_type == "display_data")
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"].state
    box = state[bar["application/vnd.jupyter.widget-view+json"]["model_id"]].state
    assert state[box.layout.removeprefix("IPY_MODEL_")].state.visibility == "hidden"
