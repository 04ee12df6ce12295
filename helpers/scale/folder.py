"""A row for each file of a folder, however many: written as soon as it is known, and a killed run goes on. See notebook 13."""

import collections
import contextlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from helpers import datasets

BEGINS = b'{"file": '


class Progress(NamedTuple):
    """How far a run is."""

    done: int  #: files that have a row, those of earlier runs included
    total: int  #: files in the folder
    failed: int  #: of these rows, how many hold an error
    rate: float  #: files a second, in this run; 0 before the first

    def __str__(self):
        so_far = f"{self.done:,} of {self.total:,}" + (f", {self.failed} could not be read" if self.failed else "")
        if not self.rate:
            return so_far
        minutes, seconds = divmod(round((self.total - self.done) / self.rate), 60)
        return f"{so_far}; {self.rate:.1f} a second, {minutes}:{seconds:02} minutes left"


def write_rows(folder, out, how, prepare, finish, threads=2):
    """Make a row for every file below a folder, in this process, in the order of their names; see `collect`.

    Args:
        folder, out, how: as for `collect`.
        prepare: of a path; called in threads, for a few files ahead.
        finish: of what `prepare` gave, one after another, the end of a row.
        threads: how many files are prepared while one is finished.

    Yields:
        As `collect`, whose errors it raises, too.
    """

    def work(names):
        with ThreadPoolExecutor(threads) as pool:
            for name, prepared in _ahead(pool, lambda name: prepare(Path(folder, name)), names, threads):
                yield name, finish(prepared)

    yield from collect(folder, out, how, work)


def collect(folder, out, how, work):
    """Make a row for every file below a folder that has none yet, by work that is done here or elsewhere.

    A row is a JSON object on a line of its own: file, its path below the folder; what `how` holds; and its end. Half a row,
    left by a process that was killed while it wrote, is cut off and made again. Memory does not grow with the number of
    files, but for their names.

    Args:
        folder: files and folders in it whose names begin with a dot are passed over.
        out: the file of rows; made if it is not there, otherwise added to. For one run at a time.
        how: what the rows depend on, a dictionary of what JSON can hold.
        work: of a list of names, a generator: pairs of a name and the end of its row, in any order. An end is a dictionary,
            with the key error if there is nothing to tell.

    Yields:
        A `Progress` at the beginning, of what earlier runs have done, and after each row.

    Raises:
        NotADirectoryError: no such folder.
        ValueError: `out` holds something else than such rows, or rows made in another way.
        OSError: it cannot be written. All rows before are there.
    """
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder} is no folder")
    finished = _finished(out, how)
    names = [path.relative_to(folder).as_posix() for path in datasets.list_files(Path(folder)) if not _same(path, out)]
    left = [name for name in names if name not in finished]
    done, failed = len(names) - len(left), sum(finished.get(name, False) for name in names)
    yield Progress(done, len(names), failed, 0.0)
    begun = time.perf_counter()
    with open(out, "a", encoding="utf-8") as rows, contextlib.closing(work(left)) as ends:
        for count, (name, end) in enumerate(ends, start=1):
            row = dict(file=name) | how | end
            rows.write(json.dumps(row) + "\n")
            rows.flush()
            failed += "error" in row
            rate = count / (time.perf_counter() - begun)
            yield Progress(done + count, len(names), failed, rate)


def _ahead(pool, function, items, count):
    """Pairs of an item and what the function makes of it, in order, `count` of them in the making while one is used."""
    waiting = collections.deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) > count:
            item, future = waiting.popleft()
            yield item, future.result()
    for item, future in waiting:
        yield item, future.result()


def _same(path, out):
    """Whether the rows are written into the folder itself."""
    return os.path.exists(out) and os.path.samefile(path, out)


def _finished(out, how):
    """The files that have a row, and whether it holds an error."""
    finished, whole = {}, 0
    if not os.path.exists(out):
        return finished
    with open(out, "rb") as rows:
        for number, line in enumerate(rows, start=1):
            if not line.endswith(b"\n") and (line.startswith(BEGINS) or BEGINS.startswith(line)):
                break  # half a row; whoever named another kind of file by mistake keeps it
            row = _row(line, number, out, how)
            finished[row["file"]] = "error" in row
            whole += len(line)
    if whole < os.path.getsize(out):
        os.truncate(out, whole)
    return finished


def _row(line, number, out, how):
    try:
        row = json.loads(line)
        made, _ = {key: row[key] for key in how}, row["file"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{out} holds something else than rows, see its line {number}: name another file") from None
    if made != how:
        raise ValueError(f"{out} holds rows made with {made}, not with {how}: name another file")
    return row
