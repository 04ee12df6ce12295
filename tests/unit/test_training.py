"""The loop learns, repeats itself exactly, and goes on after it was killed as if nothing had happened."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from helpers import classify, stickfigures, training, transforms
from helpers.networks import r2plus1d_18

SCRIPT = """
import sys, torch
from helpers.networks import r2plus1d_18
from helpers.stickfigures import StickFigures
from helpers.training import random_horizontal_flip, train
from helpers.video import normalize
torch.manual_seed(0)
network = r2plus1d_18(num_classes=10, width=8)
clips = StickFigures(40, seed=1, frames=8, size=32, transform=normalize)
train(network, clips, clips, epochs=3, batch_size=8, seed=4, augment=random_horizontal_flip, checkpoint=sys.argv[1])
torch.save(network.state_dict(), sys.argv[2])
"""


def run(folder, name):
    command = [sys.executable, "-c", SCRIPT, str(folder / f"{name}.checkpoint"), str(folder / f"{name}.pt")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def finish(process):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return out


def numbers(text):
    """Lines of epochs without the times."""
    return [line.split("  ")[:5] for line in text.splitlines()]


def test_a_run_killed_at_any_moment_goes_on_and_ends_with_the_same_weights(tmp_path):
    whole = numbers(finish(run(tmp_path, "whole")))
    assert len(whole) == 3
    killed = run(tmp_path, "killed")
    checkpoint = tmp_path / "killed.checkpoint"
    while not checkpoint.exists():
        assert killed.poll() is None
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.6))  # in its second epoch, or while it writes
    killed.kill()
    before, _ = killed.communicate()
    assert killed.returncode != 0 and not (tmp_path / "killed.pt").exists()
    after = numbers(finish(run(tmp_path, "killed")))
    before = numbers(before)
    assert len(after) < 3 and before == whole[: len(before)] and after == whole[3 - len(after) :]
    states = [torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert finish(run(tmp_path, "killed")) == ""  # all is done: nothing is trained again


FULL_DISK = """
import resource, sys, torch
from helpers import weights
from torch import nn
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as much as still fits on the disk
try:
    weights.save_atomically(torch.zeros(100_000), sys.argv[1])
except OSError as error:
    print(error)
"""


def test_a_full_disk_costs_no_earlier_checkpoint(tmp_path):
    pytest.importorskip("resource", reason="limits are set on POSIX systems")
    path = tmp_path / "a.checkpoint"
    history = training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, checkpoint=path)
    before = path.read_bytes()
    out = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    assert "cannot be written" in out and "what was there before is still whole; make room" in out and str(path) in out
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.checkpoint"]
    assert (
        training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, checkpoint=path) == history
    )  # it is good to go on


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
        nn.Conv3d(1, 8, 3, padding=1),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def test_it_learns_and_reports_each_epoch(capsys):
    history = training.train(small_network(), Dots(200, 0), Dots(100, 1), epochs=8, lr=1e-2)
    lines = capsys.readouterr().out.splitlines()
    assert (
        len(lines) == len(history) == 8 and lines[0].startswith("epoch  1/8  loss ") and "waiting for clips" in lines[0]
    )
    assert history[-1]["test"] > 0.95 and history[-1]["loss"] < history[0]["loss"]


class Slow(Dots):
    """Clips that take their time to come, as decoding does."""

    def __getitem__(self, index):
        time.sleep(0.01)
        return super().__getitem__(index)


def test_the_share_of_time_spent_waiting_is_measured():
    (slow,) = training.train(small_network(), Slow(64, 0), Dots(8, 1), epochs=1)
    (quick,) = training.train(small_network(), Dots(64, 0), Dots(8, 1), epochs=1)
    assert 0 < quick["waited"] < slow["waited"] < 1 and slow["waited"] > 0.5 and slow["seconds"] > 0.64


def test_workers_change_nothing_but_the_time():
    alone, helped = (
        training.train(small_network(), Dots(64, 0), Dots(16, 1), epochs=2, workers=workers) for workers in (0, 2)
    )
    assert [line["loss"] for line in alone] == [line["loss"] for line in helped]


def test_several_test_sets_are_told_by_name(capsys):
    tests = dict(seen=Dots(100, 0), new=Dots(50, 1))
    network = small_network()
    history = training.train(network, Dots(100, 0), tests, epochs=2)
    assert "seen" in history[0] and "new" in history[0] and "test" not in history[0]
    assert "  seen " in capsys.readouterr().out
    for name, clips in tests.items():
        assert history[-1][name] == pytest.approx(training.accuracy(*training.predict(network, clips)))


def test_batches_hold_every_clip_once():
    made = training.batches(100, 16, seed=1, epoch=2)
    assert made.shape == (6, 16) and len(set(made.flatten())) == 96
    assert not np.array_equal(made, training.batches(100, 16, seed=1, epoch=3))


def test_only_the_last_layer_learns_while_the_rest_is_frozen():
    torch.manual_seed(0)
    network = r2plus1d_18(num_classes=2, width=8)
    training.freeze(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    clips = Coloured(16)
    training.train(network, clips, clips, epochs=1, batch_size=8)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"fc.weight", "fc.bias"}
    network.requires_grad_()
    training.train(network, clips, clips, epochs=1, batch_size=8)
    after = network.state_dict()
    assert all(not torch.equal(after[name], before[name]) for name in before if "running" in name or "conv" in name)


class Coloured(TensorDataset):
    """Clips of noise."""

    def __init__(self, count):
        generator = torch.Generator().manual_seed(0)
        super().__init__(torch.randn(count, 3, 4, 16, 16, generator=generator), torch.arange(count) % 2)


def test_class_weights_let_every_class_count_alike():
    labels = [0] * 6 + [1] * 3 + [2]
    given = training.class_weights(labels, 3)
    assert torch.allclose(given[labels].mean(), torch.tensor(1.0))
    sums = [given[label] * labels.count(label) for label in range(3)]
    assert torch.allclose(torch.stack(sums), sums[0].expand(3))


def test_class_weights_reach_the_loss():
    losses = []
    for given in (None, [1.0, 1.0], [0.2, 1.8]):
        (line,) = training.train(small_network(), Dots(64, 0), Dots(8, 1), epochs=1, class_weights=given)
        losses.append(line["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[1] != losses[2]


def test_a_batch_of_one_class_takes_notice_of_its_weight():
    logits, label = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([1, 1])
    loss = training._Loss(torch.tensor([0.5, 4.0]), 0.0)(logits, label)
    assert loss.item() == pytest.approx(4 * F.cross_entropy(logits, label).item())


def test_confusion_counts_what_was_taken_for_what():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(200, 4, generator=generator), torch.randint(0, 4, (200,), generator=generator)
    table = training.confusion(logits, labels)
    for row in range(4):
        for column in range(4):
            assert table[row, column] == sum(
                a == row and b == column for a, b in zip(labels.tolist(), logits.argmax(1).tolist())
            )
    assert table.trace() / 200 == training.accuracy(logits, labels)


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
    results = [training.random_horizontal_flip(clip, np.random.default_rng(k)) for k in range(200)]
    turned = [not torch.equal(result, clip) for result in results]
    assert 70 < sum(turned) < 130
    assert all(torch.equal(result, clip.flip(-1)) for result, other in zip(results, turned) if other)


PARTS = """
import sys, torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from helpers import processes, training
from helpers.networks import r2plus1d_18
from helpers.stickfigures import StickFigures
from helpers.video import normalize
gradients, losses = [], []

def at_first_step(optimizer, *_):
    if not gradients:
        gradients.extend(p.grad.clone() for group in optimizer.param_groups for p in group["params"])

def note(module, inputs, output):
    if isinstance(module, nn.CrossEntropyLoss):
        losses.append(output.item())

register_optimizer_step_pre_hook(at_first_step)
nn.modules.module.register_module_forward_hook(note)
with processes.together("cpu"):
    torch.manual_seed(0)
    network = r2plus1d_18(num_classes=10, width=8)
    clips = StickFigures(80, seed=1, frames=8, size=32, transform=normalize)
    settings = dict(epochs=2, batch_size=16, lr=1e-3, seed=4, checkpoint=sys.argv[1] + ".checkpoint")
    history = training.train(network, clips, clips, **settings)
    torch.save((gradients, losses, network.state_dict(), [line["test"] for line in history]), f"{sys.argv[1]}.{processes.rank()}")
"""


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=600, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def by_hand(parts):
    """Ten steps of one process, each accumulated over so many parts of a batch: gradients of the first, losses of all parts.

    With one thread, as torchrun's processes have: two threads round otherwise, and batch norms over few clips make much of it.
    """
    torch.manual_seed(0)
    network = r2plus1d_18(num_classes=10, width=8)
    clips = stickfigures.StickFigures(80, seed=1, frames=8, size=32, transform=transforms.normalize)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=10)
    gradients, losses = None, []
    for batch in np.concatenate([training.batches(80, 16, seed=4, epoch=epoch) for epoch in (0, 1)]):
        optimizer.zero_grad()
        for part in batch.reshape(parts, -1).tolist():
            x, label = torch.stack([clips[k][0] for k in part]), torch.tensor([clips[k][1] for k in part])
            loss = F.cross_entropy(network(x), label, label_smoothing=0.1)
            (loss / parts).backward()
            losses.append(loss.item())
        gradients = gradients or [p.grad.clone() for p in network.parameters()]
        optimizer.step()
        schedule.step()
    return gradients, losses


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_two_processes_equal_one_that_accumulates_over_two_halves(tmp_path, one_thread):
    (tmp_path / "script.py").write_text(PARTS)
    started = torchrun(str(tmp_path / "script.py"), str(tmp_path / "run"))
    assert started.returncode == 0, started.stderr
    assert len(started.stdout.splitlines()) == 2  # told once an epoch, not twice
    ranks = [torch.load(tmp_path / f"run.{rank}") for rank in (0, 1)]
    gradients, losses = by_hand(parts=2)

    def apart(others):
        largest = max(gradient.abs().max() for gradient in gradients)
        return max(((a - b).abs().max() / largest).item() for a, b in zip(gradients, others, strict=True))

    both = [loss for pair in zip(ranks[0][1], ranks[1][1]) for loss in pair]
    assert all(apart(given) < 1e-5 for given, *_ in ranks)
    assert len(both) == len(losses) == 20 and both == pytest.approx(losses, rel=1e-6)
    whole, _ = by_hand(parts=1)  # batch norm sees sixteen clips in place of eight
    assert apart(whole) > 1e-2
    assert all(torch.equal(ranks[0][2][name], ranks[1][2][name]) for name, p in r2plus1d_18(10, 8).named_parameters())
    assert ranks[0][3] == ranks[1][3]

    again = torchrun(
        str(tmp_path / "script.py"), str(tmp_path / "run")
    )  # both go on from the checkpoint, where all is done
    assert again.returncode == 0 and again.stdout == ""
    assert all(torch.load(tmp_path / f"run.{rank}")[3] == ranks[0][3] for rank in (0, 1))


def test_wrong_calls_are_refused(tmp_path):
    with pytest.raises(ValueError, match="8 clips make no batch of 16"):
        training.train(small_network(), Dots(8, 0), Dots(8, 1), epochs=1)
    path = tmp_path / "a.checkpoint"
    training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, seed=1, checkpoint=path)
    with pytest.raises(ValueError, match="is of a run with .*delete it or name another file"):
        training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, seed=2, checkpoint=path)
    for other in (dict(about="other clips"), dict(augment=training.random_horizontal_flip)):
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
        lambda network: classify.average_probs(Pretrained(network.eval()), [torch.zeros(6, 8, 16, 1)]),
    ):
        network = Movable(*small_network())
        ask(network)
        training.train(network, Dots(16, 0), Dots(8, 1), epochs=1)


class Pretrained:
    def __init__(self, network):
        self.network = network

    def preprocess(self, clip):
        return clip.permute(3, 0, 1, 2)
