"""Several processes that train one network, as torchrun starts them. Without torchrun there is one, which is the first.

torchrun tells each process its number and how to meet the others through environment variables; gloo carries gradients
between CPUs, nccl between GPUs. See notebook 12.
"""

import contextlib
import datetime
import os
import sys

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


@contextlib.contextmanager
def together(device):
    """Meet the other processes, if torchrun has started any, and part from them at the end.

    Args:
        device: on which each is to compute; "cuda" gives each process of a machine a GPU of its own.

    Yields:
        The device of this process.

    Raises:
        ValueError: more processes on this machine than GPUs.
    """
    device = torch.device(device)
    if "WORLD_SIZE" not in os.environ:
        yield device
        return
    if device.type == "cuda":
        number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= gpus:
            raise ValueError(f"process {number + 1} of this machine has no GPU of its own: there are {gpus}")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        print(f"Several processes cannot share {device}: on the CPU instead.", file=sys.stderr)
        device = torch.device("cpu")
    # The first process looks through the folder alone, which takes hours if it is large; the others wait for it.
    patience = datetime.timedelta(hours=12)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def count():
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank():
    """The number of this process; 0 is the one that prints and writes."""
    return distributed.get_rank() if count() > 1 else 0


def averaged(network):
    """The network, its gradients averaged over all processes where there are several."""
    if count() == 1:
        return network
    return DistributedDataParallel(network)


def add_up(numbers, device):
    """Numbers of this process and their counterparts in the others, added up."""
    if count() == 1:
        return numbers
    total = torch.tensor(numbers, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return total.tolist()


def agree(network):
    """Give every process the first one's buffers: while training, each gathers batch norm statistics of its own clips."""
    if count() > 1:
        for buffer in network.buffers():
            distributed.broadcast(buffer, src=0)


def from_first(value):
    """What the first process holds, for all of them."""
    box = [value]
    if count() > 1:
        distributed.broadcast_object_list(box, src=0)
    return box[0]
