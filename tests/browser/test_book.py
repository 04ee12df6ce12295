"""The site: built as `make book` builds it, from the stored notebooks alone, and read in a real browser."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import nbformat
import numpy as np
import pytest
from conftest import FORK, ROOT, SERIES, browser, browser_page, camera_of, check_access, page_of
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
NAMES = [path.relative_to(ROOT).with_suffix(".html").as_posix() for path in SERIES + SOLUTIONS]
PAGES = ["index.html", "book/questions.html", "book/glossary.html", "CONTRIBUTING.html", "CHANGELOG.html", *NAMES]
TRY_IT = "book/try_it.html"  # there is none without npm; what it does is tested in test_try_it.py


class Links(HTMLParser):
    """What a page links to and shows, and the names that others may link to."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.names = [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.targets += [attributes[key] for key in ("href", "src") if attributes.get(key)]
        self.names |= {attributes.get("id")}


def test_no_link_is_broken(book):
    pages = {
        path: Links(path.read_text(encoding="utf-8")) for path in book.rglob("*.html") if "_static" not in path.parts
    }
    assert {book / name for name in PAGES} < set(pages)
    outside = set()
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(urljoin(path.as_uri(), target))
            if parts.scheme != "file":
                outside.add(target)
                continue
            there = type(path)(unquote(parts.path))
            assert there.is_relative_to(book) and there.exists(), (path.name, target)
            if there in pages and path.name not in ("genindex.html", "search.html"):
                assert unquote(parts.fragment) in pages[there].names, (path.name, target)
    assert outside and all(target.startswith(("https://", "data:", "javascript:")) for target in outside), outside


def ways_in(path):
    """The texts and addresses of the links below the title of a page."""
    line = re.search(r'<p class="ways-in[^"]*">(.*?)</p>', path.read_text(encoding="utf-8"), re.DOTALL)
    return {text: address for address, text in re.findall(r'href="([^"]+)">([^<]+)</a>', line[1])} if line else {}


def test_each_notebook_opens_in_colab_and_in_binder(book):
    fork = FORK["GITHUB_REPOSITORY"]
    for name in PAGES:
        notebook = name.replace(".html", ".ipynb")
        expected = {
            "Open in Colab": f"https://colab.research.google.com/github/{fork}/blob/colab/{notebook}",
            "Launch in Binder": f"https://mybinder.org/v2/gh/{fork}/main?urlpath=lab/tree/{notebook}",
        }
        assert ways_in(book / name) == (expected if name in NAMES else {}), name


def test_a_site_built_outside_a_workflow_has_no_such_links(tmp_path):
    """The first page and one notebook, without the page Try it, which takes longest."""
    environment = {name: value for name, value in os.environ.items() if name not in FORK} | {"PATH": ""}  # without npm
    pages = f"README.md,{Path(NAMES[1]).with_suffix('.ipynb').as_posix()}"
    options = ["-Q", "-c", "book", "-D", f"include_patterns={pages}"]
    command = [sys.executable, "-m", "sphinx", *options, ".", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / TRY_IT).exists() and "<h1" in (tmp_path / NAMES[1]).read_text(encoding="utf-8")
    assert ways_in(tmp_path / NAMES[1]) == {}


@pytest.mark.parametrize("name", [*PAGES, TRY_IT])
def test_a_page_is_whole_and_everybody_can_read_it(name, open_page, book):
    if not (book / name).exists():
        pytest.skip("the site was built without this page: npm is missing")
    page = open_page(name)
    check_pictures(page)
    if name in NAMES:
        check_that_nothing_is_missing(page, nbformat.read((ROOT / name).with_suffix(".ipynb"), as_version=4).cells)
    assert page.complaints == []  # asked here, since the accessibility checker itself looks for style sheets in vain
    page.add_style_tag(content="* { transition: none !important }")  # no colours halfway between two schemes
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        check_access(page)
    wide = "pres => pres.filter(pre => pre.scrollWidth > pre.clientWidth + 1).map(pre => pre.innerText)"
    assert page.locator("div.cell_input pre").evaluate_all(wide) == []  # code is read without scrolling
    page.set_viewport_size({"width": 390, "height": 844})  # a telephone
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("h1:visible").count() == 1


def check_pictures(page):
    """All pictures are there, and each has its sentence."""
    for picture in page.locator("main img").all():
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        alt = picture.get_attribute("alt")
        assert len(alt.split()) >= 8 and alt.endswith("."), alt


def check_that_nothing_is_missing(page, cells):
    """Cells, pictures, formulas, and the line below a widget: as many as the notebook holds."""
    code = [cell for cell in cells if cell.cell_type == "code"]
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert page.locator("div.cell").count() == len(code)
    stored = sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)
    assert page.locator("main img").count() == stored + text.count("![")
    formulas = re.findall(r"\$\$.+?\$\$|\$[^$\n]+\$", text, re.DOTALL)
    assert page.locator("main mjx-container mjx-math").count() == len(formulas)
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    moving = [cell.source for cell in code if "widget" in cell.metadata.get("tags", [])]
    assert page.locator(".how-it-moves").count() == len(moving)
    expect(page.locator(".runs-here .explorer")).to_have_count(sum("_explorer(" in source for source in moving))


WITH_EXPLORER = [
    "index.html",
    *(name for name in NAMES if "_explorer(" in (ROOT / name).with_suffix(".ipynb").read_text(encoding="utf-8")),
]


@pytest.mark.parametrize("name", WITH_EXPLORER)
def test_explorers_run_on_the_page(name, open_page):
    """A slider is moved by a key, and the pointer clicks and drags on a picture: each time something else stands there."""
    page = open_page(name)
    explorer = page.locator(".explorer")
    show = """it => [it.innerText, ...[...it.querySelectorAll("canvas")].map(canvas => canvas.toDataURL()),
                     ...[...it.querySelectorAll("[aria-pressed]")].map(button => button.ariaPressed)].join()"""
    explorer.scroll_into_view_if_needed()
    explorer.locator("canvas, table").first.wait_for()
    page.wait_for_timeout(500)  # pictures arrive
    before = explorer.evaluate(show)
    first = explorer.get_by_role("slider").first
    first.press("ArrowLeft" if first.input_value() == first.get_attribute("max") else "ArrowRight")
    page.wait_for_function(f"before => ({show})(document.querySelector('.explorer')) !== before", arg=before)
    if explorer.locator("canvas.scene").count():
        before, box = explorer.evaluate(show), explorer.locator("canvas.scene").bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 160, box["y"] + 80, steps=4)
        page.mouse.up()
        page.wait_for_function(f"before => ({show})(document.querySelector('.explorer')) !== before", arg=before)
    assert page.complaints == []


def test_explorers_run_from_a_folder(book, chromium, request):
    """Somebody who has built the site opens its file, without a server."""
    with browser_page(chromium, request, width=1280, height=1000) as page:
        page.goto((book / "index.html").as_uri())
        page.get_by_label("t, frames").press("ArrowRight")
        expect(page.locator(".explorer .said").first).to_contain_text("With M = 205, the paper's")


def test_whoever_asks_for_less_motion_sees_frames_side_by_side(book, chromium, request):
    name = "notebooks/01_see_a_video_as_a_tensor.html"
    sizes = {}
    for motion in ("no-preference", "reduce"):
        with browser_page(chromium, request, width=1280, height=1000, reduced_motion=motion) as page:
            page.goto((book / name).as_uri())
            films = page.locator("img.moves")
            assert films.count() == 3
            sizes[motion] = films.evaluate_all(
                "images => Promise.all(images.map(async (i) => (await i.decode(), i.naturalWidth)))"
            )
    assert all(still == 6 * (width + 4) - 4 for width, still in zip(sizes["no-preference"], sizes["reduce"]))


@pytest.mark.parametrize(
    "spoil, rule",
    [
        ("document.querySelector('main section > p:not(.ways-in)').style.color = '#cccccc'", "color-contrast"),
        ("document.querySelector('main section img').removeAttribute('alt')", "image-alt"),
        ("document.querySelector('main section > h2').outerHTML = '<h4>Deep</h4>'", "heading-order"),
    ],
)
def test_the_checker_sees_what_is_wrong(spoil, rule, open_page):
    page = open_page(NAMES[1])
    page.evaluate(spoil)
    with pytest.raises(AssertionError, match=rule):
        check_access(page)


def test_next_goes_through_the_series_and_previous_back(open_page, book):
    page = open_page("index.html")
    titles = []
    if (book / TRY_IT).exists():
        page.locator("a.right-next").click()
        assert page.locator("h1:visible").inner_text().startswith("Try it")
    for _ in SERIES:
        page.locator("a.right-next").click()
        titles.append(page.locator("h1:visible").inner_text()[:2])
    assert titles == [path.name[:2] for path in SERIES]
    page.locator("a.left-prev").click()
    assert page.locator("h1:visible").inner_text().startswith(titles[-2])


def test_search_finds_what_is_written(open_page):
    page = open_page("search.html?q=midplanes")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    assert any("02" in text for text in results.all_inner_texts())
    assert page.complaints == []


def test_dark_and_light_can_be_chosen(open_page):
    page = open_page("index.html")
    for scheme in ("dark", "light"):
        page.locator("button.theme-switch-button:visible").first.click()
        page.locator(f"[data-theme-value={scheme}]:visible, button[data-mode={scheme}]:visible").first.click()
        assert page.locator("html").get_attribute("data-theme") == scheme


def test_the_camera_is_a_clip(book, site, chromium, request, tmp_path):
    """A film played as the camera: a bright square on black. What is filmed is that, in as many frames as the explorer has."""
    frame = np.full((64, 64), 16, np.uint8)
    frame[16:48, 16:48] = 235
    grey = bytes([128]) * (2 * 32 * 32)  # no colour
    film = b"YUV4MPEG2 W64 H64 F30:1 Ip C420jpeg\n" + 30 * (b"FRAME\n" + frame.tobytes() + grey)
    (tmp_path / "camera.y4m").write_bytes(film)
    with (
        browser(chromium, camera_of(tmp_path / "camera.y4m")) as new,
        page_of(new, request, width=1280, height=1000) as page,
    ):
        page.goto(f"{site}notebooks/01_see_a_video_as_a_tensor.html")
        page.get_by_role("button", name="your camera").click()
        expect(page.locator(".explorer .said")).to_contain_text("Filming: ")
        expect(page.locator(".explorer .said")).to_have_text("", timeout=20_000)
        row = page.get_by_role("slider", name="row")
        assert row.get_attribute("max") == "111"
        at = "(c, x, y) => [...c.getContext('2d').getImageData(c.width * x, c.height * y, 1, 1).data].slice(0, 3)"
        flat = page.locator("canvas.flat")
        inside, outside = (flat.evaluate(f"c => ({at})(c, {x}, {y})") for x, y in ((0.2, 0.2), (0.05, 0.05)))
        assert min(inside) > 200 and max(outside) < 60
