"""The figures, explorers and exercise checks of notebook 07."""

import tempfile
from pathlib import Path

import ipywidgets
import numpy as np
import torch
from IPython.display import display
from matplotlib.patches import Rectangle

from helpers import classify, plots, video
from helpers.classify import median_time
from helpers.lessons.exercises import check
from helpers.plots import (
    ANSWER,
    INK,
    TIME,
    matrix,
    new_figure,
)
from helpers.transforms import denormalize
from helpers.video import VideoError


def probs_by_clip(shares, labels, starts, keep=4):
    """What a network gives to each label in each clip of a video: a column a clip, in the order of time.

    Args:
        shares: (clips, labels), 0 to 1.
        labels: a text for each column of `shares`.
        starts: seconds at which the clips begin.
        keep: how many labels are drawn, those with the largest mean.
    """
    shares = np.asarray(shares)
    best = np.argsort(-shares.mean(0), kind="stable")[:keep]
    times = [f"{start:.1f} s" for start in starts]
    return matrix(shares[:, best].T, [labels[k] for k in best], times, xlabel="clip that begins at", color=TIME)


def ribbon(frames, segments, seconds):
    """What happens when: frames of a video above, and below them a ribbon of answers, the surer the darker.

    Args:
        frames: uint8 (count, H, W, 3), evenly spread over the video.
        segments: tuples of a start and an end in seconds, a label and its share, 0 to 1.
        seconds: how long the video is.
    """
    frames = np.asarray(frames)
    high = 9.2 / len(frames) * frames.shape[1] / frames.shape[2]
    figure = new_figure(9.6, high + 1.9)
    above, below = figure.subfigures(2, 1, height_ratios=(high + 0.1, 1.8))
    film, answers = above.add_subplot(), below.add_subplot()
    width = seconds / len(frames)
    for k, frame in enumerate(frames):
        film.imshow(frame, extent=(k * width, (k + 0.97) * width, 0, 1), aspect="auto")
    film.set(xlim=(0, seconds), ylim=(0, 1), xticks=[], yticks=[])
    film.spines[:].set_visible(False)
    for number, (start, end, label, share) in enumerate(segments):
        answers.add_patch(
            Rectangle(
                (start, 0), end - start, 1, facecolor=ANSWER, alpha=0.15 + 0.75 * share, edgecolor="white", lw=1.5
            )
        )
        place = (
            0.5 if (end - start) / seconds > 0.012 * len(label) else (1.25, 1.65, 2.05)[number % 3]
        )  # no room inside
        answers.text((start + end) / 2, place, label, ha="center", va="center", fontsize=9)
        if place > 1:
            answers.plot([(start + end) / 2] * 2, (1, place - 0.17), color=INK, lw=0.8)
    answers.set(xlim=(0, seconds), ylim=(0, 2.3), yticks=[])
    answers.set_title("the darker, the surer", loc="right", fontsize=9)
    answers.set_xlabel("seconds", color=TIME)
    answers.spines["left"].set_visible(False)
    return figure


def compare_precisions(network, x, device, dtype=torch.bfloat16):
    """What half precision gains and costs on this device, for this network.

    Args:
        network: in eval mode, on the device.
        x: a batch of clips, on the device.
        dtype: torch.bfloat16 or torch.float16.

    Returns:
        How many times as fast it is as float32, and the largest deviation of a logit, as a share of the largest logit.
    """

    def run(enabled):
        with torch.inference_mode(), torch.autocast(torch.device(device).type, dtype, enabled=enabled):
            return network(x)

    full, half = run(False), run(True).float()
    deviation = (full - half).abs().max() / full.abs().max()
    return median_time(lambda: run(False), device) / median_time(lambda: run(True), device), deviation.item()


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


def progress(items, total=1):
    """Go through items with a bar that shows how far it is, and that goes away at the end.

    Args:
        items: any iterable.
        total: how many there will be, as well as one knows.
    """
    bar = ipywidgets.IntProgress(0, 0, max(1, total))
    display(bar)
    try:
        for item in items:
            bar.value += 1
            yield item
    finally:
        bar.close()


def draw_over_time(path, pretrained, step=8):
    """Show what happens when in a video of any length: eight of its frames, and a ribbon of answers below.

    Classifies the video first, with a progress bar; `step` as for `classify.predict_stream`.

    Raises:
        VideoError: the file cannot be read.
    """
    rows, seconds = _answers_over_time(path, pretrained, step)
    found = classify.segments(rows, pretrained.labels, pretrained.frames / pretrained.fps)
    moments = [(k + 0.5) * seconds / 8 for k in range(8)]
    frames = [video.read_clip(path, moment, frames=1)[0] for moment in moments]
    figure = ribbon(torch.stack(frames), found, found[-1].end)
    answers = list(dict.fromkeys(one.label for one in found))  # each once, in the order of time
    told = ", ".join(answers[:5]) + ", and others" * (len(answers) > 5)
    plots.show(figure, f"Eight frames of the video, and below them a ribbon of answers: {told}.")
    print(*found, sep="\n")


def _answers_over_time(path, pretrained, step):
    """The rows of `classify.predict_stream`, with a progress bar while they come, and how many seconds the video lasts."""
    seconds = video.probe(path).seconds
    return list(
        progress(classify.predict_stream(path, pretrained, step), int(seconds * pretrained.fps / step))
    ), seconds


def draw_moment(path, pretrained, start, shares):
    """Show a clip of a video as the network saw it, and what it said."""
    clip = pretrained.preprocess(video.read_clip(path, start, pretrained.frames, pretrained.fps))
    answers = classify.top_k(shares, pretrained.labels)
    plots.show(
        plots.predictions_beside_frames(denormalize(clip), answers),
        f"Four frames of the clip, of which {answers[0].label} is the answer.",
    )
    print(f"{start:.1f} s: {answers[0].label}, {answers[0].probability:.0%}")


def player(path, pretrained, step=8):
    """Play a video as the network saw it, with its five best answers moving along.

    Classifies the video first, with a progress bar; `step` as for `classify.predict_stream`.

    Returns:
        The widget, to be displayed; `.children` are the play button, the slider and the output, `.rows` the answers.

    Raises:
        VideoError: the file cannot be read.
    """
    rows, _ = _answers_over_time(path, pretrained, step)
    play = ipywidgets.Play(0, 0, len(rows) - 1, interval=int(1000 * step / pretrained.fps))
    slider = ipywidgets.SelectionSlider(
        options=[(f"{start:.1f} s", k) for k, (start, _) in enumerate(rows)], description="time"
    )
    output = ipywidgets.interactive_output(lambda k: draw_moment(path, pretrained, *rows[k]), {"k": slider})
    play.observe(lambda change: setattr(slider, "index", change["new"]), names="value")
    box = ipywidgets.VBox([play, slider, output])
    box.rows = rows
    return box


def check_protocol_starts(answer):
    """Notebook 07: at which frames torchvision's five clips of 16 begin, given how many frames a video has."""

    def attempt():
        assert list(answer(16)) == [0] * 5, "A video of 16 frames has one clip, from frame 0; it is taken five times."
        last = list(answer(60))[-1]
        assert last == 44, f"Of 60 frames the last clip begins at 44, so that it ends with the video; yours at {last}."
        for n in (60, 17, 20, 31, 100, 6751):
            right, given = [k * (n - 16) // 4 for k in range(5)], list(answer(n))
            assert len(given) == 5, f"Five clips are wanted; you say {given}."
            assert given == right, f"Of {n} frames they begin at {right}: evenly spread, rounded down. You say {given}."

    return check("protocol_starts", answer, attempt)


def check_vote(answer):
    """Notebook 07: the answer for a video from the logits of its clips (clips, classes), an index."""

    def attempt():
        alone = torch.tensor([[1.0, 3.0, 2.0]])
        assert answer(alone) == 1, "With a single clip it is the class with the highest logit."
        loud = torch.tensor([[30.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0]])
        assert answer(loud) == 1, "One clip with large logits has overruled two: average after the softmax."
        close = torch.tensor([[2.0, 1.9, 0], [2.0, 1.9, 0], [0, 3.0, 0]])
        assert answer(close) == 1, "Do not count heads: a clip that is nearly undecided has half a voice for each."

    return check("vote", answer, attempt)
