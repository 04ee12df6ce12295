"""Our speed against torchvision's: `python -m helpers.scale.benchmark --out FILE`. See notebook 13.

R(2+1)D-18 at full width, 400 classes, random weights: nothing is predicted, and speed does not depend on weights. Both sides
are measured in turn, because their ratio holds on another day, and their times do not.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
import torchvision
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.video import R2Plus1D_18_Weights, r2plus1d_18

from helpers import classify, commands, stickfigures, transforms, video, weights
from helpers.scale import inference, preprocessing
from helpers.weights import Pretrained

__all__ = ["HEADER", "Line", "Setup", "compare", "decode_all", "draw_video", "fastest_product", "file_to_label",
           "format_row", "lines", "machine", "main", "measure", "random_network", "training_step"]  # fmt: skip

SIDES = ("torchvision", "ours")
HEADER = (
    f"{'case, and the precision of ours':36}{'torchvision':>12}{'ours':>10}{'times as fast':>22}{'of the peak':>20}"
)


class Setup(NamedTuple):
    """The device, the video of the last lines, the size of a clip (C, T, H, W)."""

    device: torch.device
    path: str
    size: tuple[int, int, int, int] = (3, 16, 112, 112)


class Line(NamedTuple):
    """A line of the table; `make` gives for a `Setup` and a side a function without arguments that does the work once."""

    title: str
    make: Callable[[Setup, str], Callable]
    dtype: torch.dtype  #: in which ours computes
    clips: int = 0  #: how many go through the network


def lines(device: torch.device) -> Iterator[Line]:
    """The table; with bfloat16 where the device computes in it."""
    both = device.type != "cpu" or inference.cpu_has_bfloat16()
    for dtype in (torch.float32, torch.bfloat16) if both else (torch.float32,):
        for title, make, clips in (
            ("one clip", _predict, 1), ("eight clips at once", _predict, 8), ("training step of 4 clips", _train, 4),
            ("file to label, 5 clips", file_to_label, 5),
        ):  # fmt: skip
            yield Line(f"{title}, {_name(dtype)}", partial(make, dtype=dtype, clips=clips), dtype, clips)
    yield Line("decoding 5 clips of a file", _decode, torch.float32)


def random_network(device: torch.device | str) -> torch.nn.Module:
    """torchvision's R(2+1)D-18 in eval mode; its weights, and what is drawn on the device after them, are the same each time."""
    torch.manual_seed(0)
    return r2plus1d_18(num_classes=400).to(device).eval()


def _predict(setup, side, dtype, clips):
    network, x = random_network(setup.device), torch.randn(clips, *setup.size, device=setup.device)
    if side == "ours":
        network = inference.optimize_for_inference(network, dtype, setup.size)
    return torch.inference_mode()(lambda: network(x))


def _train(setup, side, dtype, clips):
    network, x = random_network(setup.device), torch.randn(clips, *setup.size, device=setup.device)
    if side == "ours" and setup.device.type == "cpu":
        inference.conv3d_as_conv2d(network)
    elif side == "ours":
        network.to(memory_format=torch.channels_last_3d)
    return training_step(network, x, dtype if side == "ours" else torch.float32)


def training_step(network: torch.nn.Module, x: torch.Tensor, dtype: torch.dtype = torch.float32) -> Callable:
    """A function without arguments: a step of SGD on clips x (B, C, T, H, W), in float32 or by autocast; it returns the loss."""
    optimizer = torch.optim.SGD(network.train().parameters(), lr=1e-3)
    y = torch.arange(len(x), device=x.device)

    def step():
        with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            loss = F.cross_entropy(network(x).float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _decode(setup, side):
    read = preprocessing.read_clips if side == "ours" else decode_all
    return lambda: list(read(setup.path))


def file_to_label(setup: Setup, side: str, dtype: torch.dtype, clips: int) -> Callable:
    """A function without arguments: from the video of the set-up to its five best predictions."""
    network, labels = random_network(setup.device), tuple(map(str, range(400)))
    if side == "ours":
        pretrained = Pretrained("random", network, labels, transforms.preprocess, 16, 15.0, "nothing", "", {})
        classifier = classify.VideoClassifier(pretrained, clips=clips, device=setup.device, dtype=dtype, fast=True)
        return lambda: classifier(setup.path)

    def predict():
        probs = [network(clip[None].to(setup.device)).softmax(1) for clip in decode_all(setup.path, clips)]
        return classify.top_k(torch.cat(probs).mean(0), labels)

    return torch.inference_mode()(predict)


def decode_all(path: str, clips: int = 5, frames: int = 16, fps: float = 15.0) -> Iterator[torch.Tensor]:
    """The obvious way to clips (3, frames, 112, 112): all frames become RGB, then torchvision's preprocessing."""
    preset = R2Plus1D_18_Weights.KINETICS400_V1.transforms()
    with av.open(str(path)) as container:
        step = float(container.streams.video[0].average_rate) / fps
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for first in np.linspace(0, max(0, len(every) - frames * step), clips):
        chosen = [every[min(int(first + k * step), len(every) - 1)] for k in range(frames)]
        yield preset(torch.from_numpy(np.stack(chosen)).permute(0, 3, 1, 2))


def measure(line: Line, setup: Setup, rounds: int = 3) -> dict:
    """A row of the table: plain numbers by their names."""
    product = fastest_product(line.dtype, setup.device)
    return compare(line, setup, {side: line.make(setup, side) for side in SIDES}, product, rounds)


def fastest_product(dtype: torch.dtype, device: torch.device) -> tuple[Callable, int]:
    """That of `dense_products` with the most FLOP/s here: a function without arguments, and its FLOP."""
    products = _products(dtype, device)
    peaks = inference.peak_flops(products, device, repeats=2)
    return products[max(peaks, key=peaks.get)]


def compare(line: Line, setup: Setup, sides: dict[str, Callable], product: tuple[Callable, int], rounds: int) -> dict:
    """As of `measure`, for functions that are there already, and with a product that tells what the device can do."""
    peak, product_flop = product  # a machine that is slow for a minute is slow for all
    taken = inference.interleaved(sides | dict(peak=peak), setup.device, rounds)
    table = inference.compare_times(taken)
    row = table["ours"] | dict(title=line.title, seconds={side: table[side]["seconds"] for side in SIDES})
    if not line.clips:
        return row | dict(utilization=None)
    work = _flop(line, setup) / product_flop  # of so many products
    shares = [work * peak / ours for peak, ours in zip(taken["peak"], taken["ours"])]
    share = work * table["peak"]["seconds"] / table["ours"]["seconds"]
    return row | dict(utilization=share, utilization_spread=[min(shares), max(shares)])


def _products(dtype, device):
    return inference.dense_products(dtype, device, side=2048 if device.type == "cpu" else 8192)


def _flop(line, setup):
    """Of the network, counted on the device meta, which computes nothing."""
    network, x = random_network("meta"), torch.zeros(line.clips, *setup.size, device="meta")
    with FlopCounterMode(display=False) as counter:
        y = network(x)
        if line.title.startswith("training"):
            y.sum().backward()
    return counter.get_total_flops()


def _name(dtype):
    return str(dtype).removeprefix("torch.")


def format_row(row: dict) -> str:
    """A row of the table as a line of text, below `HEADER`."""
    theirs, ours = (f"{row['seconds'][side] * 1e3:.0f} ms" for side in SIDES)
    ratio = f"{row['ratio']:.2f} ({row['spread'][0]:.2f} to {row['spread'][1]:.2f})"
    peak = "" if row["utilization"] is None else f"{row['utilization']:.0%}"
    if "utilization_spread" in row:
        peak += " ({:.0%} to {:.0%})".format(*row["utilization_spread"])
    return f"{row['title']:<36}{theirs:>12}{ours:>10}{ratio:>22}{peak:>20}"


def machine(device: torch.device) -> dict[str, str]:
    """The name of the device, and the versions."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}"
    return dict(device=classify.device_name(device), system=f"{platform.system()}, {versions}")


def draw_video(path: str) -> None:
    """Write the video of the last lines: ten seconds of jumping jacks, 256 x 256 at 30 frames a second."""
    scene = stickfigures.scene("jumping jacks", seed=0, index=0, frames=300, size=256, seconds=10.0)
    video.write_video(path, scene.frames, fps=30)


def _describe(device):
    """The machine with its peak FLOP/s and its memory bandwidth, both measured."""
    dtypes = dict.fromkeys(line.dtype for line in lines(device))
    peaks = {
        _name(dtype): round(max(inference.peak_flops(_products(dtype, device), device).values()) / 1e9)
        for dtype in dtypes
    }
    return machine(device) | dict(
        gflop_a_second=peaks, copied_gigabytes_a_second=round(inference.bandwidth(device) / 1e9, 1)
    )


def main(arguments: list[str] | None = None) -> int:
    """The command; 0, or 2 if its output cannot be written."""
    parser = argparse.ArgumentParser("python -m helpers.scale.benchmark", description="Ours against torchvision's.")
    add = parser.add_argument
    add("--out", help="write the table as JSON, too")
    add("--device", type=commands.named_device, help="default: cuda or mps where there is one, else cpu")
    add("--rounds", type=commands.number(1), default=3, help="of each line, default: %(default)s")
    add("--only", default="", help="lines whose title holds this text")
    options = parser.parse_args(arguments)
    if options.out:
        try:
            weights.check_writable(options.out)
        except OSError as error:
            parser.error(str(error))
    device = options.device or classify.get_device()
    if not any(options.only in line.title for line in lines(device)):
        parser.error(f"no line has {options.only!r} in its title")
    rows = []
    with commands.terminal(), tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "drawn.mp4"))
        draw_video(path)
        described = _describe(device)
        print(*(f"{name}: {value}" for name, value in described.items()), sep="\n", end=f"\n\n{HEADER}\n", flush=True)
        for line in lines(device):
            if options.only in line.title:
                rows.append(measure(line, Setup(device, path), options.rounds))
                print(format_row(rows[-1]), flush=True)
    if options.out:
        Path(options.out).write_text(json.dumps(dict(machine=described, rows=rows), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
