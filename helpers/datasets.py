"""A folder of videos with a folder for each class, as clips to train on and to test with. Built in notebook 12."""

import contextlib
import contextvars
import os
import re
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from helpers import transforms
from helpers.video import MUTE, VideoError, VideoWarning, explain, middle_start, read_clip, read_middle_clip

__all__ = ["Folder", "Sets", "Video", "VideoFolder", "affordable_workers", "find_sets", "group_of", "list_files",
           "middle_start", "scan_folder", "set_epoch", "split", "split_folders", "unpacked"]  # fmt: skip

# What other programs leave in folders, and pictures, which are no videos.
FOREIGN = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "Thumbs.db",
           "desktop.ini")  # fmt: skip
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".tif", ".tiff")
SPLITS = dict(train="train", training="train", val="val", valid="val", validation="val", test="test", testing="test")


class Video(NamedTuple):
    """A video that can be read."""

    path: str
    label: int  #: an index into the classes of the folder
    seconds: float  #: the length of the video


class Sets(NamedTuple):
    """What `find_sets` finds."""

    classes: tuple[str, ...]
    train: list[Video]
    val: list[Video]  #: to look at after each epoch
    test: list[Video]  #: to report at the end; the same as `val` unless there are both
    unreadable: list[str]  #: as of `Folder`


class Folder(NamedTuple):
    """What `scan_folder` finds."""

    classes: tuple[str, ...]  #: the names of the folders, in order
    videos: list[Video]
    unreadable: list[str]  #: for each file that cannot be read, a sentence that names it and says why


def scan_folder(folder: str | os.PathLike[str], frames: int = 16, fps: float = 15.0) -> Folder:
    """Find the videos of each class. Open each of them once, for its length and to decode the clip in its middle.

    Args:
        folder: it holds a folder for each class. These hold videos of any format that FFmpeg reads, at any depth;
            `list_files` says what is passed over.
        frames, fps: of a clip.

    Raises ValueError for fewer than two classes or a class without a video that can be read, OSError for no such folder.
    """
    classes = _classes(folder)

    def scan(path: Path, label: int) -> Video | str:
        try:
            info, _ = read_middle_clip(path, frames, fps, transforms.resized_size())
        except Exception as error:  # one file must not end the scan
            return explain(path, error)
        return Video(os.fspath(path), label, info.seconds)

    labels = {name: label for label, name in enumerate(classes)}
    files = ((path, labels.get(path.relative_to(folder).parts[0])) for path in list_files(Path(folder)))
    files = [(path, label) for path, label in files if label is not None]
    with ThreadPoolExecutor(2) as threads:  # each keeps the frames of a decoder in memory
        results = list(threads.map(scan, *zip(*files))) if files else []
    videos = [result for result in results if isinstance(result, Video)]
    unreadable = [result for result in results if isinstance(result, str)]
    empty = [name for label, name in enumerate(classes) if all(video.label != label for video in videos)]
    if empty:
        raise ValueError("\n  ".join([f"no video in {folder} can be read for {', '.join(empty)}.", *unreadable]))
    return Folder(tuple(classes), videos, unreadable)


@contextlib.contextmanager
def unpacked(folder: str | os.PathLike[str]) -> Iterator[str | os.PathLike[str]]:
    """The folder; for a zip file, such as the site's page "Try it" saves, what is in it, in a folder that is deleted later.

    OSError if it is damaged.
    """
    if not zipfile.is_zipfile(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        try:
            shutil.unpack_archive(folder, place, "zip")
        except zipfile.BadZipFile as error:
            raise OSError(f"{folder} is damaged: {error}") from error
        yield place


def find_sets(
    folder: str | os.PathLike[str], test_folder: str | os.PathLike[str] | None = None, test_fraction: float = 0.25,
    seed: int = 0, frames: int = 16, fps: float = 15.0,
) -> Sets:  # fmt: skip
    """The videos to train on and to test with: of two folders, of the split that a folder holds, or of `split`.

    Other arguments as of `scan_folder` and `split`, which raise their errors, as for a class with a single group. ValueError:
    the folders hold other classes than the first of them.
    """
    places = {"train": folder, "test": test_folder} if test_folder else split_folders(folder) or {"train": folder}
    if not 0 <= test_fraction <= 1:
        raise ValueError(f"test_fraction={test_fraction}: a part of each class is from 0 to 1")
    if test_folder and not os.path.isdir(test_folder):
        raise ValueError(f"there is no folder {test_folder} to test with")
    if test_folder and os.path.samefile(folder, test_folder):
        raise ValueError(f"{folder} cannot be trained on and tested with: name another folder")
    classes, *others = (_classes(place) for place in places.values())  # before the first video is opened
    for place, other in zip(list(places.values())[1:], others):
        if other != classes:
            raise ValueError(f"{place} has other classes: {', '.join(other)}, not {', '.join(classes)}")
    found = {name: scan_folder(place, frames, fps) for name, place in places.items()}
    videos = {name: part.videos for name, part in found.items()}
    if len(found) == 1:
        videos["train"], videos["test"] = split(videos["train"], test_fraction, seed)
    unreadable = [problem for part in found.values() for problem in part.unreadable]
    val, test = (videos.get(first, videos.get(second)) for first, second in (("val", "test"), ("test", "val")))
    return Sets(tuple(classes), videos["train"], val, test, unreadable)


def list_files(folder: Path) -> list[Path]:
    """All files below a folder in order, but pictures. Links are followed, though not in a circle.

    Names that begin with a dot, and what other programs leave in folders, are passed over. A VideoWarning says so, and
    how to make videos of pictures if some folders hold nothing else.
    """
    passed = []
    paths = list(_walk(folder, passed))
    files = [path for path in paths if path.suffix.lower() not in PICTURES]
    pictures = {}
    for path in paths:
        if path.suffix.lower() in PICTURES:
            pictures.setdefault(path.parent, []).append(path)
    beside = {path.parent for path in files}
    frames = {place: found for place, found in pictures.items() if len(found) > 1 and place not in beside}
    passed += [path for place, found in pictures.items() if place not in frames for path in found]
    if passed:
        names = sorted({path.name for path in passed}, key=lambda name: (name.startswith("."), name))
        names = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        warnings.warn(f"{folder}: passed over, as they are no videos: {names}.", VideoWarning, stacklevel=1)
    if frames:
        warnings.warn(_advice_for_frames(frames), VideoWarning, stacklevel=1)
    return files


def _classes(folder: str | os.PathLike[str]) -> list[str]:
    """The names of the class folders in a folder."""
    classes = _folders(folder)
    if len(classes) < 2:
        raise ValueError(f"{folder} holds {len(classes)} folders: it needs two or more, one of videos for each class")
    return classes


def _folders(folder: str | os.PathLike[str]) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not _is_foreign(entry.name))


def _is_foreign(name: str) -> bool:
    return name.startswith(".") or name in FOREIGN


def _walk(folder: Path, passed: list[Path], above: tuple[str, ...] = ()) -> Iterator[Path]:
    """All files below a folder in order; what is passed over is added to a list."""
    above = (*above, os.path.realpath(folder))
    for path in sorted(Path(folder).iterdir()):
        circle = path.is_dir() and os.path.realpath(path) in above
        if _is_foreign(path.name) or circle or (path.is_dir() and not os.access(path, os.R_OK | os.X_OK)):
            passed.append(path)
        elif path.is_dir():
            yield from _walk(path, passed, above)
        else:
            yield path


def _advice_for_frames(folders: dict[Path, list[Path]]) -> str:
    """One sentence about folders that hold the frames of a video as pictures: how to make a video of one."""
    folder, pictures = next(iter(folders.items()))
    number = re.search(r"(\d+)\D*$", pictures[0].stem)
    source = f'-pattern_type glob -i "{folder / "*"}{pictures[0].suffix}"'
    if number:
        name = pictures[0].stem[: number.start(1)] + f"%0{len(number[1])}d" + pictures[0].stem[number.end(1) :]
        source = f'-start_number {int(number[1])} -i "{folder / name}{pictures[0].suffix}"'
    others = f" (the first of {len(folders):,} such folders)" if len(folders) > 1 else ""
    even = '-vf "crop=trunc(iw/2)*2:trunc(ih/2)*2" -pix_fmt yuv420p'
    command = f'ffmpeg -framerate 25 {source} {even} "{folder}.mp4"'
    return f"{folder} holds {len(pictures):,} pictures and no video{others}. Make a video of such a folder: {command}"


def split_folders(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The folders "train", "val" and "test" in a folder, those that are there, if they are a split: hold the same classes.

    They may have other usual names, such as "validation". Without a split the dictionary is empty.
    """
    found = {SPLITS[name.lower()]: Path(folder, name) for name in _folders(folder) if name.lower() in SPLITS}
    classes = {name: set(_folders(path)) for name, path in found.items()}
    same = any(classes.get("train", set()) & classes.get(name, set()) for name in ("val", "test"))
    return {name: found[name] for name in ("train", "val", "test") if name in found} if same else {}


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
        """A clip, float (3, frames, crop_size, crop_size), and its label; -1 is the last, as in a list."""
        context = contextvars.copy_context()  # of this thread; what is to be said was said when the folder was scanned
        context.run(MUTE.set, True)
        return context.run(self._clip, range(len(self))[index])

    def _clip(self, index: int) -> tuple[Tensor, int]:
        path, label, seconds = self.videos[index]
        middle, size = middle_start(seconds, self.frames, self.fps), transforms.resized_size(self.crop_size)
        if not self.train:
            return transforms.preprocess(read_clip(path, middle, self.frames, self.fps, size), self.crop_size), label
        # Spawned: `training.train` augments with the stream of [seed, epoch, index] itself, and the two must not agree.
        generator = np.random.default_rng([self.seed, self.epoch, index]).spawn(1)[0]
        try:
            frames = read_clip(path, generator.uniform(0, 2 * middle), self.frames, self.fps, size)
        except VideoError:  # damaged somewhere; the middle could be read when the folder was scanned
            frames = read_clip(path, middle, self.frames, self.fps, size)
        return transforms.normalize(transforms.random_crop(frames, self.crop_size, generator)), label


def set_epoch(dataset: Dataset, epoch: int, seen: frozenset[int] = frozenset()) -> None:
    """Call `set_epoch` of a data set and of those in its attributes, as in torch's Subset, or in lists and tuples that are
    attributes, as in ConcatDataset; not of those in a dictionary."""
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch)
    for value in vars(dataset).values() if hasattr(dataset, "__dict__") else ():
        for inner in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(inner, Dataset) and id(inner) not in seen:
                set_epoch(inner, epoch, seen | {id(dataset), id(inner)})


def affordable_workers(clips: Sequence[tuple[Tensor, int]], batch_size: int, workers: int) -> int:
    """`workers`, or 0 and a sentence if the batches that they send do not fit into shared memory, as in many containers."""
    if not workers or not os.path.isdir("/dev/shm"):
        return workers
    free = shutil.disk_usage("/dev/shm").free
    batches = batch_size * (2 * workers + 1)  # in clips: each keeps two batches ready
    if free >= 2**30 or (needed := clips[0][0].nbytes * batches) < free:
        return workers
    text = f"{workers} workers need {needed / 1e6:.0f} MB of shared memory, and /dev/shm has {free / 1e6:.0f} MB free"
    print(f"{text}. Going on without workers; Docker gives more with --shm-size=1g.", file=sys.stderr)
    return 0
