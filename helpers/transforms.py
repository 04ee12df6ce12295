"""Frames become what a network reads, and back; a clip is changed as a whole. Built in notebook 01.

Frames are uint8 tensors (T, H, W, 3), RGB; what a network reads is a float tensor (3, T, H, W). Every random transform
takes a generator of numpy's, and draws once a clip.
"""

import torch
from torch.nn import functional as F

# What torchvision's video networks were trained with: its preset of R2Plus1D_18_Weights.KINETICS400_V1.
MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)


def resize(clip, size=(128, 171)):
    """Scale every frame to (height, width), bilinear without antialiasing, as the published networks expect.

    uint8 (T, H, W, 3) in and out. Frame by frame, so that a large video needs no large memory.
    """
    frames = []
    for frame in clip:  # (H, W, 3)
        x = frame.permute(2, 0, 1)[None].float()  # (1, 3, H, W)
        frames.append(F.interpolate(x, size, mode="bilinear", align_corners=False))
    return torch.cat(frames).round().to(torch.uint8).permute(0, 2, 3, 1)


def center_crop(clip, crop_size=112):
    """Cut a square of `side` pixels out of the middle of every frame; (T, H, W, 3) to (T, side, side, 3)."""
    top, left = (round((length - crop_size) / 2) for length in clip.shape[1:3])
    return clip[:, top : top + crop_size, left : left + crop_size]


def random_crop(clip, crop_size, generator):
    """Cut a square of `side` pixels out of the same random place of every frame; (T, H, W, 3) to (T, side, side, 3).

    Built in notebook 12.
    """
    height, width = clip.shape[1:3]
    top = generator.integers(0, height - crop_size, endpoint=True)
    left = generator.integers(0, width - crop_size, endpoint=True)
    return clip[:, top : top + crop_size, left : left + crop_size]


def random_horizontal_flip(clip, generator):
    """Swap left and right in half of the clips, in all frames of a clip alike; (C, T, H, W). Built in notebook 09."""
    return clip.flip(-1) if generator.random() < 0.5 else clip


def normalize(clip):
    """From frames to what a network reads: uint8 (T, H, W, 3) to float (3, T, H, W), each channel about 0 to within 1."""
    x = clip.permute(3, 0, 1, 2).float() / 255  # (T, H, W, 3) to (3, T, H, W)
    return (x - _channels(MEAN)) / _channels(STD)


def denormalize(x):
    """Back from what a network reads to frames to look at: float (3, T, H, W) to uint8 (T, H, W, 3)."""
    x = (x.cpu() * _channels(STD) + _channels(MEAN)) * 255
    return x.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0)


def preprocess(clip, crop_size=112):
    """Everything between a decoded clip and the network: resize, crop, normalise.

    uint8 (T, H, W, 3) to float (3, T, side, side); with a side of 112 equal to torchvision's preset for its video networks.
    """
    return normalize(center_crop(resize(clip, resized(crop_size)), crop_size))


def resized(crop_size):
    """The height and width to which frames are scaled before squares of `side` pixels are cut out: (128, 171) for 112."""
    return round(crop_size * 128 / 112), round(crop_size * 171 / 112)


def _channels(values):
    return torch.tensor(values).view(3, 1, 1, 1)
