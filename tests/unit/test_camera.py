"""A camera as clips: always the newest, at the clip's own rate; and the command that watches one."""

import time

import cv2
import numpy as np
import pytest

from helpers import classify, stickfigures
from helpers.camera import newest_clips
from helpers.reader import VideoError


class Camera:
    """A camera that shows numbered frames, 30 of them a second, until it is unplugged."""

    def __init__(self, source):
        self.source, self.start, self.number, self.released = source, time.monotonic(), 0, False
        Camera.last = self

    def isOpened(self):
        return self.source == 0

    def read(self):
        self.number += 1
        time.sleep(max(0, self.start + self.number / 30 - time.monotonic()))
        if self.number > self.frames:
            return False, None
        return True, self.picture(self.number)

    def picture(self, number):
        return np.full((6, 8, 3), (number % 256, 0, 255), dtype=np.uint8)  # blue, green, red

    def release(self):
        self.released = True


@pytest.fixture
def camera(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    Camera.frames = 10_000
    return Camera


def test_clips_are_the_newest_at_their_own_rate(camera):
    clips = newest_clips(0, frames=8, fps=15.0)
    first = next(clips)
    assert first.shape == (8, 6, 8, 3) and (first[..., 0] == 255).all()  # red first
    steps = first[:, 0, 0, 2].int().diff()
    assert steps.min() >= 1 and steps.float().mean() == pytest.approx(2, abs=0.8)  # every second of thirty
    time.sleep(1)  # the network computes
    second = next(clips)
    assert camera.last.number - int(second[-1, 0, 0, 2]) <= 6, "the clip is old"
    clips.close()
    assert camera.last.released


def test_a_camera_that_goes_away_is_an_error(camera):
    camera.frames = 30
    with pytest.raises(VideoError, match="0: shows nothing any more"):
        for clip in newest_clips(0, frames=4, patience=0.5):
            assert len(clip) == 4
    assert camera.last.released


def test_no_camera_is_an_error(camera):
    with pytest.raises(VideoError, match="7: is not a camera that can be opened"):
        next(newest_clips(7))
    assert camera.last.released


def test_the_command_says_what_it_sees(camera, monkeypatch, capsys):
    film = stickfigures.scene("jumping jacks", 3, 1, frames=60, size=(120, 160), seconds=2.0).frames[..., ::-1]
    monkeypatch.setattr(Camera, "picture", lambda self, number: np.ascontiguousarray(film[number % 60]))
    camera.frames = 120
    monkeypatch.setattr("helpers.camera.newest_clips.__defaults__", (16, 15.0, 1.0))
    assert classify.main(["--camera", "0"]) == 1  # it was unplugged
    said = capsys.readouterr()
    assert "jumping jacks" in said.out and "0: shows nothing any more" in said.err
    assert classify.main(["--camera", "3"]) == 1
    assert "3: is not a camera" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["film.mp4", "--camera", "0"]])
def test_a_file_or_a_camera(words, capsys):
    with pytest.raises(SystemExit):
        classify.main(words)
    assert "name a FILE, or a --camera, and not both" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--timeline"], ["--fast"], ["--out", "rows"]])
def test_what_does_not_go_with_a_camera(words, capsys):
    with pytest.raises(SystemExit):
        classify.main(["--camera", "0", *words])
    assert "--camera does not go with --timeline, --fast or --out" in capsys.readouterr().err
