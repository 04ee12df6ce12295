"""A file from the internet, once: checked as a whole before anybody opens it, or one error that says what to do.

torch.hub does the downloading: a progress bar, a temporary file that is renamed when it is whole, TORCH_HOME.
"""

import contextlib
import errno
import hashlib
import os
import re
import socket
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse

import torch

TIMEOUT = 30  # seconds that a server may stay silent


class DownloadError(Exception):
    """A file that cannot be had. The message names it and its address, and says where to put it and what to do next."""


def offline():
    """Whether VIDEO_RESNET_OFFLINE=1 holds everything to the CPU and to what is in the repository."""
    return os.environ.get("VIDEO_RESNET_OFFLINE", "0") not in ("", "0")


def fetch(address, sha256):
    """The path of the file at an address, downloaded where torch.hub keeps its files if it is not there yet.

    Args:
        address: of the file, http or https; its last part is the file's name.
        sha256: of the file in hexadecimal digits, or as many of its first ones as are known.

    Returns:
        A path. What lies there has that checksum; a file of the same name that has not is replaced.

    Raises:
        DownloadError: there is no such file here, and it cannot be had.
        ValueError: a checksum that is none.
    """
    if not re.fullmatch("[0-9a-f]{8,64}", sha256):
        raise ValueError(
            f"sha256={sha256!r}: at least the first eight of the checksum's hexadecimal digits, in lower case"
        )
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(address).path).name)
    if offline():
        raise DownloadError(
            f"{file.name} is not part of this repository, and VIDEO_RESNET_OFFLINE=1 keeps to what is. Unset it."
        )
    try:
        if file.exists() and checksum(file).startswith(sha256):
            return file
        print(f"Downloading {address} to {file}", file=sys.stderr)
        file.parent.mkdir(parents=True, exist_ok=True)
        with _patience(TIMEOUT):
            torch.hub.download_url_to_file(address, str(file), sha256)
    except Exception as error:  # of the network, the server, the disk, or a checksum
        wrong = " (The file there has another checksum.)" if os.path.exists(file) else ""
        raise DownloadError(
            f"{file.name} could not be had from {address}: {_reason(error)}. Try again; or download it by hand, "
            f"save it as {file}, and run the same again.{wrong}"
        ) from error
    return file


def checksum(file):
    """The SHA-256 of a file in hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def _patience(seconds):
    """Let no new connection wait for ever, as those of torch.hub otherwise do."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error):
    """What went wrong, in words."""
    if isinstance(error, HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, URLError) and isinstance(error.reason, OSError):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"the server was silent for {TIMEOUT} seconds"
    if isinstance(error, ConnectionError | socket.gaierror):
        return f"there is no connection, or it broke ({error})"
    if isinstance(error, PermissionError):
        return f"this user may not use {error.filename}; the environment variable TORCH_HOME can name another folder"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return f"there is no room for it ({error.strerror})"
    if "invalid hash" in str(error):
        return "what came is not the file that was published (cut short on its way, or a page in its place?)"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
