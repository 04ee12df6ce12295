"""What a GPU gains by each way to compute: the table that `make gpu` stores as gpu_figures.json.

A row is a case, a way and a precision. It is measured in turn with torchvision's R(2+1)D-18 as it comes, which uses
TensorFloat-32 in convolutions alone, and with the product that the device computes fastest in that precision. What fails is
a row with its reason, and what does not fit into the time is named. The file is whole after each row.
"""

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from helpers import classify
from helpers.scale import benchmark, inference
from helpers.scale.benchmark import Line, Setup

__all__ = ["CASES", "PRECISIONS", "WAYS", "Figure", "figures", "measure_all", "tf32"]

FILE = "file to prediction, 5 clips"
CASES = {"one clip": 1, "batch of 8": 8, "batch of 32": 32, FILE: 5, "training step of 8 clips": 8}  # clips of each
WAYS = {  # the most important first
    "as it comes": "torchvision's network; a training step in bfloat16 by autocast",
    "prepared": "by optimize_for_inference, a file as by --fast; a training step by conv3d_as_conv2d",
    "channels-last": "torchvision's network and its clips in the layout channels_last_3d",
    "CUDA graph": "the prepared network, or a training step in channels-last layout, recorded once and replayed",
    "torch.compile": "torchvision's network, compiled",
}
PRECISIONS = {"bfloat16": torch.bfloat16, "TF32": torch.float32, "float32": torch.float32}


class Figure(NamedTuple):
    """A row before it is measured: names of `CASES`, `WAYS` and `PRECISIONS`."""

    case: str
    way: str
    precision: str

    def line(self, device: torch.device) -> Line | None:
        """What `benchmark` measures; None where the device has no such row."""
        only_cuda = self.precision == "TF32" or self.way == "CUDA graph"
        if (only_cuda and device.type != "cuda") or (self.case == FILE and self.way in ("CUDA graph", "torch.compile")):
            return None
        return Line(", ".join(self), partial(_make, figure=self), PRECISIONS[self.precision], CASES[self.case])


def figures(device: torch.device) -> Iterator[Figure]:
    """All rows of a device, the most important first: where the time ends, the last ones are left out."""
    rows = (Figure(case, way, precision) for way in WAYS for precision in PRECISIONS for case in CASES)
    return (row for row in rows if row.line(device))


@contextlib.contextmanager
def tf32(on: bool) -> Iterator[None]:
    """TensorFloat-32 in convolutions and in products of matrices, or in neither; afterwards as it was."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = on
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def _make(setup, side, figure):
    """A function without arguments that does the work once, as of `Line.make`."""
    dtype, way, is_file = PRECISIONS[figure.precision], figure.way, figure.case == FILE
    if is_file and (side == "torchvision" or way == "prepared"):
        make = partial(benchmark.file_to_label, setup, side, dtype, CASES[FILE])
    elif side == "torchvision":
        make = partial(_compute, setup, figure.case, "as it comes", torch.float32)
    else:
        make = partial(_compute, setup, figure.case, way, dtype)
    if side == "torchvision":
        return make()
    within = tf32(figure.precision == "TF32")
    function = within(make)()
    return within(within(_replayed)(function) if way == "CUDA graph" else function)


def _compute(setup, case, way, dtype):
    network, training = benchmark.random_network(setup.device), case.startswith("training")
    x = torch.randn(CASES[case], *setup.size, device=setup.device)
    if way == "channels-last" or (training and way == "CUDA graph"):
        network.to(memory_format=torch.channels_last_3d)
        x = x.to(memory_format=torch.channels_last_3d)
    elif way in ("prepared", "CUDA graph"):
        prepare = partial(inference.optimize_for_inference, dtype=dtype, size=setup.size)
        network = inference.conv3d_as_conv2d(network) if training else prepare(network)
    if not training:
        x = x.to(dtype)
        network = network if way in ("prepared", "CUDA graph") else network.to(dtype)
    if way == "torch.compile":
        network = torch.compile(network)
    if training:
        return benchmark.training_step(network, x, dtype)
    return torch.inference_mode()(partial(_predict, setup, network, x) if case == FILE else lambda: network(x).float())


def _predict(setup, network, like):
    clips = torch.stack(list(benchmark.decode_all(setup.path, CASES[FILE])))
    probs = network(clips.to(like)).float().softmax(1).mean(0)
    return classify.top_k(probs, tuple(map(str, range(len(probs)))))


def _replayed(function):
    """A CUDA graph of a function without arguments: recorded after three calls on a stream of their own, as PyTorch asks."""
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph):
        result = function()
    return lambda: (graph.replay(), result)[1]


def measure(figure: Figure, setup: Setup, product: tuple[Callable, int], rounds: int = 3) -> dict:
    """A row: that of `benchmark.compare`, the peak memory in bytes from the building of the network to its first result, and
    how far its logits are from torchvision's, relative to the largest."""
    line, before = figure.line(setup.device), _allocated(setup.device, start=True)
    ours = line.make(setup, "ours")
    y, memory = ours(), _allocated(setup.device)
    theirs = line.make(setup, "torchvision")
    row = benchmark.compare(line, setup, dict(torchvision=theirs, ours=ours), product, rounds)
    if isinstance(y, Tensor) and y.ndim:
        row["deviation"] = float((ours() - (x := theirs())).abs().max() / x.abs().max())
    return row | dict(memory=None if memory is None else memory - before)


def _allocated(device, start=False):
    """Bytes: at the start those in use, then their peak; MPS tells what it has asked the system for; None on a CPU."""
    gpu = None if device.type == "cpu" else torch.get_device_module(device)
    if gpu and start:
        gpu.empty_cache()
    if device.type == "cuda" and start:
        gpu.reset_peak_memory_stats(device)
    return gpu and (gpu.max_memory_allocated(device) if device.type == "cuda" else gpu.driver_allocated_memory())


def measure_all(setup: Setup, out: str, rounds: int = 3, seconds: float = 300.0, only: str = "") -> None:
    """Measure every row whose title holds a text, until so many seconds are over, and write the file anew after each."""
    begun, waiting = time.perf_counter(), [f for f in figures(setup.device) if only in ", ".join(f)]
    table = dict(machine=benchmark.machine(setup.device), size=list(setup.size), rounds=rounds, ways=WAYS, rows=[])
    products, longest = {}, dict.fromkeys(WAYS, 0.0)
    _store(out, table, waiting)
    while waiting:
        figure, start = waiting[0], time.perf_counter()
        if start - begun + longest[figure.way] > seconds:  # a row takes about as long as those before it
            break
        row = figure._asdict() | dict(title=", ".join(figure))
        within = tf32(figure.precision == "TF32")
        try:
            if figure.precision not in products:
                product, flop = within(benchmark.fastest_product)(PRECISIONS[figure.precision], setup.device)
                products[figure.precision] = within(product), flop
            row |= measure(figure, setup, products[figure.precision], rounds)
        except Exception as error:  # whatever a backend or a compiler says; the other rows go on
            row["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        table["rows"].append(row)
        longest[figure.way] = max(longest[figure.way], time.perf_counter() - start)
        _store(out, table, waiting := waiting[1:])
        print(f"{row['title']:52}", row.get("failed") or f"{row['ratio']:.2f} times as fast", flush=True)
        torch.compiler.reset()
        gc.collect()  # the last network goes before the next one comes


def _store(out, table, waiting):
    new, table = Path(f"{out}.new"), table | dict(left_out=[", ".join(figure) for figure in waiting])
    new.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    os.replace(new, out)
