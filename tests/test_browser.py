"""JupyterLab in a real browser: a notebook is opened and run, a widget is used, and the answer stands on the page."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from conftest import ROOT
from playwright.sync_api import expect, sync_playwright

from helpers import stickfigures, video

pytestmark = pytest.mark.browser

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def chromium():
    """Where a Chromium or Chrome is; tests are skipped without one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = os.environ.get("VIDEO_RESNET_BROWSER") or next(filter(None, map(shutil.which, names)), None)
    if not path:
        pytest.skip("no Chromium is installed, and VIDEO_RESNET_BROWSER names none")
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab server over a copy of the series; its address."""
    folder = tmp_path_factory.mktemp("lab")
    for part in ("notebooks", "img"):
        shutil.copytree(ROOT / part, folder / part)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=", "--LabApp.news_url="]
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
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def page(chromium, lab, request):
    """A page of a new browser; a screenshot is kept in test-results/ when the test fails."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        errors = []
        page.on("pageerror", lambda error: errors.append(error))
        yield page
        if getattr(request.node, "failed", True):
            folder = ROOT / "test-results"
            folder.mkdir(exist_ok=True)
            page.screenshot(path=folder / f"{request.node.name}.png")
        browser.close()
    assert errors == []


def run_all(page, address, name):
    """Open a notebook in a workspace of its own, run all of its cells, wait until the last one is done."""
    page.goto(f"{address}/lab/workspaces/{name[:2]}/tree/notebooks/{name}")
    deadline = time.monotonic() + 60
    while not kernel_is_idle(page, address, name):  # before that JupyterLab would ask which kernel to take
        assert time.monotonic() < deadline, "no kernel came"
        time.sleep(0.5)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    status = page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator")
    expect(status).to_have_attribute("data-status", "busy", timeout=30_000)
    expect(status).to_have_attribute("data-status", "idle", timeout=300_000)


def kernel_is_idle(page, address, name):
    sessions = page.request.get(f"{address}/api/sessions").json()
    return any(s["path"].endswith(name) and s["kernel"]["execution_state"] == "idle" for s in sessions)


def test_a_file_is_uploaded_and_classified(page, lab, tmp_path):
    run_all(page, lab, "08_classify_a_clip.ipynb")
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    button = page.locator(".jupyter-widgets.widget-upload")
    button.scroll_into_view_if_needed()
    assert "Your video" in button.inner_text()

    film = stickfigures.scene("walk", 12, 8, frames=32, size=(240, 320), stage=0.875).film
    video.write_video(tmp_path / "a walk.mp4", film, rate=30)
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(tmp_path / "a walk.mp4")
    answer = page.locator(".jp-OutputArea-output", has_text=re.compile(r"a walk\.mp4[^%]*%")).last
    answer.wait_for(timeout=120_000)
    best = re.search(r"([\d.]+)%  ([a-z ]+)\n", answer.inner_text())
    assert best[2] == "walk" and float(best[1]) > 50, answer.inner_text()

    (tmp_path / "letter.txt").write_text("Dear reader")
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(tmp_path / "letter.txt")
    page.get_by_text(re.compile(r"letter\.txt: (is not a video|holds no video)")).wait_for()


def drag(page, widget, steps):
    """Move the slider with this name by so many steps, as a hand on the keyboard does; what it then shows."""
    row = page.locator(".widget-inline-hbox", has=page.get_by_text(widget, exact=True))
    row.scroll_into_view_if_needed()
    handle = row.locator(".noUi-handle")
    handle.focus()
    for _ in range(abs(steps)):
        handle.press("ArrowRight" if steps > 0 else "ArrowLeft")
    return row.locator(".widget-readout").inner_text()


def test_sliders_of_the_kernel_explorer_change_its_numbers(page, lab):
    run_all(page, lab, "02_compare_3d_and_2plus1d.ipynb")
    explorer = page.locator(".jp-OutputArea-output", has=page.locator(".widget-inline-hbox")).first

    def shows(*numbers):
        for number in numbers:
            explorer.get_by_text(number).wait_for(timeout=30_000)

    shows(re.compile(r"parameters +110,592\n"), re.compile(r"halves +144\n"))  # 144 (9 64 + 3 64)
    assert drag(page, "t", 1) == "5"
    shows(re.compile(r"parameters +183,680\n"), re.compile(r"halves +205\n"))  # 205 (9 64 + 5 64)
    assert drag(page, "inplanes", -2) == "16"
    shows(re.compile(r"parameters +45,936\n"), re.compile(r"halves +99\n"))  # 99 (9 16 + 5 64)


def test_sliders_of_the_factorisation_explorer_change_its_numbers(page, lab):
    run_all(page, lab, "03_build_the_2plus1d_block.ipynb")
    explorer = page.locator(".jp-OutputArea-output", has=page.locator(".widget-inline-hbox")).first

    def shows(exact, left_out):
        explorer.get_by_text(re.compile(f"to be exact: {exact}\n")).wait_for(timeout=30_000)
        explorer.get_by_text(re.compile(f"left out with {left_out}")).wait_for(timeout=30_000)

    shows(6, "2: 29%")
    assert drag(page, "filters", 4) == "6"
    shows(6, "6: 0%")
    assert drag(page, "speed", 6) == "4.00"  # so fast that two frames differ: black and white
    shows(2, "6: 0%")


def test_sliders_of_the_block_calculator_change_its_shapes(page, lab):
    run_all(page, lab, "04_build_the_residual_block.ipynb")
    calculator = page.locator(".jp-OutputArea-output", has=page.locator(".widget-inline-hbox")).first
    calculator.get_by_text(re.compile(r"conv2\.0\.3 .* 128 x 8 x 28 x 28 .* 554 M")).wait_for(timeout=30_000)
    page.get_by_role("button", name="layer4", exact=True).click()
    assert drag(page, "frames", 16) == "32"
    calculator.get_by_text(re.compile(r"conv2\.0\.3 .* 512 x 4 x 7 x 7 ")).wait_for(timeout=30_000)


def test_the_stage_explorer_walks_through_the_network(page, lab):
    run_all(page, lab, "05_assemble_r2plus1d_18.ipynb")
    explorer = page.locator(".jp-OutputArea-output", has=page.locator(".widget-inline-hbox")).first
    explorer.get_by_text(re.compile(r"layer1: 16 x 16 x 56 x 56\n")).wait_for(timeout=30_000)
    assert drag(page, "stage", 3) == "layer4"
    explorer.get_by_text(re.compile(r"layer4: 128 x 2 x 7 x 7\n.* sees 109 x 219 x 219 ")).wait_for(timeout=30_000)
    assert drag(page, "stage", 2) == "fc"
    explorer.get_by_text(re.compile(r"fc: 10\n")).wait_for(timeout=30_000)


def test_the_family_explorer_changes_its_numbers(page, lab):
    run_all(page, lab, "06_meet_the_family.ipynb")
    explorer = page.locator(".jp-OutputArea-output", has=page.locator(".widget-inline-hbox")).first
    explorer.get_by_text(re.compile(r"whole +11,695,440 parameters +43\.343 G")).wait_for(timeout=30_000)
    explorer.locator("select").select_option("r2plus1d")
    explorer.get_by_text(re.compile(r"whole +31,505,325 parameters +40\.519 G")).wait_for(timeout=30_000)
    assert drag(page, "frames", -8) == "8"
    explorer.get_by_text(re.compile(r"layer4 +512 x 1 x 7 x 7 ")).wait_for(timeout=30_000)
    page.get_by_role("button", name="34", exact=True).click()
    explorer.get_by_text(re.compile(r"whole +61,831,661 parameters")).wait_for(timeout=30_000)


def test_the_player_moves_on_with_its_answers(page, lab):
    run_all(page, lab, "08_classify_a_clip.ipynb")
    player = page.locator(".jp-OutputArea-output", has=page.locator(".widget-play")).last
    player.scroll_into_view_if_needed()
    player.get_by_text(re.compile(r"^0\.0 s: wave, \d+%")).wait_for(timeout=60_000)
    assert player.locator(".widget-progress").count() == 0  # it went away
    assert drag(page, "time", 8) == "4.3 s"
    player.get_by_text(re.compile(r"^4\.3 s: jumping jacks, \d+%")).wait_for(timeout=30_000)
    player.locator(".widget-play button").first.click()
    player.get_by_text(re.compile(r"^(4\.8|5\.3|5\.9) s: ")).first.wait_for(timeout=30_000)


def test_the_heat_player_shows_another_frame_and_another_stage(page, lab):
    run_all(page, lab, "11_look_inside.ipynb")
    player = page.locator(".jp-OutputArea-output", has=page.locator(".widget-play")).last
    player.scroll_into_view_if_needed()
    player.get_by_text(re.compile(r"^frame 0: \d+% of the heat of layer4")).wait_for(timeout=60_000)
    assert drag(page, "frame", 5) == "5"
    player.get_by_text(re.compile(r"^frame 5: \d+% of the heat of layer4")).wait_for(timeout=30_000)
    page.get_by_role("button", name="layer1", exact=True).click()
    player.get_by_text(re.compile(r"^frame 5: \d+% of the heat of layer1")).wait_for(timeout=30_000)
    player.locator(".widget-play button").first.click()
    player.get_by_text(re.compile(r"^frame ([6-9]|1\d): \d+% of the heat of layer1")).wait_for(timeout=30_000)
