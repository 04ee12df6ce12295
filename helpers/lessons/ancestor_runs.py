"""The long trainings of notebook 10, what is stored of them, and the table of accuracies and costs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from helpers.classify import median_time
from helpers.intervals import wilson_interval
from helpers.lessons.stored_runs import checkpoint_path, load_or_run
from helpers.networks import count_parameters
from helpers.stickfigures import ACTIONS, REVERSE_OF
from helpers.training import accuracy as accuracy_of
from helpers.training import predict, train

__all__ = ["NAMES", "Trainings", "accuracy", "cost_of", "deviation_when_still", "print_table"]

NAMES = dict(
    single="single frame", late="late fusion", early="early fusion", slow="slow fusion", spatial="spatial stream",
    temporal="temporal stream", average="two streams, mean", svm="two streams, SVM", maxpool="CNN + max-pooling",
    lstm="CNN + LSTM", fr2d="f-R2D", i3d="f-R2D, inflated", r3d="R3D", r2plus1d="R(2+1)D",
)  # fmt: skip


@torch.inference_mode()
def deviation_when_still(image: nn.Module, network: nn.Module, x: Tensor, frames: int = 10) -> float:
    """The largest difference between the logits of `network` for still clips and of `image` for their frame x (B, 3, 1, H, W).

    It is a fraction of the largest logit. Both networks are in eval mode afterwards.
    """
    expected = image.eval()(x)
    difference = network.eval()(x.expand(-1, -1, frames, -1, -1)) - expected
    return (difference.abs().max() / expected.abs().max()).item()


def _table(logits, labels):
    return confusion_matrix(labels, logits.argmax(1)).tolist()


@dataclass
class Trainings:
    """The long trainings of notebook 10, each a function of its settings for `stored_runs.load_or_run`.

    Args:
        build: a name and a seed to a network.
        make_clips: (count, seed, name, paired) to a list of clips and labels, as the network of this name reads them.
        augment: a name to the augmentation of its clips.
        inflated: f-R2D, and "replicate" or "zeros" for the ends of the clip, to a 3D network.
        precision: of the forward passes in training, "float32" or "bfloat16"; see `helpers.training.train`.
    """

    build: Callable[[str, int], nn.Module]
    make_clips: Callable[..., list]
    augment: Callable[[str], Callable]
    inflated: Callable[[nn.Module, str], nn.Module]
    precision: str = "float32"

    def train(self, name, seed, clips, epochs, lr, make=None, tag="") -> tuple[nn.Module, dict[str, Any]]:
        """One network, at the learning rate that is best on validation clips, and what is stored of it.

        Args:
            lr: a learning rate, or several to choose from by the accuracy on 500 validation clips after the last epoch; of
                equal ones the first.
            make: the network before its training; `build` if it is not given.
            tag: added to the name in that of the checkpoint.

        Returns:
            The network, and a dictionary of its number of parameters, precision, lr, rates (validation accuracies by rate),
            history, and table, the confusion matrix on 500 test clips, which the network at the best rate alone reads.
        """
        make = make or (lambda: self.build(name, seed))
        train_set, val_set = self.make_clips(clips, 1000 + seed, name), self.make_clips(500, 3000 + seed, name, True)
        tried = {}
        for rate in lr if isinstance(lr, Sequence) else [lr]:
            network = make()
            options = dict(augment=self.augment(name), precision=self.precision)
            options |= dict(checkpoint=checkpoint_path(f"ancestors_{name}{tag}_{seed}_{rate:g}"))
            # The choice is made at the end: after each epoch a few clips are enough, to see how far it is.
            history = train(network, train_set, {"some": val_set[:50]}, epochs, lr=rate, seed=seed, **options)
            tried[rate] = round(accuracy_of(*predict(network, val_set)), 4), network, history
        best = max(tried, key=lambda rate: tried[rate][0])
        _, network, history = tried[best]
        history = [{key: round(value, 4) for key, value in line.items()} for line in history]
        run = dict(parameters=count_parameters(network), precision=self.precision, lr=best)
        run |= dict(rates={f"{rate:g}": tried[rate][0] for rate in tried}, history=history)
        return network, run | dict(table=_table(*predict(network, self._test_set(seed, name))))

    def alone(self, name, **settings) -> dict[str, Any]:
        """What is stored of a network that is trained by itself."""
        return self.train(name, **settings)[1]

    def two_streams(self, seed, clips, epochs, lr) -> dict[str, Any]:
        """Both streams, each at its rate in `lr`, the mean of their probabilities, and an SVM on both, fitted on 500 clips
        that neither has read."""
        probs, labels = {}, {}
        for name in ("spatial", "temporal"):
            network, _ = self.train(name, seed, clips, epochs, lr[name])
            parts = dict(fit=self.make_clips(500, 4000 + seed, name), test=self._test_set(seed, name))
            for part, some in parts.items():
                logits, labels[part] = predict(network, some)
                probs[name, part] = logits.softmax(1)
        fit, test = (np.hstack([F.normalize(probs[n, part]) for n in ("spatial", "temporal")]) for part in parts)
        svm = LinearSVC().fit(fit, labels["fit"])
        scores = dict(spatial=probs["spatial", "test"], temporal=probs["temporal", "test"])
        scores["average"] = (scores["spatial"] + scores["temporal"]) / 2
        scores["svm"] = torch.from_numpy(svm.decision_function(test))
        return dict(lr=lr, tables={name: _table(score, labels["test"]) for name, score in scores.items()})

    def lstm(self, seed, clips, epochs, lr, cnn_epochs, cnn_lr) -> dict[str, Any]:
        """The CNN with max-pooling, then the LSTM on it, frozen."""
        pooling, _ = self.train("maxpool", seed, clips, cnn_epochs, cnn_lr)

        def on_the_cnn():
            network = self.build("lstm", seed)
            network.cnn.load_state_dict(pooling.cnn.state_dict())
            network.cnn.requires_grad_(False)
            return network

        network, run = self.train("lstm", seed, clips, epochs, lr, on_the_cnn)
        return run | dict(parameters=count_parameters(network.requires_grad_()))  # the frozen ones, too

    def i3d(self, seed, clips, epochs, lr, image_epochs, image_lr) -> dict[str, Any]:
        """f-R2D, the network inflated from it with both kinds of ends, and the one with repeated ends after training."""
        image, _ = self.train("fr2d", seed, clips, image_epochs, image_lr)
        test_set, before, off = self._test_set(seed, "fr2d"), {}, {}
        still = torch.stack([x[:, :1] for x, _ in test_set[:50]])
        for ends in ("replicate", "zeros"):
            network = self.inflated(image, ends)
            before[ends] = _table(*predict(network, test_set))
            off[ends] = deviation_when_still(image, network, still)
        _, run = self.train("i3d", seed, clips, epochs, lr, lambda: self.inflated(image, "replicate"))
        return run | dict(before=before, off=off)

    def both(self, file: str, **settings: Any) -> list[dict[str, Any]]:
        """Two runs, read from notebooks/runs: seed 1, which chooses among the rates in `lr`, and seed 2 at the rate chosen."""
        make = dict(lstm=self.lstm, i3d=self.i3d, two_streams=self.two_streams).get(file, self.alone)
        if make == self.alone:
            name, _, tag = file.partition("_")
            settings |= dict(name=name) | (dict(tag=f"_{tag}") if tag else {})
        first = load_or_run(f"ancestors_{file}_1", make, seed=1, **settings)
        return [first, load_or_run(f"ancestors_{file}_2", make, seed=2, **settings | dict(lr=first["lr"]))]

    def stored(self, clips, epochs, lstm_epochs, short_epochs, rates) -> dict[str, list[dict[str, Any]]]:
        """All trainings by name, each a list of a run for each of two seeds, with its confusion matrix as `table`.

        They are read from notebooks/runs. Beside those in `NAMES` there are the inflated networks before any training,
        "replicate" and "zeros", and "r3d_short", which has as few epochs as the inflated network after f-R2D. `rates` has
        the learning rates of each name.
        """

        def tuned(name, epochs, **base):
            return self.both(name, clips=clips, epochs=epochs, lr=list(rates[name]), **base)

        together = ("average", "svm", "lstm", "i3d")
        runs = {name: tuned(name, epochs) for name in NAMES if name not in together}
        best = {name: two[0]["lr"] for name, two in runs.items()}
        runs["lstm"] = tuned("lstm", lstm_epochs, cnn_epochs=epochs, cnn_lr=best["maxpool"])
        runs["i3d"] = tuned("i3d", short_epochs, image_epochs=epochs, image_lr=best["fr2d"])
        runs["r3d_short"] = tuned("r3d_short", short_epochs)
        lr = {name: best[name] for name in ("spatial", "temporal")}
        streams = self.both("two_streams", clips=clips, epochs=epochs, lr=lr)
        runs |= {name: [dict(table=run["tables"][name]) for run in streams] for name in ("average", "svm")}
        return runs | {
            ends: [dict(table=run["before"][ends]) for run in runs["i3d"]] for ends in ("replicate", "zeros")
        }

    def _test_set(self, seed, name):
        return self.make_clips(500, 2000 + seed, name, True)


def accuracy(runs: Sequence[Mapping], actions: Collection[str] = ACTIONS) -> tuple[float, float, float]:
    """The accuracy of runs together on test clips of some actions, and its 95 % interval: (accuracy, low, high)."""
    table = np.sum([run["table"] for run in runs], axis=0)[[ACTIONS.index(action) for action in actions]]
    right = sum(row[ACTIONS.index(action)] for row, action in zip(table, actions))
    return right / table.sum(), *wilson_interval(right, table.sum())


def cost_of(network: nn.Module, x: Tensor) -> np.ndarray:
    """The parameters of a network, its multiply-adds for a clip x, and its seconds for 16 such clips on the CPU."""
    counter, x = FlopCounterMode(display=False), x[None]
    with torch.inference_mode():
        with counter:
            network.eval()(x)
        batch = x.repeat(16, 1, 1, 1, 1)
        time = median_time(lambda: network(batch), "cpu", repeats=3)
    lstm = getattr(network, "lstm", nn.Identity())  # PyTorch does not count it: each weight once a frame
    work = counter.get_total_flops() / 2 + x.shape[2] * sum(p.numel() for p in lstm.parameters() if p.ndim == 2)
    return np.array([count_parameters(network), work, time])


def print_table(runs: Mapping[str, Sequence[Mapping]], cost: Mapping[str, np.ndarray]) -> None:
    """A line for each network: its accuracies in %, and its cost: millions of both, and time relative to R(2+1)D's."""
    pairs = {*REVERSE_OF, *REVERSE_OF.values()}
    others = [action for action in ACTIONS if action not in pairs]
    columns = f"{'pairs':>5} {'others':>6} {'size':>5} {'work':>4} {'time':>5}"
    print(f"{'':17} {'accuracy, interval, two seeds':29} {columns}")
    for name, label in NAMES.items():
        mean, low, high = (100 * value for value in accuracy(runs[name]))
        seeds = " ".join(f"{100 * accuracy([run])[0]:5.1f}" for run in runs[name])
        parts = (100 * accuracy(runs[name], actions)[0] for actions in (pairs, others))
        size, work, time = cost[name] / (1e6, 1e6, cost["r2plus1d"][2])
        columns = "{:5.0f} {:6.0f} {:5.2f} {:4.0f} {:5.2f}".format(*parts, size, work, time)
        print(f"{label:17} {mean:5.1f}  {low:4.1f}–{high:4.1f}  {seeds} {columns}")
