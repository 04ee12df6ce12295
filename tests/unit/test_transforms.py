"""Preprocessing equals torchvision's; what is undone is undone; random transforms reach every place."""

import numpy as np
import pytest
import torch
from torchvision.models.video import R2Plus1D_18_Weights

from helpers import transforms, video


@pytest.mark.parametrize("height, width", [(240, 320), (256, 340), (128, 171), (112, 112), (720, 405), (90, 61)])
def test_preprocessing_equals_torchvisions_preset(height, width):
    generator = torch.Generator().manual_seed(height)
    clip = torch.randint(0, 256, (4, height, width, 3), dtype=torch.uint8, generator=generator)
    preset = R2Plus1D_18_Weights.KINETICS400_V1.transforms()
    expected = preset(clip.permute(0, 3, 1, 2))
    assert transforms.preprocess(clip).shape == (3, 4, 112, 112)
    assert torch.allclose(transforms.preprocess(clip), expected, atol=1e-4, rtol=0)


def test_preprocessing_of_real_frames_equals_torchvisions_preset(real_clips):
    for path in sorted(p for p in real_clips.iterdir() if p.suffix != ".md"):
        clip = video.read_clip(path)
        expected = R2Plus1D_18_Weights.KINETICS400_V1.transforms()(clip.permute(0, 3, 1, 2))
        assert torch.allclose(transforms.preprocess(clip), expected, atol=1e-4, rtol=0), path.name


def test_denormalize_undoes_normalize():
    clip = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(2, 16, 16, 3).contiguous()
    assert torch.equal(transforms.denormalize(transforms.normalize(clip)), clip)
    assert transforms.denormalize(torch.full((3, 1, 2, 2), 99.0)).max() == 255  # what lies outside is cut off


@pytest.mark.parametrize("crop_size, expected", [(112, (128, 171)), (56, (64, 86)), (224, (256, 342)), (84, (96, 128))])
def test_frames_are_resized_in_proportion_to_the_crop(crop_size, expected):
    assert transforms.resized_size(crop_size) == expected
    clip = transforms.preprocess(torch.zeros(2, 90, 120, 3, dtype=torch.uint8), crop_size)
    assert clip.shape == (3, 2, crop_size, crop_size)


def test_random_crop_reaches_every_border():
    clip = torch.arange(3 * 5 * 6, dtype=torch.uint8).view(1, 3 * 5, 6, 1).expand(2, -1, -1, 3)
    corners = {transforms.random_crop(clip, 4, np.random.default_rng(k))[0, 0, 0, 0].item() for k in range(300)}
    assert corners == {6 * row + column for row in range(12) for column in range(3)}
    assert transforms.random_crop(clip[:, :4, :4], 4, np.random.default_rng(0)).shape == (2, 4, 4, 3)


def test_half_of_the_clips_are_flipped_each_as_a_whole():
    clip = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    flipped = [transforms.random_horizontal_flip(clip, np.random.default_rng(k)) for k in range(200)]
    assert all(torch.equal(x, clip) or torch.equal(x, clip.flip(3)) for x in flipped)
    assert 70 < sum(torch.equal(x, clip) for x in flipped) < 130


def test_frames_of_another_kind_are_refused():
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    with pytest.raises(TypeError, match=r"frames are uint8, 0 to 255, not torch.float32. From 0 to 1: \(255"):
        transforms.preprocess(frames.float())
    for wrong in (frames[0], frames.permute(0, 3, 1, 2)):
        with pytest.raises(ValueError, match=r"frames are \(T, H, W, 3\), not"):
            transforms.preprocess(wrong)


def test_frames_of_numpy_and_no_frames_are_told():
    with pytest.raises(TypeError, match="not ndarray; of an array of NumPy: torch.from_numpy"):
        transforms.preprocess(np.zeros((2, 8, 8, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="not .0, 8, 8, 3"):
        transforms.preprocess(torch.zeros(0, 8, 8, 3, dtype=torch.uint8))


def test_each_step_refuses_what_is_no_frames():
    frames = torch.zeros(4, 32, 48, 3, dtype=torch.uint8)
    for step in (transforms.resize, transforms.normalize, lambda frames: transforms.center_crop(frames, 8)):
        assert step(frames) is not None
        for wrong in (frames[0], frames.permute(3, 0, 1, 2), frames[:0], frames[None]):
            with pytest.raises(ValueError, match=r"frames are \(T, H, W, 3\), not"):
                step(wrong)
        for wrong in (frames.float(), frames.numpy()):
            with pytest.raises(TypeError, match="frames are"):
                step(wrong)


def test_a_crop_larger_than_the_frames_is_refused_with_both_sizes():
    frames = torch.zeros(2, 32, 48, 3, dtype=torch.uint8)
    assert transforms.center_crop(frames, 32).shape == (2, 32, 32, 3)
    for crop_size in (33, 64):
        with pytest.raises(ValueError, match=f"frames of 32 x 48 hold no crop of {crop_size} x {crop_size}"):
            transforms.center_crop(frames, crop_size)
        with pytest.raises(ValueError, match=f"frames of 32 x 48 hold no crop of {crop_size} x {crop_size}"):
            transforms.random_crop(frames, crop_size, np.random.default_rng(0))
