"""What all commands have in common: kinds of arguments that refuse in a sentence, and a terminal that ends no run."""

import argparse
import contextlib
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import nn

from helpers.reader import VideoWarning

__all__ = ["named_device", "number", "terminal"]


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """For every command: names that the terminal cannot show do not end the run, and a VideoWarning is one sentence.

    Where nobody reads the output any longer, as after `| head -1`, the command ends with SystemExit and without a stack.
    """
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            show = warnings.showwarning
            warnings.showwarning = lambda message, category, *place: (
                print(message, file=sys.stderr) if category is VideoWarning else show(message, category, *place)
            )
            yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more as it ends
        raise SystemExit(141) from None  # as of a program that this signal ends
    finally:
        for stream, errors in zip(streams, before):
            stream.reconfigure(errors=errors)


def named_device(text: str) -> torch.device:
    """The torch.device of this name, for argparse, which reports one that cannot be used here."""
    try:
        x = torch.ones(1, 1, 1, 1, 1, device=text)
        nn.functional.conv3d(x, x).item()
    except Exception as error:  # every backend has its own kind of error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{text} cannot be used here: {reason.rstrip('.')}.") from None
    return torch.device(text)


def number(lowest: float, highest: float = math.inf, kind: type = int) -> Callable[[str], float]:
    """A number from `lowest` to `highest`, for argparse; not infinite."""

    def parse(text):
        with contextlib.suppress(ValueError):
            if lowest <= (value := kind(text)) <= highest and value < math.inf:
                return value
        limits = f"from {lowest} on" if highest == math.inf else f"from {lowest} to {highest:,}"
        raise argparse.ArgumentTypeError(f"{text} is no {'whole ' * (kind is int)}number {limits}")

    return parse
