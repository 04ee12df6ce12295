"""Several processes that train together, as torchrun starts them: who is who, and what they tell each other.

In a process that was started alone every function here works, too, and does next to nothing.
"""

import datetime
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import distributed

__all__ = ["from_first", "join_processes", "leave_processes", "rank_and_world_size", "sum_over_processes"]


def join_processes(device: torch.device) -> torch.device:
    """Join the processes that torchrun has started, if any; the device of this process, on CUDA a GPU of its own.

    Raises:
        OSError: there are fewer GPUs on this machine than processes.
    """
    if "WORLD_SIZE" not in os.environ:
        return device
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device.type == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        if device.index >= (gpus := torch.cuda.device_count()):
            raise OSError(f"process {device.index + 1} of this machine has no GPU of its own: there are {gpus}")
        torch.cuda.set_device(device)
    timeout = datetime.timedelta(hours=12)  # the others wait while the first process looks through a large folder
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timeout)
    return device


def leave_processes() -> None:
    """Undo `join_processes`."""
    if rank_and_world_size()[1] > 1:
        distributed.destroy_process_group()


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process, and how many train together; 0 and 1 unless torchrun has started several."""
    several = distributed.is_available() and distributed.is_initialized()
    return (distributed.get_rank(), distributed.get_world_size()) if several else (0, 1)


def from_first(function: Callable[[], Any]) -> Any:
    """Call a function in the first process; all processes get what it returns."""
    rank, world_size = rank_and_world_size()
    result = [function() if rank == 0 else None]
    if world_size > 1:
        distributed.broadcast_object_list(result, src=0)
    return result[0]


def sum_over_processes(numbers: Sequence[float], device: torch.device) -> list[float]:
    """Each of the numbers summed over all processes."""
    if rank_and_world_size()[1] > 1:
        # MPS has no float64, and its processes cannot be joined either
        distributed.all_reduce(numbers := torch.tensor(numbers, dtype=torch.float64, device=device))
    return list(map(float, numbers))
