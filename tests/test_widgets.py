"""The widgets' callbacks, as a browser would set them off."""

import tempfile
from datetime import datetime

import numpy as np
import pytest
from conftest import write_film

from helpers import plots, video
from helpers.widgets import slice_explorer, upload_button


def upload(box, name, content):
    file = {"name": name, "type": "video/mp4", "size": len(content), "content": memoryview(content), "last_modified": datetime(2026, 1, 2)}
    box.button.value = (file,)


@pytest.fixture
def calls():
    return []


def test_an_uploaded_file_is_handed_on_whole(film, calls):
    def note(path):
        calls.append((path.name, path.read_bytes()))

    box = upload_button(note)
    content = film.read_bytes()
    upload(box, "my film.mp4", content)
    assert calls == [("my film.mp4", content)]
    upload(box, "my film.mp4", content)
    assert len(calls) == 2 and box.button.value == ()  # the same file once more
    other = write_film(film.parent / "other.mp4", [0, 0.1, 0.2]).read_bytes()
    upload(box, "my film.mp4", other)
    assert calls[2:] == [("my film.mp4", other)]


def test_a_name_with_a_path_stays_in_its_folder(film, calls):
    upload(upload_button(lambda path: calls.append(path)), "../../escape.mp4", film.read_bytes())
    assert calls[0].name == "escape.mp4" and ".." not in calls[0].parts
    assert not calls[0].exists()  # deleted when the answer was given


def test_what_is_no_video_gets_a_sentence(capsys):
    upload(upload_button(video.read_clip), "letter.txt", b"Dear reader")
    out = capsys.readouterr().out
    assert "letter.txt: is not a video" in out and str(tempfile.gettempdir()) not in out


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_slice_explorer_draws_what_its_sliders_say(place, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: drawn.append((figure, alt)))
    film = np.random.default_rng(0).integers(0, 256, (9, 20, 30, 3), dtype=np.uint8)
    box = slice_explorer(film)
    values = {"first": (0, 0, 0), "middle": (4, 10, 15), "last": (8, 19, 29)}[place]
    for slider, value, last in zip(box.children, values, (8, 19, 29)):
        assert (slider.min, slider.max) == (0, last)
        slider.value = value
    box.update()
    figure, alt = drawn[-1]
    time, row, column = values
    assert alt.startswith(f"Frame {time} with row {row} and column {column} marked")
    frame, y_t, x_t = (np.asarray(axes.images[0].get_array()) for axes in figure.get_axes() if axes.images)
    assert np.array_equal(frame, film[time])
    assert np.array_equal(y_t[3, 2], film[2, 3, column]) and np.array_equal(x_t[2, 3], film[2, row, 3])
