"""The loop learns, repeats itself exactly, and goes on after it was killed as if nothing had happened.

At the end: memory that goes back to the system.
"""

import ctypes
import functools
import pickle
import random
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from conftest import ROOT, torchrun
from torch import nn
from torch.nn import functional as F
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from helpers import classify, processes, stickfigures, training, transforms, video, weights
from helpers.networks import r2plus1d_18
from helpers.training import TrainingError
from helpers.transforms import random_horizontal_flip

SCRIPT = """
import sys, torch
from helpers.networks import r2plus1d_18
from helpers.stickfigures import StickFigures
from helpers.training import train
from helpers.transforms import normalize, random_horizontal_flip
torch.manual_seed(0)
network = r2plus1d_18(num_classes=10, width=8)
clips = StickFigures(24, seed=1, frames=8, size=32, transform=normalize)
test_clips = StickFigures(6, seed=2, frames=8, size=32, transform=normalize)
settings = dict(epochs=3, batch_size=8, seed=4, augment=random_horizontal_flip, checkpoint=sys.argv[1])
train(network, clips, test_clips, **settings)
torch.save(network.state_dict(), sys.argv[2])
"""


def numbers(text):
    """Lines of epochs without the times."""
    return [line.split("  ")[:5] for line in text.splitlines()]


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch, capsys):
    def files(name):
        return [str(tmp_path / f"{name}.checkpoint"), str(tmp_path / f"{name}.pt")]

    def finish(name):
        monkeypatch.setattr(sys, "argv", ["-c", *files(name)])
        exec(SCRIPT, {})
        return numbers(capsys.readouterr().out)

    whole = finish("whole")
    assert len(whole) == 3
    command = [sys.executable, "-c", SCRIPT, *files("killed")]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    checkpoint = tmp_path / "killed.checkpoint"
    while not checkpoint.exists():
        assert killed.poll() is None
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.6))  # in its second epoch, or while it writes
    killed.kill()
    before, _ = killed.communicate()
    assert killed.returncode != 0 and not (tmp_path / "killed.pt").exists()
    before, after = numbers(before), finish("killed")
    assert len(after) < 3 and before == whole[: len(before)] and after == whole[3 - len(after) :]
    states = [torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert finish("killed") == []  # all is done: nothing is trained again


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
    """Clips in which a dot moves left or right; the label says which. Learned in seconds, by motion alone."""

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
    assert len(lines) == len(history) == 8 and lines[0].startswith("epoch  1/8  loss ") and "% data loading" in lines[0]
    assert history[-1]["test"] > 0.95 and history[-1]["loss"] < history[0]["loss"]


class Slow(Dots):
    """Clips that take their time to come, as decoding does."""

    def __getitem__(self, index):
        time.sleep(0.01)
        return super().__getitem__(index)


def test_the_fraction_of_time_spent_loading_is_measured():
    (line,) = training.train(small_network(), Slow(64, 0), {}, epochs=1)
    assert line["loading"] < 1 and line["loading"] * line["seconds"] >= 0.64  # a sleep never ends early


def test_workers_change_nothing_but_the_time():
    alone, helped = (
        training.train(small_network(), Dots(64, 0), Dots(16, 1), epochs=2, workers=workers) for workers in (0, 2)
    )
    assert [line["loss"] for line in alone] == [line["loss"] for line in helped]


def test_several_test_sets_are_reported_by_name(capsys):
    tests = dict(seen=Dots(100, 0), new=Dots(50, 1))
    network = small_network()
    history = training.train(network, Dots(100, 0), tests, epochs=2)
    assert "seen" in history[0] and "new" in history[0] and "test" not in history[0]
    assert "  seen " in capsys.readouterr().out
    for name, clips in tests.items():
        assert history[-1][name] == pytest.approx(training.accuracy(*training.predict(network, clips)))


def test_batches_hold_every_clip_once():
    made = training.epoch_batches(100, 16, seed=1, epoch=2)
    assert made.shape == (6, 16) and len(set(made.flatten())) == 96
    assert not np.array_equal(made, training.epoch_batches(100, 16, seed=1, epoch=3))


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


def test_class_weights_reach_the_loss():
    losses = []
    for given in (None, [1.0, 1.0], [0.2, 1.8]):
        (line,) = training.train(small_network(), Dots(64, 0), Dots(8, 1), epochs=1, class_weights=given)
        losses.append(line["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[1] != losses[2]


def test_a_batch_of_one_class_takes_notice_of_its_weight():
    moving_right = [(clip, label) for clip, label in Dots(64, 0) if label == 1][:16]
    losses = []
    for class_weights in (None, [0.5, 4.0]):  # one step, whose loss is that of the first weights
        (line,) = training.train(small_network(), moving_right, {}, epochs=1, class_weights=class_weights)
        losses.append(line["loss"])
    network, smoothing = small_network(), 0.1 / 2  # of the label, half goes to each of two classes
    log_probs = network(torch.stack([clip for clip, _ in moving_right])).log_softmax(1).mean(0)
    assert losses[0] == pytest.approx(-(smoothing * log_probs[0] + (1 - smoothing) * log_probs[1]).item(), rel=1e-5)
    weighted = -(0.5 * smoothing * log_probs[0] + 4.0 * (1 - smoothing) * log_probs[1])
    assert losses[1] == pytest.approx(weighted.item(), rel=1e-5)


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


class Moving(Dots):
    """Clips that remember their epoch, as `datasets.VideoFolder` does when it cuts random clips."""

    epoch = None

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        clip, label = super().__getitem__(index)
        return clip + 0.1 * self.epoch, label


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: Subset(x, range(32)), lambda x: ConcatDataset([Subset(x, range(32))])]
)
def test_a_data_set_is_told_the_epoch_through_any_wrapper(wrap, workers):
    clips = Moving(32, 0)
    training.train(small_network(), wrap(clips), {}, epochs=3, batch_size=8, workers=workers)
    assert clips.epoch == 2


def test_workers_see_the_epoch():
    alone, helped = (
        training.train(small_network(), Moving(32, 0), {}, epochs=2, workers=workers)[-1]["loss"] for workers in (0, 2)
    )
    still = training.train(small_network(), Dots(32, 0), {}, epochs=2)[-1]["loss"]
    assert alone == helped != still


class Dropped(nn.Module):
    """A network whose result depends on torch's random numbers."""

    def __init__(self):
        super().__init__()
        self.network, self.dropout = small_network(), nn.Dropout(0.5)

    def forward(self, x):
        return self.network(self.dropout(x))


def test_training_neither_uses_nor_changes_the_random_numbers_of_the_reader():
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = Dropped()
        torch.manual_seed(seed)
        before, state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
        history = training.train(network, Dots(32, 0), Dots(8, 1), epochs=2, workers=1)
        assert torch.equal(torch.random.get_rng_state(), before) and (np.random.get_state()[1] == state).all()
        losses.append([line["loss"] for line in history])
    assert losses[0] == losses[1]


def flip_with(clip, generator, probability=0.5):
    return clip.flip(-1) if generator.random() < probability else clip


def test_a_partial_function_is_known_by_its_name_and_arguments(tmp_path):
    path = tmp_path / "a.checkpoint"

    def train(probability):
        augment = functools.partial(flip_with, probability=probability)
        return training.train(small_network(), Dots(16, 0), {}, epochs=1, augment=augment, checkpoint=path)

    train(0.3)
    settings = torch.load(path)["settings"]
    assert "flip_with" in settings["augment"] and "probability=0.3" in settings["augment"]
    assert " at 0x" not in str(settings)
    train(0.3)
    with pytest.raises(TrainingError, match="is of a run with"):
        train(0.4)


PARTS = """
import sys, torch
from torch import distributed, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from helpers import training
from helpers.networks import r2plus1d_18
from helpers.stickfigures import StickFigures
from helpers.transforms import normalize
gradients, losses = [], []

def at_first_step(optimizer, *_):
    if not gradients:
        gradients.extend(p.grad.clone() for group in optimizer.param_groups for p in group["params"])

def note(module, inputs, output):
    if isinstance(module, nn.CrossEntropyLoss):
        losses.append(output.item())

register_optimizer_step_pre_hook(at_first_step)
nn.modules.module.register_module_forward_hook(note)
distributed.init_process_group("gloo")
torch.manual_seed(0)
network = r2plus1d_18(num_classes=10, width=8)
clips = StickFigures(80, seed=1, frames=8, size=32, transform=normalize)
settings = dict(epochs=2, batch_size=16, lr=1e-3, seed=4, checkpoint=sys.argv[1] + ".checkpoint")
history = training.train(network, clips, clips, **settings)
results = gradients, losses, network.state_dict(), [line["test"] for line in history]
torch.save(results, f"{sys.argv[1]}.{distributed.get_rank()}")
distributed.destroy_process_group()
"""


def by_hand(parts):
    """Ten steps of one process, each accumulated over so many parts of a batch: gradients of the first, losses of all parts.

    With one thread, as torchrun's processes have: two threads round otherwise, and batch norms over few clips make much of it.
    """
    torch.manual_seed(0)
    network = r2plus1d_18(num_classes=10, width=8)
    clips = stickfigures.StickFigures(80, seed=1, frames=8, size=32, transform=transforms.normalize)
    optimizer = training.make_optimizer(network, lr=1e-3)
    parameters = [
        p for group in optimizer.param_groups for p in group["params"]
    ]  # in the order in which they are noted
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=10)
    gradients, losses = None, []
    for batch in np.concatenate([training.epoch_batches(80, 16, seed=4, epoch=epoch) for epoch in (0, 1)]):
        optimizer.zero_grad()
        for part in batch.reshape(parts, -1).tolist():
            x, label = torch.stack([clips[k][0] for k in part]), torch.tensor([clips[k][1] for k in part])
            loss = F.cross_entropy(network(x), label, label_smoothing=0.1)
            (loss / parts).backward()
            losses.append(loss.item())
        gradients = gradients or [p.grad.clone() for p in parameters]
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
    (tmp_path / "script.py").write_text(PARTS, encoding="utf-8")
    started = torchrun(str(tmp_path / "script.py"), str(tmp_path / "run"))
    assert started.returncode == 0, started.stderr
    assert len(started.stdout.splitlines()) == 2  # a line an epoch, not two
    ranks = [torch.load(tmp_path / f"run.{rank}") for rank in (0, 1)]
    gradients, losses = by_hand(parts=2)

    def difference(others):
        largest = max(gradient.abs().max() for gradient in gradients)
        return max(((a - b).abs().max() / largest).item() for a, b in zip(gradients, others, strict=True))

    both = [loss for pair in zip(ranks[0][1], ranks[1][1]) for loss in pair]
    assert all(difference(others) < 1e-5 for others, *_ in ranks)
    assert len(both) == len(losses) == 20 and both == pytest.approx(losses, rel=1e-6)
    whole, _ = by_hand(parts=1)  # batch norm sees sixteen clips in place of eight
    assert difference(whole) > 1e-2
    assert all(torch.equal(ranks[0][2][name], ranks[1][2][name]) for name, p in r2plus1d_18(10, 8).named_parameters())
    assert ranks[0][3] == ranks[1][3]

    again = torchrun(
        str(tmp_path / "script.py"), str(tmp_path / "run")
    )  # both go on from the checkpoint, where all is done
    assert again.returncode == 0 and again.stdout == ""
    assert all(torch.load(tmp_path / f"run.{rank}")[3] == ranks[0][3] for rank in (0, 1))


def test_wrong_calls_are_refused(tmp_path, monkeypatch):
    with pytest.raises(TrainingError, match="8 clips make no batch of 16"):
        training.train(small_network(), Dots(8, 0), Dots(8, 1), epochs=1)
    path = tmp_path / "a.checkpoint"
    training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, seed=1, checkpoint=path)
    with pytest.raises(TrainingError, match="is of a run with .*delete it or name another"):
        training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, seed=2, checkpoint=path)
    others = [dict(fingerprint="other clips"), dict(augment=random_horizontal_flip), dict(class_weights=[1, 2])]
    for other in [*others, dict(recipe=functools.partial(training.adamw_in_one_cycle))]:
        with pytest.raises(TrainingError, match="is of a run with"):
            training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, seed=1, checkpoint=path, **other)
    monkeypatch.setattr(training, "rank_and_world_size", lambda: (0, 2))
    with pytest.raises(TrainingError, match="a batch of 7 cannot be shared evenly by 2 processes"):
        training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, batch_size=7)


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


def test_bfloat16_computes_the_steps_in_bfloat16_and_learns_the_same():
    seen, histories = [], {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        network = small_network()
        network[0].register_forward_hook(lambda module, x, y: seen.append((module.training, y.dtype)))
        histories[precision] = training.train(network, Dots(64, 0), Dots(32, 1), epochs=2, lr=1e-2, precision=precision)
        assert all(p.dtype == torch.float32 for p in network.parameters())
    assert {dtype for train_mode, dtype in seen if not train_mode} == {torch.float32}  # evaluation stays
    assert {dtype for train_mode, dtype in seen if train_mode} == {torch.float32, torch.bfloat16}
    losses = [[line["loss"] for line in history] for history in histories.values()]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], abs=0.01)


def test_a_step_in_bfloat16_has_the_gradients_of_float32_to_bfloat16s_digits():
    """On trained weights. Fresh ones are so badly conditioned that any rounding to eight bits turns their gradient.

    On 24 frames, since no stage has two of them then: on some processors that breaks a gradient (notebook 13).
    """
    figures = stickfigures.StickFigures(8, seed=1, frames=24, size=32, transform=transforms.normalize)
    clips, gradients = list(figures), {}
    for precision in ("float32", "bfloat16"):
        network = weights.load("stickfigures").network
        training.train(network, clips, clips, epochs=1, batch_size=8, lr=1e-9, precision=precision)
        gradients[precision] = [p.grad for p in network.parameters()]
    for exact, rounded in zip(*gradients.values()):
        assert 0 < (exact - rounded).norm() / exact.norm() < 0.25  # of each layer


def test_the_precision_follows_the_device_and_others_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    chosen = [training.default_precision(torch.device(name)) for name in ("cpu", "mps", "cuda")]
    assert chosen == ["float32", "float32", "bfloat16"]
    with pytest.raises(TrainingError, match="no training in float16: choose float32 or bfloat16"):
        training.train(small_network(), Dots(16, 0), Dots(8, 1), epochs=1, precision="float16")


def test_only_kernels_and_matrices_decay():
    network = r2plus1d_18(4, 8)
    network.stem.requires_grad_(False)
    decaying, others = training.make_optimizer(network, lr=0.5).param_groups
    kinds = (nn.Conv3d, nn.Linear)
    expected = {id(m.weight) for m in network.modules() if isinstance(m, kinds) and m.weight.requires_grad}
    assert {id(p) for p in decaying["params"]} == expected and decaying["weight_decay"] == 0.05
    assert {id(p) for p in others["params"]} == {id(p) for p in network.parameters() if p.requires_grad} - expected
    assert others["weight_decay"] == 0 and decaying["lr"] == others["lr"] == 0.5


def test_no_step_asks_for_a_number(monkeypatch):
    """On a GPU a number has to be waited for."""

    item = torch.Tensor.item

    def wait(tensor):
        if tensor.grad_fn or tensor.dtype == torch.int64:  # a loss, a count; AdamW's own numbers are on the CPU
            raise AssertionError("a step waited for the device")
        return item(tensor)

    network = small_network()
    optimizer = training.make_optimizer(network, 1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)

    def loss_of(logits, label):
        monkeypatch.setattr(torch.Tensor, "item", wait)
        monkeypatch.setattr(torch.Tensor, "__float__", wait)
        monkeypatch.setattr(torch.Tensor, "__int__", wait)
        return F.cross_entropy(logits, label)

    loader = [(torch.stack([clip for clip, _ in batch]), torch.tensor([label for _, label in batch]))
              for batch in (list(Dots(8, 0)), list(Dots(8, 1)))]  # fmt: skip
    with pytest.raises(AssertionError, match="a step waited"):
        training.train_epoch(network, loader, optimizer, schedule, loss_of, "cpu")  # after the last step only
    assert schedule.last_epoch == 2


def test_processes_are_joined_only_under_torchrun(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    device = torch.device("cpu")
    assert processes.join_processes(device) == device and processes.rank_and_world_size() == (0, 1)


@pytest.mark.parametrize("asked, gpus, device, backend", [("mps", 0, "cpu", "gloo"), ("cuda", 2, "cuda:1", "nccl")])
def test_each_process_gets_a_device_that_it_need_not_share(monkeypatch, asked, gpus, device, backend):
    backends = []
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", backends.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda name, timeout: backends.append(name))
    assert processes.join_processes(torch.device(asked)) == torch.device(device)
    assert backends == [torch.device(device)] * (asked == "cuda") + [backend]


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(OSError, match="process 2 of this machine has no GPU of its own: there are 1"):
        processes.join_processes(torch.device("cuda"))


def test_an_error_in_a_worker_keeps_its_words():
    error = video.VideoError("a.mp4", "is empty", "Copy it again")
    assert str(error) == "a.mp4: is empty. Copy it again."
    assert str(video.VideoError(str(error))) == str(pickle.loads(pickle.dumps(error))) == str(error)


# What nobody uses any more goes back to the system, even from between things that are still used.

HOLES = """
import psutil, torch
from helpers import training
resident = psutil.Process().memory_info
blocks = [torch.ones(2**14) for _ in range(4000)]  # 64 KB each
blocks = blocks[::10]  # those that are left lie between the holes
kept = resident().rss
training.malloc_trim()
print(kept - resident().rss)
assert all(block.sum() == 2**14 for block in blocks)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is the C library of Linux")
def test_holes_between_tensors_go_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", HOLES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 150e6  # of 236 MB that nobody uses


@pytest.mark.parametrize("missing", [OSError, AttributeError])
def test_nothing_happens_where_there_is_no_such_function(monkeypatch, missing):
    def absent(name):
        raise missing(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert training.malloc_trim() is None


def test_reference_cycles_are_let_go_first():
    class Node:
        pass

    before = psutil.Process().memory_info().rss
    node = Node()
    node.itself, node.data = node, bytearray(b"x") * 200_000_000
    del node
    training.malloc_trim()
    assert psutil.Process().memory_info().rss - before < 50e6


def small_set(classes=2, clips=8):
    return [(torch.randn(1, 2, 4, 4), k % classes) for k in range(clips)]


def test_a_training_that_diverges_ends_with_a_sentence():
    clips = small_set()
    with pytest.raises(TrainingError, match="in epoch [12] the loss is (nan|inf): take a lower rate than lr=1e"):
        training.train(small_network(), clips, clips, 3, lr=1e30, batch_size=4)


def test_numbers_of_numpy_are_saved_so_that_they_can_be_loaded(tmp_path):
    clips, path = small_set(), tmp_path / "c.pt"
    options = dict(lr=np.logspace(-3, -2, 2)[0], batch_size=np.int64(4), seed=np.int64(3), checkpoint=path)
    history = training.train(small_network(), clips, clips, np.int64(1), **options)
    network = small_network().train()
    assert training.train(network, clips, clips, np.int64(1), **options) == history
    assert not network.training  # as after a training


def test_what_cannot_end_does_not_begin(tmp_path, capsys):
    clips = small_set()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        training.train(small_network(), clips, clips, 1, batch_size=4, checkpoint=tmp_path / "no" / "c.pt")
    with pytest.raises(TrainingError, match="a set to test with is empty"):
        training.train(small_network(), clips, dict(test=clips, other=[]), 1, batch_size=4)
    assert capsys.readouterr().out == ""


def test_a_checkpoint_of_another_network_is_refused_before_it_is_loaded(tmp_path):
    clips, other = small_set(), small_network()
    training.train(small_network(), clips, clips, 1, batch_size=4, checkpoint=tmp_path / "c.pt")
    other[-1] = nn.Linear(8, 3)
    before = {name: values.clone() for name, values in other.state_dict().items()}
    with pytest.raises(
        TrainingError, match="of a run with {'trained_parameters': 258}, not {'trained_parameters': 267}"
    ):
        training.train(other, clips, clips, 1, batch_size=4, checkpoint=tmp_path / "c.pt")
    assert all(torch.equal(values, before[name]) for name, values in other.state_dict().items())
