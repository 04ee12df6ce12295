"""The camera's widget from the kernel's side: what a browser would send is set by hand."""

import ipywidgets
import numpy as np
import pytest

from helpers import datasets, stickfigures, video, weights
from helpers.lessons import recorder


@pytest.fixture
def film(tmp_path):
    """A recording as a browser sends it: the bytes of a video file."""
    video.write_video(
        tmp_path / "film.mp4", stickfigures.scene("wave", 1, 1, frames=30, size=(96, 128), seconds=2.0).frames
    )
    return (tmp_path / "film.mp4").read_bytes()


def send(widget, film, label=""):
    """As a browser does: bytes come as a memoryview."""
    widget.set_state(dict(film=memoryview(film), kind="mp4", label=label, number=widget.number + 1))


def ask(widget, frames):
    clip = memoryview(np.ascontiguousarray(frames).tobytes())
    widget.set_state(dict(clip=clip, shape=list(frames.shape), asked=widget.asked + 1))


def test_a_clip_is_classified_and_deleted(film):
    seen = []
    box = recorder.record_clip(lambda path: seen.append((path, path.read_bytes())))
    send(box.recorder, film)
    ((path, content),) = seen
    assert content == film and path.name == "camera.mp4" and not path.exists()
    assert box.recorder.said == "Recorded and classified."
    send(box.recorder, film)
    assert len(seen) == 2


def test_a_failure_is_a_sentence_and_the_button_goes_on(film):
    box = recorder.record_clip(lambda path: video.probe(path) and None)
    send(box.recorder, b"no video")
    assert box.recorder.said.startswith("camera.mp4: ")
    send(box.recorder, film)
    assert box.recorder.said == "Recorded and classified."


def test_motions_are_a_folder_to_train_on(film, tmp_path):
    widget = recorder.record_motions(tmp_path / "motions", ["wave", "turn round"])
    assert widget.counts == {"wave": 0, "turn round": 0}
    for label in ("wave", "wave", "turn round", "turn round"):
        send(widget, film, label)
    assert widget.counts == {"wave": 2, "turn round": 2} and "v_turnround_g02_c01.mp4" in widget.said
    sets = datasets.find_sets(tmp_path / "motions")
    assert sets.classes == ("turn round", "wave") and (len(sets.train), len(sets.test)) == (2, 2)
    (tmp_path / "motions" / "wave" / "v_wave_g01_c01.mp4").unlink()
    again = recorder.record_motions(tmp_path / "motions", ["wave", "turn round"])  # nothing is written over
    assert again.counts["wave"] == 1
    send(again, film, "wave")
    names = [path.name for path in sorted((tmp_path / "motions" / "wave").iterdir())]
    assert names == ["v_wave_g01_c01.mp4", "v_wave_g02_c01.mp4"]


def test_live_clips_are_answered_one_after_another():
    pretrained = weights.load()
    widget = recorder.recognize_live(pretrained)
    frames = stickfigures.scene("cartwheel", 1, 4, frames=16, size=(120, 160)).frames
    ask(widget, frames)
    assert widget.answered == widget.asked == 1 and widget.said.startswith("cartwheel, ")
    strict = recorder.recognize_live(pretrained, threshold=1.01)
    ask(strict, frames)
    assert strict.said.startswith("none of these (cartwheel, ")
    widget.set_state(dict(shape=[1, 2, 3], asked=2))
    assert widget.answered == 2 and "cannot reshape" in widget.said


def test_a_button_shows_what_comes_of_it():
    answers = iter([ValueError("there is no recording"), ipywidgets.Label("done")])

    def function():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    box = recorder.run_button("go", function)
    button, _ = box.children
    button.click()
    assert len(box.children) == 2 and not button.disabled
    button.click()
    assert box.children[-1].value == "done"
