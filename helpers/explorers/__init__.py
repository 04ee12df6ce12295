"""The front ends of the explorers: plain ES modules, which JupyterLab and the site run alike.

A module exports `default { render({ model, el }) }`, as anywidget asks for, and what it computes, for the tests. What all
of them share is in common.js. A widget is `class Some(anywidget.AnyWidget)` with `_esm, _css = front("some")` and traits.
"""

import base64
import json
import re
from pathlib import Path

from ipywidgets import DOMWidget

__all__ = ["front", "on_page"]

FOLDER = Path(__file__).parent


def front(name: str) -> tuple[str, str]:
    """The text of a module, together with what it imports since a widget is loaded from one text, and the style sheet."""
    shared, own = ((FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in ("common", name))
    shared = re.sub(r"^export ", "", shared, flags=re.MULTILINE)
    own = re.sub(r'^import \{[^}]*\} from "\./common\.js";\n', "", own, flags=re.MULTILINE)
    return shared + own, (FOLDER / "explorers.css").read_text(encoding="utf-8")


def on_page(widget: DOMWidget) -> str:
    """What a page without a kernel needs to run an explorer, as JSON: its module, and the model with which it begins."""
    names = [n for n in widget.keys if not n.startswith("_") and n not in DOMWidget.class_trait_names()]
    model = {name: getattr(widget, name) for name in names}
    return json.dumps(
        dict(module=widget._esm, model=model), default=lambda b: dict(base64=base64.b64encode(b).decode())
    )
