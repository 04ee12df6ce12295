"""Frames by time, whatever the container; one opening where one will do; clear errors for bad files."""

import gc
import os
import pickle
import random
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import ROOT, numbered_frame, read_number, unprivileged, write_film, write_sound

from helpers import reader, video
from helpers.stickfigures import scene

RANGE = [Fraction(k) for k in range(60)]
EVEN = [k / 30 for k in RANGE]
UNEVEN = [Fraction(k, 1000) for k in np.cumsum([0] + [(7, 33, 40, 120, 250, 17)[k % 6] for k in range(59)]).tolist()]
GOP = {"bf": "3", "g": "12"}

FILMS = {
    "mp4 with B-frames": ("a.mp4", EVEN, dict(options=GOP)),
    "mp4, a key frame at the beginning only": ("a.mp4", EVEN, dict(options={"g": "999"})),
    "mp4, open groups of pictures": ("a.mp4", EVEN, dict(options={"x264-params": "open-gop=1:keyint=10:bframes=3"})),
    "mp4 that starts at 5 s": ("a.mp4", [t + 5 for t in EVEN], dict(options=GOP)),
    "mp4, variable frame rate": ("a.mp4", UNEVEN, dict(options=GOP)),
    "mkv, variable frame rate": ("a.mkv", UNEVEN, dict(options=GOP)),
    "mkv, times rounded to milliseconds": ("a.mkv", EVEN, dict(options=GOP)),
    "transport stream, starts late": ("a.ts", [t + 3 for t in EVEN], dict(options=GOP)),
    "avi, MPEG-4": ("a.avi", EVEN, dict(codec="mpeg4", time_base=Fraction(1, 30), options={"b": "4000000"})),
    "avi, H.264 with B-frames": ("a.avi", EVEN, dict(time_base=Fraction(1, 30), options=GOP)),
    "webm, VP9": ("a.webm", EVEN, dict(codec="libvpx-vp9", options={"g": "12", "cpu-used": "8"})),
    "a bare H.264 stream without a clock": ("a.h264", [k / 25 for k in RANGE], dict(rate=25, options={"bf": "0"})),
    "mkv that starts before zero": (
        "a.mkv",
        [t - Fraction(1, 30) for t in EVEN],
        dict(options={"bf": "0", "g": "12"}, container_options={"avoid_negative_ts": "disabled"}),
    ),
    "mp4 with sound": ("a.mp4", EVEN, dict(options=GOP, audio=True)),
}


def numbers(clip):
    return [read_number(frame) for frame in clip]


def shown(times, moment, slack):
    """The number of the frame that a player shows: the last one whose time has come."""
    return max(k for k, time in enumerate(times) if time - times[0] <= moment + slack)


@pytest.mark.parametrize("name", FILMS)
def test_frames_are_those_that_a_player_shows(tmp_path, name):
    file, times, how = FILMS[name]
    path = write_film(tmp_path / file, times, **how)
    slack = Fraction(1, 2000) if path.suffix in (".mkv", ".webm") else 0  # these round to milliseconds
    for pair in ("0 15", "0 30", "0.5 15", "0.7 29.97", "1 7.5", "1.8 60", "0.34 10"):
        start, fps = map(Fraction, pair.split())
        clip = video.read_clip(path, float(start), frames=6, fps=float(fps))
        assert numbers(clip) == [shown(times, start + k / fps, slack) for k in range(6)], pair


def test_clip_is_rgb_uint8_and_looks_like_what_was_written(film):
    clip = video.read_clip(film, frames=3)
    assert clip.shape == (3, 64, 96, 3) and clip.dtype == torch.uint8
    difference = np.abs(clip[0].numpy().astype(int) - numbered_frame(0))
    assert np.median(difference) <= 3 and difference[56:, 4:20].max() < 40  # red is red, not blue


def test_any_start_is_found_without_decoding_the_whole_file(tmp_path, monkeypatch):
    times = [Fraction(k, 30) for k in range(30 * 40)]
    path = write_film(tmp_path / "long.mp4", times, options=GOP, numbers=[k % 256 for k in range(len(times))])
    count = 0
    decode = reader.Reader._decode

    def counted(self):
        nonlocal count
        count += 1
        return decode(self)

    monkeypatch.setattr(reader.Reader, "_decode", counted)
    clip = video.read_clip(path, start=35.0, frames=4, fps=15)
    assert [read_number(f) for f in clip] == [(1050 + 2 * k) % 256 for k in range(4)]
    assert count < 40  # two frames to open, one group of pictures, the clip

    count = 0
    assert len(list(video.read_clips(path, clips=5, frames=4, fps=15))) == 5
    assert count < 5 * 330


def test_memory_is_that_of_the_clip_not_of_the_file(tmp_path):
    pytest.importorskip("resource")
    path = tmp_path / "large.mp4"
    frame = np.zeros((360, 640, 3), dtype=np.uint8)
    video.write_video(path, np.broadcast_to(frame, (450, *frame.shape)), fps=30)  # decoded they are 311 MB
    code = (
        "import resource, sys; from helpers import video\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for clip in video.read_clips(sys.argv[1], clips=5): pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // (2**20 if sys.platform == 'darwin' else 2**10))"
    )
    grown = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert int(grown.stdout) < 200  # megabytes


def test_several_clips_are_spread_from_the_beginning_to_the_end(film):
    clips = list(video.read_clips(film, clips=3, frames=16, fps=15))
    first = [read_number(clip[0]) for clip in clips]
    last = [read_number(clip[-1]) for clip in clips]
    assert first == [0, 14, 28] and last == [30, 44, 58]  # the clips last 16 / 15 s of the 2 s
    assert torch.equal(next(video.read_clips(film, clips=1)), video.read_clip(film))


def test_a_video_shorter_than_a_clip_holds_its_last_frame(tmp_path):
    path = write_film(tmp_path / "short.mp4", EVEN[:8])
    numbers = [read_number(frame) for frame in video.read_clip(path, frames=16, fps=15)]
    assert numbers == [0, 2, 4, 6] + [7] * 12
    assert all(torch.equal(c, video.read_clip(path)) for c in video.read_clips(path, clips=3))


def test_a_clip_may_begin_before_the_end_and_not_after_it(film):
    assert [read_number(f) for f in video.read_clip(film, start=1.9, frames=4, fps=15)] == [57, 59, 59, 59]
    with pytest.raises(video.VideoError, match="ends after 2.0 s, before the clip from 2.5 s begins"):
        video.read_clip(film, start=2.5)


@pytest.mark.parametrize("arguments", [dict(start=-1), dict(frames=0), dict(fps=0)])
def test_impossible_clips_are_refused(film, arguments):
    with pytest.raises(ValueError, match="starts at 0 or later" if "start" in arguments else "has to be above 0"):
        video.read_clip(film, **arguments)


@pytest.mark.parametrize("arguments", [dict(clips=0), dict(frames=0), dict(fps=0)])
@pytest.mark.parametrize("read", [video.read_clips, video.protocol_clips])
def test_impossible_numbers_of_clips_are_refused(film, read, arguments):
    with pytest.raises(ValueError, match="has to be above 0"):
        next(read(film, **arguments))


def test_the_middle_clip_and_the_length_from_one_opening(film, monkeypatch):
    opened, av_open = [], av.open
    monkeypatch.setattr(av, "open", lambda *arguments, **options: opened.append(1) or av_open(*arguments, **options))
    info, clip = video.read_middle_clip(film, frames=7, fps=15)
    assert len(opened) == 1
    assert info == video.probe(film) and numbers(clip) == [23 + 2 * k for k in range(7)]  # 2 s less 7/15 s, halved
    assert video.middle_start(2.0, 7, 15) == pytest.approx(23 / 30)
    assert video.middle_start(1.0, 16, 15) == 0  # shorter than a clip
    for impossible in (dict(frames=0), dict(fps=0)):
        with pytest.raises(ValueError, match="has to be above 0"):
            video.read_middle_clip(film, **impossible)


def turned(path, a, b, c, d):
    """Write into an mp4 file that it was filmed with the camera turned or mirrored, as telephones do."""
    one = 1 << 16
    numbers = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes of header before the matrix
    data[at : at + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    path.write_bytes(data)


MATRICES = {  # the matrix maps (x, y) to (a x + c y, b x + d y), y downwards
    (1, 0, 0, 1): lambda picture: picture,
    (0, 1, -1, 0): lambda picture: np.rot90(picture, -1),  # a quarter clockwise
    (-1, 0, 0, -1): lambda picture: np.rot90(picture, 2),
    (0, -1, 1, 0): lambda picture: np.rot90(picture, 1),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda picture: picture.swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_turned_and_mirrored_films_are_shown_upright(film, matrix):
    upright = video.read_clip(film, frames=1)[0].numpy()
    turned(film, *matrix)
    clip = video.read_clip(film, frames=1)[0].numpy()
    assert np.array_equal(clip, MATRICES[matrix](upright))
    info = video.probe(film)
    assert (info.height, info.width) == clip.shape[:2]


def test_probe(film):
    info = video.probe(film)
    assert info == video.VideoInfo(width=96, height=64, fps=30.0, seconds=2.0, codec="h264")


def test_length_is_found_where_the_stream_does_not_say_it(tmp_path):
    path = write_film(tmp_path / "a.mkv", UNEVEN, options=GOP)
    with av.open(str(path)) as container:
        assert container.streams.video[0].duration is None
    assert video.probe(path).seconds == pytest.approx(float(UNEVEN[-1]), abs=0.3)  # and what the last frame lasts


def test_clips_of_a_bare_stream_are_spread_over_all_of_it(tmp_path):
    path = write_film(tmp_path / "a.h264", EVEN, rate=25, options={"bf": "0"})
    assert video.probe(path).seconds == pytest.approx(60 / 25)
    assert [read_number(clip[0]) for clip in video.read_clips(path, clips=3, frames=5, fps=25)] == [0, 27, 55]


def test_sound_longer_than_the_pictures_does_no_harm(tmp_path):
    for name, codec in (("a.wmv", "wmv2"), ("a.mkv", "libx264"), ("a.mp4", "libx264"), ("a.avi", "mpeg4")):
        path = write_film(tmp_path / name, EVEN[:20], codec=codec, time_base=Fraction(1, 30), audio=True)
        assert [read_number(clip[-1]) for clip in video.read_clips(path, clips=2, frames=6, fps=30)][-1] >= 17, name


def test_real_clips_are_read_as_a_plain_loop_over_all_frames_reads_them(real_clips):
    for name in ("v_SoccerJuggling_g23_c01.avi", "SOX5yA1l24A.mp4"):
        path = real_clips / name
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        for start in (0.0, 1.0, 4.9, 6.5):
            numbers = [int((Fraction(start) + Fraction(k, 15)) * Fraction(30000, 1001)) for k in range(16)]
            clip = video.read_clip(path, start=start).numpy()
            assert all(np.array_equal(clip[k], frames[n]) for k, n in enumerate(numbers)), (name, start)
    assert video.read_clip(real_clips / "video_90.mov").shape == (16, 568, 320, 3)  # 568 x 320, turned upright


# Writing


def test_what_is_written_is_read_again(tmp_path):
    frames = np.stack([numbered_frame(k) for k in range(20)])
    video.write_video(tmp_path / "a.mp4", torch.from_numpy(frames), fps=15)
    clip = video.read_clip(tmp_path / "a.mp4", frames=20, fps=15)
    assert [read_number(frame) for frame in clip] == list(range(20))
    assert np.abs(clip.numpy().astype(int) - frames).mean() < 4
    assert video.probe(tmp_path / "a.mp4").fps == 15


def test_the_same_frames_give_the_same_file(tmp_path):
    frames = scene("sit down", 0, 0, frames=60, size=(256, 342), seconds=2.0).frames
    for name in "abcd":
        video.write_video(tmp_path / f"{name}.mp4", frames, fps=30)
    assert len({(tmp_path / f"{name}.mp4").read_bytes() for name in "abcd"}) == 1


def test_writing_says_what_is_wrong(tmp_path):
    frames = np.zeros((2, 64, 64, 3), dtype=np.uint8)
    with pytest.raises(video.VideoError, match="nowhere.*cannot be written.*Choose a folder"):
        video.write_video(tmp_path / "nowhere" / "a.mp4", frames)
    with pytest.raises(ValueError, match="even height and width, not 63 x 64"):
        video.write_video(tmp_path / "a.mp4", frames[:, :63])
    for wrong in (frames[0], frames.astype(np.float32), frames[:0]):
        with pytest.raises(ValueError, match="uint8 of shape"):
            video.write_video(tmp_path / "a.mp4", wrong)


# Bad files


def bad_files(folder):
    """One of each kind: name, and what the error must say."""
    whole = write_film(folder / "whole.mp4", EVEN, options=GOP).read_bytes()
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("This is no video. " * 50, encoding="utf-8")
    (folder / "text.txt").write_text("This is no video. " * 50, encoding="utf-8")
    (folder / "noise.avi").write_bytes(random.Random(0).randbytes(20_000))
    (folder / "headless.mp4").write_bytes(whole[: len(whole) // 2])  # an mp4 keeps its index at the end
    (folder / "folder.mp4").mkdir()
    write_sound(folder / "sound.m4a")
    write_film(folder / "one.mp4", EVEN[:1])
    av.VideoFrame.from_ndarray(numbered_frame(1), format="rgb24").to_image().save(folder / "picture.png")
    write_film(folder / "faststart.mp4", EVEN, options=GOP)
    avi = write_film(folder / "cut.avi", EVEN, codec="mpeg4", time_base=Fraction(1, 30)).read_bytes()
    (folder / "cut.avi").write_bytes(avi[: len(avi) // 3])
    mkv = write_film(folder / "cut.mkv", EVEN, options=GOP).read_bytes()
    (folder / "cut.mkv").write_bytes(mkv[: len(mkv) // 2])
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nmissing.ts\n", encoding="utf-8")
    return {
        "missing.mp4": "there is no such file.*looked for from",
        "empty.mp4": "is empty",
        "text.mp4": "is not a video|holds no video",
        "text.txt": "is not a video|holds no video",
        "noise.avi": "is not a video",
        "headless.mp4": "is not a video that can be read.*not copied whole",
        "folder.mp4": "is a folder",
        "sound.m4a": "holds no video",
        "one.mp4": "holds a single frame",
        "picture.png": "holds a single frame",
        "cut.avi": "is cut short|is damaged",
        "cut.mkv": "is cut short|is damaged",
        "list.m3u8": "is a playlist",
    }


def test_an_error_survives_the_way_out_of_a_worker():
    error = video.VideoError("a.mp4", "is empty", "Copy it again")
    assert str(error) == "a.mp4: is empty. Copy it again."
    assert str(video.VideoError(str(error))) == str(pickle.loads(pickle.dumps(error))) == str(error)


def read_all(path):
    return list(video.read_clips(path))


def open_files():
    """The files that this process holds open, where the system tells."""
    return (
        {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()}
        if Path("/proc/self/fd").exists()
        else set()
    )


def test_a_refused_file_is_closed(tmp_path):
    gc.disable()  # what only the garbage collector closes, Windows keeps locked
    try:
        for name in bad_files(tmp_path):
            with pytest.raises(video.VideoError):
                read_all(tmp_path / name)
            assert not any(name in path for path in open_files()), name
    finally:
        gc.enable()


def test_bad_files_are_refused_in_one_clear_sentence(tmp_path, capfd):
    for name, says in bad_files(tmp_path).items():
        for reading in (video.probe, video.read_clip, read_all):
            if name.startswith("cut") and reading is not read_all:
                continue  # the beginning is whole, and so is the header
            with pytest.raises(video.VideoError, match=says) as raised:
                reading(tmp_path / name)
            message = str(raised.value)
            assert message.startswith(str(tmp_path / name)) and message.endswith("."), message
            assert raised.value.__suppress_context__ or raised.value.__context__ is None  # no traceback of FFmpeg's
    assert capfd.readouterr().err == ""


def test_a_file_that_is_no_file_does_not_hang(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(video.VideoError, match="no ordinary file"):
        video.read_clip(tmp_path / "pipe.mp4")


def test_a_file_without_permission_is_refused(film):
    os.chmod(film, 0)
    with unprivileged(film), pytest.raises(video.VideoError, match="may not be read by you"):
        video.read_clip(film)


def test_odd_names_and_path_types(film, tmp_path):
    for name in ("50%d of it.mp4", "concat:a|b.mp4", "ünï ćödé.mp4", "-y.mp4"):
        if os.name == "nt" and set(name) & set(":|"):
            continue
        shutil.copy(film, tmp_path / name)
        assert video.read_clip(str(tmp_path / name), frames=2).shape == (2, 64, 96, 3)
    assert video.probe(os.fsencode(film)) == video.probe(film)


def test_a_title_in_an_old_encoding_does_no_harm(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE OF THE FILM"
        stream = container.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(k), format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert b"TITLE OF THE FILM" in data
    path.write_bytes(data.replace(b"TITLE OF THE FILM", "T\xcfTL\xcb \xd6F TH\xc8 F\xccLM".encode("latin-1")))
    assert [read_number(frame) for frame in video.read_clip(path, frames=8)] == list(range(8))


def damaged(data, seed):
    """The same bytes cut off somewhere, or with some of them changed."""
    dice = random.Random(seed)
    if seed % 2:
        return data[: dice.randrange(1, len(data))]
    data = bytearray(data)
    for _ in range(dice.choice((1, 10, 100))):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def survive(folder, seeds):
    """Read damaged films; each gives a whole clip or a VideoError, nothing else. How many of each."""
    wholes = [
        write_film(folder / "a.mp4", EVEN, options=GOP),
        write_film(folder / "a.mkv", UNEVEN, options=GOP),
        write_film(folder / "a.avi", EVEN, codec="mpeg4", time_base=Fraction(1, 30)),
        write_film(folder / "a.ts", EVEN, options=GOP),
        write_film(folder / "a.mpg", EVEN, codec="mpeg2video", time_base=Fraction(1, 30)),
        write_film(folder / "a.flv", EVEN, options=GOP),
        write_film(folder / "a.m1v", EVEN, codec="mpeg1video", time_base=Fraction(1, 30)),
    ]
    read = refused = 0
    for seed in seeds:
        whole = wholes[seed // 2 % len(wholes)]
        path = folder / f"damaged{whole.suffix}"
        path.write_bytes(damaged(whole.read_bytes(), seed))
        try:
            for clip in video.read_clips(path, clips=2, frames=8):
                assert clip.shape[0] == 8 and clip.dtype == torch.uint8
            read += 1
        except video.VideoError:
            refused += 1
    return read, refused


@pytest.mark.filterwarnings("ignore::helpers.video.VideoWarning")
def test_damaged_files_give_a_clip_or_an_error(tmp_path):
    read, refused = survive(tmp_path, range(80))
    assert read > 5 and refused > 5  # both happen


@pytest.mark.filterwarnings("ignore::helpers.video.VideoWarning")
@pytest.mark.slow
def test_many_damaged_files_give_a_clip_or_an_error(tmp_path):
    read, refused = survive(tmp_path, range(1000, 4000))
    assert read > 100 and refused > 100


@pytest.mark.parametrize("step", [1, 4, 8, 16, 20])
def test_a_stream_of_clips_covers_the_video_to_its_end(film, step):
    """Sixty frames at 30 a second, read at 15: the even ones, thirty."""
    every = list(range(0, 60, 2))
    clips = list(video.stream_clips(film, frames=8, fps=15, step=step))
    firsts = [round(start * 15) for start, _ in clips]
    expected = list(range(0, 30 - 8 + 1, step))
    assert firsts == expected + ([22] if expected[-1] != 22 else [])
    for first, (_, clip) in zip(firsts, clips):
        assert numbers(clip) == every[first : first + 8]


def test_a_stream_agrees_with_clips_read_one_by_one(film):
    for start, clip in video.stream_clips(film, frames=8, fps=12.5, step=5):
        assert numbers(clip) == numbers(video.read_clip(film, start, 8, 12.5))


def test_a_video_shorter_than_a_clip_gives_one(tmp_path):
    short = write_film(tmp_path / "short.mp4", [k / 15 for k in range(5)])
    ((start, clip),) = video.stream_clips(short)
    assert start == 0 and numbers(clip) == [0, 1, 2, 3, 4] + [4] * 11
    assert [numbers(clip) for clip in video.protocol_clips(short)] == [[0, 1, 2, 3, 4] + [4] * 11] * 5


def test_a_damaged_video_gives_the_clips_before_the_damage(tmp_path):
    path = write_film(tmp_path / "long.mkv", [k / 30 for k in range(120)], options={"g": "12"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    clips = []
    with pytest.raises(video.VideoError):
        for _, clip in video.stream_clips(path, frames=8, fps=15):
            clips.append(numbers(clip))
    assert len(clips) >= 3 and clips[0] == list(range(0, 16, 2))


@pytest.mark.parametrize("wrong", [dict(step=0), dict(frames=0), dict(fps=0), dict(step=-1)])
def test_impossible_streams_are_refused(film, wrong):
    with pytest.raises(ValueError, match="has to be above 0"):
        next(video.stream_clips(film, **wrong))


def test_what_cannot_be_written_as_a_video_is_said(tmp_path):
    frames = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
    for options in (dict(fps=0), dict(fps=-1), dict(fps=1e-4), dict(quality=100)):
        with pytest.raises(ValueError, match="fps|quality"):
            video.write_video(tmp_path / "a.mp4", frames, **options)
    with pytest.raises(video.VideoError, match=r"Choose a name that ends in \.mp4"):
        video.write_video(tmp_path / "a.nothing", frames)
    video.write_video(str(tmp_path / "b.mp4").encode(), frames)
    assert len(video.read_clip(tmp_path / "b.mp4", frames=2)) == 2
