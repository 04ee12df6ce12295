"""A folder a class: what is found, what is skipped, what is set aside, and which clip is cut from where."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import read_number, unprivileged, write_film, write_sound

from helpers import datasets, transforms, video

TIMES = [Fraction(k, 30) for k in range(60)]


@pytest.fixture
def folder(tmp_path):
    """Two classes of two videos each, in several formats, and what lies about in real folders."""
    home = tmp_path / "clips"
    for name in ("wave", "kick/deeper", ".ipynb_checkpoints", "kick/.hidden"):
        (home / name).mkdir(parents=True)
    write_film(home / "wave" / "b.mp4", TIMES)
    write_film(home / "wave" / "a.mkv", TIMES)
    write_film(home / "kick" / "c.avi", TIMES, codec="mpeg4", time_base=Fraction(1, 30))
    write_film(home / "kick" / "deeper" / "d.mov", TIMES)
    write_film(home / "kick" / ".hidden" / "e.mov", TIMES)
    write_sound(home / "wave" / "song.m4a")
    (home / "wave" / "empty.mp4").touch()
    (home / "wave" / "cut.mp4").write_bytes((home / "wave" / "b.mp4").read_bytes()[:2000])
    (home / "wave" / ".DS_Store").write_bytes(b"\0")
    (home / "readme.txt").write_text("Two classes.")
    return home


def test_what_is_found_and_what_is_skipped(folder):
    found = datasets.scan_folder(folder)
    assert found.classes == ("kick", "wave")
    names = [(video.path.removeprefix(str(folder) + "/"), video.label) for video in found.videos]
    assert names == [("kick/c.avi", 0), ("kick/deeper/d.mov", 0), ("wave/a.mkv", 1), ("wave/b.mp4", 1)]
    assert all(video.seconds == pytest.approx(2.0, abs=0.05) for video in found.videos)
    assert [
        str(folder / "wave" / name) in problem for name, problem in zip(("cut.mp4", "empty.mp4", "song.m4a"), found.bad)
    ] == [True] * 3
    assert "holds no video" in found.bad[2]


def test_folders_that_make_no_classes_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.scan_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds 1 folders: it needs two"):
        datasets.scan_folder(folder / "kick")  # `deeper` is one
    (folder / "jump").mkdir()
    with pytest.raises(ValueError, match="no video in .* can be read for jump"):
        datasets.scan_folder(folder)
    (folder / "jump" / "letter.mp4").write_text("Dear reader")
    with pytest.raises(ValueError, match="for jump.*\n.*letter.mp4: is not a video"):
        datasets.scan_folder(folder)


def test_a_file_that_may_not_be_read_is_skipped(folder, tmp_path):
    for path in (*tmp_path.parents, tmp_path, *folder.rglob("*")):
        if path.is_dir() and str(path).startswith("/tmp/pytest"):
            path.chmod(0o755)
    (folder / "kick" / "c.avi").chmod(0o000)
    with unprivileged():
        found = datasets.scan_folder(folder)
    assert len(found.videos) == 3 and any("c.avi" in problem for problem in found.bad)


def films(*counts, name="{label}/v{k}.mp4"):
    return [
        datasets.Video(name.format(label=label, k=k), label, 2.0)
        for label, count in enumerate(counts)
        for k in range(count)
    ]


@pytest.mark.parametrize(
    "share, expected", [(0.25, [1, 2, 10]), (0.0, [1, 1, 1]), (1.0, [1, 7, 39]), (0.5, [1, 4, 20])]
)
def test_a_share_of_each_class_is_set_aside(share, expected):
    videos = films(2, 8, 40)
    training, testing = datasets.split(videos, share, seed=3)
    assert sorted(training + testing) == sorted(videos)
    assert [sum(video.label == label for video in testing) for label in range(3)] == expected
    assert datasets.split(videos, share, seed=3) == (training, testing)
    assert datasets.split(films(40), 0.5, seed=1) != datasets.split(films(40), 0.5, seed=2)


def test_cuts_of_one_recording_stay_together():
    names = [
        f"v_{kind}_g{group:02}_c{cut:02}.avi"
        for kind in ("Archery", "Diving")
        for group in range(1, 8)
        for cut in range(1, 5)
    ]
    videos = [datasets.Video(f"UCF101/{name[2:-12]}/{name}", int("Diving" in name), 3.0) for name in names]
    training, testing = datasets.split(videos, 0.3, seed=0)
    sides = [{(video.label, datasets.group_of(video.path)) for video in side} for side in (training, testing)]
    assert not sides[0] & sides[1] and len(sides[1]) == 4 and len(testing) == 16


def test_what_names_tell_of_recordings():
    assert (
        datasets.group_of("a/v_Archery_g03_c01.avi") == datasets.group_of("b/v_Archery_g03_c07.avi") == "v_Archery_g03"
    )
    assert datasets.group_of("a/holiday_c01.mp4") != datasets.group_of("a/holiday_c02.mp4")


def test_a_class_of_one_recording_cannot_be_split():
    with pytest.raises(ValueError, match="1/v0.mp4 is all that there is of its class"):
        datasets.split(films(3, 1))
    names = films(3, name="{label}/v_Kick_g01_c0{k}.avi")
    with pytest.raises(ValueError, match="Add another recording"):
        datasets.split(names)


def test_the_clip_to_test_with_lies_in_the_middle(film):
    clips = datasets.VideoFolder([datasets.Video(str(film), 1, 2.0)], frames=16, fps=15.0, crop_size=56)
    x, label = clips[0]
    expected = transforms.preprocess(video.read_clip(film, (2.0 - 16 / 15) / 2), 56)
    assert label == 1 and x.shape == (3, 16, 56, 56) and torch.equal(x, expected)


def test_clips_to_train_on_come_from_anywhere_and_from_one_place_in_all_frames(film, monkeypatch):
    clips = datasets.VideoFolder([datasets.Video(str(film), 1, 2.0)], frames=4, fps=15.0, crop_size=56)
    read, first = video.read_clip, set()

    def still(path, start, frames, rate):
        first.add(read_number(read(path, start, 1, rate)[0]))
        return read(path, 0.0, 1, rate).expand(frames, -1, -1, -1)  # so that only the crop could move

    monkeypatch.setattr(video, "read_clip", still)
    crops = []
    for k in range(60):
        x, label = clips.at_random(0, np.random.default_rng(k))
        assert label == 1 and x.shape == (3, 4, 56, 56)
        assert all(torch.equal(x[:, 0], x[:, t]) for t in range(4))
        crops.append(x)
    assert min(first) < 5 and 44 < max(first) <= 52  # 2 s less 4/15 s, at 30 frames a second
    assert len({crop.numpy().tobytes() for crop in crops}) > 30
    assert torch.equal(clips.at_random(0, np.random.default_rng(3))[0], crops[3])


def test_random_crop_reaches_every_border():
    clip = torch.arange(3 * 5 * 6).view(1, 3 * 5, 6, 1).expand(2, -1, -1, 3)
    corners = {transforms.random_crop(clip, 4, np.random.default_rng(k))[0, 0, 0, 0].item() for k in range(300)}
    assert corners == {6 * row + column for row in range(12) for column in range(3)}
    assert transforms.random_crop(clip[:, :4, :4], 4, np.random.default_rng(0)).shape == (2, 4, 4, 3)


def test_damage_later_in_a_file_does_not_end_the_training(film, monkeypatch):
    clips = datasets.VideoFolder([datasets.Video(str(film), 0, 2.0)], frames=4, fps=15.0, crop_size=56)
    read, asked = video.read_clip, []

    def damaged(path, start, frames, rate):
        asked.append(start)
        if start != datasets.middle(2.0, 4, 15.0):
            raise video.VideoError(path, "is damaged", "Name another")
        return read(path, start, frames, rate)

    monkeypatch.setattr(video, "read_clip", damaged)
    clips.at_random(0, np.random.default_rng(0))
    assert len(asked) == 2


def test_short_videos_hold_their_last_frame(tmp_path):
    short = write_film(tmp_path / "short.mp4", TIMES[:12])
    clips = datasets.VideoFolder([datasets.Video(str(short), 0, 0.4)], crop_size=56)
    x, _ = clips.at_random(0, np.random.default_rng(0))
    assert x.shape == (3, 16, 56, 56) and torch.equal(x[:, 8], x[:, 15]) and not torch.equal(x[:, 0], x[:, 15])
