"""The rows of `classify.classify_folder`, made by many machines at once under Ray Data. See notebook 13.

Every machine of the cluster needs this package, the weights, and the folder under the same path, on storage that they share.
Only the process that calls writes rows. Run as `python -m helpers.scale.cluster FOLDER --out rows.jsonl`.
"""

import argparse
import contextlib
import itertools
import json
import logging
import os
import platform
import sys
import threading
from pathlib import Path

import torch

from helpers import classify, weights
from helpers.scale import folder as folder_job

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray tells its makers of its use where nobody forbids it

# A task is done again if its worker is killed, so it is a single file, until there are more files than this: then it is a
# few of them. A task costs the calling process about 10 kB and, before the first begins, a millisecond.
TASKS = 100_000
# Ray says so of every pool of workers that may be started again. What it warns of, Ray Data keeps until the end.
NO_MATTER = b"has constructor arguments in the object store and max_restarts > 0"


def classify_folder(
    folder, out, weights_name="stickfigures", clips=5, k=5, device="cpu", dtype=torch.float32, fast=False, workers=2
):
    """Classify every file below a folder on the machines of a cluster; the rows are those of `classify.classify_folder`.

    They come in the order in which they are done. A worker that is killed is started again and does again what it had not
    delivered: no row is lost, and none comes twice. If the calling process is killed, the next call goes on, here or there.

    `ray.init(address="auto")`, called before, says which cluster. Otherwise one is made of this machine, for this call.

    Args:
        folder, out, clips, k, dtype, fast: as for `classify.classify_folder`.
        weights_name: as for `weights.load`; each worker loads them once.
        device: of each worker; with cuda each has a GPU of its own.
        workers: how many processes, which share out all cores. Each decodes a file, then classifies it, one after another.

    Yields:
        A `folder_job.Progress` at the beginning and after each row.

    Raises:
        ImportError: Ray is not installed.
        NotADirectoryError, ValueError, OSError: as `classify.classify_folder`.
        ValueError, weights.WeightsError: as `weights.load`.
        ValueError: cuda is asked for, and no machine has a GPU.
        RuntimeError: a worker met another error than a bad file; says on which machine. All rows before are there.
        ray.exceptions.RayError: the cluster itself fails.
    """
    _ray()
    how = classify.VideoClassifier(weights.load(weights_name), clips, k, "cpu", dtype).how | dict(fast=fast)
    found_anywhere = os.path.abspath(weights_name) if os.path.isfile(weights_name) else weights_name
    arguments = found_anywhere, clips, k, device, dtype, fast
    yield from folder_job.collect(folder, out, how, lambda names: _ends(Path(folder), names, workers, arguments))


class Worker:
    """A process of the cluster with a network of its own; of a file's name it makes the end of a row."""

    def __init__(self, cores, folder, weights_name, *how):
        torch.set_num_threads(cores)
        self.folder, self.weights_name, self.how, self.classifier = folder, weights_name, how, None

    def __call__(self, row):
        try:
            self.classifier = self.classifier or classify.VideoClassifier(weights.load(self.weights_name), *self.how)
            end = self.classifier.answer(self.classifier.read(self.folder / json.loads(row["name"])))
        except Exception as error:  # Ray would tell it in hundreds of lines, from everywhere at once
            end = dict(failure=f"{platform.node()}: {type(error).__name__}: {error}")
        return row | dict(end=json.dumps(end))


def _ends(folder, names, workers, arguments):
    """Pairs of a name and the end of its row, as they are done."""
    if not names:  # no need of a cluster
        return
    here = folder.absolute()
    with _cluster() as ray, contextlib.closing(_rows(ray, names, workers, (here, *arguments))) as rows:
        for row in rows:
            name, end = json.loads(row["name"]), json.loads(row["end"])
            if "failure" in end:
                raise RuntimeError(f"{folder / name} could not be done, nor what was left after it. {end['failure']}")
            if "error" in end:  # it names the file as the workers find it
                end["error"] = end["error"].replace(str(here / name), str(folder / name), 1)
            yield name, end


def _rows(ray, names, workers, arguments):
    """What a pool of workers makes of names, as it comes.

    On the way names and ends are JSON: Ray's tables have no place for a name that is not UTF-8, or for ends of different keys.
    """
    cores, gpus = _share(ray.nodes(), workers), int(torch.device(arguments[-3]).type == "cuda")
    if gpus and not ray.cluster_resources().get("GPU"):
        raise ValueError("no machine of the cluster has a GPU: let the workers use the cpu")  # Ray would wait for one
    tasks = min(len(names), TASKS)
    data = ray.data.from_items([dict(name=json.dumps(name)) for name in names], override_num_blocks=tasks)
    data.context.enable_progress_bars = False
    pool = ray.data.ActorPoolStrategy(size=min(workers, tasks), max_tasks_in_flight_per_actor=2)
    # Ray Data starts such workers again, however often they are killed, and gives them what they had not delivered.
    data = data.map(Worker, fn_constructor_args=(cores, *arguments), compute=pool, num_cpus=cores, num_gpus=gpus)
    tables = iter(data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
    with contextlib.closing(tables):
        with _unsaid(NO_MATTER):
            first = next(tables)
        for table in itertools.chain([first], tables):
            yield from table.to_pylist()


def _ray():
    try:
        import ray.data
    except ImportError:
        raise ImportError("Ray is not installed here. Install it with `make extras`") from None
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # not the one that writes Ray's own log files
            handler.setLevel(logging.ERROR)
    return ray


@contextlib.contextmanager
def _cluster():
    """Ray, connected to the cluster of the caller, or else to one of this machine alone, which ends with the block."""
    ray = _ray()
    mine = not ray.is_initialized()
    if mine:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _share(machines, workers):
    """How many cores each of some workers can have, none of them spread over two machines; 1 if there are not enough."""
    cores = [int(machine["Resources"].get("CPU", 0)) for machine in machines if machine["Alive"]]
    return max((each for each in range(1, max(cores) + 1) if sum(have // each for have in cores) >= workers), default=1)


@contextlib.contextmanager
def _unsaid(sign):
    """Keep lines that hold this sign from the process's stderr, also those that no Python code writes; the others pass."""
    real = os.dup(2)
    out_of, into = os.pipe()
    os.dup2(into, 2)
    os.close(into)

    def pass_on():
        with open(out_of, "rb") as lines:
            for line in lines:
                if sign not in line:
                    os.write(real, line)
        os.close(real)

    passing = threading.Thread(target=pass_on, daemon=True)
    passing.start()
    try:
        yield
    finally:
        os.dup2(
            real, 2
        )  # closes the pipe, which ends the thread, unless a process that was started meanwhile holds it open
        passing.join(timeout=5)


def main(arguments=None):
    """The command; 0 if every file was classified, 1 if some could not be, 2 if it cannot begin or go on, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.scale.cluster", description="Classify a folder of videos on a cluster."
    )
    parser.add_argument("folder", help="with videos at any depth, under this path on every machine")
    parser.add_argument("--out", required=True, help="the file to which a row for each video is added")
    parser.add_argument(
        "--weights", default="stickfigures", help="as for python -m helpers.classify, default: %(default)s"
    )
    parser.add_argument("--clips", type=classify.at_least_one, default=5, help="clips of a video, default: %(default)s")
    parser.add_argument("--top", type=classify.at_least_one, default=5, help="answers a video, default: %(default)s")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of each worker, default: %(default)s")
    parser.add_argument("--precision", default="float32", choices=classify.PRECISIONS, help="default: %(default)s")
    parser.add_argument("--fast", action="store_true", help="as for python -m helpers.classify")
    parser.add_argument("--workers", type=classify.at_least_one, default=2, help="processes, default: %(default)s")
    parser.add_argument(
        "--address", help="of a Ray cluster, auto for the one of this machine; default: this machine alone"
    )
    options = parser.parse_args(arguments)
    how = options.weights, options.clips, options.top, options.device, getattr(torch, options.precision), options.fast
    try:
        if options.address:
            _ray().init(options.address, log_to_driver=False, logging_level=logging.ERROR)
        return classify.follow(classify_folder(options.folder, options.out, *how, options.workers), options.out)
    except (ImportError, OSError, ValueError, RuntimeError, weights.WeightsError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
