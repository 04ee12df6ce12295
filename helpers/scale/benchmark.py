"""How fast this is against torchvision's network as it comes: `python -m helpers.scale.benchmark --out FILE`. See notebook 13.

Both are measured in one run, in turn. What is reported is how many times as fast ours is, with the smallest and the largest
such ratio of the rounds; the times themselves are true of one machine in one hour. R(2+1)D-18 at full width, 400 classes,
clips of 3 x 16 x 112 x 112. The weights are random: speed does not depend on them, and nothing is predicted.
"""

import argparse
import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
import torchvision
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import video as video_networks

from helpers import classify, stickfigures, transforms, video, weights
from helpers.scale import inference, preprocessing

CLASSES = 400
SIZE = (3, 16, 112, 112)
HEADER = f"{'':36}{'torchvision':>12}{'ours':>10}{'times as fast':>22}{'of the peak':>13}{'memory, MB':>17}"


class How(NamedTuple):
    """What is measured, and on what."""

    device: torch.device
    path: str  #: the video of the last two lines
    size: tuple = SIZE  #: of a clip, (C, T, H, W)


class Line(NamedTuple):
    """A line of the table."""

    title: str
    make: callable  #: of How and of "torchvision" or "ours", a function without arguments that does it once
    dtype: torch.dtype  #: in which ours computes
    clips: int  #: how many that are


def main(arguments=None):
    """The command; 0."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.scale.benchmark", description="Ours against torchvision's, in one run."
    )
    parser.add_argument("--out", help="write the table as JSON, too")
    parser.add_argument(
        "--video",
        help="a file for the last two lines; default: one of ten seconds is drawn, 256 x 256, 30 frames a second",
    )
    parser.add_argument(
        "--device",
        type=classify.named_device,
        default=classify.get_device(),
        help="default: the first of cuda, mps and cpu that is there",
    )
    parser.add_argument(
        "--rounds", type=classify.at_least_one, default=7, help="how often each is measured, default: %(default)s"
    )
    parser.add_argument("--only", help="lines whose title holds this text")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        how = How(options.device, options.video or _drawn(folder))
        machine = about(how.device)
        print(*(f"{name}: {value}" for name, value in machine.items()), sep="\n", end="\n\n")
        print(HEADER)
        rows = []
        for line in lines(how.device):
            if (options.only or "") in line.title:
                rows.append(measure(line, how, options.rounds))
                print(told(rows[-1]), flush=True)
    if options.out:
        Path(options.out).write_text(json.dumps(dict(machine=machine, rows=rows), indent=1) + "\n", encoding="utf-8")
    return 0


def about(device):
    """The machine, by its versions and its measured ceilings."""
    peaks = {_name(dtype): round(inference.peak_flops(dtype, device) / 1e9) for dtype in precisions(device)}
    return dict(
        device=classify.device_name(device),
        system=f"{platform.system()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}",
        gflop_a_second=peaks,
        copied_gigabytes_a_second=round(inference.bandwidth(device) / 1e9, 1),
    )


def precisions(device):
    """float32, and bfloat16 where this device computes in it."""
    if device.type == "cpu" and not inference.cpu_has_bfloat16():
        return [torch.float32]
    return [torch.float32, torch.bfloat16]


def lines(device):
    """The table, for each precision."""
    for dtype in precisions(device):
        yield Line(f"one clip, {_name(dtype)}", _inference(1, dtype), dtype, 1)
        yield Line(f"eight clips at once, {_name(dtype)}", _inference(8, dtype), dtype, 8)
        yield Line(f"training step of 4 clips, {_name(dtype)}", _training(4, dtype), dtype, 4)
    yield Line("decoding 5 clips of a file", _decoding, torch.float32, 0)
    for dtype in precisions(device):
        yield Line(f"file to label, 5 clips, {_name(dtype)}", _labelling(dtype), dtype, 5)


def measure(line, how, rounds=7):
    """A line, measured: a dictionary of plain numbers."""
    both = {crop_size: line.make(how, crop_size) for crop_size in ("torchvision", "ours")}
    with FlopCounterMode(display=False) as counter:
        both["torchvision"]()
    # The peak is taken in turn with the rest: a machine that is slow for a minute is slow for both.
    product = inference.matrix_product(line.dtype, how.device)
    taken = inference.interleaved(both | dict(peak=product), how.device, rounds)
    theirs, ours, peak = (statistics.median(times) for times in taken.values())
    ratios = sorted(a / b for a, b in zip(taken["torchvision"], taken["ours"]))
    share = (counter.get_total_flops() / ours) / (product.flop / peak)
    return dict(
        title=line.title,
        seconds=dict(torchvision=theirs, ours=ours),
        ratio=theirs / ours,
        spread=[ratios[0], ratios[-1]],
        clips_a_second=line.clips / ours or None,
        share_of_peak=share if line.clips else None,
        megabytes={crop_size: _memory(line, how, crop_size) for crop_size in both},
    )


def told(row):
    """A row of the table as a line of text."""
    seconds, memory = (
        [row[key][crop_size] for crop_size in ("torchvision", "ours")] for key in ("seconds", "megabytes")
    )
    ratio = f"{row['ratio']:.2f} ({row['spread'][0]:.2f} to {row['spread'][1]:.2f})"
    share = "" if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}"
    megabytes = "" if None in memory else f"{memory[0]:,} and {memory[1]:,}"
    return (
        f"{row['title']:<36}{seconds[0] * 1e3:>9.0f} ms{seconds[1] * 1e3:>7.0f} ms{ratio:>22}{share:>13}{megabytes:>17}"
    )


def _inference(count, dtype):
    def make(how, crop_size):
        network, x = _network(how.device), torch.randn(count, *how.size, device=how.device)
        if crop_size == "ours":
            network = inference.optimize_for_inference(network, dtype, how.size)

        def run():
            with torch.inference_mode():
                return network(x)

        return run

    return make


def _training(count, dtype):
    def make(how, crop_size):
        network, ours = _network(how.device).train(), crop_size == "ours"
        if ours and how.device.type == "cpu":
            inference.conv3d_as_conv2d(network)
        elif ours:
            network.to(memory_format=torch.channels_last_3d)
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
        x, y = torch.randn(count, *how.size, device=how.device), torch.arange(count, device=how.device)

        def run():
            with torch.autocast(how.device.type, dtype, enabled=ours and dtype != torch.float32):
                loss = F.cross_entropy(network(x).float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return run

    return make


def _decoding(how, crop_size):
    if crop_size == "ours":
        return lambda: list(preprocessing.read_clips(how.path, frames=how.size[1], crop_size=how.size[2]))
    return lambda: list(decode_all(how.path, frames=how.size[1]))


def _labelling(dtype):
    def make(how, crop_size):
        network, labels = _network(how.device), tuple(map(str, range(CLASSES)))
        if crop_size == "ours":
            about = weights.Pretrained(
                "random", network, labels, transforms.preprocess, how.size[1], 15.0, "nothing", {}, {}, how.size[2]
            )
            ours = classify.VideoClassifier(about, device=how.device, dtype=dtype, fast=True)
            return lambda: ours.classify(how.path)

        def run():
            with torch.inference_mode():
                shares = [
                    network(clip[None].to(how.device)).softmax(1) for clip in decode_all(how.path, frames=how.size[1])
                ]
                return classify.top_k(torch.cat(shares).mean(0), labels)

        return run

    return make


def decode_all(path, clips=5, frames=16, fps=15.0):
    """The obvious way to a network's clips: every frame of a file becomes RGB, then torchvision's own preprocessing.

    Yields:
        `clips` float tensors (3, frames, 112, 112), spread evenly over the file; the nearest frame before each moment.
    """
    preset = video_networks.R2Plus1D_18_Weights.KINETICS400_V1.transforms()
    with av.open(str(path)) as container:
        step = float(container.streams.video[0].average_rate) / fps
        film = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for first in np.linspace(0, max(0, len(film) - frames * step), clips):
        chosen = [film[min(int(first + k * step), len(film) - 1)] for k in range(frames)]
        yield preset(torch.from_numpy(np.stack(chosen)).permute(0, 3, 1, 2))


def _network(device):
    torch.manual_seed(0)
    return video_networks.r2plus1d_18(num_classes=CLASSES).to(device).eval()


def _drawn(folder):
    """Jumping jacks of ten seconds."""
    path = Path(folder, "drawn.mp4")
    film = stickfigures.scene("jumping jacks", seed=0, index=0, frames=300, size=256, seconds=10.0).frames
    video.write_video(path, film, fps=30)
    return str(path)


def _memory(line, how, crop_size):
    """The most memory, in MB, of a process that does this twice and nothing else; None where the system does not tell."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_most_memory, (line.title, how, crop_size))


def _most_memory(title, how, crop_size):
    (line,) = (line for line in lines(how.device) if line.title == title)
    run = line.make(how, crop_size)
    run(), run()
    if how.device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(how.device) / 1e6)
    try:
        with open(
            "/proc/self/status", encoding="utf-8"
        ) as about:  # getrusage would tell the parent's, where that is more
            return next(round(int(line.split()[1]) / 1e3) for line in about if line.startswith("VmHWM"))
    except OSError:
        return None


def _name(dtype):
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    sys.exit(main())
