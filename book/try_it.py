"""What the page "Try it" needs beside its text: the network, some clips, its modules, and the runtime from npm.

Without npm, or without the packages of `make extras`, the site is built without that page.
"""

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from helpers import stickfigures, video, weights

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "build" / "npm"
RUNTIME = ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm",
           "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # fmt: skip
UNKNOWN = ("clap", "hop")  # two actions that the weights have never seen


def missing():
    """Why the page cannot be made, as a sentence; None if it can. Fetches the packages of package.json if need be."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        return "the packages of `make extras` are not installed"
    if not shutil.which("npm"):
        return "npm is not installed"
    PACKAGES.mkdir(parents=True, exist_ok=True)
    wanted, there = HERE / "package.json", PACKAGES / "package.json"
    if there.exists() and there.read_bytes() == wanted.read_bytes():
        return None
    command = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    done = subprocess.run(
        [*command, "--prefix", str(PACKAGES), *_packages(wanted)], capture_output=True, text=True, cwd=PACKAGES
    )
    if done.returncode:
        return f"npm could not fetch the packages: {done.stderr.strip() or done.stdout.strip()}"
    shutil.copyfile(wanted, there)  # last: it says that all are there
    return None


def _packages(file):
    return [
        f"{name}@{version}" for name, version in json.loads(file.read_text(encoding="utf-8"))["dependencies"].items()
    ]


def build(static):
    """Write all of it below the folder of the site's static files."""
    from helpers.scale.export import export_for_page

    place = static / "try"
    modules = PACKAGES / "node_modules"
    shutil.rmtree(place, ignore_errors=True)  # what an earlier build has left
    shutil.copytree(HERE / "try", place)
    shutil.copytree(HERE.parent / "helpers" / "explorers", static / "explorers", dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("*.py", "__pycache__"))  # fmt: skip
    (place / "ort").mkdir(exist_ok=True)
    for name in RUNTIME:
        shutil.copyfile(modules / "onnxruntime-web" / "dist" / name, place / "ort" / name)
    shutil.copyfile(modules / "fflate" / "esm" / "browser.js", place / "fflate.js")
    pretrained = weights.load()
    about = export_for_page(pretrained, place / "network")
    about["runtime"] = {kind: (place / "ort" / RUNTIME[k]).stat().st_size for kind, k in (("webgpu", 1), ("wasm", 3))}
    (place / "clips").mkdir(exist_ok=True)
    about["version"] = json.loads((modules / "onnxruntime-web" / "package.json").read_text(encoding="utf-8"))["version"]
    about["clips"] = [_clip(place / "clips", k, *clip) for k, clip in enumerate(_clips(pretrained))]
    frames = next(_clips(pretrained))[1]
    with torch.inference_mode():
        about["logits"] = pretrained.network(pretrained.preprocess(frames)[None])[0].tolist()
    (place / "network" / "network.json").write_text(json.dumps(about), encoding="utf-8")


def _clips(pretrained):
    """Pairs of a name and frames: the clip of the repository, one of each action, and two of unknown ones."""
    _, frames = video.read_middle_clip(weights.ASSETS / "jumping_jacks.mp4", pretrained.frames, pretrained.fps)
    yield "jumping jacks, the clip of the notebooks", frames
    for k, action in enumerate((*pretrained.labels, *UNKNOWN)):
        film = stickfigures.scene(action, 900, k, frames=pretrained.frames, size=(120, 160)).frames
        yield action + (", never seen in training" if action in UNKNOWN else ""), torch.from_numpy(film)


def _clip(folder, number, name, frames):
    """Store the frames as one picture without loss, four in a row."""
    count, height, width, _ = frames.shape
    rows = math.ceil(count / 4)
    sheet = np.zeros((rows * height, 4 * width, 3), np.uint8)
    for t, frame in enumerate(frames.numpy()):
        row, column = divmod(t, 4)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame
    file = f"{number:02}_{name.split(',')[0].replace(' ', '_')}.webp"
    Image.fromarray(sheet).save(folder / file, lossless=True)
    return dict(name=name, file=file, width=width, height=height, count=count)
