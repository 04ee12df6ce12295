"""The rows of `folder.classify_folder`, made by the machines of a cluster under Ray Data. See notebook 14.

Every machine needs this package, the weights, and the folder under the same path. Only the process that calls writes rows.
"""

import json
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from helpers import classify, weights
from helpers.scale import folder as rows

__all__ = ["classify_folder"]

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its makers where nobody forbids it


def classify_folder(
    folder: str | os.PathLike, out: str | os.PathLike, weights_name: str = "stickfigures", clips: int = 5, k: int = 5,
    device: str = "cpu", dtype: torch.dtype = torch.float32, fast: bool = False, workers: int = 2,
) -> Iterator[rows.Progress]:  # fmt: skip
    """Classify every file below a folder by so many worker processes, each on one core, and with cuda on one GPU.

    Rows come in the order in which they are done. A worker that is killed is started again, and its file is done again. If
    this process is killed, the next call goes on. `ray.init(address="auto")`, called before, connects to a cluster;
    otherwise this machine is one. Other arguments and errors as of `folder.classify_folder`. Raises ImportError without Ray,
    ValueError if cuda is asked for and no machine has a GPU, RuntimeError if a worker cannot begin, as without the weights;
    it says on which machine, and all rows before are there.
    """
    home, pretrained = Path(folder).absolute(), weights.load(weights_name)
    if os.path.isfile(weights_name):
        weights_name = os.path.abspath(weights_name)

    class Worker:
        """A process of the cluster with a network of its own. Names and ends of rows travel as JSON, which holds all of them."""

        classifier = None

        def __call__(self, row):
            try:
                if self.classifier is None:
                    torch.set_num_threads(1)
                    pretrained = weights.load(weights_name)
                    self.classifier = classify.VideoClassifier(pretrained, clips, k, device, dtype, fast)
                path = home / json.loads(row["name"])
                end = rows.predict_row(self.classifier, lambda: self.classifier.read(path), os.fspath(path))
            except Exception as error:  # Ray would report it in hundreds of lines
                end = dict(failure=f"{platform.node()}: {type(error).__name__}: {error}")
            return row | dict(end=json.dumps(end))

    def make(names):
        for row in _map(Worker, [dict(name=json.dumps(name)) for name in names], workers, device == "cuda"):
            name, end = json.loads(row["name"]), json.loads(row["end"])
            if "failure" in end:
                raise RuntimeError(f"{folder}/{name} could not be done, nor what was left after it. {end['failure']}")
            if "error" in end:  # it names the file as the workers find it
                end["error"] = end["error"].replace(str(home), str(folder), 1)
            yield name, end

    yield from rows.write_rows(folder, out, rows.settings_of(pretrained, clips, k, dtype, fast), make)


def _map(worker, items, workers, on_gpus):
    """What Ray Data makes of items, as they are done; it gives the item of a worker that is killed to another."""
    try:
        import ray.data
    except ImportError:
        raise ImportError("Ray is not installed here. Install it with `make extras`") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if not items:
        return
    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        if on_gpus and not ray.cluster_resources().get("GPU"):
            raise ValueError("no machine of the cluster has a GPU: let the workers use the cpu")  # Ray would wait
        data = ray.data.from_items(items, override_num_blocks=min(len(items), 100_000))
        data.context.enable_progress_bars = False
        pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2)
        data = data.map(worker, compute=pool, num_cpus=1, num_gpus=int(on_gpus))
        for table in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from table.to_pylist()
    finally:
        if started:
            ray.shutdown()
