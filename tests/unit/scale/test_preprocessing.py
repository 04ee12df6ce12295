"""Frames scaled from their planes: the numbers of the long way round, for every kind of file."""

import threading

import av
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers import classify, transforms, video, weights
from helpers.scale import preprocessing
from helpers.stickfigures import scene

CLIP = weights.ASSETS / "jumping_jacks.mp4"


def random_frame(height, width, format="yuv420p", colorspace=None, full=False, seed=0):
    """A smooth frame without extremes, so that no color is cut off at 0 or 255."""
    small = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(seed)) * 40 + 110
    planes = [F.interpolate(small[:, :1], (height, width), mode="bilinear")]
    planes += [F.interpolate(small[:, k : k + 1], (-(-height // 2), -(-width // 2)), mode="bilinear") for k in (1, 2)]
    frame = av.VideoFrame(width, height, format)
    kept = []
    for plane, values in zip(frame.planes, planes):
        values = values[0, 0].round().numpy().astype(np.uint8)
        rows = np.zeros((values.shape[0], plane.line_size), np.uint8)
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
        kept.append(values)
    if colorspace:
        frame.colorspace = colorspace
    if full:
        frame.color_range = 2
    return frame, kept


def long_way(planes, crop_size, red, blue, full):
    """Full-size RGB in float64 by the matrix of the standard, then scaled, cropped and normalized by torch."""
    y, u, v = (torch.from_numpy(plane).double() for plane in planes)
    u, v = (part.repeat_interleave(2, 0).repeat_interleave(2, 1)[: y.shape[0], : y.shape[1]] - 128 for part in (u, v))
    y, u, v = (y, u, v) if full else ((y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224)
    green = 1 - red - blue
    rgb = torch.stack(
        [
            y + 2 * (1 - red) * v,
            y - 2 * blue * (1 - blue) / green * u - 2 * red * (1 - red) / green * v,
            y + 2 * (1 - blue) * u,
        ]
    )
    assert rgb.min() > 0 and rgb.max() < 255
    scaled = F.interpolate(rgb[None], transforms.resized_size(crop_size), mode="bilinear", align_corners=False)[0]
    top, left = (round((length - crop_size) / 2) for length in scaled.shape[1:])
    crop = scaled[:, top : top + crop_size, left : left + crop_size] / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (transforms.MEAN, transforms.STD))
    return (crop - mean) / std


@pytest.mark.parametrize("side", [112, 64])
@pytest.mark.parametrize("height, width", [(240, 320), (256, 342), (95, 131), (64, 64), (720, 404)])
@pytest.mark.parametrize(
    "colorspace, red, blue, full",
    [
        (None, 0.299, 0.114, False),
        (5, 0.299, 0.114, False),
        (1, 0.2126, 0.0722, False),
        (6, 0.299, 0.114, True),
    ],
)
def test_a_frame_is_scaled_as_its_rgb_would_be(height, width, side, colorspace, red, blue, full):
    frame, planes = random_frame(height, width, colorspace=colorspace, full=full)
    found = preprocessing.shrink(frame, lambda: pytest.fail("there is no need for RGB"), side)
    assert found.dtype == np.float32 and found.shape == (3, side, side)
    assert (torch.from_numpy(found) - long_way(planes, side, red, blue, full)).abs().max() < 1e-3


def test_colors_are_cut_off_as_in_rgb():
    frame, _ = random_frame(64, 64)
    for plane, value in zip(frame.planes, (235, 240, 16)):
        plane.update(bytes([value]) * plane.buffer_size)
    found = torch.from_numpy(preprocessing.shrink(frame, None, 32))[:, None]
    assert torch.equal(
        transforms.denormalize(found)[0, 0, 0, [0, 2]], torch.tensor([76, 255], dtype=torch.uint8)
    )  # 255 - 1.402 * 127.5, and more than 255


def test_a_file_comes_out_as_by_preprocess_but_for_rounding():
    slowly = torch.stack([transforms.preprocess(clip) for clip in video.read_clips(CLIP, clips=3)])
    quickly = torch.stack(list(preprocessing.read_clips(CLIP, clips=3)))
    assert quickly.shape == slowly.shape and quickly.dtype == torch.float32
    levels = (quickly - slowly) * torch.tensor(transforms.STD).view(3, 1, 1, 1) * 255
    assert levels.abs().quantile(0.5) < 1.6 and levels.abs().mean() < 1.6 and levels.abs().max() < 10
    assert all(clip.is_contiguous() for clip in quickly)


@pytest.mark.parametrize("size", [(112, 150), (240, 320)])
def test_values_are_as_close_as_the_docstring_says(tmp_path, size):
    for k, action in enumerate(("stand up", "wave")):
        film = scene(action, 5, k, frames=60, size=size, seconds=2.0).frames
        video.write_video(tmp_path / "film.mp4", film, fps=30)
        slowly = torch.stack([transforms.preprocess(clip) for clip in video.read_clips(tmp_path / "film.mp4", 2)])
        quickly = torch.stack(list(preprocessing.read_clips(tmp_path / "film.mp4", 2)))
        levels = ((quickly - slowly) * torch.tensor(transforms.STD).view(3, 1, 1, 1) * 255).abs()
        assert levels.mean() == pytest.approx(1.2, abs=0.15)
        assert 0.9 < (levels <= 2).float().mean() < 0.97  # so that two would be said too soon
        assert (levels <= 3).float().mean() > 0.99 and levels.max() > 4


@pytest.mark.parametrize("side", [112, 64])
def test_other_formats_go_the_long_way_round(tmp_path, side):
    film = scene("wave", 3, 0, size=96).frames
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=15)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "bgr0"
        for frame in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    (clip,) = video.read_clips(path, clips=1)
    (found,) = preprocessing.read_clips(path, clips=1, crop_size=side)
    assert torch.equal(found, transforms.preprocess(clip, side))


def test_a_turned_film_comes_out_upright():
    upright = np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8)
    flipped = upright[::-1].copy()
    # A view of negative strides, as a turned film gives.
    found = preprocessing.shrink(None, lambda: flipped[::-1], 48)
    assert np.array_equal(found, transforms.preprocess(torch.from_numpy(upright)[None], 48)[:, 0].numpy())


def test_clips_are_those_of_read_clips(tmp_path):
    film = np.arange(0, 250, 5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 64, 64, 3), np.uint8)
    video.write_video(tmp_path / "film.mp4", film, fps=15, quality=0)
    for clip, found in zip(
        video.read_clips(tmp_path / "film.mp4", 4, 6),
        preprocessing.read_clips(tmp_path / "film.mp4", 4, 6),
        strict=True,
    ):
        gray = transforms.denormalize(found).float().mean((1, 2, 3))
        assert (gray - clip.float().mean((1, 2, 3))).abs().max() < 2
    with pytest.raises(video.VideoError):
        list(preprocessing.read_clips(tmp_path / "none.mp4"))


def test_neighbours_are_those_of_bilinear_scaling():
    for length, resized, side in ((8, 4, 2), (256, 128, 112), (342, 171, 112), (90, 128, 112), (5, 9, 9), (1, 4, 2)):
        left, right, share = preprocessing.neighbours(length, resized, side)
        values = torch.rand(length, generator=torch.Generator().manual_seed(length))
        wanted = F.interpolate(values[None, None], resized, mode="linear", align_corners=False)[0, 0]
        first = round((resized - side) / 2)
        share = torch.from_numpy(share)
        assert torch.allclose(
            values[left] * (1 - share) + values[right] * share, wanted[first : first + side], atol=1e-5
        )


def test_the_next_item_is_made_while_one_is_used():
    made, used = [threading.Event() for _ in range(3)], []

    def items():
        for k, event in enumerate(made):
            event.set()
            yield k

    for k in classify.ahead(items()):
        assert k == 2 or made[k + 1].wait(60)
        assert k > 0 or not made[2].is_set()  # but no more than the next
        used.append(k)
    assert used == [0, 1, 2] and list(classify.ahead([])) == []


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        raise video.VideoError("damaged")

    results = classify.ahead(items())
    assert next(results) == 1
    with pytest.raises(video.VideoError, match="damaged"):
        next(results)
