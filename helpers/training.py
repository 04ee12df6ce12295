"""Train, evaluate and fine-tune: a plain loop, one line an epoch, and a checkpoint after each epoch.

What happens in an epoch follows from the network, the seed and the number of the epoch alone, augmentation included: a run
that is killed and started again ends with the same weights as one that is not. The loop is built in notebook 09; the rest,
and `python -m helpers.training FOLDER`, in notebook 12.
"""

import argparse
import contextlib
import ctypes
import gc
import os
import re
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from helpers import classify, datasets, weights
from helpers.commands import CLOSED, named_device, number, terminal
from helpers.processes import from_first, join_processes, leave_processes, rank_and_world_size, sum_over_processes
from helpers.transforms import random_horizontal_flip
from helpers.video import VideoError

__all__ = ["TrainingError", "accuracy", "default_precision", "epoch_batches", "fine_tune", "freeze", "main",
           "make_optimizer", "malloc_trim", "predict", "replace_head", "set_train_mode", "train", "train_epoch"]  # fmt: skip
Clips = Dataset | Sequence[tuple[Tensor, int]]  # pairs of a float clip (C, T, H, W) and a label
History = list[dict[str, float]]  # a dictionary an epoch


class TrainingError(ValueError):
    """A training that cannot be done as asked; the message says why."""


def make_optimizer(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    """AdamW over what is not frozen; only kernels and matrices decay, not biases and batch norms. Built in notebook 09."""
    learning = [p for p in network.parameters() if p.requires_grad]
    kernels = dict(params=[p for p in learning if p.ndim > 1], weight_decay=0.05)
    others = dict(params=[p for p in learning if p.ndim == 1], weight_decay=0.0)
    return torch.optim.AdamW([kernels, others], lr=lr)


def adamw_in_one_cycle(network: nn.Module, lr: float, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """The optimizer of a training of so many steps, and the schedule of its learning rate; see notebook 09."""
    optimizer = make_optimizer(network, lr)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)


def train(
    network: nn.Module, train_set: Clips, test_set: Clips | Mapping[str, Clips], epochs: int, *, lr: float = 3e-3,
    batch_size: int = 16, seed: int = 0, class_weights: Sequence[float] | None = None,
    augment: Callable[[Tensor, np.random.Generator], Tensor] | None = None, checkpoint: str | os.PathLike | None = None,
    fingerprint: str = "", device: str | torch.device = "cpu", workers: int = 0, precision: str | None = None,
    recipe: Callable = adamw_in_one_cycle,
) -> History:  # fmt: skip
    """Train a classifier of clips with label smoothing; unless told otherwise by AdamW, with a one-cycle learning rate.

    Frozen layers (`requires_grad` is False) keep the statistics of their batch norms, too. torch's global random
    generators are left as they were. If torchrun has started several processes, they share every batch evenly; the first
    one evaluates, and its network is the one to keep.

    Args:
        network: (B, C, T, H, W) to logits (B, classes); trained in place, moved to `device`.
        train_set: if it or a data set inside it has a method `set_epoch`, that is called before each epoch.
        test_set: a data set, or several by name; the network is evaluated on each of them after every epoch.
        lr: the highest learning rate; in one cycle it is reached after 30 % of the steps.
        class_weights: the weight of each class in the loss, (classes,); None for equal weights.
        augment: a function of (clip, numpy generator) such as `transforms.random_horizontal_flip`.
        checkpoint: a file that is written after each epoch, and from which the run goes on if it exists.
        fingerprint: a text that tells these clips from others; a checkpoint with another one is refused.
        workers: processes that load clips while the network trains, each at most two batches ahead; 0 if these do not fit
            into shared memory, which a sentence says.
        precision: "float32", or "bfloat16" for the forward pass of each step, by autocast; weights, gradients, loss and
            evaluation stay float32. None takes bfloat16 on a CUDA device that computes in it, float32 elsewhere.
        recipe: from network, lr and the number of steps to the optimizer and the schedule of its learning rate.

    Returns:
        For each epoch: epoch, loss, train (accuracy in train mode, while it changes), test or the names in `test_set`
        (accuracies), seconds, and loading (the fraction of the training time spent waiting for clips).

    Raises:
        TrainingError: fewer clips than one batch, none to test with, a batch that the processes cannot share, a checkpoint of
            another run, a loss that is not finite.
        weights.WeightsError, OSError: the checkpoint cannot be read, or written; the one before is still whole.
    """
    device, (rank, world_size) = torch.device(device), rank_and_world_size()
    # NumPy's numbers would not be loaded again from a checkpoint.
    lr, epochs, batch_size, seed = float(lr), int(epochs), int(batch_size), int(seed)
    if not 0 < batch_size <= len(train_set):
        raise TrainingError(f"{len(train_set)} clips make no batch of {batch_size}")
    if batch_size % world_size:
        raise TrainingError(f"a batch of {batch_size} cannot be shared evenly by {world_size} processes")
    precision = precision or default_precision(device)
    if precision not in ("float32", "bfloat16"):
        raise TrainingError(f"no training in {precision}: choose float32 or bfloat16")
    workers = datasets.affordable_workers(train_set, batch_size // world_size, workers)
    test_sets = test_set if isinstance(test_set, Mapping) else {"test": test_set}
    if not all(map(len, test_sets.values())):
        raise TrainingError("a set to test with is empty")
    if checkpoint:
        weights.check_writable(checkpoint)
    network = network.to(device)
    model = DistributedDataParallel(network) if world_size > 1 else network
    steps = len(train_set) // batch_size  # the clips left over differ from epoch to epoch
    optimizer, schedule = recipe(network, lr, epochs * steps)
    weight = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32, device=device)
    # A mean over the clips. torch's own mean with weights divides by their sum in the batch, which halves do not share.
    reduction = "mean" if weight is None else "none"
    cross_entropy = nn.CrossEntropyLoss(weight, reduction=reduction, label_smoothing=0.1)
    # Without its address in memory, which differs from run to run.
    name_of = lambda function: re.sub(" at 0x[0-9a-fA-F]+", "", repr(function))  # noqa: E731
    settings = dict(
        clips=len(train_set), epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, fingerprint=fingerprint,
        class_weights=None if weight is None else weight.tolist(),
        trained_parameters=sum(p.numel() for group in optimizer.param_groups for p in group["params"]),
        processes=world_size, precision=precision, augment=name_of(augment), recipe=name_of(recipe),
    )  # fmt: skip
    state = dict(network=network, optimizer=optimizer, schedule=schedule)
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=precision == "bfloat16")

    def forward(x):
        with autocast():
            return model(x).float()

    history = _resume(checkpoint, state, settings) if checkpoint else []
    logits_of = partial(predict, network, batch_size=batch_size, device=device, workers=workers)
    evaluate = lambda: {name: accuracy(*logits_of(clips)) for name, clips in test_sets.items()}  # noqa: E731
    for epoch in range(len(history), epochs):
        start = time.perf_counter()
        batches = epoch_batches(len(train_set), batch_size, seed, epoch).reshape(steps, world_size, -1)[:, rank]
        clips = _Augmented(train_set, augment, seed, epoch)
        loader = DataLoader(
            clips, batch_sampler=batches.tolist(), num_workers=workers, pin_memory=device.type == "cuda"
        )
        set_train_mode(network)
        with _seeded(seed * 100_003 + epoch, device):  # for networks with dropout
            loss_of = lambda logits, label: cross_entropy(logits, label).mean()  # noqa: E731
            sums = train_epoch(forward, loader, optimizer, schedule, loss_of, device)
            train_seconds = time.perf_counter() - start
            scores = from_first(evaluate)
        loss, correct, count, loading = sum_over_processes(sums, device)
        if not np.isfinite(loss):
            raise TrainingError(f"in epoch {epoch + 1} the loss is {loss / count}: take a lower rate than lr={lr:g}")
        line = dict(epoch=epoch + 1, loss=loss / count, train=correct / count, **scores)
        line |= dict(seconds=time.perf_counter() - start, loading=loading / world_size / train_seconds)
        history.append(line)
        if rank == 0:
            if checkpoint:
                saved = {name: part.state_dict() for name, part in state.items()}
                weights.save_atomically(dict(saved, settings=settings, history=history), checkpoint)
            accuracies = "  ".join(f"{name} {line[name]:6.1%}" for name in ("train", *test_sets))
            times = f"{line['seconds']:.0f} s, {line['loading']:.0%} data loading"
            print(f"epoch {epoch + 1:2}/{epochs}  loss {line['loss']:.3f}  {accuracies}  {times}", flush=True)
        malloc_trim()  # other processes may train beside a notebook
    network.eval()
    return history


def train_epoch(
    network: Callable, loader: Iterable, optimizer: torch.optim.Optimizer, schedule: Any, loss_of: Callable, device: Any
) -> tuple[float, int, int, float]:  # fmt: skip
    """One step for each batch of (clips, labels); sums of the loss of each clip, correct predictions, clips, and seconds
    spent waiting for clips. Built in notebook 09."""
    loss_sum, correct, count, loading = 0.0, 0, 0, 0.0
    start = time.perf_counter()
    for x, label in loader:  # (B, C, T, H, W) and (B,)
        loading += time.perf_counter() - start
        x, label = x.to(device, non_blocking=True), label.to(device, non_blocking=True)
        logits = network(x)  # (B, classes)
        loss = loss_of(logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        loss_sum += loss.detach() * len(label)  # a tensor: its number would have to be waited for
        correct += (logits.argmax(1) == label).sum()
        count += len(label)
        start = time.perf_counter()
    return float(loss_sum), int(correct), count, loading


def default_precision(device: torch.device) -> str:
    """ "bfloat16" for a CUDA device that computes in it, else "float32"."""
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


def epoch_batches(clips: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """Which clips make which batch in an epoch: (steps, batch_size) indices in random order. Built in notebook 09."""
    order = np.random.default_rng([seed, epoch]).permutation(clips)
    steps = clips // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)


def predict(
    network: nn.Module, dataset: Clips, batch_size: int = 16, device: str | torch.device = "cpu", workers: int = 0
) -> tuple[Tensor, Tensor]:
    """Logits (N, classes) and labels (N,), on the CPU; the network stays on `device`, in eval mode. Built in notebook 09."""
    network.to(device).eval()  # before inference mode: what is moved inside it cannot be trained
    loader = DataLoader(dataset, batch_size, num_workers=workers)
    with torch.inference_mode():
        results = [(network(x.to(device)).cpu(), label) for x, label in loader]
    logits, labels = zip(*results)
    return torch.cat(logits), torch.cat(labels)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The fraction of clips, 0 to 1, whose highest logit is that of their label. Built in notebook 09."""
    return (logits.argmax(1) == labels).float().mean().item()


def set_train_mode(network: nn.Module) -> None:
    """Put a network in train mode, but keep frozen batch norms in eval mode: their statistics stay. Built in notebook 12."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d) and not module.weight.requires_grad:
            module.eval()


def replace_head(network: nn.Module, classes: int) -> None:
    """Give a network a new last layer, for other classes. Built in notebook 12."""
    network.fc = nn.Linear(network.fc.in_features, classes).to(network.fc.weight.device)


def freeze(network: nn.Module) -> None:
    """Let only the last layer learn; `network.requires_grad_()` undoes it. Built in notebook 12."""
    network.requires_grad_(False)
    network.fc.requires_grad_(True)


def fine_tune(
    pretrained: weights.Pretrained, train_set: Clips, test_set: Clips | Mapping[str, Clips], labels: Sequence[str], *,
    frozen_epochs: int = 4, epochs: int = 8, lr: float = 1e-3, checkpoint: str | None = None, **options: Any,
) -> tuple[weights.Pretrained, History]:  # fmt: skip
    """Teach a trained network other classes: first a new last layer alone, with ten times `lr`, then all layers.

    Args:
        pretrained: its network is changed.
        labels: the name of each class.
        frozen_epochs, epochs: of the last layer alone, and of all layers after that.
        checkpoint: the beginning of two file names, which end in .frozen and .all; None for no checkpoints.
        options: more arguments of `train`, which raises its errors; `seed` also decides the new layer's first weights.

    Returns the fine-tuned network in eval mode with its labels, and the histories of both trainings in a row.
    """
    network, history = pretrained.network, []
    with _seeded(options.get("seed", 0), torch.device("cpu")):
        replace_head(network, len(labels))
    options["fingerprint"] = f"{options.get('fingerprint', '')}; {frozen_epochs} epochs of the last layer alone"
    phases = (("frozen", "the last layer alone", frozen_epochs, 10 * lr), ("all", "all layers", epochs, lr))
    for suffix, title, phase_epochs, phase_lr in phases:
        if phase_epochs:
            network.requires_grad_()
            if suffix == "frozen":
                freeze(network)
            if rank_and_world_size()[0] == 0:
                print(title, flush=True)
            path = checkpoint and f"{checkpoint}.{suffix}"
            history += train(network, train_set, test_set, phase_epochs, lr=phase_lr, checkpoint=path, **options)
    network.requires_grad_().eval()
    return replace(pretrained, network=network, labels=tuple(map(str, labels)), score="Not tested."), history


class _Augmented(Dataset):
    """A data set in one epoch of a training: what is random depends on the seed, the epoch and the index alone."""

    def __init__(self, dataset, augment, seed, epoch):
        self.dataset, self.augment, self.seed, self.epoch = dataset, augment, seed, epoch
        datasets.set_epoch(dataset, epoch)

    def __getitem__(self, index):
        clip, label = self.dataset[index]
        generator = np.random.default_rng([self.seed, self.epoch, index])
        return (self.augment(clip, generator) if self.augment else clip), label


@contextlib.contextmanager
def _seeded(seed, device):
    """Seed torch's global generators for a while; afterwards they go on as if nothing had been drawn."""
    gpus = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(gpus, device_type=device.type):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            torch.get_device_module(gpu).manual_seed(seed)
        yield


def _resume(path, state, settings):
    """Load a checkpoint into `state` if there is one; the history so far."""
    saved = from_first(lambda: weights.load_checkpoint(path) if os.path.exists(path) else None)
    if saved is None:
        return []
    if not isinstance(saved, dict) or "settings" not in saved:
        raise TrainingError(f"{path} is no checkpoint: delete it or name another file")
    if saved["settings"] != settings:
        names = [name for name in settings | saved["settings"] if settings.get(name) != saved["settings"].get(name)]
        there, here = ({name: run.get(name) for name in names} for run in (saved["settings"], settings))
        raise TrainingError(f"{path} is of a run with {there}, not {here}: delete it or name another")
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return saved["history"]


def malloc_trim() -> None:
    """Give the memory of deleted objects back to the system; Linux's glibc keeps it for the next tensors.

    Nothing happens where there is another C library. Source: malloc_trim(3) of the Linux manual pages.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 if a network was trained and saved, 2 if it could not be, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.training", description="Teach a trained network your own classes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("folder", help="a folder that holds a folder of videos for each class, or a zip file of one")
    add("--out", default="mine.pt", help="the file to write, for helpers.classify --weights")
    add("--test", metavar="FOLDER", help="a folder of the same classes to test with, in place of a part of the first")
    add("--test-fraction", type=number(0.01, 0.99, float), default=0.25, help="the part of each class to test with")
    add("--weights", default="stickfigures", help="to begin with; the names that helpers.classify knows")
    add("--frozen-epochs", type=number(0), default=4, help="epochs of the last layer alone")
    add("--epochs", type=number(0), default=8, help="epochs of all layers after that")
    add("--lr", type=number(0, kind=float), default=1e-3, help="highest learning rate of all layers")
    add("--batch-size", type=number(1), default=16, help="clips a step, over all processes")
    add("--crop-size", type=number(1, 1024), default=112, help="height and width that the network sees")
    add("--no-flip", action="store_true", help="do not mirror clips: left and right matter")
    add("--balance", action="store_true", help="weight the loss so that rare classes count as much as others")
    add("--workers", type=number(0, 64), default=2, help="processes that load videos while the network trains")
    add("--seed", type=number(0, 2**32 - 1), default=0, help="another gives another split and training")
    add("--precision", choices=("float32", "bfloat16"), help="of the steps; bfloat16 on a GPU that computes in it")
    device = os.environ.get("VIDEO_RESNET_DEVICE") or None
    add("--device", type=named_device, default=device, help="cuda, mps or cpu instead of the fastest of them")
    options = parser.parse_args(arguments)
    if options.lr == 0 or options.epochs + options.frozen_epochs == 0:
        parser.error("nothing would be learned: --lr has to be above 0, and one of --epochs and --frozen-epochs, too")
    with terminal():
        return _run(options)


def _run(options):
    try:
        weights.check_writable(options.out)
        with datasets.unpacked(options.folder) as options.folder:
            _fine_tune_folder(options, join_processes(options.device or classify.get_device()))
    except (TrainingError, weights.WeightsError, VideoError, OSError) as error:
        if isinstance(error, OSError) and error.errno in CLOSED and not error.filename:  # of the output, not of a file
            raise
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on after the last whole epoch.", file=sys.stderr)
        return 130
    finally:
        leave_processes()
    return 0


def _fine_tune_folder(options, device):
    """From a folder to a saved network, as the command does it."""
    from sklearn.metrics import confusion_matrix
    from sklearn.utils.class_weight import compute_class_weight

    pretrained, (rank, world_size) = weights.load(options.weights), rank_and_world_size()
    clip = dict(frames=pretrained.frames, fps=pretrained.fps)
    classes, train_videos, val_videos, test_videos, _ = from_first(lambda: _find_videos(options, clip))
    clip["crop_size"] = options.crop_size
    train_set = datasets.VideoFolder(train_videos, **clip, train=True, seed=options.seed)
    val_set, test_set = (datasets.VideoFolder(videos, **clip) for videos in (val_videos, test_videos))
    numbers = range(len(classes))
    balanced = compute_class_weight("balanced", classes=np.array(numbers), y=[video.label for video in train_videos])
    files = "".join(f"{os.path.relpath(v.path, options.folder)} {os.path.getsize(v.path)}\n" for v in train_videos)
    checksum = zlib.crc32(files.encode(errors="surrogateescape"))
    tuned, _ = fine_tune(
        pretrained, train_set, val_set, classes, frozen_epochs=options.frozen_epochs, epochs=options.epochs,
        lr=options.lr, batch_size=min(options.batch_size, len(train_videos) // world_size * world_size),
        seed=options.seed, class_weights=balanced if options.balance else None, device=device, workers=options.workers,
        precision=options.precision, augment=None if options.no_flip else random_horizontal_flip,
        checkpoint=f"{options.out}.checkpoint",
        fingerprint=f"{options.weights}, crop size {options.crop_size}, videos {checksum}",
    )  # fmt: skip
    if rank > 0:
        return
    logits, labels = predict(tuned.network, test_set, device=device, workers=options.workers)
    score = f"{accuracy(logits, labels):.1%} of {len(labels)}"
    trained_on = pretrained.trained_on.replace(", and on nothing else", "")
    trained_on += f" Then on {len(train_videos)} videos of {len(classes)} classes."
    tuned = replace(tuned, trained_on=trained_on, score=f"{score} other videos correct, one clip each.")
    weights.save(options.out, replace(tuned, crop_size=options.crop_size))
    for k, row in enumerate(confusion_matrix(labels, logits.argmax(1), labels=numbers)):
        others = ", ".join(f"{row[j]} {classes[j]}" for j in (-row).argsort(stable=True) if row[j] and j != k)
        confused = f"; confused with: {others}" if others else ""
        print(f"{classes[k]:{max(map(len, classes))}} {row[k]:4} of {row.sum()} correct{confused}")
    command = f"python -m helpers.classify --weights {options.out} FILE"
    print(f"{score} videos correct. Saved as {options.out}: {command}")


def _find_videos(options, clip):
    """The sets of videos in the folders that the options name; prints what is in the way."""
    try:
        sets = datasets.find_sets(options.folder, options.test, options.test_fraction, options.seed, **clip)
    except ValueError as error:  # in which it says what is wrong with a folder
        raise TrainingError(str(error)) from error
    for problem in sets.unreadable:
        print(f"skipped: {problem}", file=sys.stderr, flush=True)
    if sets.unreadable:
        print(f"{len(sets.unreadable)} files skipped.", file=sys.stderr, flush=True)
    if not options.test and datasets.split_folders(options.folder):
        print(f"{options.folder} is split into folders already; they are used as they are.", flush=True)
    groups = len({(video.label, datasets.group_of(video.path)) for video in sets.train})
    counts = f"{len(sets.train)} videos of {groups} groups in {len(sets.classes)} classes to train on"
    between = "" if sets.val == sets.test else f"{len(sets.val)} to look at after each epoch, "
    print(f"{counts}, {between}{len(sets.test)} to test with.", flush=True)
    return sets


if __name__ == "__main__":
    sys.exit(main())
