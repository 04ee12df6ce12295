"""Record what the README shows of the site, in Chromium: `python img/film.py` after `make book`.

kernels.png, which moves: the explorer of notebook 02. try_it.png: the page *Try it*, where the network runs.
"""

import contextlib
import functools
import http.server
import io
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from helpers.explorers import FOLDER, on_page
from helpers.lessons.compare_3d_and_2plus1d import kernel_explorer

HERE = Path(__file__).parent
SITE = HERE.parent / "build" / "book"
WIDTH = 720
SECONDS = 0.12  # a frame is shown so long
# The explorer as it is, on a page of its own; without the controls that the film does not touch.
PAGE = """<!doctype html><style>{css} body {{ margin: 0 }} .controls fieldset:nth-child(n + 3), .computation {{ display: none }}
</style><div class="runs-here"><script type="application/json">{data}</script></div><script>{script}</script>"""


def settings():
    """For each frame of the film what changes: the kernel moves along the rows, to and fro, and grows and shrinks meanwhile."""
    sizes = [(3, 3), (3, 3), (5, 3), (7, 3), (7, 5), (3, 5), (1, 5), (3, 3)]
    for sweep, (t, d) in enumerate(sizes):
        row, frame = 6 + 2 * sweep, 4 + sweep
        columns = range(2, 27, 4) if sweep % 2 == 0 else range(26, 1, -4)
        for column in columns:
            yield dict(t=t, d=d, place=(frame * 28 + row) * 28 + column)


def kernels(browser):
    """The explorer while its kernel moves and changes, as an animated PNG."""
    script = (HERE.parent / "book" / "explorers.js").read_text(encoding="utf-8")
    css = (FOLDER / "explorers.css").read_text(encoding="utf-8")
    data = on_page(kernel_explorer()).replace("</", "<\\/")
    page = browser.new_page(viewport=dict(width=WIDTH, height=900))
    page.set_content(PAGE.format(css=css, data=data, script=script))
    page.locator(".explorer canvas.scene").wait_for()
    change = "now => Object.keys(now).forEach(name => document.querySelector('.runs-here').model.set(name, now[name]))"
    frames = []
    for now in settings():
        page.evaluate(change, now)
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        frames.append(Image.open(io.BytesIO(page.locator(".explorer").screenshot())).convert("RGB"))
    page.close()
    palette = common_palette(frames[::8])
    few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    few[0].save(
        HERE / "kernels.png", save_all=True, append_images=few[1:], duration=1000 * SECONDS, loop=0, optimize=True
    )


def common_palette(frames, greys=24, colors=32):
    """A picture with the palette for all frames: greys in even steps, since most of a frame is grey, and the commonest colors."""
    pixels = np.concatenate([np.asarray(frame).reshape(-1, 3) for frame in frames])
    found, counts = np.unique(pixels[np.ptp(pixels, axis=1) > 16], axis=0, return_counts=True)
    steps = np.linspace(0, 255, greys).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([steps, found[counts.argsort()[-colors:]]]).ravel().tolist())
    return palette


@contextlib.contextmanager
def served(folder):
    """The address of a folder on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def try_it(browser, site):
    """The page on which the network runs, with its predictions for a clip."""
    page = browser.new_page(viewport=dict(width=1000, height=900), color_scheme="light")
    page.set_default_timeout(120_000)
    page.goto(f"{site}/book/try_it.html")
    page.get_by_role("button", name="Start").click()
    page.locator(".try.clip .answers li").nth(9).wait_for()
    page.wait_for_timeout(3000)  # the clip has been played, and the bars have grown
    page.locator(".try.clip").screenshot(path=HERE / "try_it.png")
    page.close()
    with Image.open(HERE / "try_it.png") as picture:
        small = picture.convert("RGB")
    small.quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(HERE / "try_it.png", optimize=True)


def main():
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = os.environ.get("VIDEO_RESNET_BROWSER") or next(filter(None, map(shutil.which, names)), None)
    site = Path(sys.argv[1]) if len(sys.argv) > 1 else SITE
    if not path or not (site / "book" / "try_it.html").exists():
        sys.exit("Chromium or Chrome is needed, and the site with its page Try it: make book, with npm.")
    with sync_playwright() as playwright, served(site) as address:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        kernels(browser)
        try_it(browser, address)
        browser.close()


if __name__ == "__main__":
    main()
