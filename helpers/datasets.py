"""A folder of videos with a folder for each class, as clips to train on and to test with. Built in notebook 12."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from helpers import transforms
from helpers.video import VideoError, middle_start, read_clip, read_middle_clip

__all__ = ["Folder", "Video", "VideoFolder", "group_of", "list_files", "middle_start", "scan_folder", "split"]


class Video(NamedTuple):
    """A video that can be read."""

    path: str
    label: int  #: an index into the classes of the folder
    seconds: float  #: the length of the video


class Folder(NamedTuple):
    """What `scan_folder` finds."""

    classes: tuple[str, ...]  #: the names of the folders, in order
    videos: list[Video]
    unreadable: list[str]  #: for each file that cannot be read, a sentence that names it and says why


def scan_folder(folder: str | os.PathLike[str], frames: int = 16, fps: float = 15.0) -> Folder:
    """Find the videos of each class. Open each of them once, for its length and to decode the clip in its middle.

    Args:
        folder: it holds a folder for each class. These hold videos of any format that FFmpeg reads, at any depth.
            Files and folders are ignored if their names begin with a dot.
        frames, fps: of a clip.

    Raises ValueError for fewer than two classes or a class without a video that can be read, OSError for no such folder.
    """
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if len(classes) < 2:
        raise ValueError(
            f"{folder} holds {len(classes)} folders: it needs two or more, a folder of videos for each class"
        )

    def scan(path: Path, label: int) -> Video | str:
        try:
            info, _ = read_middle_clip(path, frames, fps)
        except VideoError as error:
            return str(error)
        return Video(os.fspath(path), label, info.seconds)

    files = [(path, label) for label, name in enumerate(classes) for path in list_files(Path(folder, name))]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # each holds a clip at full size
        results = list(threads.map(scan, *zip(*files))) if files else []
    videos = [result for result in results if isinstance(result, Video)]
    unreadable = [result for result in results if isinstance(result, str)]
    empty = [name for label, name in enumerate(classes) if all(video.label != label for video in videos)]
    if empty:
        raise ValueError("\n  ".join([f"no video in {folder} can be read for {', '.join(empty)}.", *unreadable]))
    return Folder(tuple(classes), videos, unreadable)


def list_files(folder: Path) -> list[Path]:
    """All files below a folder in order, without those whose path has a name that begins with a dot."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def split(videos: Sequence[Video], test_fraction: float = 0.25, seed: int = 0) -> tuple[list[Video], list[Video]]:
    """Split videos into training and test videos, group by group. Built in notebook 12.

    Clips of one source video look alike, so they must not stand on both sides. `group_of` tells from the name which file
    belongs to which source video; where names do not tell, each file is a group. ValueError: a class with a single group.

    Args:
        videos: of `scan_folder`.
        test_fraction: how many of the groups of each class become test videos, 0 to 1; at least one does, one does not.
    """
    training, test = [], []
    for label in sorted({video.label for video in videos}):
        of_class = [video for video in videos if video.label == label]
        groups = sorted({group_of(video.path) for video in of_class})
        if len(groups) < 2:
            raise ValueError(
                f"{of_class[0].path} belongs to the only group of its class, which cannot be both trained on and tested "
                "with. Add a video from another source, or name a folder to test with"
            )
        np.random.default_rng([seed, label]).shuffle(groups)
        count = min(max(1, round(test_fraction * len(groups))), len(groups) - 1)
        for video in of_class:
            (test if group_of(video.path) in groups[:count] else training).append(video)
    return training, test


def group_of(path: str | os.PathLike[str]) -> str:
    """The group of a file, all clips of one source video: its name without UCF101's number of the clip.

    `v_Archery_g03_c01.avi` is clip 1 of the group "v_Archery_g03".
    """
    return re.sub(r"(_g\d+)_c\d+$", r"\1", Path(path).stem)


class VideoFolder(Dataset):
    """One clip of each video with its label. The file is opened once each time that its clip is asked for.

    Args:
        videos: of `scan_folder` or `split`.
        frames, fps: of a clip.
        crop_size: of the square that is cut out of the frames after they are resized to `transforms.resized_size`.
        train: if false, the clip comes from the middle of the video and the square from the middle of its frames. If true,
            both come from a random place, which depends on the seed, on the epoch of `set_epoch` and on the index alone.
        seed: of the random places.
    """

    def __init__(
        self, videos: Sequence[Video], frames: int = 16, fps: float = 15.0, crop_size: int = 112,
        train: bool = False, seed: int = 0,
    ):  # fmt: skip
        self.videos, self.frames, self.fps, self.crop_size = videos, frames, fps, crop_size
        self.train, self.seed, self.epoch = train, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the random places of this epoch. Call it before the data loader starts the workers of the epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """A clip, float (3, frames, crop_size, crop_size), and its label."""
        path, label, seconds = self.videos[index]
        middle = middle_start(seconds, self.frames, self.fps)
        if not self.train:
            return transforms.preprocess(read_clip(path, middle, self.frames, self.fps), self.crop_size), label
        # Spawned: `training.train` augments with the stream of [seed, epoch, index] itself, and the two must not agree.
        generator = np.random.default_rng([self.seed, self.epoch, index]).spawn(1)[0]
        try:
            frames = read_clip(path, generator.uniform(0, 2 * middle), self.frames, self.fps)
        except VideoError:  # damaged somewhere; the middle could be read when the folder was scanned
            frames = read_clip(path, middle, self.frames, self.fps)
        frames = transforms.resize(frames, transforms.resized_size(self.crop_size))
        return transforms.normalize(transforms.random_crop(frames, self.crop_size, generator)), label
