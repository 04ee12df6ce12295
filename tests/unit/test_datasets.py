"""A folder for each class: what a scan finds, what it opens, how videos are split, and where a clip comes from."""

import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from conftest import unprivileged, write_film, write_sound

from helpers import datasets, transforms, video

pytestmark = pytest.mark.filterwarnings("ignore:.*passed over:helpers.video.VideoWarning")  # hidden files, told once
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
    (home / "readme.txt").write_text("Two classes.", encoding="utf-8")
    return home


def test_what_is_found_and_what_is_skipped(folder):
    found = datasets.scan_folder(folder)
    assert found.classes == ("kick", "wave")
    names = [(os.path.relpath(video.path, folder).replace(os.sep, "/"), video.label) for video in found.videos]
    assert names == [("kick/c.avi", 0), ("kick/deeper/d.mov", 0), ("wave/a.mkv", 1), ("wave/b.mp4", 1)]
    assert all(video.seconds == pytest.approx(2.0, abs=0.05) for video in found.videos)
    assert len(found.unreadable) == 3 and "holds no video" in found.unreadable[2]
    for name, problem in zip(("cut.mp4", "empty.mp4", "song.m4a"), found.unreadable):
        assert str(folder / "wave" / name) in problem


def test_each_file_is_opened_once_by_a_scan_and_once_for_each_clip(folder, monkeypatch):
    opened, av_open = [], av.open

    def counted(path, *arguments, **options):
        opened.append(str(path))
        return av_open(path, *arguments, **options)

    monkeypatch.setattr(av, "open", counted)
    videos = datasets.scan_folder(folder).videos
    assert len(videos) == 4 and {path: opened.count(path) for path in opened} == {
        path: 1
        for path in (*(video.path for video in videos), *(str(folder / "wave" / n) for n in ("cut.mp4", "song.m4a")))
    }  # and the empty file not at all
    for train in (False, True):
        clips = datasets.VideoFolder(videos, crop_size=56, train=train)
        for index, video in enumerate(videos):
            opened.clear()
            clips[index]
            assert opened == [video.path]


def test_folders_that_make_no_classes_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.scan_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds 1 folders: it needs two or more"):
        datasets.scan_folder(folder / "kick")  # `deeper` is one
    (folder / "jump").mkdir()
    with pytest.raises(ValueError, match="no video in .* can be read for jump"):
        datasets.scan_folder(folder)
    (folder / "jump" / "letter.mp4").write_text("Dear reader", encoding="utf-8")
    with pytest.raises(ValueError, match="for jump.*\n.*letter.mp4: is not a video"):
        datasets.scan_folder(folder)


def test_a_file_that_may_not_be_read_is_skipped(folder):
    (folder / "kick" / "c.avi").chmod(0o000)
    with unprivileged(folder / "kick" / "c.avi"):
        found = datasets.scan_folder(folder)
    assert len(found.videos) == 3 and any("c.avi" in problem for problem in found.unreadable)


def listed(*counts, name="{label}/v{k}.mp4"):
    """So many videos of each class; there are no such files."""
    pairs = [(label, k) for label, count in enumerate(counts) for k in range(count)]
    return [datasets.Video(name.format(label=label, k=k), label, 2.0) for label, k in pairs]


@pytest.mark.parametrize(
    "fraction, expected", [(0.25, [1, 2, 10]), (0.0, [1, 1, 1]), (1.0, [1, 7, 39]), (0.5, [1, 4, 20])]
)
def test_a_fraction_of_each_class_becomes_test_videos(fraction, expected):
    videos = listed(2, 8, 40)
    training, test = datasets.split(videos, test_fraction=fraction, seed=3)
    assert sorted(training + test) == sorted(videos)
    assert [sum(video.label == label for video in test) for label in range(3)] == expected
    assert datasets.split(videos, fraction, seed=3) == (training, test)
    assert datasets.split(listed(40), 0.5, seed=1) != datasets.split(listed(40), 0.5, seed=2)


def test_clips_of_one_group_stay_together():
    groups = [(label, group) for label in (0, 1) for group in range(1, 8)]
    kinds = ("Archery", "Diving")
    videos = [
        datasets.Video(f"UCF101/{kinds[label]}/v_{kinds[label]}_g{group:02}_c{clip:02}.avi", label, 3.0)
        for label, group in groups
        for clip in range(1, 5)
    ]
    training, test = datasets.split(videos, 0.3, seed=0)
    sides = [{(video.label, datasets.group_of(video.path)) for video in side} for side in (training, test)]
    assert not sides[0] & sides[1] and len(sides[1]) == 4 and len(test) == 16


def test_which_group_a_name_tells():
    for path in ("a/v_Archery_g03_c01.avi", "b/v_Archery_g03_c07.avi"):
        assert datasets.group_of(path) == "v_Archery_g03"
    assert datasets.group_of("a/holiday_c01.mp4") != datasets.group_of("a/holiday_c02.mp4")


def test_a_class_of_one_group_cannot_be_split():
    with pytest.raises(ValueError, match="1/v0.mp4 belongs to the only group of its class"):
        datasets.split(listed(3, 1))
    with pytest.raises(ValueError, match="Add a video from another source"):
        datasets.split(listed(3, name="{label}/v_Kick_g01_c0{k}.avi"))


def test_a_test_clip_lies_in_the_middle(film):
    clips = datasets.VideoFolder([datasets.Video(str(film), 1, 2.0)], frames=16, fps=15.0, crop_size=56)
    x, label = clips[0]
    expected = transforms.preprocess(video.read_clip(film, (2.0 - 16 / 15) / 2), 56)
    assert label == 1 and x.shape == (3, 16, 56, 56) and torch.equal(x, expected)


def test_training_clips_come_from_anywhere_and_from_one_place_in_all_frames(film, monkeypatch):
    clips = datasets.VideoFolder([datasets.Video(str(film), 1, 2.0)], frames=4, crop_size=56, train=True, seed=7)
    starts, frame = [], video.read_clip(film, frames=1)

    def still(path, start, frames, fps, size):
        starts.append(start)
        return transforms.resize(frame, size).expand(frames, -1, -1, -1)  # so that only the crop could move

    monkeypatch.setattr(datasets, "read_clip", still)
    crops = []
    for epoch in range(60):
        clips.set_epoch(epoch)
        x, label = clips[0]
        assert label == 1 and x.shape == (3, 4, 56, 56)
        assert all(torch.equal(x[:, 0], x[:, t]) for t in range(4))
        crops.append(x)
    assert 0 <= min(starts) < 0.15 and 2 - 4 / 15 - 0.15 < max(starts) <= 2 - 4 / 15
    assert len({crop.numpy().tobytes() for crop in crops}) > 30
    clips.set_epoch(3)
    assert torch.equal(clips[0][0], crops[3]) and starts[-1] == starts[3]  # in any order, as often as you like
    # Where a clip starts says nothing about what `training.train` draws next for the same seed, epoch and index.
    draws = [np.random.default_rng([7, epoch, 0]).random() for epoch in range(60)]
    assert abs(np.corrcoef(starts[:60], draws)[0, 1]) < 0.4


def test_training_clips_differ_by_seed_epoch_and_index(film):
    def clip(seed, epoch, index):
        clips = datasets.VideoFolder([datasets.Video(str(film), 1, 2.0)] * 2, 4, crop_size=56, train=True, seed=seed)
        clips.set_epoch(epoch)
        return clips[index][0]

    assert torch.equal(clip(1, 2, 0), clip(1, 2, 0))
    for other in ((2, 2, 0), (1, 3, 0), (1, 2, 1)):
        assert not torch.equal(clip(1, 2, 0), clip(*other))


def test_damage_later_in_a_file_does_not_end_the_training(film, monkeypatch):
    clips = datasets.VideoFolder([datasets.Video(str(film), 0, 2.0)], frames=4, crop_size=56, train=True)
    middle, starts = datasets.middle_start(2.0, 4, 15.0), []

    def damaged(path, start, frames, fps, size):
        starts.append(start)
        if start != middle:
            raise video.VideoError(path, "is damaged", "Name another")
        return video.read_clip(path, start, frames, fps, size)

    monkeypatch.setattr(datasets, "read_clip", damaged)
    clips[0]
    assert len(starts) == 2 and starts[1] == middle


@pytest.mark.parametrize("train", [False, True])
def test_short_videos_hold_their_last_frame(tmp_path, train):
    short = write_film(tmp_path / "short.mp4", TIMES[:12])
    x, _ = datasets.VideoFolder([datasets.Video(str(short), 0, 0.4)], crop_size=56, train=train)[0]
    assert x.shape == (3, 16, 56, 56) and torch.equal(x[:, 8], x[:, 15]) and not torch.equal(x[:, 0], x[:, 15])


def test_what_other_programs_leave_is_passed_over_and_told_once(folder):
    for name in ("__MACOSX/wave", "wave/@eaDir"):
        (folder / name).mkdir(parents=True)
        (folder / name / "b.mp4").write_bytes(b"no video")
    (folder / "wave" / "Thumbs.db").write_bytes(b"no video")
    (folder / "wave" / "poster.jpg").write_bytes(b"a picture beside the videos")
    with pytest.warns(
        video.VideoWarning, match="passed over, as they are no videos: @eaDir, Thumbs.db, __MACOSX"
    ) as told:
        found = datasets.scan_folder(folder)
    assert (
        len(told) == 1 and found.classes == ("kick", "wave") and len(found.videos) == 4 and len(found.unreadable) == 3
    )


def test_links_are_followed_and_circles_are_not(folder, tmp_path):
    try:
        (folder / "jump").symlink_to(folder / "kick", target_is_directory=True)
        (folder / "wave" / "linked.mp4").symlink_to(folder / "wave" / "b.mp4")
        (folder / "wave" / "circle").symlink_to(folder, target_is_directory=True)
        (folder / "wave" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    except OSError:
        pytest.skip("no links here")
    found = datasets.scan_folder(folder)
    assert found.classes == ("jump", "kick", "wave")
    names = [os.path.relpath(video.path, folder).replace(os.sep, "/") for video in found.videos]
    assert names[:4] == ["jump/c.avi", "jump/deeper/d.mov", "kick/c.avi", "kick/deeper/d.mov"]
    assert names[4:] == ["wave/a.mkv", "wave/b.mp4", "wave/linked.mp4"]
    assert any("gone.mp4: is a link that leads to no file" in problem for problem in found.unreadable)


def test_any_error_of_a_file_is_a_sentence_with_its_name(folder, monkeypatch):
    read = datasets.read_middle_clip

    def broken(path, *arguments):
        if path.name == "a.mkv":
            raise OverflowError("too large")
        return read(path, *arguments)

    monkeypatch.setattr(datasets, "read_middle_clip", broken)
    found = datasets.scan_folder(folder)
    assert len(found.videos) == 3 and f"{folder / 'wave' / 'a.mkv'}: OverflowError: too large" in found.unreadable


def test_frames_as_pictures_are_one_sentence(folder):
    (folder / "jump" / "clip").mkdir(parents=True)
    for k in range(3):
        (folder / "jump" / "clip" / f"{k}.png").write_bytes(b"a picture")
    advice = pytest.warns(video.VideoWarning, match=r"holds 3 pictures and no video. Make a video .*ffmpeg .*%01d.png")
    with advice, pytest.raises(ValueError, match="no video in .* can be read for jump"):
        datasets.scan_folder(folder)


@pytest.fixture
def split_home(tmp_path):
    """Folders train, validation and test, with two classes in each."""
    film = write_film(tmp_path / "film.mp4", TIMES).read_bytes()
    for part, count in (("train", 3), ("validation", 2), ("test", 1)):
        for name in ("kick", "wave"):
            (tmp_path / "home" / part / name).mkdir(parents=True)
            for k in range(count):
                (tmp_path / "home" / part / name / f"{part}{k}.mp4").write_bytes(film)
    return tmp_path / "home"


def test_a_split_that_a_folder_holds_is_used(split_home):
    assert list(datasets.split_folders(split_home)) == ["train", "val", "test"]
    sets = datasets.find_sets(split_home)
    assert sets.classes == ("kick", "wave")
    for videos, part, count in ((sets.train, "train", 6), (sets.val, "validation", 4), (sets.test, "test", 2)):
        assert len(videos) == count and all(part in os.path.basename(video.path) for video in videos)
    shutil.rmtree(split_home / "test")
    (split_home / "notes").mkdir()
    sets = datasets.find_sets(split_home)
    assert (len(sets.train), len(sets.val), len(sets.test)) == (6, 4, 4)
    shutil.rmtree(split_home / "validation" / "kick")
    with pytest.raises(ValueError, match="validation holds 1 folders|has other classes"):
        datasets.find_sets(split_home)


def test_classes_that_are_called_train_and_test_are_classes(split_home):
    for part in ("train", "validation", "test"):
        for path in list((split_home / part).rglob("*.mp4")):
            path.rename(split_home / part / f"{path.parent.name}_{path.name}")
        for name in ("kick", "wave"):
            (split_home / part / name).rmdir()
    assert datasets.split_folders(split_home) == {}
    assert datasets.find_sets(split_home).classes == ("test", "train", "validation")


def joined_film(path):
    """A transport stream whose clock starts again, of which a VideoWarning tells."""
    content = write_film(path, TIMES, options={"bf": "0"}).read_bytes()
    path.write_bytes(content * 2)
    return datasets.Video(str(path), 1, 4.0)


def test_what_was_said_by_the_scan_is_not_said_again_by_any_thread(tmp_path, monkeypatch):
    clips = datasets.VideoFolder([joined_film(tmp_path / "a.ts")] * 8, 4, crop_size=56)
    read, filters = datasets.read_clip, []
    monkeypatch.setattr(datasets, "read_clip", lambda *call: filters.append(list(warnings.filters)) or read(*call))
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as threads:
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert len(list(threads.map(clips.__getitem__, range(8)))) == 8
        assert filters == [before] * 8  # which all threads share
        with pytest.raises(video.VideoWarning, match="clock starts again"):
            read(tmp_path / "a.ts", 2.5)


@pytest.mark.parametrize("train", [False, True])
def test_minus_one_is_the_last_video_as_in_the_list_that_was_given(film, tmp_path, train):
    videos = [datasets.Video(str(film), label, 2.0) for label in (4, 5, 6)]
    clips = datasets.VideoFolder(videos, 4, crop_size=56, train=train)
    for index in (-1, -3, np.int64(-2)):
        clip, label = clips[index]
        assert label == videos[index].label and torch.equal(clip, clips[index + 3][0])
    for index in (3, -4):
        with pytest.raises(IndexError):
            clips[index]


def test_a_class_that_cannot_be_split_is_named(folder):
    shutil.rmtree(folder / "kick" / "deeper")
    with pytest.raises(ValueError, match="c.avi belongs to the only group of its class.*Add a video from another"):
        datasets.find_sets(folder)


class Renamed(torch.utils.data.Dataset):
    """A wrapper of a reader's own, which calls what it holds as it likes, and holds itself, too."""

    def __init__(self, *parts):
        self.parts, self.itself = list(parts), self

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.parts[0][index]


def test_the_epoch_reaches_a_data_set_in_any_wrapper(film):
    clips = datasets.VideoFolder([datasets.Video(str(film), 1, 2.0)], 4, crop_size=56, train=True)
    subset = torch.utils.data.Subset(torch.utils.data.ConcatDataset([clips, clips]), [0])
    for epoch, wrapper in enumerate((clips, subset, Renamed(subset)), start=3):
        datasets.set_epoch(wrapper, epoch)
        assert clips.epoch == epoch


def test_workers_need_shared_memory(monkeypatch, capsys):
    usage = type("Usage", (), {"free": 64 * 2**20})
    monkeypatch.setattr(datasets.os.path, "isdir", lambda path: path == "/dev/shm")
    monkeypatch.setattr(datasets.shutil, "disk_usage", lambda path: usage)
    clips = [(torch.zeros(3, 16, 112, 112), 0)] * 8
    assert datasets.affordable_workers(clips, 8, workers=2) == 0
    said = capsys.readouterr().err
    assert "2 workers need 96 MB of shared memory, and /dev/shm has 67 MB free. Going on without workers" in said
    assert datasets.affordable_workers(clips, 1, workers=2) == 2 and datasets.affordable_workers(clips, 8, 0) == 0
    usage.free = 2**31
    assert datasets.affordable_workers(clips, 8, workers=2) == 2 and capsys.readouterr().err == ""


def test_sets_that_cannot_be_are_refused(tmp_path):
    for fraction in (25, -1):
        with pytest.raises(ValueError, match=f"test_fraction={fraction}"):
            datasets.find_sets(tmp_path, test_fraction=fraction)
    with pytest.raises(ValueError, match="trained on and tested with"):
        datasets.find_sets(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="there is no folder .*nowhere to test with"):
        datasets.find_sets(tmp_path, tmp_path / "nowhere")
