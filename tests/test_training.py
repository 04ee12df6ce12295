"""The loop learns, repeats itself exactly, and goes on after it was killed as if nothing had happened."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn
from torch.utils.data import TensorDataset

from helpers import classify, training

SCRIPT = """
import sys, torch
from helpers.networks import r2plus1d_18
from helpers.stickfigures import StickFigures
from helpers.training import mirror, train
from helpers.video import normalize
torch.manual_seed(0)
network = r2plus1d_18(num_classes=10, width=8)
clips = StickFigures(40, seed=1, frames=8, size=32, transform=normalize)
train(network, clips, clips, epochs=3, batch_size=8, seed=4, augment=mirror, checkpoint=sys.argv[1])
torch.save(network.state_dict(), sys.argv[2])
"""


def run(folder, name):
    command = [sys.executable, "-c", SCRIPT, str(folder / f"{name}.checkpoint"), str(folder / f"{name}.pt")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def finish(process):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return out


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(tmp_path):
    whole = finish(run(tmp_path, "whole"))
    killed = run(tmp_path, "killed")
    checkpoint = tmp_path / "killed.checkpoint"
    while not checkpoint.exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)  # in its second epoch
    before, _ = killed.communicate()
    assert killed.returncode != 0 and not (tmp_path / "killed.pt").exists()
    after = finish(run(tmp_path, "killed"))

    def numbers(text):  # all of a line but the seconds
        return [line.rsplit("  ", 1)[0] for line in text.splitlines()]

    assert [len(numbers(text)) for text in (whole, before, after)] == [3, 1, 2]
    assert numbers(before) + numbers(after) == numbers(whole)
    states = [torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert finish(run(tmp_path, "killed")) == ""  # all is done: nothing is trained again


class Dots(TensorDataset):
    """Clips in which a dot moves left or right; the label says which. Learnt in seconds, by motion alone."""

    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        label = torch.randint(0, 2, (count,), generator=generator)
        start = torch.randint(6, 10, (count,), generator=generator)
        clips = torch.zeros(count, 1, 6, 8, 16)
        for k in range(count):
            for t in range(6):
                clips[k, 0, t, 2:5, start[k] + t * (2 * label[k] - 1)] = 1
        super().__init__(clips, label)


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 2)
    )


def test_it_learns_and_reports_each_epoch(capsys):
    history = training.train(small_network(), Dots(200, 0), Dots(100, 1), epochs=8, lr=1e-2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(history) == 8 and lines[0].startswith("epoch  1/8  loss ")
    assert history[-1]["test"] > 0.95 and history[-1]["loss"] < history[0]["loss"]


def test_predict_is_in_eval_mode_and_in_order():
    network, clips = small_network().train(), Dots(37, 3)
    logits, labels = training.predict(network, clips, batch_size=8)
    assert torch.equal(labels, clips.tensors[1]) and logits.shape == (37, 2)
    with torch.inference_mode():
        assert torch.allclose(logits, network.eval()(clips.tensors[0]), atol=1e-6)
    assert training.accuracy(logits, logits.argmax(1)) == 1.0
    assert training.accuracy(torch.eye(4), torch.tensor([0, 1, 0, 0])) == 0.5


def test_order_and_augmentation_follow_from_seed_epoch_and_index():
    def seen(seed, epochs):
        record = []

        def note(clip, generator):
            record.append((clip.argmax().item(), generator.random()))
            return clip

        training.train(small_network(), Dots(32, 0), Dots(8, 1), epochs, batch_size=8, seed=seed, augment=note)
        return record

    first = seen(seed=1, epochs=2)
    assert first == seen(seed=1, epochs=2)
    assert first[:32] != first[32:] and first != seen(seed=2, epochs=2)


def test_mirror_turns_half_of_the_clips_all_frames_alike():
    clip = torch.arange(3 * 2 * 2 * 4).view(3, 2, 2, 4)
    results = [training.mirror(clip, np.random.default_rng(k)) for k in range(200)]
    turned = [not torch.equal(result, clip) for result in results]
    assert 70 < sum(turned) < 130
    assert all(torch.equal(result, clip.flip(-1)) for result, other in zip(results, turned) if other)


def test_wrong_calls_are_refused(tmp_path):
    with pytest.raises(ValueError, match="8 clips make no batch of 16"):
        training.train(small_network(), Dots(8, 0), Dots(8, 1), epochs=1)
    path = tmp_path / "a.checkpoint"
    training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, seed=1, checkpoint=path)
    with pytest.raises(ValueError, match="is of a run with .*delete it or name another file"):
        training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, seed=2, checkpoint=path)
    for other in (dict(about="other clips"), dict(augment=training.mirror)):
        with pytest.raises(ValueError, match="is of a run with"):
            training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, seed=1, checkpoint=path, **other)


class Movable(nn.Sequential):
    """Makes its parameters anew when it is moved for the first time, as a move to a GPU does."""

    here = False

    def to(self, device):
        if not self.here:
            self.double().float()
        self.here = True
        return self


def test_a_network_that_was_moved_and_asked_can_still_be_trained():
    for ask in (
        lambda network: training.predict(network, Dots(16, 0)),
        lambda network: classify.probabilities(Pretrained(network.eval()), [torch.zeros(6, 8, 16, 1)]),
    ):
        network = Movable(*small_network())
        ask(network)
        training.train(network, Dots(16, 0), Dots(8, 1), epochs=1)


class Pretrained:
    def __init__(self, network):
        self.network = network

    def preprocess(self, clip):
        return clip.permute(3, 0, 1, 2)
