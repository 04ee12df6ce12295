"""A JSON row for each video of a folder, written as soon as it is known; a run that was killed goes on. See notebook 14."""

import contextlib
import errno
import json
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import filelock
import torch
from tqdm import tqdm

from helpers import classify, datasets, video, weights
from helpers.weights import Pretrained

__all__ = ["Progress", "classify_folder", "follow", "predict_row", "settings_of", "write_rows"]

BEGIN = b'{"file": '  # of every row


class Progress(NamedTuple):
    """How far a run is: how many files have a row, of how many, and how many of these rows hold an error."""

    done: int
    total: int
    failed: int

    def __str__(self) -> str:
        failed = f", {self.failed} could not be classified; --retry tries them again" if self.failed else ""
        return f"{self.done:,} of {self.total:,}{failed}"


def classify_folder(
    folder: str | os.PathLike, out: str | os.PathLike, pretrained: Pretrained, clips: int = 5, k: int = 5,
    device: classify.Device = None, dtype: torch.dtype = torch.float32, fast: bool = False, retry: bool = False,
) -> Iterator[Progress]:  # fmt: skip
    """Classify every file below a folder, in the order of their names, into the rows of `write_rows`.

    They end with predictions, best first, or error, why there are none. While one file is classified, two threads decode
    the next ones. Files that were being read when a run was killed come last, alone; if that happens again, their row is an
    error. Other arguments as of `classify.VideoClassifier`, and `retry` as of `write_rows`.
    """
    classifier = classify.VideoClassifier(pretrained, clips, k, device, dtype, fast)

    def rows(names, note):
        with ThreadPoolExecutor(2) as pool:
            for name, clips in _decode_ahead(pool, lambda name: list(classifier.read(Path(folder, name))), names, note):
                yield name, predict_row(classifier, clips.result, Path(folder, name))

    def careful_rows(names):
        """The rows, while a file beside `out` holds the names of the files that are begun."""
        begun = Path(f"{out}.begun")
        counts = Counter(begun.read_text(encoding="utf-8").splitlines() if begun.exists() else ())
        times = {name: counts[json.dumps(name)] for name in names}
        try:
            with open(begun, "a", encoding="utf-8", buffering=1) as lines:
                note = lambda name: lines.write(json.dumps(name) + "\n")  # noqa: E731
                yield from rows([name for name in names if not times[name]], note)
                for name in filter(times.get, names):
                    if times[name] == 1:
                        yield from rows([name], note)
                    else:
                        problem = "twice the run was killed while it read this file"
                        yield name, dict(error=f"{Path(folder, name)}: {problem}")
        finally:
            begun.unlink(missing_ok=True)

    yield from write_rows(folder, out, settings_of(pretrained, clips, k, dtype, fast), careful_rows, retry)


def settings_of(pretrained: Pretrained, clips: int, k: int, dtype: torch.dtype, fast: bool) -> dict:
    """What the predictions of a row depend on."""
    precision = str(dtype).removeprefix("torch.")
    name = pretrained.name
    if os.path.isfile(name):  # which may be another network by tomorrow
        name += f" ({weights.checksum(name)[:8]})"
    return dict(weights=name, clips=clips, top=k, precision=precision, fast=fast)


def predict_row(classifier: classify.VideoClassifier, read: Callable[[], Iterable], path: Path) -> dict:
    """The end of a row: the predictions for the clips that `read` gives, or the error, whatever it is."""
    try:
        return dict(predictions=[prediction._asdict() for prediction in classifier.predict(read())])
    except Exception as error:  # one file must not end the run
        return dict(error=video.explain(path, error))


def _decode_ahead(pool, decode, names, note, count=2):
    """Pairs of a name and the future of its clips, in order; those of `count` more names are being decoded."""
    waiting = deque()
    for name in names:
        note(name)
        waiting.append((name, pool.submit(decode, name)))
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def write_rows(
    folder: str | os.PathLike, out: str | os.PathLike, settings: dict, make: Callable[[list[str]], Iterator],
    retry: bool = False,
) -> Iterator[Progress]:  # fmt: skip
    """Add a row for every file below a folder that has none yet to the file `out`, which is for one run at a time.

    A row is a JSON object on a line: file, its path below the folder; the settings; and its end. Half a row, left by a
    process that was killed while it wrote, is cut off and made again. `datasets.list_files` says which files count.
    `make` takes a list of names and gives pairs of a name and the end of its row, a dictionary, in any order.
    With `retry`, rows with errors are taken out and made again.

    Raises NotADirectoryError for what is no folder, FileNotFoundError for one without files, BlockingIOError while another
    run writes to `out`, ValueError if `out` holds something else than such rows or rows of other settings, and OSError if it
    cannot be written; all rows before are there.
    """
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder} is no folder")
    weights.check_writable(out)
    own = {os.path.abspath(f"{out}{end}") for end in ("", ".lock", ".begun")}
    files = [path for path in datasets.list_files(Path(folder)) if os.path.abspath(path) not in own]
    if not files:
        raise FileNotFoundError(f"{folder} holds no file to classify")
    names = [path.relative_to(folder).as_posix() for path in files]
    with _alone(out):
        finished = _finished(out, settings, retry)
        left = [name for name in names if name not in finished]
        progress = Progress(len(names) - len(left), len(names), sum(finished.get(name, False) for name in names))
        yield progress
        with open(out, "a", encoding="utf-8") as rows, contextlib.closing(make(left)) as ends:
            for name, end in ends:
                rows.write(json.dumps(dict(file=name) | settings | end) + "\n")
                rows.flush()
                failed = progress.failed + ("error" in end)
                progress = progress._replace(done=progress.done + 1, failed=failed)
                yield progress


@contextlib.contextmanager
def _alone(out):
    """Let no other run write to `out` meanwhile. The system frees the lock of a run that is killed."""
    lock = filelock.FileLock(f"{out}.lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise BlockingIOError(f"another run writes to {out}: wait for its end, or name another file") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            os.remove(lock.lock_file)
        lock.release()


def _finished(out, settings, retry):
    """The files that have a row, and whether it holds an error; with `retry` such rows are taken out."""
    finished = _read_rows(out, settings)
    if retry and any(finished.values()):
        print(f"Trying {sum(finished.values()):,} files with errors again.", file=sys.stderr)
        new = Path(f"{out}.new")
        try:
            with open(out, encoding="utf-8") as rows, open(new, "w", encoding="utf-8") as kept:
                kept.writelines(row for row in rows if row.strip() and "error" not in json.loads(row))
            os.replace(new, out)
        finally:
            new.unlink(missing_ok=True)
        finished = {name: failed for name, failed in finished.items() if not failed}
    return finished


def _read_rows(out, settings):
    """The files that have a row, and whether it holds an error."""
    finished, size = {}, 0
    if not os.path.exists(out):
        return finished
    with open(out, "rb") as rows:
        for number, line in enumerate(rows, start=1):
            size += len(line)
            if not line.strip():
                continue
            if not line.endswith(b"\n") and (line.startswith(BEGIN) or BEGIN.startswith(line)):
                size -= len(line)
                break  # half a row, and not another file that was named by mistake
            try:
                row = json.loads(line)
                others, name = {key: row[key] for key in settings}, row["file"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{out}, line {number}, is no row of predictions: name another file") from None
            if others != settings:
                raise ValueError(f"{out} holds rows made with {others}, not with {settings}: name another file")
            finished[name] = "error" in row
    if size < os.path.getsize(out):
        os.truncate(out, size)
    return finished


def follow(run: Iterator[Progress], out: str | os.PathLike) -> int:
    """Go through a run and show its progress on a terminal; the exit code, as of `classify.main`."""
    try:
        progress = next(run)
        for update in tqdm(run, total=progress.total, initial=progress.done, unit="file", disable=None):
            progress = update
    except (OSError, ValueError) as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        print(f"{out}: {error.strerror}. Make room, and run the same again." if full else error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nInterrupted. The rows so far are in {out}; the same command goes on.", file=sys.stderr)
        return 130
    print(progress, file=sys.stderr)
    return 1 if progress.failed else 0
