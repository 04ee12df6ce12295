"""How long something takes, measured so that the number means something. Built in notebook 08."""

import statistics
import time

import torch


def seconds(function, device, repeats=5):
    """The median of how long a function takes, after one call that does not count.

    Args:
        function: without arguments.
        device: on which it computes. A GPU returns before it has finished, so the clock waits for it.
        repeats: how many calls are measured.
    """
    taken = []
    for _ in range(repeats + 1):
        _wait_for(device)
        begun = time.perf_counter()
        function()
        _wait_for(device)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def _wait_for(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    elif torch.device(device).type == "mps":
        torch.mps.synchronize()


def half_precision(network, x, device, dtype=torch.bfloat16):
    """What half precision gains and costs on this device, for this network.

    Args:
        network: in eval mode, on the device.
        x: a batch of clips, on the device.
        dtype: torch.bfloat16 or torch.float16.

    Returns:
        How many times as fast it is as float32, and the largest deviation of a logit, as a share of the largest logit.
    """

    def run(enabled):
        with torch.inference_mode(), torch.autocast(torch.device(device).type, dtype, enabled=enabled):
            return network(x)

    full, half = run(False), run(True).float()
    deviation = (full - half).abs().max() / full.abs().max()
    return seconds(lambda: run(False), device) / seconds(lambda: run(True), device), deviation.item()
