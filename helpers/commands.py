"""What all commands have in common: kinds of arguments that refuse in a sentence, and a terminal that ends no run."""

import argparse
import contextlib
import errno
import math
import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import nn

from helpers.reader import VideoWarning

__all__ = ["CLOSED", "called", "named_device", "number", "terminal"]

CLOSED = {errno.EPIPE: 141, errno.ENOSPC: 2}  # an output that nobody reads, or on a full disk: the exit code


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """For every command: names that the terminal cannot show do not end the run, and a VideoWarning is one sentence.

    Where the output is `CLOSED`, as after `| head -1`, or Ctrl-C is pressed, the command ends with SystemExit, not a stack.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            show = warnings.showwarning
            warnings.showwarning = lambda message, category, *place: (
                print(message, file=sys.stderr) if category is VideoWarning else show(message, category, *place)
            )
            yield
            print(end="", flush=True)
    except OSError as error:
        if error.errno not in CLOSED:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more as it ends
        if error.errno == errno.ENOSPC:
            print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        raise SystemExit(CLOSED[error.errno]) from None
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        raise SystemExit(130) from None


def called(module: str) -> str:
    """A command as it was called, for its help and errors: `video-resnet`, or `python -m` and the module."""
    name = pathlib.Path(sys.argv[0]).stem  # without the .exe of Windows
    return name if name == "video-resnet" else f"python -m {module}"


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
