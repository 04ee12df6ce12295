"""A video file becomes frames, frames become a clip that a network can read. Built in notebook 01.

Frames are uint8 tensors of shape (T, H, W, 3), RGB, upright; a network's clip is a float tensor (C, T, H, W).

Which frame is taken is decided by time, never by counting: at every moment that is asked for, the frame that a player
would be showing. So a variable frame rate, a stream that does not begin at zero and B-frames come out right.
"""

import itertools
import os
from collections import deque
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import torch

# PyAV before version 19 stumbles over a title that is not UTF-8 unless it is told not to.
_HOW = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_HOW["timeout"] = 30.0  # seconds for any one step, so that nothing hangs for ever
_PLAYLISTS = (".m3u8", ".m3u", ".hls")  # FFmpeg would wait for such a list to grow
_SKIP_AHEAD = 10  # seconds; a nearer clip is reached sooner by decoding on than by going back to a key frame


class VideoError(Exception):
    """A file that cannot be read or written as a video. The message names it, what is wrong and what to do."""

    def __init__(self, path, problem=None, remedy=None):
        # With one argument it is a whole message: a data loader makes the error of its worker anew from that.
        super().__init__(path if problem is None else f"{os.fspath(path)}: {problem}. {remedy}.")


class VideoInfo(NamedTuple):
    """What a file says of its video, the size as it is shown (after rotation)."""

    width: int
    height: int
    fps: float  #: frames a second, on average
    seconds: float  #: how long the video is
    codec: str


def probe(path):
    """Size, frame rate, length and codec of a video file; a `VideoInfo`.

    Raises:
        VideoError: as `read_clip`.
    """
    with _Reader(path) as reader:
        return reader.info()


def read_clip(path, start=0.0, frames=16, fps=15.0):
    """Decode one clip, and little more than it: the frames shown at `start`, `start + 1 / rate` and so on.

    A clip that reaches beyond the end of the video holds its last frame, as a player does that has come to the end.

    Args:
        path: a video file of any format that FFmpeg reads.
        start: seconds from the first frame.
        frames: how many.
        rate: how many of them a second; the file's own rate may be any other.

    Returns:
        A uint8 tensor (frames, H, W, 3), RGB, turned upright where the file says how it was filmed.

    Raises:
        VideoError: no such file, no permission, no video, damaged, cut short, a single frame, or `start` after its end.
        ValueError: `start` below 0, or `frames` or `rate` not above 0.
    """
    with _Reader(path) as reader:
        return reader.clip(start, frames, fps)


def read_clips(path, clips=5, frames=16, fps=15.0, convert=None):
    """Decode several clips spread evenly over a video, the first at its beginning, the last at its end, one at a time.

    In a video shorter than the clips together they overlap; in one shorter than a single clip all are the same, and
    hold the last frame.

    Args:
        path, frames, rate: as of `read_clip`.
        clips: how many.
        convert: makes something else than an RGB picture of a frame. It is given the `av.VideoFrame`, and a function that
            makes the upright picture; it gives an array. See `preprocessing.Shrink`.

    Yields:
        `clips` tensors as of `read_clip`; only one is kept in memory.

    Raises:
        VideoError, ValueError: as `read_clip`, and ValueError for `clips` below 1.
    """
    if clips < 1:
        raise ValueError(f"clips={clips}: at least one is needed")
    with _Reader(path, convert) as reader:
        last = max(0.0, reader.seconds() - frames / fps) if clips > 1 else 0.0
        for start in np.linspace(0.0, last, clips):
            yield reader.clip(float(start), frames, fps)


def protocol_clips(path, clips=5, frames=16, fps=15.0):
    """Decode the clips that torchvision judges a video by, as it publishes the accuracy of its weights.

    The video is thought of as n frames at `rate`; clips may begin at each of the first n - frames + 1 of them, and of
    these places `clips` are taken, evenly spread and rounded down. (torchvision's `references/video_classification`,
    `VideoFolder` and `UniformClipSampler`. There a video shorter than a clip is left out; here it holds its last frame.)

    Yields:
        `clips` tensors as of `read_clip`; only one is kept in memory.

    Raises:
        VideoError, ValueError: as `read_clips`.
    """
    if clips < 1:
        raise ValueError(f"clips={clips}: at least one is needed")
    with _Reader(path) as reader:
        whole = reader.native_fps() % Fraction(fps) == 0  # then torchvision takes every k-th frame, the first included
        count = reader.seconds() * fps
        places = max(1, int(np.ceil(count - 1e-6) if whole else count + 1e-6) - frames + 1)
        for place in np.linspace(0, places - 1, clips).astype(int).tolist():
            yield reader.clip(Fraction(place) / Fraction(fps).limit_denominator(10**6), frames, fps)


def stream_clips(path, frames=16, fps=15.0, step=None):
    """Decode a video once, from its beginning to its end, and cut it into clips; for videos of any length.

    Args:
        path, frames, rate: as of `read_clip`.
        step: a clip begins every so many frames, by default where the one before ends. The last one ends with the video.

    Yields:
        The second at which a clip begins, and the clip, as of `read_clip`. A video shorter than a clip gives one, which
        holds its last frame. No more than one clip is kept in memory.

    Raises:
        VideoError: as `read_clip`; the clips before a damaged place are given first.
        ValueError: `step`, `frames` or `rate` not above 0.
    """
    step = frames if step is None else step
    if min(step, frames, fps) <= 0:
        raise ValueError(f"step={step}, frames={frames}, fps={fps}: all are above 0")
    fps = Fraction(fps).limit_denominator(10**6)
    recent, given = deque(maxlen=frames), 0  # given: how many frames the clips so far cover
    with _Reader(path) as reader:
        for k in itertools.count():
            changed = reader.play_until(k / fps)
            if reader.is_over(k / fps):
                break
            recent.append(reader.picture() if changed or not recent else recent[-1])
            first = k + 1 - frames
            if first >= 0 and first % step == 0:
                yield float(first / fps), torch.from_numpy(np.stack(recent))
                given = k + 1
        if given < k and recent:
            recent.extend([recent[-1]] * (frames - len(recent)))
            yield float(max(0, k - frames) / fps), torch.from_numpy(np.stack(recent))


def write_video(path, frames, fps=15.0, quality=20):
    """Encode frames as H.264 in the container that the file's name asks for, mp4 for one.

    Args:
        path: where to; an existing file is replaced.
        frames: uint8, (T, H, W, 3), RGB; H and W even.
        rate: frames a second.
        quality: x264's constant rate factor, lower is better and larger; 0 to 51.

    Raises:
        VideoError: the file cannot be written.
        ValueError: frames of another shape or type, or of an odd size, which H.264 cannot hold.
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
            # Without its macroblock tree x264 gives the same file every time; with it, it does not.
            stream.options = {"crf": str(quality), "x264-params": "mbtree=0"}
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, f"cannot be written: {_reason(error)}", "Choose a folder you may write to") from None


class _Reader:
    """One open file. `shown` is the frame on the screen, `coming` the next one, None when there is no other."""

    def __init__(self, path, convert=None):
        _check_file(path)
        self.path = path
        self.convert = convert
        self.container = None
        try:
            self._open()
            self.size = (self.shown.width, self.shown.height)
            if self.coming is None and not self._cut_short():
                raise VideoError(path, "holds a single frame, a picture in which nothing moves", "Name a video")
        except BaseException:
            self._close()  # or Windows keeps a refused file locked
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def _close(self):
        if self.container is not None:
            self.container.close()

    def info(self):
        height, width = self.picture().shape[:2]
        return VideoInfo(width, height, float(self.native_fps()), self.seconds(), self.stream.codec_context.name)

    def seconds(self):
        """How long the video is: as its stream says, or else to the end of its last packet."""
        return float(self._promised() or self._measured())

    def _promised(self):
        """The length that the file states for its pictures, in seconds; 0 where it states none."""
        if self.container.format.name == "asf":  # says how long pictures and sound are together
            return Fraction(0)
        if self.stream.duration:
            return self.stream.duration * self.tick
        hours, _, rest = self.stream.metadata.get("DURATION", "").partition(":")  # Matroska: 00:00:10.000000000
        minutes, _, seconds = rest.partition(":")
        try:
            return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)
        except ValueError:
            return Fraction(0)

    def _measured(self):
        """The length found by going through all packets, without decoding them."""
        try:
            with av.open(os.path.abspath(self.path), **_HOW) as container:
                last, packets = None, 0  # one by one: together they are as large as the file
                for packet in container.demux(container.streams[self.stream.index]):
                    packets += packet.size > 0
                    if packet.size and packet.pts is not None:
                        last = max(last or 0, packet.pts + (packet.duration or 0))
        except av.FFmpegError as error:
            raise self._damaged(error) from None
        if last is None:  # a bare stream of pictures
            return packets / self.native_fps()
        return last * self.tick - self.zero

    def native_fps(self):
        return self.stream.average_rate or self.stream.guessed_rate or Fraction(25)

    def clip(self, start, frames, fps):
        if start < 0 or frames < 1 or fps <= 0:
            raise ValueError(f"start={start}, frames={frames}, fps={fps}: start is at least 0, the others above 0")
        start, fps = (Fraction(number).limit_denominator(10**6) for number in (start, fps))  # 0.7 means 7/10
        times = [start + k / fps for k in range(frames)]
        self._go_to(times[0])
        pictures = []
        for time in times:
            changed = self.play_until(time)
            if not pictures and self.is_over(time):
                problem = f"ends after {float(self._end()):.1f} s, before the clip from {float(start):.1f} s begins"
                raise VideoError(self.path, problem, "Ask for an earlier clip")
            pictures.append(self._converted() if changed or not pictures else pictures[-1])
        return torch.from_numpy(np.stack(pictures))

    def _open(self):
        """Open the file, or open it again, at its first frame."""
        try:
            self.container = av.open(os.path.abspath(self.path), **_HOW)
        except av.FFmpegError as error:
            remedy = "Name a video file; if it is one, it is damaged or was not copied whole"
            raise VideoError(self.path, f"is not a video that can be read ({_reason(error)})", remedy) from None
        covers = av.stream.Disposition.attached_pic  # the picture of a song
        streams = [s for s in self.container.streams.video if not s.disposition & covers]
        if not streams or self.container.format.name == "tty":  # FFmpeg shows a plain text as a film of its letters
            raise VideoError(self.path, "holds no video", "Name a file with pictures that move")
        self.stream = streams[0]
        self.stream.thread_type = "AUTO"
        self.tick = self.stream.time_base
        # Matroska rounds the times of frames to whole milliseconds: half of one early is in time.
        self.slack = self.tick / 2 if self.tick <= Fraction(1, 1000) else 0
        self.zero = Fraction(0)
        self._start_decoding()
        if self.shown is None:
            raise VideoError(self.path, "holds no frame that can be decoded", "It is damaged or was not copied whole")
        if self.coming is not None and self.coming_time <= self.time:  # the first frame came without a time
            self.time = self.coming_time - 1 / self.native_fps()
        self.zero = self.time
        self.time = Fraction(0)
        self.coming_time = None if self.coming is None else self.coming_time - self.zero

    def _start_decoding(self):
        self.decoded = self.container.decode(self.stream)
        self.shown, self.time = None, None
        self.coming, self.coming_time = self._decode()
        self._next()

    def _decode(self):
        """The next frame and its time, in seconds from the first one; (None, None) at the end."""
        try:
            frame = next(self.decoded, None)
        except av.FFmpegError as error:
            raise self._damaged(error) from None
        if frame is None:
            return None, None
        # AVI counts its frames in the order of decoding, which is the right count once the decoder has sorted them.
        clock = frame.dts if self.container.format.name == "avi" else frame.pts
        if clock is None:  # a bare stream of pictures
            return frame, Fraction(0) if self.time is None else self.coming_time + 1 / self.native_fps()
        return frame, clock * self.tick - self.zero

    def _damaged(self, error):
        at = "at its beginning" if self.time is None else f"after {float(self.time):.1f} s"
        remedy = "Take another copy, or cut it off before that place"
        return VideoError(self.path, f"is damaged {at} ({_reason(error)})", remedy)

    def _next(self):
        self.shown, self.time = self.coming, self.coming_time
        if self.shown is not None:
            self.coming, self.coming_time = self._decode()

    def _go_to(self, time):
        """Be at or before the frame shown at `time`, by the shorter way."""
        if self.time <= time <= self.time + _SKIP_AHEAD:
            return
        try:
            self.container.seek(int((time + self.zero) / self.tick), stream=self.stream)
            self._start_decoding()
            found = self.shown is not None and self.time <= time + self.slack
        except (av.FFmpegError, VideoError):
            found = False
        if not found:  # the file has no index, or a wrong one: read it from its beginning
            self._close()
            self._open()

    def play_until(self, time):
        """Show the frame of this time; whether that is another one than before."""
        before = self.shown
        while self.coming is not None and self.coming_time <= time + self.slack:
            self._next()
        if self.coming is None and time >= self._end() and self._cut_short():
            problem = f"is cut short: of {self.seconds():.1f} s only {float(self._end()):.1f} s are there"
            raise VideoError(self.path, problem, "Copy or download it again")
        return self.shown is not before

    def is_over(self, time):
        """Whether the last frame is no longer shown at this time."""
        return self.coming is None and time >= self._end()

    def _end(self):
        """When the frame shown is over; the end of the video where it is the last one."""
        return self.time + (self.shown.duration * self.tick if self.shown.duration else 1 / self.native_fps())

    def _cut_short(self):
        """Whether the stream says that it goes on for long after its last frame."""
        return self.coming is None and self._promised() - self._end() > Fraction(1, 2)

    def _converted(self):
        return self.picture() if self.convert is None else self.convert(self.shown, self.picture)

    def picture(self):
        """The frame shown as an array (H, W, 3), RGB, upright."""
        width, height = self.size
        pixels = self.shown.to_ndarray(format="rgb24", width=width, height=height, threads=1)
        matrix = self.shown.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return pixels
        a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
        if a * d < b * c:  # filmed by a front camera that mirrors: turn it back first
            pixels, a, b = pixels[:, ::-1], -a, -b
        return np.rot90(pixels, round(-np.arctan2(b, a) / (np.pi / 2)))


def _check_file(path):
    """Say what is wrong with a path before FFmpeg says it less clearly."""
    if not os.path.exists(path):
        raise VideoError(path, "there is no such file", f"Check the name; it is looked for from {os.getcwd()}")
    if os.path.isdir(path):
        raise VideoError(path, "is a folder", "Name a video file in it")
    if not os.path.isfile(path):
        raise VideoError(path, "is no ordinary file", "Copy what it gives into one first")
    if os.fspath(path).lower().endswith(_PLAYLISTS):
        raise VideoError(path, "is a playlist, not a video", "Name one of the files in it")
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise VideoError(path, "may not be read by you", "Change its permissions, or copy it to where you may read")
    if os.path.getsize(path) == 0:
        raise VideoError(path, "is empty", "Copy or download it again")


def _reason(error):
    return getattr(error, "strerror", None) or str(error)
