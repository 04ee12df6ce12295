"""Read the frames of a video file, and write frames into one. Built in notebook 01.

Frames are a uint8 tensor (T, H, W, 3), RGB, upright. Time decides which frame is read, never a count: for each moment it
is the frame that a player shows. So a variable frame rate, B-frames and a first frame after zero do no harm.

What reads a file raises VideoError if it is missing, forbidden, no video, damaged, cut short or a single frame, and
ValueError for numbers that make no clip, such as `fps=0`.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import torch
from torch import Tensor

__all__ = ["VideoError", "VideoInfo", "middle_start", "probe", "protocol_clips", "read_clip", "read_clips",
           "read_middle_clip", "stream_clips", "write_video"]  # fmt: skip

Path = str | os.PathLike[str]
Convert = Callable[[av.VideoFrame, Callable[[], np.ndarray]], np.ndarray]  # see `read_clips`

_OPTIONS = {"timeout": 30.0}  # seconds for any one step, so that nothing hangs for ever
if int(av.__version__.split(".")[0]) < 19:  # before version 19 PyAV fails at a title that is not UTF-8
    _OPTIONS["metadata_errors"] = "replace"


class VideoError(Exception):
    """A file cannot be read or written as a video. The message names the file, the problem and a remedy."""

    def __init__(self, path: Path, problem: str | None = None, remedy: str | None = None):
        # A data loader recreates the error of its worker from the message alone.
        super().__init__(path if problem is None else f"{os.fspath(path)}: {problem}. {remedy}.")


class VideoInfo(NamedTuple):
    """What a file says about its video. Width and height are those of the upright frame."""

    width: int
    height: int
    fps: float  #: frames per second, on average
    seconds: float  #: the length of the video
    codec: str


def probe(path: Path) -> VideoInfo:
    """Size, frame rate, length and codec of a video file."""
    with contextlib.closing(_Reader(path)) as reader:
        return reader.info()


def read_clip(path: Path, start: float = 0.0, frames: int = 16, fps: float = 15.0) -> Tensor:
    """Decode one clip and little more than it: (frames, H, W, 3), shown at `start`, `start + 1 / fps` and so on.

    A clip that reaches beyond the end of the video repeats the last frame, as a player does.

    Args:
        path: a video file of any format that FFmpeg reads.
        start: seconds from the first frame. VideoError if the video is over by then.
        frames, fps: how many frames, and their frame rate. The frame rate of the file may be any other.
    """
    with contextlib.closing(_Reader(path)) as reader:
        return reader.clip(start, frames, fps)


def read_middle_clip(path: Path, frames: int = 16, fps: float = 15.0) -> tuple[VideoInfo, Tensor]:
    """What `probe` returns, and the clip in the middle of the video as of `read_clip`, while the file is opened once."""
    with contextlib.closing(_Reader(path)) as reader:
        info = reader.info()
        return info, reader.clip(middle_start(info.seconds, frames, fps), frames, fps)


def middle_start(seconds: float, frames: int = 16, fps: float = 15.0) -> float:
    """The second at which the clip in the middle of a video starts; 0 if the video is shorter than a clip."""
    _check_positive(frames=frames, fps=fps)
    return max(0.0, (seconds - frames / fps) / 2)


def read_clips(
    path: Path, clips: int = 5, frames: int = 16, fps: float = 15.0, convert: Convert | None = None
) -> Iterator[Tensor]:
    """Decode `clips` clips, one at a time, spread evenly from the beginning of a video to its end.

    They are as of `read_clip`. They overlap if the video is shorter than all of them together, and are all the same if it
    is shorter than one. `convert` makes another array of a frame than its RGB picture: it is called with the
    `av.VideoFrame` and with a function that returns the upright picture (H, W, 3); see `scale.preprocessing.shrink`.
    """
    _check_positive(clips=clips, frames=frames, fps=fps)
    with contextlib.closing(_Reader(path, convert)) as reader:
        last = max(0.0, reader.seconds() - frames / fps) if clips > 1 else 0.0
        for start in np.linspace(0.0, last, clips):
            yield reader.clip(float(start), frames, fps)


def protocol_clips(path: Path, clips: int = 5, frames: int = 16, fps: float = 15.0) -> Iterator[Tensor]:
    """Decode the clips on which torchvision evaluates a video, for the accuracy that it publishes with its weights.

    The video has n frames at `fps`. A clip may start at each of the first n - frames + 1 of them; `clips` of these starts
    are taken, evenly spread and rounded down. Source: `VideoFolder` and `UniformClipSampler` in torchvision's
    `references/video_classification`. They leave out a video shorter than a clip; here it repeats its last frame.
    """
    _check_positive(clips=clips, frames=frames, fps=fps)
    with contextlib.closing(_Reader(path)) as reader:
        divides = reader.fps % Fraction(fps) == 0  # then torchvision takes every k-th frame, the first one included
        count = reader.seconds() * fps
        starts = max(1, int(np.ceil(count - 1e-6) if divides else count + 1e-6) - frames + 1)
        for start in np.linspace(0, starts - 1, clips).astype(int).tolist():
            yield reader.clip(Fraction(start) / Fraction(fps).limit_denominator(10**6), frames, fps)


def stream_clips(
    path: Path, frames: int = 16, fps: float = 15.0, step: int | None = None
) -> Iterator[tuple[float, Tensor]]:
    """Decode a video of any length once, and cut it into clips: for each the second at which it starts, and the clip.

    From the start of a clip to the start of the next there are `step` frames, by default `frames`; the last clip ends with
    the video. A damaged video gives the clips before the damage, then a VideoError. Only one clip is kept in memory.
    """
    step = frames if step is None else step
    _check_positive(step=step, frames=frames, fps=fps)
    fps = Fraction(fps).limit_denominator(10**6)
    recent, count, covered = deque(maxlen=frames), 0, 0  # covered: how many frames the clips so far reach over
    with contextlib.closing(_Reader(path)) as reader:
        while not reader.play_until(count / fps):
            recent.append(reader.picture())
            count += 1
            if count >= frames and (count - frames) % step == 0:
                yield float((count - frames) / fps), torch.from_numpy(np.stack(recent))
                covered = count
        if covered < count:
            recent.extend([recent[-1]] * (frames - len(recent)))
            yield float(max(0, count - frames) / fps), torch.from_numpy(np.stack(recent))


def write_video(path: Path, frames: Tensor | np.ndarray, fps: float = 15.0, quality: int = 20) -> None:
    """Encode frames, uint8 (T, H, W, 3), RGB, as H.264, in the container that the name of the file asks for, such as mp4.

    An existing file is replaced. `quality` is the constant rate factor of x264, 0 to 51; lower is better and larger.
    VideoError if the file cannot be written; ValueError for frames of another shape, type, or of an odd height or width.
    """
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ValueError(f"frames are uint8 of shape (T, H, W, 3), not {frames.dtype} of shape {frames.shape}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"H.264 holds frames of even height and width, not {height} x {width}")
    try:
        with av.open(os.path.abspath(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            # With its macroblock tree x264 writes a slightly different file each time.
            stream.options = {"crf": str(quality), "x264-params": "mbtree=0"}
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, f"cannot be written: {_reason(error)}", "Choose a folder you may write to") from None


class _Reader:
    """One open file. `shown` is the frame on the screen at `time`, `coming` the next one or None at the end."""

    def __init__(self, path: Path, convert: Convert | None = None):
        _check_file(path)
        self.path, self.convert, self.container = path, convert, None
        try:
            self._open()
            self.size = dict(width=self.shown.width, height=self.shown.height)
            if self.coming is None and not self._cut_short():
                raise VideoError(path, "holds a single frame, a picture in which nothing moves", "Name a video")
        except BaseException:
            self.close()  # or Windows keeps a refused file locked
            raise

    def close(self) -> None:
        if self.container is not None:
            self.container.close()

    def info(self) -> VideoInfo:
        height, width = self._rgb().shape[:2]
        return VideoInfo(width, height, float(self.fps), self.seconds(), self.stream.codec_context.name)

    def seconds(self) -> float:
        """The length of the video: as the file states it, or else up to the end of its last packet."""
        try:
            return float(self._stated_length() or self._measured_length())
        except av.FFmpegError as error:
            raise self._damaged(error) from None

    def _stated_length(self) -> Fraction:
        """The length that the file states for its pictures, in seconds; 0 if it states none."""
        if self.stream.duration and self.container.format.name != "asf":  # which states that of pictures and sound
            return self.stream.duration * self.tick
        try:  # Matroska: 00:00:10.000000000
            hours, minutes, seconds = map(Fraction, self.stream.metadata.get("DURATION", "0:0:0").split(":"))
        except (ValueError, ZeroDivisionError):
            return Fraction(0)
        return hours * 3600 + minutes * 60 + seconds

    def _measured_length(self) -> Fraction:
        """The length found by opening the file once more and going through its packets one by one, without decoding."""
        end, count = None, 0
        with av.open(os.path.abspath(self.path), **_OPTIONS) as container:
            for packet in container.demux(container.streams[self.stream.index]):
                count += packet.size > 0
                if packet.size and packet.pts is not None:
                    end = max(end or 0, packet.pts + (packet.duration or 0))
        return count / self.fps if end is None else end * self.tick - self.zero  # None: a bare stream of pictures

    def clip(self, start: float | Fraction, frames: int, fps: float) -> Tensor:
        _check_positive(frames=frames, fps=fps)
        if start < 0:
            raise ValueError(f"start={start}: a clip starts at 0 or later")
        start, fps = (Fraction(number).limit_denominator(10**6) for number in (start, fps))  # 0.7 means 7/10
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
            raise VideoError(self.path, f"is not a video that can be read ({_reason(error)})", remedy) from None
        cover = av.stream.Disposition.attached_pic  # the picture of a song
        streams = [stream for stream in self.container.streams.video if not stream.disposition & cover]
        if not streams or self.container.format.name == "tty":  # FFmpeg shows a text file as a video of its letters
            raise VideoError(self.path, "holds no video", "Name a file with pictures that move")
        self.stream = streams[0]
        self.stream.thread_type = "AUTO"
        self.fps = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.tick = self.stream.time_base
        # Matroska rounds the times of frames to whole milliseconds: half of one early is in time.
        self.slack = self.tick / 2 if self.tick <= Fraction(1, 1000) else 0
        self.zero = Fraction(0)  # the time of the first frame, as soon as it is known
        self._start_decoding()
        if self.shown is None:
            raise VideoError(self.path, "holds no frame that can be decoded", "It is damaged or was not copied whole")
        if self.coming is not None and self.coming_time <= self.time:  # the first frame came without a time
            self.time = self.coming_time - 1 / self.fps
        self.zero, self.time = self.time, Fraction(0)
        self.coming_time = None if self.coming is None else self.coming_time - self.zero

    def _start_decoding(self) -> None:
        self.decoded, self.time = self.container.decode(self.stream), None
        self.coming, self.coming_time = self._decode()
        self._next()

    def _decode(self) -> tuple[av.VideoFrame | None, Fraction | None]:
        """The next frame and its time, in seconds from the first one; (None, None) at the end."""
        try:
            frame = next(self.decoded, None)
        except av.FFmpegError as error:
            raise self._damaged(error) from None
        if frame is None:
            return None, None
        # AVI counts its frames in the order of decoding. The decoder sorts them, and then its count is the right one.
        clock = frame.dts if self.container.format.name == "avi" else frame.pts
        if clock is None:  # a bare stream of pictures
            return frame, Fraction(0) if self.time is None else self.coming_time + 1 / self.fps
        return frame, clock * self.tick - self.zero

    def _damaged(self, error: av.FFmpegError) -> VideoError:
        place = "at its beginning" if self.time is None else f"after {float(self.time):.1f} s"
        remedy = "Take another copy, or cut it off before that place"
        return VideoError(self.path, f"is damaged {place} ({_reason(error)})", remedy)

    def _next(self) -> None:
        self.shown, self.time, self.made = self.coming, self.coming_time, None
        if self.shown is not None:
            self.coming, self.coming_time = self._decode()

    def _go_to(self, time: Fraction) -> None:
        """Be at or before the frame shown at `time`, by the shorter way."""
        if self.time <= time <= self.time + 10:  # seconds: so near it is sooner decoded than found by its key frame
            return
        with contextlib.suppress(av.FFmpegError, VideoError):
            self.container.seek(int((time + self.zero) / self.tick), stream=self.stream)
            self._start_decoding()
            if self.shown is not None and self.time <= time + self.slack:
                return
        self.close()  # the file has no index, or a wrong one: read it from its beginning
        self._open()

    def play_until(self, time: Fraction) -> bool:
        """Show the frame of this time. Returns whether the video is over by then, even its last frame."""
        while self.coming is not None and self.coming_time <= time + self.slack:
            self._next()
        over = self.coming is None and time >= self._end()
        if over and self._cut_short():
            problem = f"is cut short: of {self.seconds():.1f} s only {float(self._end()):.1f} s are there"
            raise VideoError(self.path, problem, "Copy or download it again")
        return over

    def _end(self) -> Fraction:
        """When the frame shown is over; the end of the video if it is the last one."""
        return self.time + (self.shown.duration * self.tick if self.shown.duration else 1 / self.fps)

    def _cut_short(self) -> bool:
        """Whether the file states a length that goes on for long after the last frame."""
        return self.coming is None and self._stated_length() - self._end() > Fraction(1, 2)

    def picture(self) -> np.ndarray:
        """The frame shown as an array: upright and RGB, or what `convert` makes of it. It is made once."""
        if self.made is None:
            self.made = self.convert(self.shown, self._rgb) if self.convert else self._rgb()
        return self.made

    def _rgb(self) -> np.ndarray:
        """The frame shown (H, W, 3), turned as the display matrix of the file asks: by quarters, and mirrored."""
        pixels = self.shown.to_ndarray(format="rgb24", threads=1, **self.size)
        matrix = self.shown.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return pixels
        a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
        if a * d < b * c:  # filmed by a front camera that mirrors: turn it back first
            pixels, a, b = pixels[:, ::-1], -a, -b
        return np.rot90(pixels, round(-np.arctan2(b, a) / (np.pi / 2)))


def _check_positive(**numbers: float) -> None:
    if min(numbers.values()) <= 0:
        raise ValueError(", ".join(f"{name}={number}" for name, number in numbers.items()) + ": each has to be above 0")


def _check_file(path: Path) -> None:
    """Say what is wrong with a path before FFmpeg says it less clearly."""
    if not os.path.exists(path):
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


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
