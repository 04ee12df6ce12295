"""What all drawings share: colours, fonts, and how a figure is shown with its sentence."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours, which also those tell apart who do not see red or green.
SPACE = "#0072B2"
TIME = "#D55E00"
ANSWER = "#009E73"  # what a network says
INK = "#333333"
PALE = "#D9D9D9"
OURS = SPACE, TIME, ANSWER, INK, PALE, "white"
SHADES = LinearSegmentedColormap.from_list("shades", ["white", ANSWER])  # of cells, the larger the darker

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
    """An empty figure in the style of the series, `width` x `height` inches, that pyplot does not know of.

    The style stays matplotlib's own from here on, so that it also holds for what is drawn on the figure later.
    """
    plt.rcParams.update(STYLE)
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
        _in_few_colours(np.asarray(Image.open(full).convert("RGB"))).save(small, format="png", optimize=True)
        picture = base64.b64encode(small.getvalue()).decode()
    display({"image/png": picture, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})


def _in_few_colours(pixels, colours=192, common=12):
    """A picture in so few colours that a stored page has a third of the size.

    The colours of the series and the most common ones stay as they are, the others are rounded.

    Args:
        pixels: uint8 (H, W, 3).
        colours: how many there are to be at most, 256 or fewer.
        common: how many of them are kept because they are common.
    """
    codes = pixels.astype(int) @ (256**2, 256, 1)  # (H, W), a number for each colour
    found, counts = np.unique(codes, return_counts=True)
    ours = [round(255 * r) * 256**2 + round(255 * g) * 256 + round(255 * b) for r, g, b in map(to_rgb, OURS)]
    kept = np.union1d(ours, found[np.argsort(-counts, kind="stable")[:common]])
    index = np.searchsorted(kept, codes)
    palette = np.stack([kept // 256**2, kept // 256 % 256, kept % 256], axis=-1).flatten().tolist()
    others = ~np.isin(codes, kept)
    if others.any():
        few = Image.fromarray(pixels[others][None]).quantize(
            colours - len(kept), Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        index[others] = len(kept) + np.asarray(few)[0]
        palette += few.getpalette()
    picture = Image.fromarray(index.astype(np.uint8))
    picture.putpalette(palette)
    return picture


def add_axes(figure, *where, **how):
    """Axes of a figure; `where` and `how` as for matplotlib's `add_subplot`."""
    return figure.add_subplot(*where, **how)
