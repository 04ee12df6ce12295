"""Downloads from a real server with real faults: each ends in the right file or in one error that says what to do.

The file is a real one, too: the weights of torchvision's MC3-18, random ones, as torchvision saves them.
"""

import hashlib
import io
import os
import re
import socket
import subprocess
import sys
import threading

import pytest
import torch
from conftest import ROOT, unprivileged
from torchvision.models.video import MC3_18_Weights, mc3_18, r2plus1d_18

from helpers import weights
from helpers.weights import WeightsError, download


def saved(build):
    file = io.BytesIO()
    torch.save(build().state_dict(), file)
    return file.getvalue()


CONTENT = saved(mc3_18)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(served):
    (served.folder / "weights.bin").write_bytes(CONTENT)
    return "weights.bin"


def test_the_file_is_like_the_published_one():
    assert abs(len(CONTENT) / 2**20 - MC3_18_Weights.KINETICS400_V1.meta["_file_size"]) < 0.1  # megabytes


def is_clean(cache):
    """Nothing in the cache but, perhaps, the whole file."""
    return all(
        path.name == "weights.bin" and path.read_bytes() == CONTENT for path in cache.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("digits", [8, 64])
def test_a_file_is_fetched_once(served, file, online, digits, capfd):
    asked = len(served.asked)
    path = download(f"{served.address}/{file}", SHA256[:digits])
    assert path == online / file and path.read_bytes() == CONTENT
    err = capfd.readouterr().err
    assert f"Downloading {served.address}/{file} to {path}" in err and re.search(r"100(\.0)?%", err)
    assert download(f"{served.address}/{file}", SHA256[:digits]) == path
    assert len(served.asked) == asked + 1 and capfd.readouterr().err == "" and is_clean(online)
    assert socket.getdefaulttimeout() is None  # as it was


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("status/404", "HTTP Error 404: Not Found"),
        ("status/403", "HTTP Error 403"),
        ("status/500", "HTTP Error 500"),
        ("status/503", "HTTP Error 503"),
        ("page", "invalid hash value"),
        ("cut", "invalid hash value"),
        ("stall", "timed out"),
    ],
)
def test_a_fault_is_one_sentence_and_leaves_nothing_behind(served, file, online, fault, reason, monkeypatch):
    monkeypatch.setattr(weights, "_TIMEOUT", 1)
    url = f"{served.address}/{fault}/{file}"
    with pytest.raises(WeightsError) as raised:
        download(url, SHA256[:8])
    message = str(raised.value)
    assert message.startswith(f"{file} could not be downloaded from {url} ({reason}") and message.count("\n") == 0
    assert (
        f"try again, or download it by hand and save it as {online / file} (its SHA-256 begins with {SHA256[:8]}"
        in message
    )
    assert not list(online.iterdir()) and socket.getdefaulttimeout() is None
    download(f"{served.address}/{file}", SHA256[:8])  # the next attempt is as good as a first one
    assert is_clean(online)


def test_a_file_put_there_by_hand_is_taken(online, file):
    online.mkdir(parents=True)
    (online / file).write_bytes(CONTENT)
    assert download(f"http://127.0.0.1:9/{file}", SHA256[:8]).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"", b"<html></html>", CONTENT[:-1], CONTENT[:-1] + b"x"], ids=len)
def test_a_broken_file_in_the_cache_is_replaced_and_never_used(served, file, online, content):
    online.mkdir(parents=True)
    (online / file).write_bytes(content)
    with pytest.raises(WeightsError, match="urlopen error"):
        download(f"http://127.0.0.1:9/{file}", SHA256[:8])
    assert download(f"{served.address}/{file}", SHA256[:8]).read_bytes() == CONTENT and is_clean(online)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_no_connection(online, file, address):
    with pytest.raises(WeightsError, match="urlopen error"):
        download(f"{address}/{file}", SHA256[:8])


def test_a_server_that_accepts_and_says_nothing(online, file, monkeypatch):
    monkeypatch.setattr(weights, "_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(WeightsError, match="timed out"):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/{file}", SHA256[:8])


def test_a_connection_that_is_reset(online, file):
    """The server hangs up with a reset, in the middle of its answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 44000000\r\n\r\n" + CONTENT[:100_000])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(WeightsError, match="[Rr]eset|WinError 1005[34]|invalid hash value"):
            download(f"http://127.0.0.1:{server.getsockname()[1]}/{file}", SHA256[:8])
        thread.join()
    assert not list(online.iterdir())


def test_a_cache_that_may_not_be_written(served, file, online):
    online.mkdir(parents=True)
    online.chmod(0o555)
    try:
        denied = f"Permission denied: '{re.escape(str(online))}.*TORCH_HOME"
        with unprivileged(online), pytest.raises(WeightsError, match=denied):
            download(f"{served.address}/{file}", SHA256[:8])
    finally:
        online.chmod(0o755)
    assert not list(online.iterdir())


DOWNLOAD = """
import sys
from helpers.weights import WeightsError, download
try:
    print(download(*sys.argv[1:]))
except WeightsError as error:
    print(error, file=sys.stderr)
    sys.exit(3)
"""


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"


def start(url, sha256, limit=""):
    arguments = [sys.executable, "-c", limit + DOWNLOAD, url, sha256]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="limits of the size of files are tested on POSIX systems")
def test_no_room_on_the_disk(served, file, online):
    """The system refuses to write more than a megabyte of it."""
    process = start(f"{served.address}/{file}", SHA256[:8], limit=LIMIT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3 and "File too large" in err and str(online / file) in err
    assert not list(online.iterdir())


@pytest.mark.slow
def test_two_processes_at_once(served, online):
    content = saved(r2plus1d_18)  # 120 MB
    (served.folder / "large.bin").write_bytes(content)
    url, sha256 = f"{served.address}/large.bin", hashlib.sha256(content).hexdigest()
    processes = [start(url, sha256) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and out.strip() == str(online / "large.bin"), err
    assert [path.name for path in online.iterdir()] == ["large.bin"] and (online / "large.bin").read_bytes() == content


@pytest.mark.parametrize("sha256", ["", "1234", "A1B2C3D4", "a1b2c3dg"])
def test_a_checksum_that_is_none_is_refused(served, file, online, sha256):
    with pytest.raises(ValueError, match="hexadecimal digits"):
        download(f"{served.address}/{file}", sha256)


def test_offline_nothing_is_asked_for(served, file, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked = len(served.asked)
    with pytest.raises(WeightsError, match="weights.bin is not in this repository; VIDEO_RESNET_OFFLINE=1"):
        download(f"{served.address}/{file}", SHA256)
    assert len(served.asked) == asked
