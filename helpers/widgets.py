"""Sliders and buttons around the drawings. Each is a plain function with a widget in front, so that it also works alone."""

import tempfile
from pathlib import Path

import ipywidgets

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

    button.observe(uploaded, names="value")
    box = ipywidgets.VBox([button, output])
    box.button, box.output = button, output
    return box


