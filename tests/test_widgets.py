"""The widgets' callbacks, as a browser would set them off."""

import tempfile
from datetime import datetime

import pytest
from conftest import write_film

from helpers import video
from helpers.widgets import upload_button


def upload(box, name, content):
    file = {"name": name, "type": "video/mp4", "size": len(content), "content": memoryview(content), "last_modified": datetime.now()}
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
    other = write_film(film.parent / "other.mp4", [0, 0.1, 0.2]).read_bytes()
    upload(box, "my film.mp4", other)
    assert calls[1:] == [("my film.mp4", other)]
    box.button.value = ()  # cleared: nothing happens
    assert len(calls) == 2


def test_a_name_with_a_path_stays_in_its_folder(film, calls):
    upload(upload_button(lambda path: calls.append(path)), "../../escape.mp4", film.read_bytes())
    assert calls[0].name == "escape.mp4" and ".." not in calls[0].parts
    assert not calls[0].exists()  # deleted when the answer was given


def test_what_is_no_video_gets_a_sentence(capsys):
    upload(upload_button(video.read_clip), "letter.txt", b"Dear reader")
    out = capsys.readouterr().out
    assert "letter.txt: is not a video" in out and str(tempfile.gettempdir()) not in out
