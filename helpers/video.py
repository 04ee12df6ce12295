"""Read the frames of a video file, and write frames into one. Built in notebook 01.

Frames are a uint8 tensor (T, H, W, 3), RGB, upright. Time decides which frame is read, never a count: for each moment it
is the frame that a player shows. So a variable frame rate, B-frames and a first frame after zero do no harm.

What reads a file raises VideoError if it is missing, forbidden, no video, damaged, cut short or a single frame, and
ValueError for numbers that make no clip, such as `fps=0`.
"""

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor

from helpers.reader import MUTE, Convert, Path, Reader, Size, VideoError, VideoInfo, VideoWarning, check_positive, exact

__all__ = ["MUTE", "Size", "VideoError", "VideoInfo", "VideoWarning", "explain", "middle_start", "probe",
           "protocol_clips", "read_clip", "read_clips", "read_middle_clip", "stream_clips", "write_video"]  # fmt: skip


def explain(path: Path, error: Exception) -> str:
    """One sentence about any error that a file gave, so that the other files can go on: it names the file."""
    kind = type(error).__name__
    return str(error) if isinstance(error, VideoError) else f"{os.fspath(path)}: {kind}: {str(error) or 'no message'}"


def probe(path: Path) -> VideoInfo:
    """Size, frame rate, length and codec of a video file."""
    with contextlib.closing(Reader(path)) as reader:
        return reader.info()


def read_clip(path: Path, start: float = 0.0, frames: int = 16, fps: float = 15.0, size: Size = None) -> Tensor:
    """Decode one clip and little more than it: (frames, H, W, 3), shown at `start`, `start + 1 / fps` and so on.

    A clip that reaches beyond the end of the video repeats the last frame, as a player does.

    Args:
        path: a video file of any format that FFmpeg reads.
        start: seconds from the first frame. VideoError if the video is over by then.
        frames, fps: how many frames, and their frame rate. The frame rate of the file may be any other.
        size: (height, width) to which each frame is scaled by `transforms.resize` as soon as it is decoded, so that a large
            video needs little memory; None for frames as large as a player shows them.
    """
    with contextlib.closing(Reader(path, size)) as reader:
        return reader.clip(start, frames, fps)


def read_middle_clip(path: Path, frames: int = 16, fps: float = 15.0, size: Size = None) -> tuple[VideoInfo, Tensor]:
    """What `probe` returns, and the clip in the middle of the video as of `read_clip`, while the file is opened once."""
    with contextlib.closing(Reader(path, size)) as reader:
        info = reader.info()
        return info, reader.clip(middle_start(info.seconds, frames, fps), frames, fps)


def middle_start(seconds: float, frames: int = 16, fps: float = 15.0) -> float:
    """The second at which the clip in the middle of a video starts; 0 if the video is shorter than a clip."""
    check_positive(frames=frames, fps=fps)
    return max(0.0, (seconds - frames / fps) / 2)


def read_clips(
    path: Path, clips: int = 5, frames: int = 16, fps: float = 15.0, size: Size = None, convert: Convert | None = None
) -> Iterator[Tensor]:
    """Decode `clips` clips, one at a time, spread evenly from the beginning of a video to its end.

    They are as of `read_clip`. They overlap if the video is shorter than all of them together, and are all the same if it
    is shorter than one. `convert` makes another array of a frame than its RGB picture: it is called with the
    `av.VideoFrame`, or None if that has to be turned, and with a function that returns the upright picture (H, W, 3); see
    `scale.preprocessing.shrink`.
    """
    check_positive(clips=clips, frames=frames, fps=fps)
    with contextlib.closing(Reader(path, size, convert)) as reader:
        last = max(0.0, reader.seconds() - frames / fps) if clips > 1 else 0.0
        for start in np.linspace(0.0, last, clips):
            yield reader.clip(float(start), frames, fps)


def protocol_clips(
    path: Path, clips: int = 5, frames: int = 16, fps: float = 15.0, size: Size = None
) -> Iterator[Tensor]:
    """Decode the clips on which torchvision evaluates a video, for the accuracy that it publishes with its weights.

    The video has n frames at `fps`. A clip may start at each of the first n - frames + 1 of them; `clips` of these starts
    are taken, evenly spread and rounded down. Source: `VideoFolder` and `UniformClipSampler` in torchvision's
    `references/video_classification`. They leave out a video shorter than a clip; here it repeats its last frame.
    """
    check_positive(clips=clips, frames=frames, fps=fps)
    with contextlib.closing(Reader(path, size)) as reader:
        divides = reader.fps % exact(fps) == 0  # then torchvision takes every k-th frame, the first one included
        count = reader.seconds() * fps
        starts = max(1, int(np.ceil(count - 1e-6) if divides else count + 1e-6) - frames + 1)
        for start in np.linspace(0, starts - 1, clips).astype(int).tolist():
            yield reader.clip(Fraction(start) / exact(fps), frames, fps)


def stream_clips(
    path: Path, frames: int = 16, fps: float = 15.0, step: int | None = None, size: Size = None
) -> Iterator[tuple[float, Tensor]]:
    """Decode a video of any length once, and cut it into clips: for each the second at which it starts, and the clip.

    From the start of a clip to the start of the next there are `step` frames, by default `frames`; the last clip ends with
    the video. A damaged video gives the clips before the damage, then a VideoError. Only one clip is kept in memory.
    """
    step = frames if step is None else step
    check_positive(step=step, frames=frames, fps=fps)
    fps = exact(fps)
    recent, count, covered = deque(maxlen=frames), 0, 0  # covered: how many frames the clips so far reach over
    with contextlib.closing(Reader(path, size)) as reader:
        while not reader.play_until(count / fps):
            recent.append(reader.picture())
            count += 1
            if count >= frames and (count - frames) % step == 0:
                yield float((count - frames) / fps), torch.from_numpy(np.stack(recent))
                covered = count
        if covered < count:
            recent.extend([reader.picture()] * (frames - len(recent)))  # the last frame, as in `read_clip`
            yield float(max(0, count - frames) / fps), torch.from_numpy(np.stack(recent))


def write_video(path: Path, frames: Tensor | np.ndarray, fps: float = 15.0, quality: int = 20) -> None:
    """Encode frames, uint8 (T, H, W, 3), RGB, as H.264, in the container that the name of the file asks for, such as mp4.

    An existing file is replaced. `quality` is the constant rate factor of x264, 0 to 51; lower is better and larger.
    VideoError if the file cannot be written; ValueError for frames of another shape, type, or of an odd height or width.
    """
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ValueError(f"frames are uint8 of shape (T, H, W, 3), not {frames.dtype} of shape {frames.shape}")
    if not 1 / 1001 <= fps <= 10_000:
        raise ValueError(f"fps={fps}: it is from 1/1001 to 10,000")
    if not 0 <= quality <= 51:
        raise ValueError(f"quality={quality}: it is from 0 to 51")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"H.264 holds frames of even height and width, not {height} x {width}")
    try:
        with av.open(os.path.abspath(os.fsdecode(path)), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            # With its macroblock tree x264 writes a slightly different file each time.
            stream.options = {"crf": str(quality), "x264-params": "mbtree=0"}
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, OSError, ValueError) as error:
        forbidden = isinstance(error, (PermissionError, FileNotFoundError, IsADirectoryError))
        remedy = "Choose a folder you may write to" if forbidden else "Choose a name that ends in .mp4, and room for it"
        raise VideoError(path, f"cannot be written: {getattr(error, 'strerror', None) or error}", remedy) from None
