"""What real files do wrong: clocks that jump, lengths that are guesses, cameras turned half way, formats nobody knows."""

import random
import shutil
import subprocess
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from conftest import numbered_frame, read_number, write_film
from PIL import Image

from helpers import classify, reader, transforms, video, weights
from helpers.stickfigures import scene

EVEN = [Fraction(k, 30) for k in range(60)]
GOP = {"bf": "3", "g": "12"}
KINDS = {  # a container and a codec that may be joined byte by byte
    "ts": dict(options={"bf": "3", "g": "12"}),
    "mpg": dict(codec="mpeg2video", options={"b": "3000000", "g": "12", "bf": "2"}, time_base=Fraction(1, 30)),
}
CLOCKS = {  # the second at which the clock of each part begins
    "starts again": (0, 0, 0),
    "goes on": (0, 2),
    "jumps hours ahead": (0, 20_000, 80_000),
    "jumps back": (50_000, 300, 10),
    "jumps back by little": (100, 101),
    "jumps ahead and back": (20, 70_000, 20),
}


def join(path, clocks, kind, seconds=2):
    """A file of several recordings, one behind the other, each with a clock of its own; frames are numbered throughout."""
    parts = []
    for k, clock in enumerate(clocks):
        times = [clock + Fraction(n, 30) for n in range(30 * seconds)]
        part = path.with_name(f"part{k}{path.suffix}")
        parts.append(write_film(part, times, numbers=[(60 * k + n) % 256 for n in range(len(times))], **kind))
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("container", KINDS)
@pytest.mark.parametrize("name", CLOCKS)
def test_recordings_that_were_joined_are_one_video(tmp_path, container, name):
    clocks = CLOCKS[name]
    path = join(tmp_path / f"joined.{container}", clocks, KINDS[container])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", video.VideoWarning)
        info = video.probe(path)
    assert info.seconds == pytest.approx(2 * len(clocks), abs=0.5)
    sentences = [str(warning.message) for warning in caught]
    assert all("joined" in sentence and "clock starts again or jumps" in sentence for sentence in sentences)
    assert len(sentences) == (name != "goes on") or container == "mpg"  # whose clocks begin half a second late
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", video.VideoWarning)
        seen = [read_number(frame) for _, clip in video.stream_clips(path, fps=30) for frame in clip]
        firsts = [read_number(clip[0]) for clip in video.read_clips(path, clips=5, frames=15, fps=30)]
        lasts = [read_number(video.read_clip(path, info.seconds - 0.5, 10, 30)[-1])]
        middle = read_number(video.read_middle_clip(path, 2, 30)[1][0])
    assert len(set(seen)) >= 60 * len(clocks) - 3  # at a seam a decoder may lose a frame
    spread = np.linspace(0, 60 * len(clocks) - 15, 5)
    assert np.abs(np.array(firsts) - spread).max() <= 15 and lasts[0] >= 60 * len(clocks) - 20
    assert abs(middle - 30 * len(clocks)) <= 15


def test_joined_recordings_at_random(tmp_path):
    """Any number of parts, of any lengths, with any clocks."""
    dice = random.Random(0)
    for k in range(12):
        kind, seconds = dice.choice(list(KINDS)), dice.choice([1, 2, 3])
        clocks = [dice.choice([0, 1, 30, 4_000, 90_000]) for _ in range(dice.choice([2, 3]))]
        (tmp_path / str(k)).mkdir()
        path = join(tmp_path / str(k) / f"a.{kind}", clocks, KINDS[kind], seconds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", video.VideoWarning)
            length = video.probe(path).seconds
        gaps = sum(max(0, b - a - seconds) for a, b in zip(clocks, clocks[1:]) if b - a - seconds <= 10)
        assert length == pytest.approx(seconds * len(clocks) + gaps, abs=0.5), (kind, seconds, clocks)


def test_every_part_of_joined_recordings_is_classified(tmp_path):
    parts = []
    for k, action in enumerate(("jumping jacks", "cartwheel", "kick")):
        parts.append(tmp_path / f"{k}.ts")
        video.write_video(parts[-1], scene(action, 0, k, frames=60, size=(128, 172), seconds=2.0).frames, fps=30)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    pretrained = weights.load("stickfigures")
    alone = [classify.predict_video(part, pretrained, clips=1)[0].label for part in parts]
    with pytest.warns(video.VideoWarning, match="clock starts again"):
        rows = list(classify.predict_stream(joined, pretrained, step=15))
    labels = [pretrained.labels[int(probs.argmax())] for _, probs in rows]
    assert rows[-1][0] == pytest.approx(6 - 16 / 15, abs=0.1)
    assert [labels[0], labels[-1]] == [alone[0], alone[-1]] and alone[1] in labels


BEHIND = {  # containers that state a length, behind which FFmpeg goes on where another file was joined to one
    "a.avi": dict(codec="mpeg4"),
    "b.avi": dict(options=GOP),
    "a.mkv": dict(options=GOP),
    "a.webm": dict(codec="libvpx-vp9", options={"g": "12", "cpu-used": "8"}),
    "live.mkv": dict(options=GOP, container_options={"live": "1"}),
    "a.gif": None,
}


def write_part(path, numbers, rate=30):
    """A film of numbered frames; a GIF is one of 25 frames a second."""
    how = BEHIND[path.name.partition(" ")[2]]
    if how is None:  # of one palette, because FFmpeg keeps that of the first part
        pictures = (Image.fromarray(numbered_frame(number)) for number in numbers)
        first, *others = (picture.convert("P", palette=Image.Palette.WEB) for picture in pictures)
        first.save(path, save_all=True, append_images=others, duration=40, optimize=False)
    else:
        how = how | ({"time_base": Fraction(1, rate)} if path.suffix == ".avi" else {})
        write_film(path, [Fraction(k, rate) for k in range(len(numbers))], numbers=numbers, rate=rate, **how)
    return path.read_bytes()


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.filterwarnings("ignore::helpers.video.VideoWarning")
def test_a_file_that_was_joined_to_another_is_seen_by_every_way_of_reading(tmp_path, name):
    numbers, fps = list(range(105)), 25 if name == "a.gif" else 30
    parts = [write_part(tmp_path / f"{k} {name}", part) for k, part in enumerate((numbers[:60], numbers[60:]))]
    path = tmp_path / name
    path.write_bytes(b"".join(parts))
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 105
    assert video.probe(path).seconds == pytest.approx(105 / fps, abs=0.002)
    seen = [read_number(frame) for _, clip in video.stream_clips(path, fps=fps) for frame in clip]
    assert list(dict.fromkeys(seen)) == numbers
    firsts = [read_number(clip[0]) for clip in video.read_clips(path, clips=5, frames=15, fps=fps)]
    assert np.abs(np.array(firsts) - np.linspace(0, 90, 5)).max() <= 1
    assert abs(read_number(video.read_middle_clip(path, 1, fps)[1][0]) - 52) <= 1
    last = video.read_clip(path, (104 + Fraction(1, 2)) / fps, 1, fps)
    assert read_number(last[0]) == 104


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "live.mkv"])
@pytest.mark.filterwarnings("ignore::helpers.video.VideoWarning")
def test_any_second_of_long_joined_files_is_found(tmp_path, name):
    """Their frames show the second. Of one part there is no index, and behind the seam FFmpeg makes up wrong dts."""
    seconds = [k // 10 for k in range(700)]
    parts = [write_part(tmp_path / f"{k} {name}", part, 10) for k, part in enumerate((seconds[:400], seconds[400:]))]
    path = tmp_path / name
    path.write_bytes(b"".join(parts))
    assert video.probe(path).seconds == pytest.approx(70, abs=0.01)
    for second in (25, 41, 55, 68, 12):
        assert read_number(video.read_clip(path, second + 0.5, 1, 10)[0]) == second
    firsts = [read_number(clip[0]) for clip in video.read_clips(path, 5, 10, 10)]
    assert np.abs(np.array(firsts) - np.linspace(0, 69, 5)).max() <= 1


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "live.mkv"])
@pytest.mark.filterwarnings("ignore::helpers.video.VideoWarning")
def test_as_many_frames_of_joined_files_are_read_as_by_ffmpegs_command(tmp_path, name):
    if not shutil.which("ffmpeg"):
        pytest.skip("there is no ffmpeg here")
    path = tmp_path / name
    path.write_bytes(b"".join(write_part(tmp_path / f"{k} {name}", list(range(30 * k, 30 * k + 30))) for k in range(3)))
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    count = sum(not line.startswith("#") for line in lines)
    assert count > 30 and video.probe(path).seconds == pytest.approx(count / 30, abs=0.002)


@pytest.mark.parametrize("name", ["a.avi", "b.avi", "a.mkv", "a.webm"])
def test_the_length_of_an_ordinary_file_is_what_it_states_and_costs_no_second_opening(tmp_path, name, monkeypatch):
    write_part(tmp_path / f"0 {name}", list(range(60)))
    opened, av_open = [], av.open
    monkeypatch.setattr(av, "open", lambda *arguments, **options: opened.append(1) or av_open(*arguments, **options))
    assert video.probe(tmp_path / f"0 {name}").seconds == pytest.approx(2, abs=0.002) and len(opened) == 1


def test_a_large_avi_has_several_parts_and_ends_with_the_last(tmp_path):
    def part(form, size):
        return b"RIFF" + (size + 4).to_bytes(4, "little") + form + bytes(size)

    large = part(b"AVI ", 100) + part(b"AVIX", 60) + part(b"AVIX", 20)
    for content, expected in ((large, False), (large[:-7], False), (large * 2, True), (large + b"JUNK", True)):
        (tmp_path / "a.avi").write_bytes(content)
        assert reader._goes_on(tmp_path / "a.avi") is expected


def test_the_last_frame_of_a_file_without_durations_lasts_as_long_as_the_others(tmp_path):
    path = write_film(tmp_path / "a.flv", EVEN, codec="flv1", time_base=Fraction(1, 30))
    assert video.probe(path).seconds == pytest.approx(2, abs=0.002)


@pytest.mark.parametrize("name, codec", [("a.m1v", "mpeg1video"), ("a.m2v", "mpeg2video"), ("a.h264", "libx264")])
def test_the_length_of_a_bare_stream_is_counted_not_guessed(tmp_path, name, codec):
    path = write_film(
        tmp_path / name, [Fraction(k, 25) for k in range(100)], codec, {"b": "900000"}, Fraction(1, 25), 25
    )
    assert video.probe(path).seconds == pytest.approx(4, abs=0.1)
    assert len(list(video.stream_clips(path, 25, 25))) == 4


def test_a_video_that_starts_late_is_as_long_as_it_is(tmp_path):
    late = [t + Fraction(7, 2) for t in EVEN]
    keep = dict(container_options={"avoid_negative_ts": "disabled"})
    for name in ("a.mkv", "a.mp4", "a.ts", "a.flv", "a.webm"):
        codec = "libvpx-vp9" if name == "a.webm" else "libx264"
        path = write_film(tmp_path / name, late, codec, options={}, **(keep if "mkv" in name else {}))
        assert video.probe(path).seconds == pytest.approx(2, abs=0.1), name
        assert len(list(video.stream_clips(path, 15, 15))) == 2, name


def test_a_clock_that_overflows_goes_on(tmp_path):
    """That of a transport stream has 33 bits: it begins again after 26.5 hours."""
    path = write_film(tmp_path / "a.ts", [t + Fraction(2**33, 90000) - 3 for t in EVEN], options=GOP)
    assert video.probe(path).seconds == pytest.approx(2, abs=0.1)
    assert [read_number(frame) for frame in video.read_clip(path, frames=30, fps=15)] == list(range(0, 60, 2))


@pytest.mark.parametrize("frames", [2, 3, 5, 8])
def test_a_video_shorter_than_a_clip_ends_alike_in_both_ways(tmp_path, frames):
    path = write_film(tmp_path / "a.mp4", EVEN[:frames])
    ((_, clip),) = video.stream_clips(path, 8, 10)
    assert torch.equal(clip, video.read_clip(path, 0, 8, 10))


def test_matroska_may_count_its_length_from_the_first_frame(tmp_path):
    """As mkvmerge does: the tag says 2 s where FFmpeg's says 5.5."""
    path = write_film(tmp_path / "a.mkv", [t + Fraction(7, 2) for t in EVEN])
    content = path.read_bytes()
    assert content.count(b"00:00:05.500") == 1
    path.write_bytes(content.replace(b"00:00:05.500", b"00:00:02.000"))
    assert video.probe(path).seconds == pytest.approx(2, abs=0.1)
    path.write_bytes(content.replace(b"00:00:05.500", b"1/0:00:01.00"))  # no number at all
    assert video.probe(path).seconds == pytest.approx(2, abs=0.1)


def test_a_fragmented_file_is_measured(tmp_path):
    how = dict(options={"g": "15", "bf": "0"}, container_options={"movflags": "frag_keyframe+empty_moov"})
    path = write_film(tmp_path / "a.mp4", EVEN, **how)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"mfra") - 4])  # the table at the end is missing, as in a stream
    assert video.probe(path).seconds == pytest.approx(2, abs=0.1)


def test_of_two_streams_the_one_that_players_take(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=30) for _ in range(2)]
        for stream, (width, height) in zip(streams, ((96, 64), (480, 270))):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        streams[1].disposition = av.stream.Disposition.default
        for k in range(30):
            for stream in streams:
                picture = np.random.default_rng(k).integers(0, 255, (stream.height, stream.width, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert container.streams.best("video").index == 1
    assert video.probe(path)[:2] == (480, 270) and video.read_clip(path, frames=2).shape == (2, 270, 480, 3)


def turned_at_key_frames(path, turns):
    """A transport stream in which a message says at its key frames only how the camera is held; two parts, two messages."""
    for k, degrees in enumerate(turns):
        film = write_film(path.with_name(f"part{k}.ts"), EVEN, options={"bf": "0", "g": "15"})
        target = path if k == 0 else path.with_name("more.ts")
        with av.open(str(film)) as source, av.open(str(target), "w") as container:
            stream = container.add_stream_from_template(source.streams.video[0])
            asked = f"h264_metadata=display_orientation=insert:rotate={degrees}"
            bsf = av.bitstream.BitStreamFilterContext(asked, source.streams.video[0], stream)
            for packet in source.demux(video=0):
                changed = bsf.filter(packet) if packet.is_keyframe else [packet]
                for one in changed:
                    if one.dts is not None:
                        one.stream = stream
                        container.mux(one)
        if k:
            path.write_bytes(path.read_bytes() + target.read_bytes())
    return path


def test_a_camera_stays_turned_until_the_file_says_otherwise(tmp_path):
    path = turned_at_key_frames(tmp_path / "a.ts", [90])
    assert video.probe(path)[:2] == (64, 96)
    whole = video.read_clip(path, frames=30, fps=15)
    assert whole.shape == (30, 96, 64, 3)
    assert [read_number(np.rot90(frame, -1)) for frame in whole] == list(range(0, 60, 2))
    (fast,) = video.read_clips(path, 1, 30, 15, size=(48, 32))
    assert torch.equal(fast, transforms.resize(whole, (48, 32)))


def test_frames_of_a_camera_turned_half_way_have_one_size(tmp_path):
    path = turned_at_key_frames(tmp_path / "a.ts", [90, 180])
    with pytest.warns(video.VideoWarning, match="clock"):
        clips = [clip for _, clip in video.stream_clips(path, 15, 15)]
    assert {clip.shape for clip in clips} == {(15, 96, 64, 3)}
    red = clips[-1][0].float()  # the red block stands at the lower left of a frame: at the upper right, upside down
    assert (red[..., 0] - red[..., 1])[:24, 32:].mean() > 3 * (red[..., 0] - red[..., 1])[48:].mean().abs()


def test_size_and_rate_are_those_that_a_player_shows(tmp_path):
    path = tmp_path / "a.dv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("dvvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 15)
        for k in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(k, 576, 720), format="rgb24")))
        container.mux(stream.encode())
    info = video.probe(path)
    assert (info.width, info.height, info.fps) == (768, 576, 25) and info.seconds == pytest.approx(0.4)
    assert video.read_clip(path, frames=2).shape == (2, 576, 768, 3)


def test_a_format_that_cannot_be_decoded_is_not_called_damage(tmp_path):
    path = write_film(tmp_path / "a.mp4", EVEN)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(
        video.VideoError, match=r"a.mp4: is in a format \(zzzz\) that FFmpeg cannot decode here. Convert it"
    ):
        video.probe(path)
    pictures = [Image.fromarray(numbered_frame(k)) for k in range(5)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:])
    try:  # a newer FFmpeg reads it
        assert len(video.read_clip(tmp_path / "a.webp", frames=2)) == 2
    except video.VideoError as error:
        assert "is in a format (webp) that FFmpeg cannot decode here" in str(error)


def test_colors_that_no_standard_knows_do_no_harm(film, monkeypatch):
    expected, decode = video.read_clip(film), reader.Reader._decode

    def strange(self):
        frame = decode(self)
        if frame is not None:
            frame.picture.colorspace, frame.picture.color_primaries, frame.picture.color_trc = 65, 31, 243
        return frame

    monkeypatch.setattr(reader.Reader, "_decode", strange)
    assert torch.equal(video.read_clip(film), expected)


@pytest.mark.parametrize("address", ["https://example.org/a.mp4", "rtsp://camera/1", "http://127.0.0.1:1/a.mp4"])
def test_an_address_is_refused_with_the_way_to_save_it(address):
    with pytest.raises(video.VideoError, match="is an address, and only files are read here. Save it first.*ffmpeg -i"):
        video.probe(address)


def test_frames_can_be_scaled_while_they_are_decoded(film):
    size = (32, 43)
    expected = transforms.resize(video.read_clip(film), size)
    assert torch.equal(video.read_clip(film, size=size), expected)
    assert torch.equal(next(video.read_clips(film, size=size)), expected)
    assert torch.equal(next(video.protocol_clips(film, size=size)), expected)
    assert torch.equal(next(video.stream_clips(film, size=size))[1], expected)
    assert video.read_middle_clip(film, size=size)[1].shape == (16, *size, 3)


def test_a_copy_is_left_alone(film, tmp_path):
    """Nothing is written beside a video that is read."""
    shutil.copy(film, tmp_path / "copy.mp4")
    before = (tmp_path / "copy.mp4").read_bytes(), sorted(path.name for path in tmp_path.iterdir())
    video.probe(tmp_path / "copy.mp4")
    assert ((tmp_path / "copy.mp4").read_bytes(), sorted(path.name for path in tmp_path.iterdir())) == before


@pytest.mark.parametrize("name, codec", [("a.m1v", "mpeg1video"), ("a.m2v", "mpeg2video"), ("a.h264", "libx264")])
def test_a_bare_stream_is_read_from_its_beginning_at_its_own_rate(tmp_path, name, codec):
    numbers = [k // 30 for k in range(900)]  # the second, of 30
    path = write_film(
        tmp_path / name, [Fraction(k, 30) for k in range(900)], codec, {"g": "12"}, Fraction(1, 30), 30, numbers
    )
    info = video.probe(path)
    assert info.fps == pytest.approx(30) and info.seconds == pytest.approx(30, abs=0.2)
    for second in (25, 3, 14):
        assert read_number(video.read_clip(path, second + 0.5, 1, 30)[0].numpy()) == second


def test_a_closed_reader_says_so(film):
    closed = reader.Reader(film)
    closed.close()
    closed.close()
    for start in (0.0, 20.0):
        with pytest.raises(ValueError, match="this reader is closed"):
            closed.clip(start, 90, 15.0)


def test_numbers_of_any_kind_make_a_clip(film):
    expected = video.read_clip(film, 0.5, 4, 15)
    for start, fps in ((torch.tensor(0.5), np.float32(15)), (np.float64(0.5), np.int64(15))):
        assert torch.equal(video.read_clip(film, start, 4, fps), expected)
    for start, fps in ((0, np.inf), (np.inf, 15), (0, np.nan), (0, 1e-9)):
        with pytest.raises(ValueError, match="above 0|at 0 or later"):
            video.read_clip(film, start, 4, fps)
    with pytest.raises(video.VideoError, match="before the clip"):
        video.read_clip(film, 1e300)
