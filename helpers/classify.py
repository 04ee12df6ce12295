"""From a video file to what happens in it. Built in notebook 08; `python -m helpers.classify FILE...` does the same."""

import argparse
import json
import sys
from typing import NamedTuple

import torch

from helpers import video, weights


class Answer(NamedTuple):
    """One label and the share that the network gives it, 0 to 1."""

    label: str
    probability: float

    def __str__(self):
        return f"{self.probability:7.1%}  {self.label}"


def best_device():
    """CUDA where there is one, else Apple's MPS, else the CPU; the CPU if VIDEO_RESNET_OFFLINE=1."""
    if weights.offline():
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def probabilities(pretrained, clips, device=None):
    """The mean, over clips, of the softmax of a network's logits.

    Args:
        pretrained: a `weights.Pretrained`; its network is moved to `device`.
        clips: uint8 clips (T, H, W, 3), one after another; only one at a time is on the device.
        device: by default `best_device()`.

    Returns:
        A float tensor (labels,) on the CPU; its sum is 1.
    """
    device = device or best_device()
    network = pretrained.network.to(device)
    shares = []
    with torch.inference_mode():
        for clip in clips:
            x = pretrained.preprocess(clip)[None].to(device)  # (1, 3, T, 112, 112)
            shares.append(network(x).softmax(1)[0].cpu())
    return torch.stack(shares).mean(0)


def features(pretrained, clips, device=None):
    """What a network knows of clips before its last layer: the means of the last maps, for networks of one's own.

    Args:
        pretrained, clips, device: as for `probabilities`.

    Returns:
        A float tensor (clips, channels) on the CPU.
    """
    device = device or best_device()
    network = pretrained.network.to(device)
    rows = []
    with torch.inference_mode():
        for clip in clips:
            x = pretrained.preprocess(clip)[None].to(device)  # (1, 3, T, 112, 112)
            for part in (network.stem, network.layer1, network.layer2, network.layer3, network.layer4, network.avgpool):
                x = part(x)
            rows.append(x.flatten().cpu())
    return torch.stack(rows)


def top(shares, labels, k=5):
    """The `k` labels with the largest shares, largest first, as a list of `Answer`."""
    best = shares.topk(min(k, len(labels)))
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [Answer(labels[index], share) for index, share in pairs]


def classify(path, pretrained, clips=5, k=5, device=None):
    """What happens in a video: the best `k` answers, averaged over clips spread over its length.

    Args:
        path: a video file.
        pretrained: a `weights.Pretrained`.
        clips: how many; one is taken from the beginning.

    Returns:
        A list of `Answer`, best first.

    Raises:
        video.VideoError: the file cannot be read.
        ValueError: nobody has told what the network's logits stand for.
    """
    _refuse_without_labels(pretrained)
    film = video.read_clips(path, clips, pretrained.frames, pretrained.rate)
    return top(probabilities(pretrained, film, device), pretrained.labels, k)


def _refuse_without_labels(pretrained):
    if pretrained.labels is None:
        raise ValueError(
            f"{pretrained.name} has no labels: nobody has published what its classes are. It is good for features, "
            "to train a last layer of your own on: classify.features(...)"
        )


def main(arguments=None):
    """The command; 0 if every file was classified, 1 if some could not be, 2 if the weights could not be had."""
    parser = argparse.ArgumentParser(prog="python -m helpers.classify", description="Say what happens in video files.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a video")
    parser.add_argument("--weights", default="stickfigures", choices=weights.NAMES, help="default: %(default)s")
    parser.add_argument("--clips", type=_count, default=5, help="clips of a video that are averaged, default: %(default)s")
    parser.add_argument("--top", type=_count, default=5, help="answers a video, default: %(default)s")
    parser.add_argument("--device", type=_device, help="cuda, mps or cpu, default: the first of these that is there")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a file name that the terminal cannot show must not end the run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        pretrained = weights.load(options.weights)
        _refuse_without_labels(pretrained)
    except (weights.WeightsError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if not options.json:
        print(f"R(2+1)D-18, weights {pretrained.name!r}. {pretrained.trained_on}")
    failed = 0
    for file in options.files:
        try:
            answers = classify(file, pretrained, options.clips, options.top, options.device)
            _print_answers(file, pretrained, options, answers)
        except video.VideoError as error:
            failed += 1
            if options.json:
                print(json.dumps({"file": file, "error": str(error)}), flush=True)
            else:
                print(f"\n{error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _print_answers(file, pretrained, options, answers):
    if options.json:
        row = {"file": file, "weights": pretrained.name, "clips": options.clips}
        print(json.dumps(row | {"answers": [answer._asdict() for answer in answers]}), flush=True)
    else:
        print(f"\n{file}", *answers, sep="\n", flush=True)


def _device(text):
    try:
        return torch.zeros(0, device=text).device
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be used here: {str(error).splitlines()[0]}") from None


def _count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
