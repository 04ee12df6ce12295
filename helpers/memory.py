"""Memory that nobody uses any more, handed back."""

import contextlib
import ctypes
import gc


def give_back():
    """Give the memory of what was deleted back to the system, so that other processes can have it.

    The C library of most Linux systems, glibc, keeps it for the next tensors, which is quicker: after a training or a
    comparison of large networks that is hundreds of megabytes. Where there is another C library, nothing happens.
    Source: malloc_trim(3) of the Linux manual pages.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
