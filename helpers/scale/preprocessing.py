"""Decoded frames become what a network reads, without a full-size RGB picture in between. Built in notebook 13.

A decoder gives a frame as one plane of brightness, Y, and two of colour, U and V, which have half the height and half the
width. The square that the network reads is fetched from these planes, and only that square becomes RGB.
"""

import numpy as np
import torch

from helpers import transforms, video

PLANAR = (
    "yuv420p",
    "yuvj420p",
)  # what H.264, H.265, VP9, AV1 and MPEG-4 files of everyday hold; other formats go through RGB
# Share of red and of blue in the brightness: ITU-R BT.709 and BT.601. FFmpeg takes the second where a file says nothing.
BRIGHTNESS = {1: (0.2126, 0.0722), 2: (0.299, 0.114), 5: (0.299, 0.114), 6: (0.299, 0.114)}
FULL_RANGE = 2


def read_clips(path, clips=5, frames=16, fps=15.0, crop_size=112):
    """The clips of `video.read_clips`, preprocessed: within about two grey levels of `transforms.preprocess`, in a part of the time.

    Yields:
        `clips` float tensors (3, frames, side, side); only one is kept in memory.

    Raises:
        VideoError, ValueError: as `video.read_clips`.
    """
    shrink = Shrink(crop_size)
    for pictures in video.read_clips(path, clips, frames, fps, convert=shrink):  # (T, 3, side, side)
        yield pictures.transpose(0, 1).contiguous()


class Shrink:
    """Scale a frame, cut a square out of its middle and normalise it, as `transforms.preprocess` does.

    Args:
        side: of the square, in pixels.
    """

    def __init__(self, crop_size=112):
        self.crop_size = crop_size

    def __call__(self, frame, upright):
        """An `av.VideoFrame`, and a function that makes an upright RGB picture of it, to float32 (3, side, side)."""
        planar = frame.format.name in PLANAR and int(frame.colorspace) in BRIGHTNESS
        if not planar or frame.side_data.get("DISPLAYMATRIX") is not None:
            return transforms.preprocess(torch.from_numpy(upright().copy())[None], self.crop_size)[:, 0].numpy()
        height, width = frame.height, frame.width
        planes = [self._square(plane, height, width, k) for k, plane in zip((1, 2, 2), frame.planes)]
        return self._normalized(np.stack(planes), int(frame.colorspace), int(frame.color_range) == FULL_RANGE)

    def _square(self, plane, height, width, k):
        """The middle of a plane in which each value stands for k by k pixels."""
        values = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows, columns = transforms.resized_size(self.crop_size)
        upper, lower, share = (v[:, None] for v in neighbours(height, rows, self.crop_size))
        lines = values[upper[:, 0] // k] * (1 - share) + values[lower[:, 0] // k] * share  # (side, width of the plane)
        left, right, share = neighbours(width, columns, self.crop_size)
        return lines[:, left // k] * (1 - share) + lines[:, right // k] * share

    def _normalized(self, yuv, colorspace, full_range):
        """Y, U, V (3, side, side) of 0 to 255 to RGB as a network reads it."""
        red, blue = BRIGHTNESS[colorspace]
        y, u, v = yuv - np.float32([0 if full_range else 16, 128, 128]).reshape(3, 1, 1)
        if not full_range:  # 16 to 235 stand for black to white, 16 to 240 for the range of colours
            y, u, v = y * (255 / 219), u * (255 / 224), v * (255 / 224)
        r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
        g = (y - red * r - blue * b) / (1 - red - blue)
        rgb = np.stack([r, g, b]).clip(0, 255) / 255
        return ((rgb - _channels(transforms.MEAN)) / _channels(transforms.STD)).astype(np.float32)


def neighbours(length, resized, crop_size):
    """Where bilinear scaling looks: for each of the middle `side` of `resized` places its two neighbours among `length`.

    Returns:
        The number of the first neighbour, that of the second, and the share of the second, float32; each (side,).
    """
    first = round((resized - crop_size) / 2)
    place = (np.arange(first, first + crop_size) + 0.5) * length / resized - 0.5
    place = place.clip(0, length - 1)
    left = place.astype(int)
    return left, np.minimum(left + 1, length - 1), (place - left).astype(np.float32)


def _channels(values):
    return np.float32(values).reshape(3, 1, 1)
