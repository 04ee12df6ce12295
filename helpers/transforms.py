"""Frames become the clip that a network reads, and back. Built in notebook 01.

There are two kinds of tensors, and each function takes one of them. Frames are uint8 (T, H, W, 3), RGB: `resize`,
`center_crop` and `random_crop` take frames and return frames. A clip is float (3, T, H, W): `random_horizontal_flip`
takes a clip and returns a clip. `normalize` leads from frames to a clip, `denormalize` leads back.

`preprocess` is all that a test clip needs. A training clip uses `random_crop` in place of `center_crop`. Every random
transform takes a generator of numpy's and draws once, so that all frames of a clip change alike.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["MEAN", "STD", "center_crop", "check_frames", "denormalize", "normalize", "preprocess", "random_crop",
           "random_horizontal_flip", "resize", "resized_size"]  # fmt: skip

# Of the training data of torchvision's video networks: its preset R2Plus1D_18_Weights.KINETICS400_V1.
MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)


def resize(frames: Tensor, size: tuple[int, int] = (128, 171)) -> Tensor:
    """Scale every frame to (height, width), bilinear without antialiasing, as the published networks expect.

    uint8 (T, H, W, 3) in and out. The frames are scaled one by one, so that a large video needs little memory.
    """
    check_frames(frames)
    scaled = []
    for frame in frames:  # (H, W, 3)
        x = frame.permute(2, 0, 1)[None].float()  # (1, 3, H, W)
        scaled.append(F.interpolate(x, size, mode="bilinear", align_corners=False))
    return torch.cat(scaled).round().to(torch.uint8).permute(0, 2, 3, 1)


def center_crop(frames: Tensor, crop_size: int = 112) -> Tensor:
    """Cut the square in the middle out of every frame; (T, H, W, 3) to (T, crop_size, crop_size, 3)."""
    check_frames(frames, crop_size)
    top, left = (round((length - crop_size) / 2) for length in frames.shape[1:3])
    return frames[:, top : top + crop_size, left : left + crop_size]


def random_crop(frames: Tensor, crop_size: int, generator: np.random.Generator) -> Tensor:
    """Cut one random square out of all frames; (T, H, W, 3) to (T, crop_size, crop_size, 3). Built in notebook 12."""
    check_frames(frames, crop_size)
    height, width = frames.shape[1:3]
    top = generator.integers(0, height - crop_size, endpoint=True)
    left = generator.integers(0, width - crop_size, endpoint=True)
    return frames[:, top : top + crop_size, left : left + crop_size]


def random_horizontal_flip(clip: Tensor, generator: np.random.Generator) -> Tensor:
    """Swap left and right in half of the clips, in all frames of a clip alike; (C, T, H, W). Built in notebook 09.

    It flips the last axis. In a clip that is the width; in frames it would be the color.
    """
    return clip.flip(-1) if generator.random() < 0.5 else clip


def normalize(frames: Tensor) -> Tensor:
    """Frames uint8 (T, H, W, 3) to a clip float (3, T, H, W), each channel with mean 0 and standard deviation 1."""
    check_frames(frames)
    x = frames.permute(3, 0, 1, 2).float() / 255  # (T, H, W, 3) to (3, T, H, W)
    return (x - _channels(MEAN)) / _channels(STD)


def denormalize(clip: Tensor) -> Tensor:
    """A clip float (3, T, H, W) back to frames uint8 (T, H, W, 3), to look at."""
    x = (clip.cpu() * _channels(STD) + _channels(MEAN)) * 255
    return x.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0)


def preprocess(frames: Tensor, crop_size: int = 112) -> Tensor:
    """Resize, crop the middle and normalize: frames uint8 (T, H, W, 3) to a clip float (3, T, crop_size, crop_size).

    With a crop size of 112 it equals torchvision's preset for its video networks. Errors as of `check_frames`.
    """
    return normalize(center_crop(resize(frames, resized_size(crop_size)), crop_size))


def check_frames(frames: Tensor, crop_size: int = 1) -> None:
    """TypeError for what is not a tensor of uint8, ValueError for another shape than (T, H, W, 3) or too large a crop."""
    if not isinstance(frames, Tensor):
        raise TypeError(f"frames are a tensor, not {type(frames).__name__}; of an array of NumPy: torch.from_numpy")
    if frames.dtype != torch.uint8:
        raise TypeError(f"frames are uint8, 0 to 255, not {frames.dtype}. From 0 to 1: (255 * frames).to(torch.uint8)")
    if frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise ValueError(f"frames are (T, H, W, 3), not {tuple(frames.shape)}")
    if crop_size > min(frames.shape[1:3]):
        raise ValueError("frames of {1} x {2} hold no crop of {0} x {0}".format(crop_size, *frames.shape[1:3]))


def resized_size(crop_size: int = 112) -> tuple[int, int]:
    """The (height, width) that frames are resized to before a crop of this size: (128, 171) for 112."""
    return round(crop_size * 128 / 112), round(crop_size * 171 / 112)


def _channels(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(3, 1, 1, 1)
