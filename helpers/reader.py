"""One open video file: its frames one after another, each with the second at which a player shows it.

What real files do wrong is put right here: clocks that start again, lengths that are guesses, cameras that were turned.
"""

import contextlib
import contextvars
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import av
import av.logging
import numpy as np
import torch
from av.sidedata.sidedata import SideDataContainer
from torch import Tensor

from helpers import transforms

__all__ = ["MUTE", "Convert", "Path", "Reader", "Size", "VideoError", "VideoInfo", "VideoWarning", "check_positive",
           "exact", "reason"]  # fmt: skip

Path = str | os.PathLike[str]
Size = tuple[int, int] | None  # (height, width); see `read_clip`
Convert = Callable[[av.VideoFrame | None, Callable[[], np.ndarray]], np.ndarray]  # see `read_clips`

MUTE = contextvars.ContextVar("MUTE", default=False)  # whether this thread wants no VideoWarning
UNSPECIFIED = 2  # of colors, in ITU-T H.273
_OPTIONS = {"timeout": 30.0}  # seconds for any one step, so that nothing hangs for ever
if int(av.__version__.split(".")[0]) < 19:  # before version 19 PyAV fails at a title that is not UTF-8
    _OPTIONS["metadata_errors"] = "replace"


class VideoError(Exception):
    """A file cannot be read or written as a video. The message names the file, the problem and a remedy."""

    def __init__(self, path: Path, problem: str | None = None, remedy: str | None = None):
        # A data loader recreates the error of its worker from the message alone.
        super().__init__(path if problem is None else f"{os.fspath(path)}: {problem}. {remedy}.")


class VideoWarning(UserWarning):
    """A file or a folder is read, but not as it stands; the message names it and says how."""


class VideoInfo(NamedTuple):
    """What a player shows of a file: width and height are those of the upright frame, with square pixels."""

    width: int
    height: int
    fps: float  #: frames per second, on average
    seconds: float  #: the length of the video
    codec: str


class _Frame(NamedTuple):
    """A decoded frame, the second at which it is shown, and how the camera was held: mirrored or not, and quarter turns."""

    picture: av.VideoFrame
    time: Fraction
    turn: tuple[bool, int]


class _Clock:
    """Makes times of time stamps. Where they start again or jump, time goes on from where it was, as for ffmpeg's command."""

    BACK, AHEAD = Fraction(1, 10), 10  # seconds that are no jump; `ts_discontinuity_detect` of FFmpeg has the same

    def __init__(self, step: Fraction, jumps: bool):
        self.step, self.jumps = step, jumps  # from a frame to the next; whether the container may jump ahead
        self.shift, self.latest, self.stamped, self.broken = Fraction(0), None, False, False

    def time(self, stamp: Fraction | None, seam: bool = True) -> Fraction:
        """The time, in seconds, of the next frame, of which this is the time stamp, if it has any; whether it may jump."""
        expected = Fraction(0) if self.latest is None else self.latest + self.step
        time = expected if stamp is None else stamp + self.shift
        if self.stamped and seam and (time < self.latest - self.BACK or (self.jumps and time > expected + self.AHEAD)):
            self.shift, time, self.broken = self.shift + expected - time, expected, True
        self.latest = max(time, self.latest) if self.stamped else time
        self.stamped = self.stamped or stamp is not None
        return self.latest


class Reader:
    """One open file. `shown` is the frame on the screen, `coming` the next one or None at the end."""

    def __init__(self, path: Path, size: Size = None, convert: Convert | None = None):
        self.path = path = os.fsdecode(path)  # bytes are a path, too
        _check_file(path)
        self.convert, self.container = convert or (size and partial(_resize, size=size)), None
        self.shown, self.measured = None, None  # the length, once it is measured
        self.broken = False  # whether the clock is known to jump
        try:
            self._open()
            if self.coming is None and not self._cut_short():
                raise VideoError(path, "holds a single frame, a picture in which nothing moves", "Name a video")
        except BaseException:
            self.close()  # or Windows keeps a refused file locked
            raise

    def close(self) -> None:
        if self.container is not None:
            self.container.close()
            self.container = None

    def _require_open(self) -> None:
        if self.container is None:  # FFmpeg would crash
            raise ValueError(f"{self.path}: this reader is closed")

    def info(self) -> VideoInfo:
        return VideoInfo(*self.size, float(self.fps), self.seconds(), self.stream.codec_context.codec.canonical_name)

    def seconds(self) -> float:
        """The length of the video: as the file states it, or else up to the end of its last packet."""
        # What Matroska states counts from zero for some programs, and from the first frame for others.
        stated = self._stated_length() if abs(self.zero) < 0.25 or not self._is("matroska") else 0
        return float(stated or self._measured_length())

    def _is(self, *formats: str) -> bool:
        return any(name in self.container.format.name.split(",") for name in formats)

    def _stated_length(self) -> Fraction:
        """The length that the file states for its pictures, in seconds; 0 if it states none. FFmpeg's guesses are none."""
        if self.goes_on:  # what is stated is the length of the first part
            return Fraction(0)
        if self.stream.duration and (self._is("avi", "mxf") or (self._is("mov") and self.stream.frames)):
            return self.stream.duration * self.tick
        try:  # Matroska: 00:00:10.000000000
            hours, minutes, seconds = map(Fraction, self.stream.metadata["DURATION"].split(":"))
        except (KeyError, ValueError, ZeroDivisionError):
            return Fraction(0)
        return max(Fraction(0), hours * 3600 + minutes * 60 + seconds - self.zero)

    def _measured_length(self) -> Fraction:
        """The length found by opening the file once more and going through its packets one by one, without decoding."""
        if self.measured is not None:
            return self.measured
        end, count, clock = None, 0, _Clock(1 / self.fps, self.jumps)
        avi, matroska = self._is("avi"), self._is("matroska")
        try:
            with av.open(os.path.abspath(self.path), **_OPTIONS) as container:
                for packet in _packets(container, container.streams[self.stream.index]):
                    count += packet.size > 0
                    if not packet.size or packet.dts is None or self.stampless:
                        continue
                    # AVI has no pts, and Matroska no dts: FFmpeg makes them up, wrong ones behind a seam.
                    pts = packet.dts if avi or packet.pts is None else packet.pts
                    stamp = pts if matroska else packet.dts  # pts go back within a group of pictures, too
                    now = clock.time(stamp * self.tick, packet.is_keyframe or not matroska)
                    late = (pts - stamp) * self.tick
                    over = now + (late if 0 < late < 1 else 0) + (packet.duration * self.tick or 1 / self.fps)
                    end = over if end is None else max(end, over)
        except av.FFmpegError as error:
            raise self._damaged(error) from None
        self.measured = count / self.fps if end is None else end - (0 if avi else self.zero)  # None: of a bare stream
        self._tell(clock)
        return self.measured

    def _tell(self, clock: _Clock) -> None:
        """Say, once for a file, that its clock jumps."""
        if clock.broken and not self.broken:
            self.broken, text = True, "its clock starts again or jumps. It is read as one video without a gap"
            if not MUTE.get():
                warnings.warn(f"{self.path}: {text}.", VideoWarning, stacklevel=1)

    def clip(self, start: float | Fraction, frames: int, fps: float) -> Tensor:
        check_positive(frames=frames, fps=fps)
        if not 0 <= start < math.inf:
            raise ValueError(f"start={start}: a clip starts at 0 or later")
        start, fps = exact(start), exact(fps)
        self._go_to(start)
        if self.play_until(start):
            problem = f"ends after {float(self._end()):.1f} s, before the clip from {float(start):.1f} s begins"
            raise VideoError(self.path, problem, "Ask for an earlier clip")
        pictures = []
        for k in range(frames):
            self.play_until(start + k / fps)
            pictures.append(self.picture())
        return torch.from_numpy(np.stack(pictures))

    def _open(self) -> None:
        """Open the file, or open it again, at its first frame."""
        try:
            self.container = av.open(os.path.abspath(self.path), **_OPTIONS)
        except av.FFmpegError as error:
            remedy = "Name a video file; if it is one, it is damaged or was not copied whole"
            raise VideoError(self.path, f"is not a video that can be read ({reason(error)})", remedy) from None
        streams = self.container.streams.best("video"), *self.container.streams.video  # the first is what players take
        cover = av.stream.Disposition.attached_pic  # of a song
        self.stream = next((stream for stream in streams if stream and not stream.disposition & cover), None)
        if self.stream is None or self._is("tty"):  # FFmpeg shows a text file as a video of its letters
            raise VideoError(self.path, "holds no video", "Name a file with pictures that move")
        if self.stream.codec_context is None:
            raise self._undecodable(_code_of_format(self.path))
        self.stream.thread_type = "AUTO"
        pixels = self.stream.codec_context.width * self.stream.codec_context.height
        self.stream.codec_context.thread_count = min(4, max(1, 2**23 // max(1, pixels)))  # each keeps frames in memory
        self.tick, flags = self.stream.time_base, self.container.format.flags
        self.jumps = bool(flags & av.format.Flags.ts_discont.value)  # a transport stream's clock may, for one
        self.goes_on = self._is("avi", "matroska") and _goes_on(self.path)
        # Of a bare stream FFmpeg makes the stamps up, and takes 25 for the mean; that of raw DV is its clock's 60,000 ticks.
        self.stampless = bool(flags & av.format.Flags.no_timestamps.value)
        rates = [None if self.stampless else self.stream.average_rate, self.stream.guessed_rate, Fraction(25)]
        self.fps = next(rate for rate in rates if rate and rate <= 10_000)
        # Matroska rounds the times of frames to whole milliseconds: half of one early is in time, behind a seam a whole one.
        self.slack = self.tick / (1 if self.goes_on else 2) if self.tick <= Fraction(1, 1000) else 0
        self.zero, self.turn = Fraction(0), (False, 0)
        self._start_decoding()
        if self.shown is None:
            raise VideoError(self.path, "holds no frame that can be decoded", "It is damaged or was not copied whole")
        first, second = self.shown, self.coming
        if second and self._stamp(first.picture) is None is not self._stamp(second.picture):  # it came without a time
            first = first._replace(time=second.time - 1 / self.fps)
        self.zero = first.time  # from now on times count from the first frame
        self.shown = first._replace(time=Fraction(0))
        self.coming = second and second._replace(time=second.time - self.zero)
        self.size = self._shown_size()

    def _shown_size(self) -> tuple[int, int]:
        """Width and height as a player shows them: upright, and of square pixels."""
        frame, aspect = self.shown.picture, self.stream.sample_aspect_ratio or 1
        width = round(frame.width * aspect) if Fraction(1, 4) <= aspect <= 4 else frame.width
        return (frame.height, width) if self.shown.turn[1] % 2 else (width, frame.height)

    def _start_decoding(self) -> None:
        self.decoded = (frame for packet in _packets(self.container, self.stream) for frame in packet.decode())
        self.shown, self.clock = None, _Clock(1 / self.fps, self.jumps)
        self.coming = self._decode()
        self._next()

    def _decode(self) -> _Frame | None:
        """The next frame, with its time in seconds from the first one; None at the end."""
        self._require_open()
        try:
            frame = next(self.decoded, None)
        except av.FFmpegError as error:
            raise self._damaged(error) from None
        if frame is None:
            return None
        time = self.clock.time(self._stamp(frame))
        self._tell(self.clock)
        self.turn = _turn(frame) or self.turn  # some streams say it at key frames only: it holds for the frames between
        return _Frame(frame, time - self.zero, self.turn)

    def _stamp(self, frame: av.VideoFrame) -> Fraction | None:
        # AVI counts its frames in the order of decoding. The decoder sorts them, and then its count is the right one.
        stamp = frame.dts if self._is("avi") else frame.pts
        return None if stamp is None or self.stampless else stamp * self.tick

    def _damaged(self, error: av.FFmpegError) -> VideoError:
        if self.shown is None and (isinstance(error, av.error.PatchWelcomeError) or self._is("webp_pipe")):
            return self._undecodable(self.stream.codec_context.name)
        place = "at its beginning" if self.shown is None else f"after {float(self.shown.time):.1f} s"
        remedy = "Take another copy, or cut it off before that place"
        return VideoError(self.path, f"is damaged {place} ({reason(error)})", remedy)

    def _undecodable(self, code: str) -> VideoError:
        problem = f"is in a format ({code}) that FFmpeg cannot decode here"
        return VideoError(self.path, problem, "Convert it, to mp4 for one")

    def _next(self) -> None:
        self.shown, self.made = self.coming, None
        if self.shown is not None:
            self.coming = self._decode()

    def _go_to(self, time: Fraction) -> None:
        """Be at or before the frame shown at `time`, by the shorter way."""
        if self.shown.time <= time <= self.shown.time + 10:  # so near it is sooner decoded than found by its key frame
            return
        self._require_open()
        if self.jumps or self.goes_on:
            self._measured_length()  # finds out whether the clock is broken
        if self.broken or self.stampless:  # then no time stamp says where to look
            if time < self.shown.time:
                self.close()
                self._open()
            return
        with contextlib.suppress(av.FFmpegError, VideoError, OverflowError):
            self.container.seek(int((time + self.zero) / self.tick), stream=self.stream)
            self._start_decoding()
            if self.shown is not None and self.shown.time <= time + self.slack:
                return
        self.close()  # the file has no index, or a wrong one: read it from its beginning
        self._open()

    def play_until(self, time: Fraction) -> bool:
        """Show the frame of this time. Returns whether the video is over by then, even its last frame."""
        while self.coming is not None and self.coming.time <= time + self.slack:
            self._next()
        over = self.coming is None and time + self.slack >= self._end()
        if over and self._cut_short():
            problem = f"is cut short: of {self.seconds():.1f} s only {float(self._end()):.1f} s are there"
            remedy = "Copy or download it again; if it is whole, write what is there anew: ffmpeg -i OLD -c copy NEW"
            raise VideoError(self.path, problem, remedy)
        return over

    def _end(self) -> Fraction:
        """When the frame shown is over; the end of the video if it is the last one."""
        duration = self.shown.picture.duration
        return self.shown.time + (duration * self.tick if duration else 1 / self.fps)

    def _cut_short(self) -> bool:
        """Whether the file states a length that goes on for long after the last frame."""
        return self.coming is None and self._stated_length() - self._end() > Fraction(1, 2)

    def picture(self) -> np.ndarray:
        """The frame shown as an array: upright and RGB, or what `convert` makes of it. It is made once."""
        if self.made is None:
            picture = self.shown.picture if self.shown.turn == (False, 0) else None
            self.made = self.convert(picture, self._rgb) if self.convert else self._rgb()
        return self.made

    def _rgb(self) -> np.ndarray:
        """The frame shown (H, W, 3), turned as the file asks, of the size of the first one."""
        mirrored, quarters = self.shown.turn
        width, height = self.size[::-1] if quarters % 2 else self.size
        make = partial(self.shown.picture.to_ndarray, format="rgb24", threads=1, width=width, height=height)
        try:
            pixels = make()
        except av.FFmpegError:  # colors that no standard knows: then they are what they are where a file says nothing
            for name in ("colorspace", "color_primaries", "color_trc"):
                setattr(self.shown.picture, name, UNSPECIFIED)
            try:
                pixels = make()
            except av.FFmpegError as error:
                raise self._damaged(error) from None
        return np.rot90(pixels[:, ::-1] if mirrored else pixels, quarters)


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The packets of a stream. PyAV fails at the end of a file in which other streams appear late; all of ours came before."""
    with contextlib.suppress(IndexError):
        yield from container.demux(stream)


def _goes_on(path: Path) -> bool:
    """Whether an AVI or Matroska file goes on after the end that it states, as it does where others were joined to it."""
    with open(path, "rb") as file:
        head, end = file.read(4096), 0
        while head[:4] == b"RIFF" and (end == 0 or head[8:] == b"AVIX"):  # a large AVI has several parts
            end += 8 + int.from_bytes(head[4:8], "little")
            file.seek(end)
            head = file.read(12)
    segment = re.match(rb"\x1a\x45\xdf\xa3.*?\x18\x53\x80\x67\x01(.{7})", head, re.DOTALL)  # of Matroska, with its size
    if segment:
        end = segment.end() + int.from_bytes(segment[1]) % (2**56 - 1)  # all ones: a recorder did not know it
    return 0 < end < os.path.getsize(path)


def _turn(frame: av.VideoFrame) -> tuple[bool, int] | None:
    """How the display matrix of a frame turns it: whether it is mirrored first, and by how many quarters; None without one."""
    matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # `frame.side_data` would keep the frame, in a circle
    if matrix is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if mirrored := a * d < b * c:  # filmed by a front camera
        a, b = -a, -b
    return mirrored, round(-np.arctan2(b, a) / (np.pi / 2)) % 4


def _resize(frame: av.VideoFrame | None, upright: Callable[[], np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The `Convert` of readers with a `size`."""
    return transforms.resize(torch.from_numpy(np.ascontiguousarray(upright()))[None], size)[0].numpy()


def _code_of_format(path: Path) -> str:
    """The four letters that name the format of pictures that FFmpeg does not know. Only its log tells them."""
    with av.logging.Capture() as log:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.WARNING)
        av.open(os.path.abspath(path), **_OPTIONS).close()
        av.logging.set_level(level)
    codes = re.findall(r"\((....) / 0x", " ".join(text for _, _, text in log))
    return codes[0] if codes else "unknown"


def check_positive(**numbers: float) -> None:
    if not all(1e-6 <= number < math.inf for number in numbers.values()):
        raise ValueError(", ".join(f"{name}={number}" for name, number in numbers.items()) + ": each has to be above 0")


def exact(number: float | Fraction) -> Fraction:
    """A number of seconds or of frames a second as it is meant: 0.7 is 7/10."""
    return Fraction(number if isinstance(number, Fraction) else float(number)).limit_denominator(10**6)


def _check_file(path: Path) -> None:
    """Say what is wrong with a path before FFmpeg says it less clearly."""
    if not os.path.exists(path):
        if re.match("[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(path)):  # two letters or more; one is a drive of Windows
            remedy = "Save it first, for instance 60 seconds of it: ffmpeg -i ADDRESS -t 60 clip.mp4"
            raise VideoError(path, "is an address, and only files are read here", remedy)
        if os.path.islink(path):
            raise VideoError(path, "is a link that leads to no file", "Put the file back, or link to another")
        raise VideoError(path, "there is no such file", f"Check the name; it is looked for from {os.getcwd()}")
    if os.path.isdir(path):
        raise VideoError(path, "is a folder", "Name a video file in it")
    if not os.path.isfile(path):
        raise VideoError(path, "is no ordinary file", "Copy what it gives into one first")
    if os.fspath(path).lower().endswith((".m3u8", ".m3u", ".hls")):  # FFmpeg would wait for such a list to grow
        raise VideoError(path, "is a playlist, not a video", "Name one of the files in it")
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise VideoError(path, "may not be read by you", "Change its permissions, or copy it to where you may read")
    if os.path.getsize(path) == 0:
        raise VideoError(path, "is empty", "Copy or download it again")


def reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
