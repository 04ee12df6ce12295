"""One file a notebook, with the notebook's name: its figures, its explorers and the checks of its exercises.

`..._figure` returns a figure, `draw_...` displays one, `..._explorer` returns a widget that draws
again when a control moves, and `check_...` says whether a reader's solution is right.
"""

from collections.abc import Iterable

__all__ = ["shape_text"]


def shape_text(shape: Iterable[int]) -> str:
    """A shape as text, for example "3 x 16 x 112 x 112"."""
    return " x ".join(map(str, shape))
