"""The front ends of the explorers: plain ES modules, which JupyterLab and the site run alike.

A module exports `default { render({ model, el }) }`, as anywidget asks for, and what it computes, for the tests. What all
of them share is in common.js. A widget is `class Some(anywidget.AnyWidget)` with `_esm, _css = front("some")` and traits.
"""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
from ipywidgets import DOMWidget
from numpy.typing import ArrayLike
from PIL import Image

__all__ = ["front", "mosaic", "on_page"]

FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


def front(name: str) -> tuple[str, str]:
    """The text of a module with all that it imports, since a widget is loaded from one text, and the style sheet."""
    texts, waiting = {}, [name]
    while waiting:
        module = waiting.pop()
        if module not in texts:
            texts[module] = (FOLDER / f"{module}.js").read_text(encoding="utf-8")
            waiting += re.findall(_IMPORT, texts[module])
    parts = [re.sub(_IMPORT, "", text) for text in texts.values()]
    parts[1:] = [re.sub(r"^export ", "", part, flags=re.MULTILINE) for part in parts[1:]]
    return "".join(parts[::-1]), (FOLDER / "explorers.css").read_text(encoding="utf-8")


def on_page(widget: DOMWidget) -> str:
    """What a page without a kernel needs to run an explorer, as JSON: its module, and the model with which it begins."""
    names = [n for n in widget.keys if not n.startswith("_") and n not in DOMWidget.class_trait_names()]
    model = {name: getattr(widget, name) for name in names}
    return json.dumps(
        dict(module=widget._esm, model=model), default=lambda b: dict(base64=base64.b64encode(b).decode())
    )


def mosaic(frames: ArrayLike) -> bytes:
    """A film as one WebP picture, at least eight frames a row, which film.js cuts up again; frames are uint8 (T, H, W, 3)."""
    frames = np.asarray(frames)
    count, height, width, _ = frames.shape
    columns = max(8, int(np.ceil(np.sqrt(count))))  # WebP pictures have at most 16,383 rows and columns
    rows = -(-count // columns)
    padded = np.zeros((columns * rows, height, width, 3), dtype=np.uint8)
    padded[:count] = frames
    tiles = padded.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    with io.BytesIO() as file:
        Image.fromarray(tiles).save(file, format="webp", quality=90)
        return file.getvalue()
