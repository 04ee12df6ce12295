"""The reader's camera in a notebook, for 07 and 12: record clips, or see what a network answers live."""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import torch
import traitlets

from helpers import classify, video
from helpers.explorers import front
from helpers.weights import Pretrained

__all__ = ["Recorder", "recognize_live", "record_clip", "record_motions", "run_button"]


def _sent():
    """Bytes from the browser, which come as a memoryview."""
    return traitlets.Bytes().tag(sync=True, from_json=lambda value, _: bytes(value))


class Recorder(anywidget.AnyWidget):
    """The front end: a camera, buttons to record, or to recognize live.

    A recording of `seconds` comes as `film`, a video file of the given `kind`, for one of the `labels` if there are any; then
    `number` rises. Live clips come as `clip`, uint8 of `shape` (T, H, W, 3), `frames` at `fps`; then `asked` rises, and no
    other comes before `answered` equals it. `said` is shown below.
    """

    _esm, _css = front("recorder")
    labels, counts = traitlets.List().tag(sync=True), traitlets.Dict().tag(sync=True)
    seconds, fps = traitlets.Float(2.0).tag(sync=True), traitlets.Float(15.0).tag(sync=True)
    film, kind = _sent(), traitlets.Unicode().tag(sync=True)
    label, number = traitlets.Unicode().tag(sync=True), traitlets.Int().tag(sync=True)
    live, frames = traitlets.Bool().tag(sync=True), traitlets.Int(16).tag(sync=True)
    clip, shape = _sent(), traitlets.List().tag(sync=True)
    asked, answered = traitlets.Int().tag(sync=True), traitlets.Int().tag(sync=True)
    said = traitlets.Unicode().tag(sync=True)


def record_clip(function: Callable[[Path], None], seconds: float = 2.0) -> ipywidgets.VBox:
    """A button that films the reader, and calls `function` with the path of the video, which is deleted afterwards.

    What `function` prints and draws appears below the button; so does a sentence if it fails. `.recorder` and `.output` are
    the parts of what is returned.
    """
    widget, output = Recorder(seconds=seconds), ipywidgets.Output()

    def recorded(_):
        output.clear_output()
        with output, tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"camera.{widget.kind}")
            path.write_bytes(widget.film)
            try:
                function(path)
                widget.said = "Recorded and classified."
            except Exception as error:  # the button has to go on
                widget.said = video.explain(path, error).replace(str(path), path.name)

    widget.observe(recorded, names="number")
    box = ipywidgets.VBox([widget, output])
    box.recorder, box.output = widget, output
    return box


def record_motions(folder: str | PathLike, labels: Sequence[str], seconds: float = 2.0) -> ipywidgets.DOMWidget:
    """Buttons that film motions into a folder with a folder for each label, as `datasets.scan_folder` wants it.

    The names are those of UCF101, every recording a group of its own: they can be split. What is there already is counted.
    """
    folder = Path(folder)

    def there():
        return {label: len(list((folder / label).glob("v_*_c01.*"))) for label in labels}

    for label in labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
    widget = Recorder(labels=list(labels), counts=there(), seconds=seconds)

    def recorded(_):
        name = f"v_{widget.label.replace(' ', '')}_g"
        taken = {path.name.split("_c01.")[0] for path in (folder / widget.label).iterdir()}
        number = next(k for k in itertools.count(1) if f"{name}{k:02}" not in taken)
        path = folder / widget.label / f"{name}{number:02}_c01.{widget.kind}"
        try:
            path.write_bytes(widget.film)
            widget.counts, widget.said = there(), f"Saved as {path.relative_to(folder)}"
        except OSError as error:
            widget.said = f"Not saved: {error}"

    widget.observe(recorded, names="number")
    return widget


def recognize_live(
    pretrained: Pretrained, threshold: float = 0.5, device: classify.Device = None
) -> ipywidgets.DOMWidget:
    """What a network says about the camera, a clip after another; "none of these" where no probability reaches the threshold."""
    widget = Recorder(live=True, frames=pretrained.frames, fps=pretrained.fps)

    def asked(_):
        try:
            frames = np.frombuffer(widget.clip, dtype=np.uint8).reshape(widget.shape)
            (probs,) = classify.predict_clips(pretrained, [torch.from_numpy(frames.copy())], device)
            best = classify.top_k(probs, pretrained.labels, 1)[0]
            sure = f"{best.label}, {best.probability:.0%}"
            widget.said = sure if best.probability >= threshold else f"none of these ({sure})"
        except Exception as error:  # the camera has to go on
            widget.said = str(error)
        finally:
            widget.answered = widget.asked

    widget.observe(asked, names="asked")
    return widget


def run_button(text: str, function: Callable[[], ipywidgets.DOMWidget]) -> ipywidgets.VBox:
    """A button that calls a function; below it what that prints, or why it failed, and the widget that it returns."""
    button, output = ipywidgets.Button(description=text, layout=dict(width="auto")), ipywidgets.Output()
    box = ipywidgets.VBox([button, output])

    def clicked(_):
        button.disabled = True
        box.children = (button, output)
        output.clear_output()
        try:
            with output:
                try:
                    box.children = (button, output, function())
                except ValueError as error:  # in which the helpers say what is missing
                    print(error)
        finally:
            button.disabled = False

    button.on_click(clicked)
    return box
