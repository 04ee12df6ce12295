"""What all drawings share: colours, fonts, and how a figure is shown with its sentence."""

import base64
import io

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from PIL import Image

# Okabe and Ito's colours, which also those tell apart who do not see red or green.
SPACE = "#0072B2"
TIME = "#D55E00"
ANSWER = "#009E73"  # what a network says
INK = "#333333"
PALE = "#D9D9D9"

STYLE = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
}


def new_figure(width, height):
    """An empty figure in the style of the series, `width` x `height` inches, that pyplot does not know of."""
    with plt.rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def show(figure, alt):
    """Display a figure with a sentence for those who cannot see it.

    The sentence is the picture's alt text on a page, and stands in its place where only text is shown.

    Raises:
        ValueError: without such a sentence.
    """
    if not alt.strip():
        raise ValueError("say in a sentence what the figure shows")
    with io.BytesIO() as full, io.BytesIO() as small:
        figure.savefig(full, format="png")
        # 256 colours look the same here and make a stored page a third of the size.
        few = Image.open(full).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(small, format="png", optimize=True)
        picture = base64.b64encode(small.getvalue()).decode()
    display({"image/png": picture, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})


def add_axes(figure, *where, **how):
    """Axes in the style of the series; `where` and `how` as for matplotlib's `add_subplot`."""
    with plt.rc_context(STYLE):
        return figure.add_subplot(*where, **how)


def _arrow(axes, start, end):
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK, lw=1.2, shrinkA=0, shrinkB=0)
    )
