"""The series as a site: Sphinx reads the stored notebooks, runs none of them, and asks no network for anything.

`make book` builds it in build/book. The README is its first page, so that there is one table of contents and not two.
"""

import base64
import hashlib
import importlib
import io
import json
import re
import shutil
import sys
import typing
from pathlib import Path

import anywidget
from docutils import nodes
from PIL import Image

from helpers.explorers import on_page

sys.path.insert(0, str(Path(__file__).parent))
import try_it

project = "Video networks, from an empty cell"
author = "the authors of the notebooks"
project_copyright = "MIT licence"
language = "en"

root_doc = "README"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/*.ipynb", "notebooks/solutions/*.ipynb"]
exclude_patterns = [".venv", "build", "**/.ipynb_checkpoints"]
extensions = ["myst_nb", "sphinx_copybutton", "sphinx-mathjax-offline"]

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # no notebook stores the state of a widget
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

templates_path = ["."]
html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "favicon.svg"
html_context = {"default_mode": "auto"}  # dark or light, as the reader's system is
html_static_path = ["style.css", "try_it.css", "explorers.js", "../helpers/explorers/explorers.css"]
html_css_files = ["style.css", "explorers.css", "try_it.css"]
html_js_files = ["explorers.js"]
html_theme_options = {
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "use_download_button": True,
    "use_fullscreen_button": False,
}

WITHOUT = try_it.missing()  # why there is no page "Try it"; None where there is one
if WITHOUT is None:
    include_patterns.append("book/try_it.md")
else:
    print(f"The site is built without the page 'Try it': {WITHOUT}.")
TRY_IT = """

[**Try it**](book/try_it.md): the network of this series answers in your browser, about your own videos, and learns motions of
your own. Nothing is installed.
"""
CONTENTS = """

```{toctree}
:hidden:

book/try_it
```

```{toctree}
:hidden:
:caption: The series
:glob:

notebooks/*
```

```{toctree}
:hidden:
:caption: Solutions
:glob:

notebooks/solutions/*
```

```{toctree}
:hidden:
:caption: The project

CONTRIBUTING
CHANGELOG
```
"""
HOW_TO_MOVE = (
    "On this page nothing moves: what stands above is one position of the controls that this cell has. "
    "make lab opens the notebook in JupyterLab; run it there, and they are yours."
)
IT_MOVES = (
    "This page runs the same explorer as JupyterLab. It computes in JavaScript what the notebook computes in Python."
)

alts = {}  # of the pictures in the notebooks, by the names under which MyST-NB stores these
strips = {}  # of the pictures that move, by the same names: some of their frames side by side, which do not
explorers = {}  # by page: for each place with an explorer what the page needs to run it, or None


def read(app, name, source):
    """Add the table of contents to the first page, and note what the pictures of a notebook show."""
    if name == root_doc:
        contents = CONTENTS if WITHOUT is None else CONTENTS.replace("book/try_it", "")
        head, space, rest = source[0].partition("\n\n")
        source[0] = head + (TRY_IT if WITHOUT is None else "") + space + rest + contents
        explorers[name] = [explorer("from helpers.lessons.compare_3d_and_2plus1d import kernel_explorer")]
    if not name.startswith("notebooks/"):
        return
    cells = json.loads(source[0])["cells"]
    explorers[name] = [
        explorer("".join(cell["source"])) for cell in cells if "widget" in cell["metadata"].get("tags", [])
    ]
    for cell in cells:
        for output in cell.get("outputs", []):
            if picture := output.get("data", {}).get("image/png"):
                content = base64.b64decode("".join(picture))
                name = f"{hashlib.sha256(content).hexdigest()}.png"
                alts[name] = output["metadata"]["image/png"]["alt"]
                if b"acTL" in content[:1200]:  # an animated PNG says so near its beginning
                    strips[name] = strip(content)


def strip(content, count=6):
    """Some frames of an animated picture as one picture, for readers who asked for less motion."""
    with Image.open(io.BytesIO(content)) as film:
        frames = []
        for k in range(count):
            film.seek(k * (film.n_frames - 1) // (count - 1))
            frames.append(film.convert("RGB"))
    whole = Image.new("RGB", (count * (frames[0].width + 4) - 4, frames[0].height), "white")
    for k, frame in enumerate(frames):
        whole.paste(frame, (k * (frame.width + 4), 0))
    with io.BytesIO() as file:
        whole.save(file, "png")
        return file.getvalue()


def explorer(source):
    """What a page needs to run the explorer of a cell: its module, and its model as it begins; None if it is no explorer."""
    lesson, name = re.search(r"from (helpers\.lessons\.\w+) import (\w+)", source).groups()
    factory = getattr(importlib.import_module(lesson), name)
    if not issubclass(typing.get_type_hints(factory)["return"], anywidget.AnyWidget):
        return None
    return on_page(factory()).replace("</", "<\\/")


def running(data):
    """The place of an explorer on a page."""
    return nodes.raw("", f'<div class="runs-here"><script type="application/json">{data}</script></div>', format="html")


def describe(app, tree):
    """Give pictures their sentences; run the explorer of a cell below it, or say how to make it move."""
    waiting = iter(explorers.get(app.env.docname, ()))
    if app.env.docname == root_doc:
        _, sentences, *_ = next(tree.findall(nodes.section)).children
        sentences.parent.insert(sentences.parent.index(sentences) + 1, running(next(waiting)))
    for image in tree.findall(nodes.image):
        if sentence := alts.get(Path(image["uri"]).name):
            image["alt"] = sentence
        if Path(image["uri"]).name in strips:
            image["classes"].append("moves")
    for cell in tree.findall(nodes.container):
        if "tag_widget" in cell["classes"]:
            if data := next(waiting):
                cell += running(data)
            cell += nodes.paragraph("", IT_MOVES if data else HOW_TO_MOVE, classes=["how-it-moves"])


def finish(app, error):
    """Whoever asks for the folder wants the first page; whoever asks for less motion gets pictures that stand still."""
    if error is None:
        shutil.copyfile(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))
        folder = Path(app.outdir, "_static", "strips")
        folder.mkdir(exist_ok=True)
        for name, content in strips.items():
            (folder / name).write_bytes(content)
        if WITHOUT is None:
            try_it.build(Path(app.outdir, "_static"))


def setup(app):
    app.connect("source-read", read)
    app.connect("doctree-read", describe)
    app.connect("build-finished", finish)
