"""Decoded frames become a clip for the network, without full-size RGB frames in between. See notebook 13.

A decoder gives a frame as one plane of brightness, Y, and two of color, U and V, which have half the height and half the
width. The crop that the network reads is fetched from these planes, and only that crop becomes RGB.
"""

from collections.abc import Callable, Iterator
from functools import partial
from os import PathLike

import av
import numpy as np
import torch

from helpers import transforms, video

__all__ = ["neighbours", "read_clips", "shrink"]

# Most H.264, H.265, VP9, AV1 and MPEG-4 files hold these formats; others go through RGB.
PLANAR = ("yuv420p", "yuvj420p")
# Weights of red and of blue in the brightness: ITU-R BT.709 and BT.601. FFmpeg takes the second where a file says nothing.
BRIGHTNESS = {1: (0.2126, 0.0722), 2: (0.299, 0.114), 5: (0.299, 0.114), 6: (0.299, 0.114)}
FULL_RANGE = 2


def read_clips(
    path: str | PathLike, clips: int = 5, frames: int = 16, fps: float = 15.0, crop_size: int = 112
) -> Iterator[torch.Tensor]:
    """The clips of `video.read_clips`, preprocessed faster; 99 % of values within 3 gray levels of `transforms.preprocess`.

    They are float tensors (3, frames, crop_size, crop_size); only one is kept in memory. Errors as of `video.read_clips`.
    """
    convert = partial(shrink, crop_size=crop_size)
    for crops in video.read_clips(path, clips, frames, fps, convert=convert):  # (T, 3, crop_size, crop_size)
        yield crops.transpose(0, 1).contiguous()


def shrink(frame: av.VideoFrame | None, upright: Callable[[], np.ndarray], crop_size: int = 112) -> np.ndarray:
    """Resize a frame, take its center crop and normalize it, as `transforms.preprocess` does.

    `upright` is a function that makes upright RGB of the frame, all there is (None) of one that has to be turned; the
    result is float32 (3, crop_size, crop_size).
    """
    if frame is None or frame.format.name not in PLANAR or int(frame.colorspace) not in BRIGHTNESS:
        return transforms.preprocess(torch.from_numpy(upright().copy())[None], crop_size)[:, 0].numpy()
    yuv = np.stack([_crop(plane, frame.height, frame.width, k, crop_size) for k, plane in zip((1, 2, 2), frame.planes)])
    return _normalized(yuv, int(frame.colorspace), int(frame.color_range) == FULL_RANGE)


def _crop(plane, height, width, k, crop_size):
    """The center crop of a plane in which each value stands for k by k pixels."""
    values = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    rows, columns = transforms.resized_size(crop_size)
    upper, lower, down = neighbours(height, rows, crop_size)
    left, right, across = neighbours(width, columns, crop_size)
    down = down[:, None]
    lines = values[upper // k] * (1 - down) + values[lower // k] * down  # (crop_size, width of the plane)
    return lines[:, left // k] * (1 - across) + lines[:, right // k] * across


def _normalized(yuv, colorspace, full_range):
    """Y, U, V (3, crop_size, crop_size) of 0 to 255 to RGB as a network reads it."""
    red, blue = BRIGHTNESS[colorspace]
    y, u, v = yuv - np.float32([0 if full_range else 16, 128, 128]).reshape(3, 1, 1)
    if not full_range:  # 16 to 235 stand for black to white, 16 to 240 for the range of colors
        y, u, v = y * (255 / 219), u * (255 / 224), v * (255 / 224)
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    rgb = np.stack([r, g, b]).clip(0, 255) / 255
    mean, std = (np.float32(values).reshape(3, 1, 1) for values in (transforms.MEAN, transforms.STD))
    return ((rgb - mean) / std).astype(np.float32)


def neighbours(length: int, resized: int, crop_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where bilinear scaling of `length` pixels to `resized` looks for the `crop_size` pixels in the middle.

    Gives the number of the first neighbor, that of the second, and the weight of the second, float32; each (crop_size,).
    """
    first = round((resized - crop_size) / 2)
    place = (np.arange(first, first + crop_size) + 0.5) * length / resized - 0.5
    place = place.clip(0, length - 1)
    left = place.astype(int)
    return left, np.minimum(left + 1, length - 1), (place - left).astype(np.float32)
