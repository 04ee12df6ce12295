"""What several tests need: films whose frames carry their number, real clips where there are some, another user."""

import contextlib
import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SERIES = sorted((ROOT / "notebooks").glob("*.ipynb"))


def numbered_frame(number, height=64, width=96):
    """A frame that shows `number` as eight black or white blocks, which no codec blurs away; the ninth is red."""
    frame = np.full((height, width, 3), 128, dtype=np.uint8)
    for bit in range(8):
        row, column = divmod(bit, 4)
        block = frame[row * 24 : row * 24 + 20, column * 24 : column * 24 + 20]
        block[:] = 255 if number >> bit & 1 else 0
    frame[height - 12 :, :24] = (220, 20, 20)  # bottom left: shows a turned frame, and RGB taken for BGR
    return frame


def read_number(frame):
    """The number that a decoded frame shows."""
    frame = np.asarray(frame)
    return sum(1 << bit for bit in range(8) if frame[bit // 4 * 24 + 10, bit % 4 * 24 + 10].mean() > 128)


def write_film(
    path,
    times,
    codec="libx264",
    options=None,
    time_base=Fraction(1, 90000),
    rate=30,
    numbers=None,
    audio=False,
    container_options=None,
):
    """Encode numbered frames to be shown at these times, in seconds; the path."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = time_base
        stream.options = options or {}
        sound = container.add_stream("wmav2" if codec == "wmv2" else "aac", rate=44100) if audio else None
        if sound:
            sound.bit_rate = 64_000
        for number, time in zip(numbers or range(len(times)), times):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time) / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            _mux_silence(container, sound)
    return path


def _mux_silence(container, stream, seconds=4):
    for k in range(seconds * 44100 // 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), dtype=np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 44100, k * 1024
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_sound(path):
    """A file with audio only; the path."""
    with av.open(str(path), "w") as container:
        _mux_silence(container, container.add_stream("aac", rate=44100))
    return path


def torchrun(*arguments):
    """The result of two processes, of one thread each, that torchrun starts with these arguments."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, env=one_thread)


@pytest.fixture
def film(tmp_path):
    """Sixty frames at 30 a second, H.264 with B-frames, a key frame every twelve."""
    times = [Fraction(k, 30) for k in range(60)]
    return write_film(tmp_path / "film.mp4", times, options={"bf": "3", "g": "12"})


@pytest.fixture(scope="session")
def real_clips():
    """A folder of real clips, named by VIDEO_RESNET_CLIPS; tests that want one are skipped where there is none."""
    folder = os.environ.get("VIDEO_RESNET_CLIPS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("VIDEO_RESNET_CLIPS names no folder of real clips")
    return Path(folder)


class Served(NamedTuple):
    """A folder that is served over HTTP on this machine, with the faults of the internet."""

    folder: Path
    address: str  #: of the folder; `address/status/500/file` answers so, `cut` breaks off in mid-file, `stall` falls silent there
    asked: list  #: the paths that were asked for


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server of real files and real faults."""
    folder = tmp_path_factory.mktemp("server")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

        def do_GET(self):
            asked.append(self.path)
            fault, *rest = self.path.strip("/").split("/")
            if fault == "status":
                self.send_error(int(rest[0]))
            elif fault == "page":
                self._answer(b"<html>Sign in first</html>")
            elif fault in ("cut", "stall"):
                content = (folder / rest[-1]).read_bytes()
                self._answer(content[: len(content) // 2], length=len(content))
                self.wfile.flush()
                time.sleep(3 if fault == "stall" else 0)
                self.close_connection = True
            else:
                super().do_GET()

        def _answer(self, content, length=None):
            self.send_response(200)
            self.send_header("Content-Length", str(length or len(content)))
            self.end_headers()
            self.wfile.write(content)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Served(folder, f"http://127.0.0.1:{server.server_port}", asked)
        server.shutdown()


@pytest.fixture
def online(monkeypatch, tmp_path):
    """As if the reader had a network, with an empty cache; the folder in which torch.hub keeps its files."""
    monkeypatch.setenv("VIDEO_RESNET_OFFLINE", "0")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hub" / "checkpoints"


FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def chromium():
    """Where a Chromium or Chrome is; tests are skipped without one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = os.environ.get("VIDEO_RESNET_BROWSER") or next(filter(None, map(shutil.which, names)), None)
    if not path:
        pytest.skip("no Chromium is installed, and VIDEO_RESNET_BROWSER names none")
    return path


@contextlib.contextmanager
def browser(chromium, more=()):
    """A new browser, with more flags; there can be one at a time in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *more])
        yield browser
        browser.close()


@contextlib.contextmanager
def page_of(browser, request, width, height, **options):
    """A page of a browser, without errors; a screenshot is kept in test-results/ when the test fails."""
    errors = []
    page = browser.new_page(viewport={"width": width, "height": height}, **options)
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: errors.append(error))
    yield page
    if getattr(request.node, "failed", True):
        folder = ROOT / "test-results"
        folder.mkdir(exist_ok=True)
        page.screenshot(path=folder / f"{re.sub(r'[^a-z0-9_]+', '-', request.node.name)}.png")
    page.close()
    assert errors == []


@contextlib.contextmanager
def browser_page(chromium, request, width, height, **options):
    """A page of a new browser."""
    with browser(chromium) as new, page_of(new, request, width, height, **options) as page:
        yield page


@contextlib.contextmanager
def unprivileged(path=None):
    """Be an ordinary user for a while, where the tests run as root, whom nothing stops; one who may come as far as a path."""
    if os.name != "posix":
        pytest.skip("file permissions are tested on POSIX systems")
    root = os.geteuid() == 0
    if root:
        for folder in path.parents if path else ():
            if Path(tempfile.gettempdir()).resolve() in folder.parents:
                folder.chmod(0o755)  # the tests' own folders are private to their user
        os.setegid(65534)
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
            os.setegid(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let fixtures know, when they clean up, whether their test failed."""
    report = yield
    if report.when == "call":
        item.failed = report.failed
    return report


def camera_of(file):
    """Flags with which Chromium plays a y4m file, from its beginning each time, where a page asks for the camera."""
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    return [*flags, f"--use-file-for-fake-video-capture={file}"]


def play(camera, action, figures=range(3), seconds=2.0):
    """What the camera shows from now on, whenever it is opened."""
    from helpers import stickfigures

    with av.open(str(camera), "w", format="yuv4mpegpipe") as container:
        stream = container.add_stream("rawvideo", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k in figures:
            film = stickfigures.scene(action, 500, k, frames=round(30 * seconds), size=(240, 320), seconds=seconds)
            for frame in film.frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def check_access(page):
    """The accessibility checker finds nothing serious, and no heading out of order."""
    from axe_playwright_python.sync_playwright import Axe

    serious = [
        (rule["id"], len(rule["nodes"]), rule["nodes"][0]["html"][:300], rule["nodes"][0]["failureSummary"])
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical") or "heading" in rule["id"]
    ]
    assert serious == []


# The variables that GitHub sets in a workflow: the site is built as that of a fork.
FORK = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "reader/video-fork",
    "GITHUB_REF_NAME": "main",
}


@pytest.fixture(scope="session")
def book(tmp_path_factory, worker_id):
    """The folder of the built site, one for all processes of the tests; a warning of Sphinx is an error."""
    from filelock import FileLock

    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "book"
    with FileLock(f"{folder}.lock"):
        if not (folder / "index.html").exists():
            command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "book", ".", str(folder)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | FORK)
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def site(book):
    """The address at which the site is served."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(book))) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def open_page(chromium, site, request):
    """A function that opens a page of the site; whatever it misses, and every complaint in its console, is an error."""
    stack = contextlib.ExitStack()

    def open_one(name):
        page = stack.enter_context(browser_page(chromium, request, width=1280, height=1000))
        page.complaints = []
        page.on(
            "console", lambda message: message.type in ("error", "warning") and page.complaints.append(message.text)
        )
        page.on(
            "request",
            lambda asked: asked.url.startswith((site, "data:", f"blob:{site}")) or page.complaints.append(asked.url),
        )
        page.on("response", lambda got: got.status < 400 or page.complaints.append(f"{got.status} {got.url}"))
        page.goto(site + name, wait_until="load")
        page.wait_for_function("window.MathJax === undefined || window.MathJax.startup.promise")
        return page

    with stack:
        yield open_one
