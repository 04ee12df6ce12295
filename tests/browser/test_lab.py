"""Every notebook in JupyterLab in a real browser: it is opened and run, its widgets are moved, and its memory is measured."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import nbformat
import psutil
import pytest
from conftest import ROOT, SERIES, browser_page
from playwright.sync_api import expect

from helpers import stickfigures, video

pytestmark = pytest.mark.browser

# Bytes of a kernel and of what it starts; free notebook services give little more.
LIMIT = 2e9


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab server over a copy of the series."""
    folder = tmp_path_factory.mktemp("lab")
    for part in ("notebooks", "img"):
        shutil.copytree(ROOT / part, folder / part)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--LabApp.news_url=",
        "--ServerApp.disable_check_xsrf=True",
    ]
    home = {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data")}
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            cwd=folder, env=os.environ | home, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield Lab(folder, address, server.pid)
    finally:
        server.terminate()
        server.wait(30)


class Lab:
    """A server: the folder that it shows, its address, its kernels and their memory."""

    def __init__(self, folder, address, pid):
        self.folder, self.address, self.server = folder, address, psutil.Process(pid)

    def sessions(self):
        with urllib.request.urlopen(f"{self.address}/api/sessions", timeout=30) as answer:
            return json.load(answer)

    def stop(self, session):
        request = urllib.request.Request(f"{self.address}/api/sessions/{session['id']}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()

    def memory(self):
        """Bytes of the kernels and of what they started; what processes share is counted once."""
        parts, total = set(), 0  # a set: a process that a kernel forks has the kernel's command line
        for kernel in self.server.children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
                if "ipykernel_launcher" in kernel.cmdline():
                    parts |= {kernel, *kernel.children(recursive=True)}
        for part in parts:
            with contextlib.suppress(psutil.Error):
                total += part.memory_full_info().pss
        return total


class Peak(threading.Thread):
    """The largest of the values that a function gives while the block runs, asked about four times a second.

    It is asked twice, and the smaller value counts: for a moment a process that is being started shows the memory of the
    one that starts it as its own, too.
    """

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function, self.largest, self.over = function, 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def run(self):
        while not self.over.wait(0.25):
            first = self.function()
            time.sleep(0.02)
            self.largest = max(self.largest, min(first, self.function()))

    def __exit__(self, *_):
        self.over.set()
        self.join()


@pytest.fixture
def page(chromium, lab, request):
    """A page of a new browser; kernels end with it, so that one comes after another."""
    assert lab.sessions() == [] and lab.memory() == 0
    with browser_page(chromium, request, width=1280, height=1000) as page:
        yield page
    for session in lab.sessions():
        lab.stop(session)


@pytest.fixture
def run_all(page, lab, capsys):
    """A function that opens a notebook and runs all of it, as a reader would, and looks at what came of it."""

    def run(name):
        page.goto(f"{lab.address}/lab/workspaces/{name[:2]}/tree/notebooks/{name}")
        # Before there is a kernel JupyterLab would ask which one to take.
        wait_until(lambda: kernel_is_idle(lab.sessions(), name), 60, "no kernel came")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        with Peak(lab.memory) as peak:
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_text("Run All Cells", exact=True).click()
            status = page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator")
            expect(status).to_have_attribute("data-status", "busy", timeout=30_000)
            expect(status).to_have_attribute("data-status", "idle", timeout=600_000)
        with capsys.disabled():
            print(f"\n{name}: {peak.largest / 1e9:.2f} GB of memory at its peak", end=" ")
        assert 1e8 < peak.largest < LIMIT
        check_cells(saved(page, lab, name))
        check_widths(page)

    return run


def wait_until(condition, seconds, complaint):
    """Ask five times a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.2)


def kernel_is_idle(sessions, name):
    return any(s["path"].endswith(name) and s["kernel"]["execution_state"] == "idle" for s in sessions)


def saved(page, lab, name):
    """The notebook as JupyterLab has it now."""
    path = lab.folder / "notebooks" / name
    before = path.stat().st_mtime_ns
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_text("Save Notebook", exact=True).click()
    wait_until(lambda: path.stat().st_mtime_ns != before, 30, "it was not saved")
    page.wait_for_timeout(500)  # until it is written whole
    return nbformat.read(path, as_version=4)


def check_cells(book):
    """Every cell ran, none raised an error, none gave a warning."""
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert sorted(cell.execution_count for cell in cells) == list(range(1, len(cells) + 1))
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error" and output.get("name") != "stderr", output


def check_widths(page):
    """Scroll through the notebook as a reader does; nothing that it shows is wider than its place."""
    scroller = page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer")
    seen, top = 0, 0
    scroller.evaluate("panel => panel.scrollTo(0, 0)")
    while True:
        seen += scroller.evaluate("panel => panel.querySelectorAll('.jp-OutputArea-output').length")
        wide = scroller.evaluate(
            """panel => [...panel.querySelectorAll('.jp-OutputArea-output, .jp-RenderedMarkdown')]
                .filter(part => part.scrollWidth > part.clientWidth + 1)
                .map(part => part.innerText.slice(0, 200))"""
        )
        assert wide == []
        here = scroller.evaluate("panel => { panel.scrollBy(0, 0.8 * panel.clientHeight); return panel.scrollTop }")
        page.wait_for_timeout(100)
        if here <= top:
            break
        top = here
    assert seen > 5


def explorer(page, control=".widget-inline-hbox"):
    """The first output that holds such a control."""
    found = page.locator(".jp-OutputArea-output", has=page.locator(control)).first
    found.scroll_into_view_if_needed()
    return found


def move_everything(explorer):
    """Move every slider, button and list of an explorer by one step; each time something else must stand there."""
    moves = [(slider, press_on) for slider in explorer.locator(".noUi-handle").all()]
    moves += [(buttons, choose_another) for buttons in explorer.locator(".widget-toggle-buttons").all()]
    moves += [(choices, select_another) for choices in explorer.locator("select").all()]
    assert moves
    for control, move in moves:
        seen = {"", shown(explorer)}
        control.scroll_into_view_if_needed()
        move(control)
        wait_until(lambda seen=seen: shown(explorer) not in seen, 30, "it moved and nothing changed")
        assert explorer.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def shown(explorer):
    """Pictures and text of an explorer, but for its controls."""
    return explorer.evaluate(
        """output => [...output.querySelectorAll('.jp-OutputArea-child img, .jp-OutputArea-child pre')]
            .map(part => part.src || part.innerText).join('|')"""
    )


def press_on(handle):
    at_its_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    handle.press("ArrowLeft" if at_its_end else "ArrowRight")


def choose_another(buttons):
    buttons.locator("button:not(.mod-active)").last.click()


def select_another(choices):
    choices.select_option(index=0 if choices.evaluate("list => list.selectedIndex") else 1)


def drag(page, widget, steps):
    """Move the slider with this name by so many steps, as a hand on the keyboard does; what it then shows."""
    row = page.locator(".widget-inline-hbox", has=page.get_by_text(widget, exact=True))
    row.scroll_into_view_if_needed()
    handle = row.locator(".noUi-handle")
    handle.focus()
    for _ in range(abs(steps)):
        handle.press("ArrowRight" if steps > 0 else "ArrowLeft")
    return row.locator(".widget-readout").inner_text()


def waiting_for(explorer):
    """A function that waits until a text stands in the explorer."""
    return lambda pattern: explorer.get_by_text(re.compile(pattern)).first.wait_for(timeout=30_000)


def slices(page):
    """01: the three lines of the slice explorer."""
    found = explorer(page)
    assert drag(page, "time", -5) == "27"
    move_everything(found)


def kernels(page):
    """02: other kernels, other numbers."""
    found = explorer(page)
    shows = waiting_for(found)
    shows(r"parameters +110,592\n"), shows(r"halves +144\n")  # 144 (9 64 + 3 64)
    assert drag(page, "t", 1) == "5"
    shows(r"parameters +183,680\n"), shows(r"halves +205\n")  # 205 (9 64 + 5 64)
    assert drag(page, "inplanes", -2) == "16"
    shows(r"parameters +45,936\n"), shows(r"halves +99\n")  # 99 (9 16 + 5 64)
    move_everything(found)


def factorisation(page):
    """03: how many middle filters a motion needs."""
    found = explorer(page)
    shows = waiting_for(found)
    shows("to be exact: 6\n"), shows("left out with 2: 29%")
    assert drag(page, "filters", 4) == "6"
    shows("to be exact: 6\n"), shows("left out with 6: 0%")
    assert drag(page, "speed", 6) == "4.00"  # so fast that two frames differ: black and white
    shows("to be exact: 2\n"), shows("left out with 6: 0%")
    assert drag(page, "filters", -5) == "1"
    move_everything(found)


def block(page):
    """04: shapes and costs of the residual block."""
    found = explorer(page)
    shows = waiting_for(found)
    shows(r"conv2\.0\.3 .* 128 x 8 x 28 x 28 .* 554 M")
    page.get_by_role("button", name="layer4", exact=True).click()
    assert drag(page, "frames", 16) == "32"
    shows(r"conv2\.0\.3 .* 512 x 4 x 7 x 7 ")
    move_everything(found)


def stages(page):
    """05: a walk through the network."""
    found = explorer(page)
    shows = waiting_for(found)
    shows(r"layer1: 16 x 16 x 56 x 56\n")
    assert drag(page, "stage", 3) == "layer4"
    shows(r"layer4: 128 x 2 x 7 x 7\n.* sees 109 x 219 x 219 ")
    assert drag(page, "stage", 2) == "fc"
    shows(r"fc: 10\n")
    move_everything(found)


def family(page):
    """06: any member, any clip."""
    found = explorer(page)
    shows = waiting_for(found)
    shows(r"whole +11,695,440 parameters +43\.343 G")
    found.locator("select").select_option("r2plus1d")
    shows(r"whole +31,505,325 parameters +40\.519 G")
    assert drag(page, "frames", -8) == "8"
    shows(r"layer4 +512 x 1 x 7 x 7 ")
    page.get_by_role("button", name="34", exact=True).click()
    shows(r"whole +61,831,661 parameters")
    move_everything(found)


@pytest.fixture
def upload(tmp_path):
    """08: a file is sent and classified, the ribbon of a video is there, and the player moves on."""

    def use(page):
        button = page.locator(".jupyter-widgets.widget-upload")
        button.scroll_into_view_if_needed()
        expect(button).to_contain_text("Your video")
        film = stickfigures.scene("walk", 12, 8, frames=32, size=(240, 320), stage=0.875).frames
        video.write_video(tmp_path / "a walk.mp4", film, fps=30)
        send(page, button, tmp_path / "a walk.mp4")
        answer = page.locator(".jp-OutputArea-output", has_text=re.compile(r"a walk\.mp4[^%]*%")).last
        answer.wait_for(timeout=120_000)
        best = re.search(r"([\d.]+)%  ([a-z ]+)\n", answer.inner_text())
        assert best[2] == "walk" and float(best[1]) > 50, answer.inner_text()
        (tmp_path / "letter.txt").write_text("Dear reader")
        send(page, button, tmp_path / "letter.txt")
        page.get_by_text(re.compile(r"letter\.txt: (is not a video|holds no video)")).wait_for()
        play(page)

    return use


def send(page, button, path):
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(path)


def play(page):
    ribbon = page.locator(".jp-Cell", has_text="draw_over_time(MY_FILE").locator(".jp-OutputArea")
    ribbon.get_by_text(re.compile(r"^ *0\.0 .*jumping jacks")).wait_for()
    assert ribbon.locator("img").count() == 1
    player = page.locator(".jp-OutputArea-output", has=page.locator(".widget-play")).last
    player.scroll_into_view_if_needed()
    shows = waiting_for(player)
    shows(r"^0\.0 s: wave, \d+%")
    assert player.locator(".widget-progress").count() == 0  # it went away
    assert drag(page, "time", 8) == "4.3 s"
    shows(r"^4\.3 s: jumping jacks, \d+%")
    player.locator(".widget-play button").first.click()
    shows(r"^(4\.8|5\.3|5\.9) s: ")


def heat(page):
    """11: another frame, another stage."""
    player = explorer(page, ".widget-play")
    shows = waiting_for(player)
    shows(r"^frame 0: \d+% of the heat of layer4")
    assert drag(page, "frame", 5) == "5"
    shows(r"^frame 5: \d+% of the heat of layer4")
    page.get_by_role("button", name="layer1", exact=True).click()
    shows(r"^frame 5: \d+% of the heat of layer1")
    player.locator(".widget-play button").first.click()
    shows(r"^frame ([6-9]|1\d): \d+% of the heat of layer1")


WIDGETS = {"01": slices, "02": kernels, "03": factorisation, "04": block, "05": stages, "06": family, "11": heat}


@pytest.mark.parametrize("name", [path.name for path in SERIES])
def test_a_notebook_runs_and_its_widgets_move(name, page, run_all, upload):
    run_all(name)
    use = WIDGETS.get(name[:2], upload if name.startswith("08") else None)
    cells = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
    assert any("widget" in cell.metadata.get("tags", []) for cell in cells) == (use is not None)
    if use:
        use(page)
