"""Training: one plain loop, one line an epoch, and a checkpoint after each so that a killed run goes on.

What happens in an epoch is a function of the network, the seed and the number of the epoch alone: the order of the
clips, and with it every batch, and what the augmentation does to each clip. A run that was killed and started again
therefore ends with the same weights as one that was not.

Started by torchrun, the same loop runs in several processes (DistributedDataParallel): each takes its part of every batch.
The loop is built in notebook 09; the rest, and `python -m helpers.training FOLDER`, in notebook 12.

All is float32. Under bfloat16 autocast torch 2.15 gives infinite gradients on a CPU, for convolutions over time where a map
has two frames left, as that of layer4 has at 16 frames.
"""

import argparse
import contextlib
import ctypes
import gc
import json
import os
import platform
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from helpers import classify, datasets, processes, training, weights
from helpers.classify import device_name
from helpers.transforms import random_horizontal_flip
from helpers.video import VideoError


def train(
    network, train_set, test_set, epochs, *, lr=3e-3, batch_size=16, weight_decay=0.05, label_smoothing=0.1, seed=0,
    class_weights=None, augment=None, checkpoint=None, about="", device="cpu", workers=0,
):  # fmt: skip
    """Train a classifier of clips with AdamW and a one-cycle learning rate.

    Layers whose parameters are frozen (`requires_grad` is False) stay as they are, their batch norms' statistics included.

    Args:
        network: (B, C, T, H, W) to logits (B, classes); trained in place, moved to `device`.
        train_set: a data set of (clip, label), the clip a float tensor (C, T, H, W). If it has a method
            `at_random(index, generator)`, that gives its training clips.
        test_set: a data set like it, or several by name; the network is tried on each, in eval mode, after every epoch.
        epochs: how often each clip of `train_set` is seen.
        lr: the highest learning rate, reached after 30 % of the run.
        batch_size: of a step, over all processes together.
        class_weights: how much a mistake counts, for each class, (classes,); None for all alike.
        augment: a function of (clip, generator), `random_horizontal_flip` for one; the generator is numpy's.
        checkpoint: a file to write after each epoch and to go on from where it exists; None for neither.
        about: a text that tells the clips from others, kept in the checkpoint: it goes on only for the same text.
        workers: processes that prepare clips while the network trains, each at most two batches ahead; none by default.

    Returns:
        One dictionary an epoch: epoch, loss, train (the share of clips right while training, in train mode), test or the
        names of `test_set` (shares right), seconds, and waited (the share of the training time spent waiting for clips).

    Raises:
        ValueError: fewer clips than one batch, a batch that cannot be shared evenly by the processes, or a checkpoint
            written by a run with other settings.
        weights.WeightsError: a checkpoint that cannot be read.
        OSError: the checkpoint cannot be written; the one before is still whole.
    """
    tests = test_set if isinstance(test_set, dict) else {"test": test_set}
    if not 0 < batch_size <= len(train_set):
        raise ValueError(f"{len(train_set)} clips make no batch of {batch_size}")
    steps = len(train_set) // batch_size  # the clips left over differ from epoch to epoch
    if batch_size % processes.count():
        raise ValueError(f"a batch of {batch_size} cannot be shared evenly by {processes.count()} processes")
    model = processes.averaged(network.to(device))
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * steps)
    weight = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32, device=device)
    loss_of = _Loss(weight, label_smoothing)
    settings = dict(seed=seed, epochs=epochs, clips=len(train_set), batch_size=batch_size, lr=lr)
    settings |= dict(weight_decay=weight_decay, label_smoothing=label_smoothing, about=about)
    settings |= dict(
        augment=getattr(augment, "__qualname__", str(augment)), processes=processes.count(), trained=len(trained)
    )
    settings |= dict(class_weights=None if weight is None else weight.tolist())
    state = dict(network=network, optimizer=optimizer, schedule=schedule)
    history = _resume(checkpoint, state, settings) if checkpoint else []

    epochs_left = range(len(history), epochs)
    order = (
        batch for epoch in epochs_left for batch in _part(epoch_batches(len(train_set), batch_size, seed, epoch), epoch)
    )
    clips = _Augmented(train_set, augment, seed)
    # One loader for all epochs, so that its workers go on while the network is tried.
    loader = iter(DataLoader(clips, batch_sampler=order, num_workers=workers)) if epochs_left else None
    for epoch in epochs_left:
        started = time.perf_counter()
        torch.manual_seed(seed * 100_003 + epoch)  # for networks with dropout
        set_train_mode(network)
        sums = train_epoch(model, _some(loader, steps), optimizer, schedule, loss_of, device)
        trained_for = time.perf_counter() - started
        loss, right, clips_seen, waited = processes.add_up(sums, device)
        line = dict(epoch=epoch + 1, loss=loss / clips_seen, train=right / clips_seen)
        line |= {name: _tried(network, some, batch_size, device, workers) for name, some in tests.items()}
        line |= dict(seconds=time.perf_counter() - started, waited=waited / processes.count() / trained_for)
        history.append(line)
        if processes.rank() == 0:
            if checkpoint:
                saved = {name: part.state_dict() for name, part in state.items()}
                weights.save_atomically(dict(saved, settings=settings, history=history), checkpoint)
            print(_told(line, epochs, tests), flush=True)
        training.malloc_trim()  # beside a notebook other processes may train
    return history


def train_epoch(network, loader, optimizer, schedule, loss_of, device):
    """One step for each batch of (clips, labels) that `loader` gives. Built in notebook 09.

    Returns:
        Four sums over the batches: the loss of each clip, clips right, clips, and seconds spent waiting for the next batch.
    """
    loss_sum, right, seen, waited = 0.0, 0, 0, 0.0
    asked = time.perf_counter()
    for x, label in loader:  # (B, C, T, H, W) and (B,)
        waited += time.perf_counter() - asked
        x, label = x.to(device), label.to(device)
        logits = network(x)  # (B, classes)
        loss = loss_of(logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        loss_sum += loss.item() * len(label)
        right += (logits.argmax(1) == label).sum().item()
        seen += len(label)
        asked = time.perf_counter()
    return loss_sum, right, seen, waited


def epoch_batches(clips, batch_size, seed, epoch):
    """Which clips make which batch in an epoch: (steps, batch_size) indices in random order. Built in notebook 09."""
    order = np.random.default_rng([seed, epoch]).permutation(clips)
    steps = clips // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)


def predict(network, dataset, batch_size=16, device="cpu", workers=0):
    """What a network in eval mode says to every clip: logits (N, classes) and labels (N,), both on the CPU.

    Built in notebook 09.
    """
    network.to(device).eval()  # before inference mode: what is moved inside it cannot be trained
    loader = DataLoader(dataset, batch_size, num_workers=workers)
    with torch.inference_mode():
        results = [(network(x.to(device)).cpu(), label) for x, label in loader]
    logits, labels = zip(*results)
    return torch.cat(logits), torch.cat(labels)


def accuracy(logits, labels):
    """The share of clips whose highest logit is that of their label. Built in notebook 09."""
    return (logits.argmax(1) == labels).float().mean().item()


def set_train_mode(network):
    """Put a network in train mode, but for the batch norms that are frozen: they keep their statistics, too.

    Built in notebook 12.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d) and not module.weight.requires_grad:
            module.eval()


def replace_head(network, classes):
    """Give a network a new last layer, for other classes. Built in notebook 12."""
    network.fc = nn.Linear(network.fc.in_features, classes).to(network.fc.weight.device)


def freeze(network):
    """Let only the last layer learn; `network.requires_grad_()` undoes it. Built in notebook 12."""
    network.requires_grad_(False)
    network.fc.requires_grad_(True)


def class_weights(labels, classes):
    """How much a mistake is to count for each class, so that rare ones are not forgotten; their mean over the clips is 1.

    Args:
        labels: of the clips to train on.
        classes: how many there are, each at least once in `labels`.

    Returns:
        A float tensor (classes,). Built in notebook 12.
    """
    counts = torch.bincount(torch.as_tensor(labels), minlength=classes)
    return counts.sum() / (classes * counts)


def confusion_matrix(logits, labels):
    """How many clips of each class, by row, were taken for each, by column; (classes, classes)."""
    classes = logits.shape[1]
    return torch.bincount(labels * classes + logits.argmax(1), minlength=classes**2).view(classes, classes)


def fine_tune(pretrained, train_set, test_set, labels, *, frozen=4, epochs=8, lr=1e-3, checkpoint=None, **how):
    """Teach a trained network other classes: first a new last layer alone, then all layers.

    Args:
        pretrained: a `weights.Pretrained`. Its network is changed.
        train_set, test_set: as for `train`.
        labels: a text for each class.
        frozen: epochs of the last layer alone, with ten times `lr`.
        epochs: epochs of all layers after that.
        lr: their highest learning rate.
        checkpoint: two files, `checkpoint` with .frozen and .all at its end, are written and gone on from; None for neither.
        how: more arguments of `train`; `seed` also decides the first weights of the last layer.

    Returns:
        A `weights.Pretrained` in eval mode, and the histories of the two trainings, one after the other.

    Raises:
        ValueError, OSError: as `train`.
    """
    network = pretrained.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.get("seed", 0))
        replace_head(network, len(labels))
    history, about = [], f"{how.pop('about', '')}; {frozen} epochs of the last layer alone"
    for stage, count, rate in (("frozen", frozen, 10 * lr), ("all", epochs, lr)):
        if count:
            network.requires_grad_()
            if stage == "frozen":
                freeze(network)
            if processes.rank() == 0:
                print({"frozen": "the last layer alone", "all": "all layers"}[stage], flush=True)
            path = checkpoint and f"{checkpoint}.{stage}"
            history += train(network, train_set, test_set, count, lr=rate, checkpoint=path, about=about, **how)
    network.requires_grad_().eval()
    return pretrained._replace(network=network, labels=tuple(labels)), history


class _Loss(nn.CrossEntropyLoss):
    """Cross-entropy, the mean over the clips of a batch.

    With class weights torch's own divides by their sum in the batch. Then a batch of one class takes no notice of them, and
    the mean of two halves is not that of the whole.
    """

    def __init__(self, weight, label_smoothing):
        super().__init__(weight, reduction="mean" if weight is None else "none", label_smoothing=label_smoothing)

    def forward(self, logits, label):
        return super().forward(logits, label).mean()


class _Augmented(Dataset):
    """A data set with an augmentation that depends on the seed, the epoch and the index alone; asked for (epoch, index)."""

    def __init__(self, dataset, augment, seed):
        self.dataset, self.augment, self.seed = dataset, augment, seed

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, asked):
        epoch, index = asked
        generator = np.random.default_rng([self.seed, epoch, index])
        at_random = getattr(self.dataset, "at_random", None)
        clip, label = at_random(index, generator) if at_random else self.dataset[index]
        return (self.augment(clip, generator) if self.augment else clip), label


def _part(batches, epoch):
    """This process's part of each batch, as pairs of the epoch and an index."""
    for batch in batches:
        mine = batch.reshape(processes.count(), -1)[processes.rank()]
        yield [(epoch, index) for index in mine.tolist()]


def _some(iterator, count):
    """The next `count` items; `itertools.islice` would ask for one more."""
    for _ in range(count):
        yield next(iterator)


def _tried(network, clips, batch_size, device, workers):
    """The share of clips right. Several processes ask about a part each, all with the first one's statistics."""
    processes.agree(network)
    mine = Subset(clips, range(processes.rank(), len(clips), processes.count()))
    right = 0
    if len(mine):
        logits, labels = predict(network, mine, batch_size, device, workers)
        right = (logits.argmax(1) == labels).sum().item()
    (right,) = processes.add_up([right], device)
    return right / len(clips)


def _told(line, epochs, tests):
    """An epoch in one line."""
    tried = "  ".join(f"{name} {line[name]:6.1%}" for name in ("train", *tests))
    return (
        f"epoch {line['epoch']:2}/{epochs}  loss {line['loss']:.3f}  {tried}  "
        f"{line['seconds']:.0f} s, {line['waited']:.0%} of the training waiting for clips"
    )


def _resume(path, state, settings):
    """Load a checkpoint into `state`, if there is one; the history so far. Only the first process reads the file."""
    mine = processes.rank() == 0 and os.path.exists(path)
    saved = processes.from_first(weights.load_checkpoint(path) if mine else None)
    if saved is None:
        return []
    if not isinstance(saved, dict) or "settings" not in saved:
        raise ValueError(f"{path} is no checkpoint: delete it or name another file")
    if saved["settings"] != settings:
        raise ValueError(f"{path} is of a run with {saved['settings']}, not {settings}: delete it or name another file")
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return saved["history"]


RUNS = Path(__file__).parents[1] / "notebooks" / "runs"


class MissingRun(Exception):
    """A run that nobody has stored. The message says how to make it."""


def load_or_run(name, make, /, **settings):
    """The result of a long run, by its name.

    If notebooks/runs holds it, it is read. If not, and the environment variable VIDEO_RESNET_FULL is 1, it is made now and
    written there; so a collection of runs can be made in parts.

    Args:
        name: of the file, without its ending; it begins with the number of the notebook.
        make: a function of the settings that returns a dict of what JSON can hold.
        settings: numbers and texts.

    Returns:
        What `make` returned, and settings, command, device, threads, versions and seconds.

    Raises:
        MissingRun: it is not there and not asked for.
        ValueError: it is there, but was made with other settings.
    """
    path = RUNS / f"{name}.json"
    if path.exists():
        run = json.loads(path.read_text(encoding="utf-8"))
        if run["settings"] != settings:
            raise ValueError(f"{path} is of a run with {run['settings']}, not {settings}: delete it, or name another")
        return run
    if os.environ.get("VIDEO_RESNET_FULL", "0") in ("", "0"):
        raise MissingRun(f"{path.name} is not in {RUNS}. VIDEO_RESNET_FULL=1 makes what is missing; it takes its time")
    begun = time.perf_counter()
    run = make(**settings)
    run |= dict(settings=settings, command=_command(name), seconds=round(time.perf_counter() - begun))
    run |= dict(device=device_name(settings.get("device", "cpu")), threads=torch.get_num_threads(), versions=versions())
    RUNS.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    os.replace(new, path)
    return run


def checkpoint_path(name):
    """The file for what is not finished yet of a long run, for `training.train`: in a folder that git ignores, made here."""
    folder = RUNS.parents[1] / "runs"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.pt"


def _command(name):
    (notebook,) = RUNS.parent.glob(f"{name[:2]}_*.ipynb")
    return f"OMP_NUM_THREADS={torch.get_num_threads()} VIDEO_RESNET_FULL=1 jupyter execute notebooks/{notebook.name}"


def versions():
    """Of Python and of what computes and draws."""
    return dict(
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        numpy=np.__version__,
    )


def malloc_trim():
    """Give the memory of what was deleted back to the system, so that other processes can have it.

    The C library of most Linux systems, glibc, keeps it for the next tensors, which is quicker: after a training or a
    comparison of large networks that is hundreds of megabytes. Where there is another C library, nothing happens.
    Source: malloc_trim(3) of the Linux manual pages.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def main(arguments=None):
    """The command; 0 if a network was trained and saved, 2 if it could not be, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.training", description="Teach a trained network your own classes."
    )
    parser.add_argument("folder", help="a folder that holds a folder of videos for each class")
    parser.add_argument(
        "--out", default="mine.pt", help="the file to write, for helpers.classify --weights; default: %(default)s"
    )
    parser.add_argument(
        "--test", metavar="FOLDER", help="a folder of the same classes to test with; default: a share of the first"
    )
    parser.add_argument(
        "--share", type=float, default=0.25, help="of each class, set aside to test with; default: %(default)s"
    )
    parser.add_argument(
        "--weights", default="stickfigures", help="to begin with; the names that helpers.classify knows"
    )
    parser.add_argument("--frozen", type=int, default=4, help="epochs of the last layer alone, default: %(default)s")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of all layers after that, default: %(default)s")
    parser.add_argument(
        "--lr", type=float, default=1e-3, help="highest learning rate of all layers, default: %(default)s"
    )
    parser.add_argument(
        "--batch", type=classify.at_least_one, default=16, help="clips a step, over all processes; default: %(default)s"
    )
    parser.add_argument(
        "--side",
        type=classify.at_least_one,
        default=112,
        help="pixels of the square that the network sees, default: %(default)s",
    )
    parser.add_argument("--no-mirror", action="store_true", help="left and right matter: do not swap them")
    parser.add_argument("--balance", action="store_true", help="let the mistakes in rare classes count more")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that decode videos meanwhile, default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, help="another one, another run; default: %(default)s")
    parser.add_argument(
        "--device", type=classify.named_device, help="cuda, mps or cpu, default: the first of these that is there"
    )
    options = parser.parse_args(arguments)
    try:
        with processes.together(options.device or classify.get_device()) as device:
            _fine_tune_folder(options, device)
    except (ValueError, OSError, weights.WeightsError, VideoError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on after the last whole epoch.", file=sys.stderr)
        return 130
    return 0


def _fine_tune_folder(options, device):
    """From a folder to a saved network, as the command does it."""
    pretrained = weights.load(options.weights)
    clip = dict(frames=pretrained.frames, fps=pretrained.fps)
    first = processes.rank() == 0
    found = processes.from_first(_look_through(options.folder, clip) if first else None)
    if options.test:
        tested = processes.from_first(_look_through(options.test, clip) if first else None)
        if tested.classes != found.classes:
            raise ValueError(
                f"{options.test} has other classes: {', '.join(tested.classes)}, not {', '.join(found.classes)}"
            )
        training, testing = found.videos, tested.videos
    else:
        training, testing = datasets.split(found.videos, options.share, options.seed)
    train_set, test_set = (
        datasets.VideoFolder(videos, **clip, crop_size=options.crop_size) for videos in (training, testing)
    )
    labels = [video.label for video in training]
    how = dict(seed=options.seed, workers=options.workers, device=device, checkpoint=f"{options.out}.checkpoint")
    how |= dict(batch_size=min(options.batch, len(training) // processes.count() * processes.count()))
    how |= dict(augment=None if options.no_mirror else random_horizontal_flip)
    how |= dict(class_weights=class_weights(labels, len(found.classes)) if options.balance else None)
    how |= dict(frozen=options.frozen, epochs=options.epochs, lr=options.lr, about=_about(options, training))
    if first:
        recordings = len({(video.label, datasets.group_of(video.path)) for video in training})
        told = f"{len(training)} videos of {recordings} recordings in {len(found.classes)} classes to train on"
        print(f"{told}, {len(testing)} to test with.", flush=True)
    tuned, _ = fine_tune(pretrained, train_set, test_set, found.classes, **how)
    if first:
        table = confusion_matrix(*predict(tuned.network, test_set, device=device, workers=options.workers))
        right = table.trace().item() / len(testing)
        before = pretrained.trained_on.replace(", and on nothing else", "")
        tuned = tuned._replace(
            trained_on=f"{before} Then on {len(training)} videos of {len(found.classes)} classes.",
            score=f"{right:.1%} of {len(testing)} other videos right, one clip each.",
            crop_size=options.crop_size,
        )
        weights.save(options.out, tuned)
        _print_confusion(table, found.classes)
        print(
            f"{right:.1%} of {len(testing)} videos right. Saved as {options.out}: "
            f"python -m helpers.classify --weights {options.out} FILE"
        )


def _look_through(folder, clip):
    """`datasets.scan_folder`, the files that cannot be read told."""
    found = datasets.scan_folder(folder, **clip)
    for problem in found.bad:
        print(f"skipped: {problem}", file=sys.stderr)
    if found.bad:
        print(
            f"{len(found.bad)} of {len(found.bad) + len(found.videos)} files in {folder} skipped.",
            file=sys.stderr,
            flush=True,
        )
    return found


def _about(options, videos):
    """What a checkpoint has to agree with, beyond the settings of `train`."""
    names = "\n".join(
        f"{os.path.relpath(video.path, options.folder)} {os.path.getsize(video.path)}" for video in videos
    )
    return f"{options.weights}, side {options.crop_size}, videos {zlib.crc32(names.encode(errors='surrogateescape'))}"


def _print_confusion(table, classes):
    """Which class was taken for which, the mistakes after the hits."""
    width = max(map(len, classes))
    for name, row in zip(classes, table.tolist()):
        others = ", ".join(
            f"{count} {classes[k]}"
            for k, count in sorted(enumerate(row), key=lambda p: -p[1])
            if count and classes[k] != name
        )
        print(
            f"{name:{width}} {row[classes.index(name)]:4} of {sum(row)} right{'; taken for: ' if others else ''}{others}"
        )


if __name__ == "__main__":
    sys.exit(main())
