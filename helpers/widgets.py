"""Sliders and buttons around the drawings. Each is a plain function with a widget in front, so that it also works alone."""

import tempfile
from pathlib import Path

import ipywidgets

from helpers import plots
from helpers.video import VideoError


def upload_button(function):
    """A button that takes a file from the reader's computer and calls `function` with its path.

    What `function` prints and draws appears below the button; a file that is no video gives a sentence there.

    Returns:
        The widget, to be displayed; `.button` is the upload button, `.output` where the results appear.
    """
    button = ipywidgets.FileUpload(accept="video/*,.avi,.mkv,.mov,.mp4,.webm", multiple=False, description="Your video")
    output = ipywidgets.Output()

    def uploaded(change):
        if not change["new"]:
            return
        file = change["new"][0]
        output.clear_output()
        with output, tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(file["name"]).name)
            path.write_bytes(file["content"])
            try:
                function(path)
            except VideoError as error:
                print(str(error).replace(str(path), path.name))
            finally:
                button.value = ()  # so that the same file can be sent again, and its bytes are let go

    button.observe(uploaded, names="value")
    box = ipywidgets.VBox([button, output])
    box.button, box.output = button, output
    return box




def slice_explorer(film):
    """Sliders for the moment, the row and the column of `plots.slices`; (T, H, W, 3) uint8.

    Returns:
        The widget; `.children[0]` to `[2]` are its sliders.
    """
    frames, height, width = film.shape[:3]

    def draw(time, row, column):
        alt = f"Frame {time} with row {row} and column {column} marked, and how these two look in all frames."
        plots.show(plots.slices(film, time, row, column), alt)

    def slider(count, value):
        return ipywidgets.IntSlider(value, 0, count - 1, continuous_update=False)

    sliders = dict(time=slider(frames, frames // 2), row=slider(height, height // 2), column=slider(width, width // 2))
    return ipywidgets.interactive(draw, **sliders)
