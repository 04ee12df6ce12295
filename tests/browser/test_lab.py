"""What only a browser shows: the first notebook as a newcomer runs it, and every widget, moved in JupyterLab.

That all cells run, and in how much memory, is nbval's part. Here a notebook is opened as it is stored, and of its cells those
run that its widgets need.
"""

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from conftest import ROOT, SERIES, browser, camera_of, page_of, play
from playwright.sync_api import expect

from helpers import stickfigures, video

pytestmark = pytest.mark.browser

WITH_WIDGET = [
    path.name
    for path in SERIES
    if any("widget" in cell.metadata.get("tags", []) for cell in nbformat.read(path, as_version=4).cells)
]


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
    (settings,) = re.findall(r"--ServerApp.tornado_settings='(.*?)'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    options = [
        f"--ServerApp.tornado_settings={settings}",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--LabApp.news_url=",
        "--ServerApp.disable_check_xsrf=True",
        "--LabApp.expose_app_in_browser=True",
    ]
    home = {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data")}
    with open(folder / "log", "w", encoding="utf-8") as log:
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
                assert server.poll() is None, (folder / "log").read_text(encoding="utf-8")
                time.sleep(0.5)
        yield Lab(folder, address)
    finally:
        server.terminate()
        server.wait(30)


class Lab:
    """A server: the folder that it shows, its address, its kernels."""

    def __init__(self, folder, address):
        self.folder, self.address = folder, address

    def sessions(self):
        with urllib.request.urlopen(f"{self.address}/api/sessions", timeout=30) as answer:
            return json.load(answer)

    def stop(self, session):
        request = urllib.request.Request(f"{self.address}/api/sessions/{session['id']}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture
def camera(tmp_path):
    """The file that is played as the camera; it shows somebody walk."""
    play(tmp_path / "camera.y4m", "walk")
    return tmp_path / "camera.y4m"


@pytest.fixture
def page(chromium, lab, request, camera):
    """A page of a new browser with a camera; kernels end with it, so that one comes after another."""
    assert lab.sessions() == []
    with browser(chromium, camera_of(camera)) as new, page_of(new, request, width=1280, height=1000) as page:
        yield page
    for session in lab.sessions():
        lab.stop(session)


@pytest.fixture
def open_notebook(page, lab):
    """A function that opens a notebook of the series and waits for its kernel."""

    def open_it(name):
        page.goto(f"{lab.address}/lab/workspaces/{name[:2]}/tree/notebooks/{name}")
        # Before there is a kernel JupyterLab would ask which one to take.
        wait_until(lambda: kernel_is_idle(lab.sessions(), name), 60, "no kernel came")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()

    return open_it


def run_all(page):
    """Run all cells, as a reader would, from the menu."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    status = page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator")
    expect(status).to_have_attribute("data-status", "busy", timeout=30_000)
    expect(status).to_have_attribute("data-status", "idle", timeout=600_000)


def run_cells(page, indices):
    """Run these cells in their order; none may raise an error."""
    for index in indices:
        good = page.evaluate(
            """async index => {
                window.jupyterapp.shell.currentWidget.content.activeCellIndex = index
                return await window.jupyterapp.commands.execute("notebook:run-cell")
            }""",
            index,
        )
        assert good, f"cell {index} raised an error"


def cells_for_widgets(cells):
    """The indices of the cells with a widget, and of those before them that define what they need."""
    wanted, indices = set(), []
    for index, cell in reversed(list(enumerate(cells))):
        if cell.cell_type != "code":
            continue
        bound, changed, used = names_in(cell.source)
        if "widget" in cell.metadata.get("tags", []) or wanted & (bound | changed):
            indices.append(index)
            wanted = (wanted - bound) | used
    return indices[::-1]


def names_in(source):
    """The names that a cell gives a value, those of whose value it changes a part, and those that it uses."""
    bound, changed, used = set(), set(), set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            changed.update(part.id for part in ast.walk(node.value) if isinstance(part, ast.Name))
    outside = {part.id for node in tree.body if not isinstance(node, ast.FunctionDef)
               for part in ast.walk(node) if isinstance(part, ast.Name)}  # fmt: skip
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        own = {part.id for part in ast.walk(function) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        used -= own - outside  # what a function gives a value itself comes from nowhere else
    used -= {(node.asname or node.name).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.alias)}
    return bound, changed, used


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


def explorer(page):
    """The output that holds an explorer."""
    found = page.locator(".jp-OutputArea-output", has=page.locator(".explorer")).first
    found.scroll_into_view_if_needed()
    return found


def slices(page):
    """The lines follow the keys."""
    found = explorer(page)
    for _ in range(5):
        found.get_by_role("slider", name="time").press("ArrowLeft")
    expect(found.locator("output").first).to_have_text("27")
    expect(found.locator("canvas.flat")).to_have_attribute("aria-label", re.compile("frame 27, row 56 and column 56"))


def kernels(page):
    """The explorer answers, and the kernel of the notebook hears of it."""
    found = explorer(page)
    found.get_by_label("t, frames").press("ArrowRight")
    found.get_by_label("in", exact=True).press("ArrowLeft")
    found.get_by_label("in", exact=True).press("ArrowLeft")
    expect(found.locator(".said").first).to_contain_text("M = 99, the paper's")  # 99 (9 16 + 5 64) = 45,936
    expect(found.locator(".number").nth(1)).to_have_text("45,936")


def factorization(page):
    """How many pairs a motion needs."""
    found = explorer(page)
    found.get_by_label("M, pairs").press("ArrowRight")
    found.get_by_text("flicker").click()
    exact = "The kernel of a flicker takes 1 pair. With 3, the relative error is 0 %: the sum is exact."
    expect(found.locator(".said")).to_contain_text(exact)


def block(page):
    """Shapes and costs of the residual blocks."""
    found = explorer(page)
    expect(found.locator("tr.chosen")).to_contain_text("128 × 8 × 28 × 28")
    found.get_by_role("button", name="layer4").click()
    expect(found.locator("tr.chosen")).to_contain_text("512 × 2 × 7 × 7")
    assert found.locator(".insides canvas").count() == 0  # no trained network in this one


def stages(page):
    """A walk through the network, with feature maps."""
    found = explorer(page)
    found.get_by_role("button", name="layer4").click()
    expect(found.locator(".insides .said")).to_contain_text("layer4.1.relu, the 3 channels that vary most")
    found.get_by_role("button", name="fc 400").click()
    expect(found.locator(".insides .said")).to_contain_text("the five most probable actions")


def family(page):
    """Any mixture."""
    found = explorer(page)
    found.get_by_label("network").select_option("r2plus1d")
    expect(found.locator("tr.chosen")).to_contain_text("31,505,325")
    found.get_by_role("group", name="layer4").get_by_text("2D", exact=True).click()
    expect(found.locator(".said")).to_have_text("The paper has not trained this mixture.")


def upload_and_timeline(page, tmp_path):
    """A file is sent and classified, and the timeline plays."""
    button = page.locator(".jupyter-widgets.widget-upload")
    button.scroll_into_view_if_needed()
    expect(button).to_contain_text("Your video")
    frames = stickfigures.scene("walk", 12, 8, frames=32, size=(240, 320), stage=0.875).frames
    video.write_video(tmp_path / "a walk.mp4", frames, fps=30)
    # Thirty megabytes, three times what Jupyter alone lets through: a box that players skip.
    padding = 30_000_000
    with open(tmp_path / "a walk.mp4", "ab") as file:
        file.write(padding.to_bytes(4, "big") + b"free" + bytes(padding - 8))
    send(page, button, tmp_path / "a walk.mp4")
    printed = page.locator(".jp-OutputArea-output", has_text=re.compile(r"a walk\.mp4[^%]*%")).last
    printed.wait_for(timeout=120_000)
    best = re.search(r"([\d.]+)%  ([a-z ]+)\n", printed.inner_text())
    assert best[2] == "walk" and float(best[1]) > 50, printed.inner_text()
    (tmp_path / "letter.txt").write_text("Dear reader", encoding="utf-8")
    send(page, button, tmp_path / "letter.txt")
    page.get_by_text(re.compile(r"letter\.txt: (is not a video|holds no video)")).wait_for()
    send(page, button, tmp_path / "a walk.mp4")  # after a failure the button is as it was
    page.locator(".jp-OutputArea-output", has_text=re.compile(r"a walk\.mp4[^%]*%")).last.wait_for(timeout=120_000)
    play_timeline(page)
    page.locator(".explorer.recorder").get_by_role("button", name="record").click()
    filmed = page.locator(".jp-OutputArea-output", has_text=re.compile(r"camera\.\w+[^%]*%")).last
    filmed.wait_for(timeout=120_000)
    best = re.search(r"([\d.]+)%  ([a-z ]+)\n", filmed.inner_text())
    assert best[2] in ("walk", "moonwalk"), (
        filmed.inner_text()
    )  # a cut from one figure to the next is in some recordings


def send(page, button, path):
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(path)


def play_timeline(page):
    """The timeline of the film of four actions: it moves on as it plays."""
    found = page.locator(".jp-OutputArea-output", has=page.locator(".explorer.timeline"))
    expect(found.locator(".said")).to_contain_text("0.0 s: wave")
    assert page.locator(".widget-progress:visible").count() == 0  # it went away
    found.get_by_role("slider", name="time").press("ArrowRight")
    found.get_by_role("button", name="play").click()
    expect(found.locator(".said")).to_contain_text("3.7 s: jumping jacks", timeout=30_000)


def attribution(page):
    """Another frame, another stage."""
    found = explorer(page)
    found.get_by_role("slider", name="frame").press("ArrowLeft")
    found.get_by_text("layer1").click()
    expect(found.locator(".said")).to_contain_text(re.compile(r"^frame 7: \d+ % of the attribution by layer1"))


def film_and_learn(page, camera):
    """Two motions are filmed, learned and recognized, in one notebook."""
    found, learned = page.locator(".explorer.recorder").first, page.get_by_role("button", name="Fine-tune on the")
    learned.click()
    page.get_by_text(re.compile("no video in motions can be read for")).wait_for()
    for motion in ("clap", "hop", "walk"):
        play(camera, motion)
        label = dict(clap="clap", hop="wave", walk="turn round")[motion]
        for count in (1, 2):
            found.get_by_role("button", name=f"record {label}").click()
            expect(found.get_by_role("button", name=f"record {label} ({count})")).to_be_visible(timeout=60_000)
        found.get_by_role("button", name="turn the camera off").click()
    learned.click()
    expect(page.get_by_role("button", name="recognize")).to_be_visible(timeout=300_000)
    page.get_by_role("button", name="recognize").click()
    live = page.locator(".explorer.recorder").last
    expect(live.locator(".said")).to_have_text(re.compile(r"(clap|wave|turn round), \d+%"), timeout=60_000)
    live.get_by_role("button", name="stop").click()


# By the notebook's name without its number. What each control does is tested in test_explorers.py.
CLOSER = {
    "see_a_video_as_a_tensor": slices,
    "compare_3d_and_2plus1d": kernels,
    "build_the_2plus1d_block": factorization,
    "build_the_residual_block": block,
    "assemble_r2plus1d_18": stages,
    "classify_a_clip": upload_and_timeline,
    "meet_the_family": family,
    "look_inside": attribution,
    "fine_tune_on_your_own_clips": film_and_learn,
}


@pytest.mark.parametrize("name", WITH_WIDGET)
def test_the_widgets_of_a_notebook_move(name, page, lab, open_notebook, tmp_path, camera):
    """The first notebook is run whole, as a newcomer runs it; of the others the cells that their widgets need."""
    open_notebook(name)
    if name == SERIES[0].name:
        run_all(page)
        check_cells(saved(page, lab, name))
    else:
        run_cells(page, cells_for_widgets(nbformat.read(ROOT / "notebooks" / name, as_version=4).cells))
    check_widths(page)
    look = CLOSER[name[3:].removesuffix(".ipynb")]
    if look is upload_and_timeline:
        look(page, tmp_path)
    elif look is film_and_learn:
        look(page, camera)
    else:
        look(page)


def test_the_first_notebook_is_among_them():
    assert SERIES[0].name in WITH_WIDGET


def test_what_a_widget_needs_is_found():
    sources = ["import a", "b = a.x", "c = 1", "b.part = c", "d = 2", "def f():\n  d = 1\n  return b + d"]
    sources += ["from h import w", "w(f)"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[-1].metadata["tags"] = ["widget"]
    assert cells_for_widgets(cells) == [0, 1, 2, 3, 5, 6, 7]
