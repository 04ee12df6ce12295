"""Training: one plain loop, one line an epoch, and a checkpoint after each so that a killed run goes on.

What happens in an epoch is a function of the network, the seed and the number of the epoch alone: the order of the
clips, and with it every batch, and what the augmentation does to each clip. A run that was killed and started again
therefore ends with the same weights as one that was not.
"""

import os
import time

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


def train(
    network, train_set, test_set, epochs, *, lr=3e-3, batch_size=16, weight_decay=0.05, label_smoothing=0.1, seed=0,
    augment=None, checkpoint=None, about="", device="cpu", workers=0,
):  # fmt: skip
    """Train a classifier of clips with AdamW and a one-cycle learning rate.

    Args:
        network: (B, C, T, H, W) to logits (B, classes); trained in place, moved to `device`.
        train_set, test_set: data sets of (clip, label), the clip a float tensor (C, T, H, W).
        epochs: how often each clip of `train_set` is seen.
        lr: the highest learning rate, reached after 30 % of the run.
        augment: a function of (clip, generator), `mirror` for one; the generator is numpy's.
        checkpoint: a file to write after each epoch and to go on from where it exists; None for neither.
        about: a text that tells the clips from others, kept in the checkpoint: it goes on only for the same text.
        workers: processes that prepare clips, none by default.

    Returns:
        One dictionary an epoch: epoch, loss, train and test (shares of clips right, the first counted while
        training, in train mode), seconds.

    Raises:
        ValueError: fewer clips than one batch, or a checkpoint written by a run with other settings.
    """
    steps = len(train_set) // batch_size  # the clips left over differ from epoch to epoch
    if steps == 0:
        raise ValueError(f"{len(train_set)} clips make no batch of {batch_size}")
    network.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * steps)
    settings = dict(seed=seed, epochs=epochs, clips=len(train_set), batch_size=batch_size, lr=lr)
    settings |= dict(weight_decay=weight_decay, label_smoothing=label_smoothing, about=about)
    settings |= dict(augment=getattr(augment, "__qualname__", str(augment)))
    state = dict(network=network, optimizer=optimizer, schedule=schedule)
    history = _resume(checkpoint, state, settings, device) if checkpoint else []

    for epoch in range(len(history), epochs):
        started = time.perf_counter()
        torch.manual_seed(seed * 100_003 + epoch)  # for networks with dropout
        order = np.random.default_rng([seed, epoch]).permutation(len(train_set))[: steps * batch_size]
        clips = _Augmented(train_set, augment, seed, epoch)
        network.train()
        loss_sum = right = 0
        for x, label in DataLoader(clips, batch_size, sampler=order.tolist(), num_workers=workers):
            x, label = x.to(device), label.to(device)
            logits = network(x)
            loss = F.cross_entropy(logits, label, label_smoothing=label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.item() * len(label)
            right += (logits.argmax(1) == label).sum().item()
        test = accuracy(*predict(network, test_set, batch_size, device, workers))
        line = dict(epoch=epoch + 1, loss=loss_sum / len(order), train=right / len(order), test=test)
        line["seconds"] = time.perf_counter() - started
        history.append(line)
        print(
            f"epoch {epoch + 1:2}/{epochs}  loss {line['loss']:.3f}  train {line['train']:6.1%}  "
            f"test {line['test']:6.1%}  {line['seconds']:.0f} s",
            flush=True,
        )
        if checkpoint:
            _save(checkpoint, state, settings, history)
    return history


def predict(network, dataset, batch_size=16, device="cpu", workers=0):
    """What a network in eval mode says to every clip: logits (N, classes) and labels (N,), both on the CPU."""
    network.to(device).eval()  # not in inference mode: it could never be trained again
    with torch.inference_mode():
        results = [(network(x.to(device)).cpu(), label) for x, label in DataLoader(dataset, batch_size, num_workers=workers)]
    logits, labels = zip(*results)
    return torch.cat(logits), torch.cat(labels)


def accuracy(logits, labels):
    """The share of clips whose highest logit is that of their label."""
    return (logits.argmax(1) == labels).float().mean().item()


def mirror(clip, generator):
    """Swap left and right in half of the clips, in all frames of a clip alike; (C, T, H, W)."""
    return clip.flip(-1) if generator.random() < 0.5 else clip


class _Augmented(Dataset):
    """A data set with an augmentation that depends on the seed, the epoch and the index alone."""

    def __init__(self, dataset, augment, seed, epoch):
        self.dataset, self.augment, self.key = dataset, augment, (seed, epoch)

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        clip, label = self.dataset[index]
        if self.augment is not None:
            clip = self.augment(clip, np.random.default_rng([*self.key, index]))
        return clip, label


def _save(path, state, settings, history):
    """Write a checkpoint beside the old one, then put it in its place, so that there is always a whole one."""
    saved = {name: part.state_dict() for name, part in state.items()}
    torch.save(dict(saved, settings=settings, history=history), f"{path}.new")
    os.replace(f"{path}.new", path)


def _resume(path, state, settings, device):
    """Load a checkpoint into `state`, if there is one; the history so far."""
    if not os.path.exists(path):
        return []
    saved = torch.load(path, map_location=device, weights_only=True)
    if saved["settings"] != settings:
        raise ValueError(f"{path} is of a run with {saved['settings']}, not {settings}: delete it or name another file")
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return saved["history"]
