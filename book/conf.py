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
import colab
import try_it

project = "Video networks, from an empty cell"
author = "the authors of the notebooks"
project_copyright = "MIT licence"
language = "en"

root_doc = "README"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/*.ipynb", "notebooks/solutions/*.ipynb"]
include_patterns += ["book/questions.md", "book/glossary.md"]
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
:caption: Look it up

book/questions
book/glossary
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

ONLINE = Path(__file__).parents[1] / "build" / "online"  # notebooks that `make online` has run with a connection
WITH_CONNECTION = (
    "This page was run with a connection when the site was built, so it shows real weights and videos. "
    "The notebook that you download was run without one."
)
WITHOUT_CONNECTION = "This page was run without a connection. When the site was built, {}."
workflow_repository = str(colab.repository())  # a value of Sphinx's: where it changes, all pages are made again

alts = {}  # of the pictures in the notebooks, by the names under which MyST-NB stores these
strips = {}  # of the pictures that move, by the same names: some of their frames side by side, which do not
explorers = {}  # by page: for each place with an explorer what the page needs to run it, or None


def read(app, name, source):
    """Add the table of contents to the first page, and note what the pictures of a notebook show."""
    if name == root_doc:
        contents = CONTENTS if WITHOUT is None else CONTENTS.replace("book/try_it", "")
        head, space, rest = source[0].partition("\n\n")
        rest = re.sub(r"!\[[^]]*\]\(img/kernels\.png\)\n", "", rest)  # a film of the explorer that runs in its place
        source[0] = head + (TRY_IT if WITHOUT is None else "") + space + rest + contents
        explorers[name] = [explorer("from helpers.lessons.compare_3d_and_2plus1d import kernel_explorer")]
    if not name.startswith("notebooks/"):
        return
    source[0] = with_targets(with_connection(app, name, source[0]))
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


def online_reasons():
    """Why notebooks could not be run by `make online`: a sentence for each."""
    missing = ONLINE / "missing.json"
    return json.loads(missing.read_text(encoding="utf-8")) if missing.exists() else {}


def with_connection(app, name, stored):
    """The source of a notebook's page: as `make online` has run it, or as it is stored, with a note that says why."""
    page, reasons = ONLINE / f"{Path(name).name}.ipynb", online_reasons()
    if name.count("/") > 1 or not (page.exists() or page.stem in reasons):
        return stored
    app.env.note_dependency(str(page if page.exists() else ONLINE / "missing.json"))
    note = WITH_CONNECTION if page.exists() else WITHOUT_CONNECTION.format(reasons[page.stem])
    notebook = json.loads(page.read_text(encoding="utf-8") if page.exists() else stored)
    cell = dict(cell_type="markdown", id="connection", metadata={}, source=f"```{{note}}\n{note}\n```")
    notebook["cells"].insert(1, cell)
    return json.dumps(notebook)


def with_targets(notebook):
    """A notebook whose anchors, `<a id="x"></a>` on a line of their own, are MyST's: it resolves links to these only."""
    return re.sub(r'"<a id=\\"([a-z0-9-]+)\\"></a>(?=\\n)', r'"(\1)=', notebook)


def changed_online(app, env, added, changed, removed):
    """Pages that are to be made again, because `make online` has run since; Sphinx looks at the stored notebooks only."""
    return [f"notebooks/{stem}" for stem in {page.stem for page in ONLINE.glob("*.ipynb")} | online_reasons().keys()]


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


def links(pairs):
    """A line of links with these texts and addresses."""
    line = nodes.paragraph(classes=["ways-in"])
    for text, address in pairs:
        line += nodes.reference("", text, refuri=address, internal=False)
    return line


def running(data):
    """The place of an explorer on a page."""
    return nodes.raw("", f'<div class="runs-here"><script type="application/json">{data}</script></div>', format="html")


def describe(app, tree):
    """Give pictures their sentences; run the explorer of a cell below it, or say how to make it move."""
    waiting = iter(explorers.get(app.env.docname, ()))
    if app.env.docname == root_doc:
        _, sentences, *_ = next(tree.findall(nodes.section)).children
        sentences.parent.insert(sentences.parent.index(sentences) + 1, running(next(waiting)))
    if pairs := app.env.docname.startswith("notebooks/") and colab.ways_in(f"{app.env.docname}.ipynb"):
        next(tree.findall(nodes.section)).insert(1, links(pairs))  # below the title
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
    app.add_config_value("workflow_repository", None, "env")
    app.connect("env-get-outdated", changed_online)
    app.connect("source-read", read)
    app.connect("doctree-read", describe)
    app.connect("build-finished", finish)
