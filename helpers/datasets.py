"""A folder of videos, a folder in it for each class, as clips to train on and to test with. See notebook 12.

Clips are uint8 (T, H, W, 3) when they are cut, float (3, T, side, side) when they are given.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from helpers import transforms, video
from helpers.transforms import random_crop


class Video(NamedTuple):
    """A video that can be read."""

    path: str
    label: int  #: an index into the folder's classes
    seconds: float  #: how long it is


class Folder(NamedTuple):
    """What was found in a folder."""

    classes: tuple[str, ...]  #: the names of its folders, in order
    videos: list[Video]
    bad: list[str]  #: for each file that cannot be read a sentence that names it and says why


def scan_folder(folder, frames=16, fps=15.0):
    """Find the videos of each class, and try each of them once: the clip in its middle has to come out.

    Args:
        folder: it holds a folder for each class, and these hold videos, of any format that PyAV reads, at any depth.
            Files and folders whose names begin with a dot are passed over.
        frames, rate: of a clip.

    Returns:
        A `Folder`.

    Raises:
        ValueError: fewer than two classes, or one in which no video can be read; says what was found.
        OSError: no such folder, or none that may be read.
    """
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if len(classes) < 2:
        raise ValueError(
            f"{folder} holds {len(classes)} folders: it needs two at least, one for each class, with videos in them"
        )
    labelled = [(path, label) for label, name in enumerate(classes) for path in list_files(Path(folder, name))]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # each keeps a clip at full size
        found = list(threads.map(lambda file: _look(*file, frames, fps), labelled))
    videos = [video for video in found if isinstance(video, Video)]
    bad = [problem for problem in found if isinstance(problem, str)]
    empty = [name for label, name in enumerate(classes) if all(video.label != label for video in videos)]
    if empty:
        raise ValueError(
            f"no video in {folder} can be read for {', '.join(empty)}." + "".join(f"\n  {problem}" for problem in bad)
        )
    return Folder(tuple(classes), videos, bad)


def list_files(folder):
    """All files below a folder, hidden ones left out, in order."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _look(path, label, frames, fps):
    """A `Video`, or what is wrong with it."""
    try:
        seconds = video.probe(path).seconds
        video.read_clip(path, middle(seconds, frames, fps), frames, fps)
    except video.VideoError as error:
        return str(error)
    return Video(os.fspath(path), label, seconds)


def middle(seconds, frames, fps):
    """Where a clip begins that lies in the middle of a video; 0 if the video is shorter than a clip."""
    return max(0.0, (seconds - frames / fps) / 2)


def split(videos, share=0.25, seed=0):
    """Set aside a share of each class to test with; at least one of it, and at least one stays.

    Videos that were cut from one recording look alike, so they must not stand on both sides. Where names tell, as those of
    UCF101 do (`v_Archery_g03_c01.avi` is cut 1 of recording 3), recordings are set aside whole. Where they do not, every
    file counts as a recording, and only you know better. Built in notebook 12.

    Args:
        videos: of `scan_folder`.
        share: of the recordings of each class, 0 to 1.

    Returns:
        Two lists of `Video`, to train on and to test with.

    Raises:
        ValueError: a class with a single recording.
    """
    training, testing = [], []
    for label in sorted({video.label for video in videos}):
        mine = [video for video in videos if video.label == label]
        groups = sorted({group_of(video.path) for video in mine})
        if len(groups) < 2:
            raise ValueError(
                f"{mine[0].path} is all that there is of its class: it cannot be trained on and tested with. Add another "
                "recording, or name a folder to test with"
            )
        np.random.default_rng([seed, label]).shuffle(groups)
        aside = groups[: min(max(1, round(share * len(groups))), len(groups) - 1)]
        for video in mine:
            (testing if group_of(video.path) in aside else training).append(video)
    return training, testing


def group_of(path):
    """What tells the recording from which a video was cut: its name, but for UCF101's number of the cut."""
    return re.sub(r"(_g\d+)_c\d+$", r"\1", Path(path).stem)


class VideoFolder(Dataset):
    """One clip of each video with its label: from the middle to test with, from anywhere in it to train on.

    Args:
        videos: a list of `Video`.
        frames, rate: of a clip.
        side: of what is cut out of its frames, which are scaled to 128 x 171 before that, or less for a smaller side.
    """

    def __init__(self, videos, frames=16, fps=15.0, crop_size=112):
        self.videos, self.frames, self.fps, self.crop_size = videos, frames, fps, crop_size

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, index):
        """The clip in the middle of a video, its middle cut out, and its label."""
        path, label, seconds = self.videos[index]
        clip = video.read_clip(path, middle(seconds, self.frames, self.fps), self.frames, self.fps)
        return transforms.preprocess(clip, self.crop_size), label

    def at_random(self, index, generator):
        """A clip from anywhere in a video, a square of it from anywhere in its frames, and its label."""
        path, label, seconds = self.videos[index]
        latest = 2 * middle(seconds, self.frames, self.fps)
        start = generator.uniform(0, latest)
        try:
            clip = video.read_clip(path, start, self.frames, self.fps)
        except video.VideoError:  # damaged somewhere; the middle was tried when the folder was looked through
            clip = video.read_clip(path, latest / 2, self.frames, self.fps)
        clip = random_crop(transforms.resize(clip, transforms.resized(self.crop_size)), self.crop_size, generator)
        return transforms.normalize(clip), label
