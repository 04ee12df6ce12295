"""Draw the pictures of this folder: `make pictures`. Schematic ones are SVG, those with many pixels PNG or JPEG."""

import base64
import io
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from PIL import Image

from helpers import classify, plots, stickfigures, transforms, video, weights

HERE = Path(__file__).parent
CLIP = weights.ASSETS / "jumping_jacks.mp4"


def save(figure, name):
    with plt.rc_context({"svg.hashsalt": "video-resnet", "svg.fonttype": "path"}):
        options = {
            "svg": dict(metadata={"Date": None}),
            "png": dict(dpi=150),
            "jpg": dict(dpi=120, pil_kwargs={"quality": 85}),
        }
        figure.savefig(HERE / name, **options[name[-3:]])


def canvas(width, height):
    """Axes without axes, one unit an inch."""
    figure = plots.new_figure(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def stack(axes, frames, x, y, width, step=0.13):
    """Frames one behind the other, the first in front: later ones lie further to the upper right."""
    height = width * frames.shape[1] / frames.shape[2]
    for k in reversed(range(len(frames))):
        left, low = x + k * step, y + k * step
        axes.imshow(frames[k], extent=(left, left + width, low, low + height), zorder=2 - 0.1 * k)
        axes.add_patch(Rectangle((left, low), width, height, fill=False, color="white", lw=1, zorder=2.05 - 0.1 * k))
    axes.set(xlim=(0, axes.figure.get_figwidth()), ylim=(0, axes.figure.get_figheight()), aspect="auto")


def arrow(axes, start, end, text):
    axes.add_patch(
        FancyArrowPatch((start, 1.25), (end, 1.25), arrowstyle="-|>", mutation_scale=16, color=plots.INK, lw=1.6)
    )
    axes.text((start + end) / 2, 1.36, text, ha="center", va="bottom", fontsize=9.5, color=plots.INK)


def below(axes, x, title, *detail):
    """A title, and below it words that may be coloured: texts, or pairs of a text and its colour."""
    axes.text(x, 0.42, title, ha="center", va="center", fontsize=11, weight="bold")
    words = [(word, plots.INK) if isinstance(word, str) else word for word in detail]
    left = x - 0.085 * sum(len(word) for word, _ in words) / 2
    for word, color in words:
        axes.text(left, 0.17, word, ha="left", va="center", fontsize=10, color=color, family="DejaVu Sans Mono")
        left += 0.085 * len(word)


def pipeline():
    """From a file to a prediction: what each step makes of it."""
    frames = video.read_clip(CLIP)
    clip = transforms.center_crop(transforms.resize(frames))
    figure, axes = canvas(10.4, 2.6)
    axes.add_patch(FancyBboxPatch((0.2, 0.85), 0.75, 0.9, boxstyle="round,pad=0.05", fc="white", ec=plots.INK, lw=1.4))
    axes.text(0.575, 1.3, "mp4", ha="center", va="center", fontsize=13)
    below(axes, 0.72, "file", ("4 s", plots.TIME), " at ", ("30/s", plots.TIME))
    arrow(axes, 1.15, 1.95, "decode")
    stack(axes, frames[[0, 5, 10, 15]].numpy(), 2.05, 0.75, 1.25)
    below(axes, 2.85, "frames", ("16", plots.TIME), " x ", ("256 x 342", plots.SPACE), " x 3")
    arrow(axes, 3.85, 4.75, "preprocess")
    stack(axes, clip[[0, 5, 10, 15]].numpy(), 4.85, 0.75, 0.9)
    below(axes, 5.45, "clip", "3 x ", ("16", plots.TIME), " x ", ("112 x 112", plots.SPACE))
    arrow(axes, 6.3, 6.95, "")
    for k, (wide, high) in enumerate(((0.16, 1.0), (0.2, 0.8), (0.24, 0.6), (0.28, 0.4))):
        axes.add_patch(
            Rectangle((7.05 + 0.32 * k, 1.25 - high / 2), wide, high, color=plots.INK, alpha=0.4 + 0.15 * k, lw=0)
        )
    below(axes, 7.68, "network", "R(2+1)D-18")
    arrow(axes, 8.4, 9.0, "softmax")
    for k, length in enumerate((0.95, 0.012, 0.012, 0.012)):  # 95 %; the next have less than 1 %
        color = plots.ANSWER if k == 0 else plots.PALE
        axes.add_patch(Rectangle((9.12, 1.62 - 0.26 * k), length, 0.18, color=color, lw=0))
    below(axes, 9.6, "prediction", "jumping jacks")
    save(figure, "pipeline.svg")


def network_map(number, *lit):
    """The whole network from clip to logits, the parts that notebook `number` is about lit up."""
    figure, axes = canvas(10.4, 2.3)
    plots.draw_network(axes, lit=lit)
    save(figure, f"map_{number}.svg")


def axes_of_a_clip():
    """The same clip with its colours last, as it is decoded, and first, as PyTorch wants it."""
    frames = stickfigures.scene("walk", 5, 8, frames=5, size=(72, 96)).frames
    figure, axes = canvas(10.4, 3.3)
    stack(axes, frames, 0.9, 1.05, 1.6, step=0.17)
    _letters(axes, 0.9, 1.05, 1.6, 1.2, 4 * 0.17)
    below(axes, 2.05, "decoded", ("T", plots.TIME), ", ", ("H, W", plots.SPACE), ", C")
    axes.text(2.05, 3.08, "each pixel holds its three colours", ha="center", fontsize=9.5)
    axes.add_patch(
        FancyArrowPatch((3.75, 1.7), (4.75, 1.7), arrowstyle="-|>", mutation_scale=16, color=plots.INK, lw=1.6)
    )
    axes.text(4.25, 1.82, "permute(3, 0, 1, 2)", ha="center", fontsize=9.5)
    for channel, (name, left) in enumerate((("red", 5.3), ("green", 7.05), ("blue", 8.8))):
        light = np.eye(3)[channel] if name != "blue" else (0.35, 0.55, 1)  # pure blue is too dark to see the figure
        single = (255 * (frames[..., [channel]] / 255) ** 0.5 * np.array(light)).astype(np.uint8)
        stack(axes, single, left, 1.15, 1.0, step=0.1)
        axes.text(left + 0.7, 2.45, f"C = {channel}: {name}", ha="center", fontsize=9.5)
    _letters(axes, 5.3, 1.15, 1.0, 0.75, 4 * 0.1)
    below(axes, 7.75, "what a network reads", "B, C, ", ("T", plots.TIME), ", ", ("H, W", plots.SPACE))
    axes.text(7.75, 3.08, "three stacks, one for each colour; in front of them B, the batch", ha="center", fontsize=9.5)
    save(figure, "axes.svg")


def _letters(axes, x, y, width, height, depth):
    """H, W and T along the edges of a stack."""
    axes.text(x - 0.1, y + height / 2, "H", ha="right", va="center", color=plots.SPACE, fontsize=12, weight="bold")
    axes.text(x + width / 2, y - 0.1, "W", ha="center", va="top", color=plots.SPACE, fontsize=12, weight="bold")
    ends = (x + width + 0.08, y), (x + width + 0.08 + depth, y + depth)
    axes.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=10, color=plots.TIME, lw=1.3))
    axes.text(
        x + width + depth / 2 + 0.16,
        y + depth / 2 - 0.04,
        "T",
        ha="center",
        va="top",
        color=plots.TIME,
        fontsize=12,
        weight="bold",
    )


def classified():
    """The first thing that a visitor sees: a clip of the repository and what its network predicts."""
    pretrained = weights.load("stickfigures")
    frames = video.read_clip(CLIP, frames=16)
    predictions = classify.predict_video(CLIP, pretrained, device="cpu")
    save(plots.predictions_beside_frames(frames, predictions), "classified.png")


def actions():
    """Eight frames of each action, one row each."""
    figure = plots.new_figure(8.0, 8.2)
    rows = []
    for label, action in enumerate(stickfigures.ACTIONS):
        frames = stickfigures.scene(action, seed=21, index=label, size=96).frames[::2]
        rows.append(np.concatenate([np.pad(f, ((2, 2), (2, 2), (0, 0)), constant_values=255) for f in frames], axis=1))
    axes = figure.add_subplot()
    axes.imshow(np.concatenate(rows))
    axes.set_yticks(50 + 100 * np.arange(len(rows)), stickfigures.ACTIONS)
    axes.set_xticks(50 + 100 * np.arange(8), [f"{k / 7.5:.2f} s" for k in range(8)], color=plots.TIME)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    save(figure, "actions.jpg")


def series():
    """The notebooks in their order: the beginning of a file name and the cells."""
    for path in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        yield path.name[:2], json.loads(path.read_text(encoding="utf-8"))["cells"]


def maps():
    """For each notebook the network with the parts lit up that the notebook is about; its first cell's metadata names them."""
    for number, cells in series():
        if "lit" in cells[0]["metadata"]:
            network_map(number, *cells[0]["metadata"]["lit"])


def thumbnails():
    """For the table in the README the figure of the cell that is tagged `thumbnail`, small."""
    for number, cells in series():
        (cell,) = (cell for cell in cells if "thumbnail" in cell["metadata"].get("tags", []))
        (data,) = (output["data"]["image/png"] for output in cell["outputs"] if "image/png" in output.get("data", {}))
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            size = 240, round(240 * picture.height / picture.width)
            small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        small.quantize(64).save(HERE / f"{number}.png", optimize=True)


if __name__ == "__main__":
    with plots.style():
        maps()
        axes_of_a_clip()
        pipeline()
        classified()
        actions()
        thumbnails()
