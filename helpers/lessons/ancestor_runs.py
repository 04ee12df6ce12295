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
from helpers.training import predict, train

__all__ = ["NAMES", "Trainings", "accuracy", "cost_of", "deviation_when_still", "print_table"]

SEEDS = (1, 2)
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
    """

    build: Callable[[str, int], nn.Module]
    make_clips: Callable[..., list]
    augment: Callable[[str], Callable]
    inflated: Callable[[nn.Module, str], nn.Module]

    def train(self, name, seed, clips, epochs, lr, network=None, tag="") -> tuple[nn.Module, dict[str, Any]]:
        """One network, and its number of parameters, history and confusion matrix on 500 test clips."""
        network = network or self.build(name, seed)
        options = dict(augment=self.augment(name), checkpoint=checkpoint_path(f"ancestors_{name}{tag}_{seed}"))
        train_set, test_set = self.make_clips(clips, 1000 + seed, name), self._test_set(seed, name)
        history = train(network, train_set, test_set, epochs, lr=lr, seed=seed, **options)
        history = [{key: round(value, 4) for key, value in line.items()} for line in history]
        table = _table(*predict(network, test_set))
        return network, dict(parameters=count_parameters(network), history=history, table=table)

    def alone(self, name, **settings) -> dict[str, Any]:
        """What is stored of a network that is trained by itself."""
        return self.train(name, **settings)[1]

    def two_streams(self, seed, clips, epochs, lr) -> dict[str, Any]:
        """Both streams, the mean of their probabilities, and an SVM on both, fitted on 500 clips that neither has read."""
        probs, labels = {}, {}
        for name in ("spatial", "temporal"):
            network, _ = self.train(name, seed, clips, epochs, lr)
            parts = dict(fit=self.make_clips(500, 4000 + seed, name), test=self._test_set(seed, name))
            for part, some in parts.items():
                logits, labels[part] = predict(network, some)
                probs[name, part] = logits.softmax(1)
        fit, test = (np.hstack([F.normalize(probs[n, part]) for n in ("spatial", "temporal")]) for part in parts)
        svm = LinearSVC().fit(fit, labels["fit"])
        scores = dict(spatial=probs["spatial", "test"], temporal=probs["temporal", "test"])
        scores["average"] = (scores["spatial"] + scores["temporal"]) / 2
        scores["svm"] = torch.from_numpy(svm.decision_function(test))
        return dict(tables={name: _table(score, labels["test"]) for name, score in scores.items()})

    def lstm(self, seed, clips, epochs, lr, lstm_epochs, lstm_lr) -> dict[str, Any]:
        """The CNN with max-pooling, then the LSTM on it, frozen; and what the LSTM predicts after each frame."""
        network = self.build("lstm", seed)
        pooling, _ = self.train("maxpool", seed, clips, epochs, lr)
        network.cnn.load_state_dict(pooling.cnn.state_dict())
        network.cnn.requires_grad_(False)
        network, run = self.train("lstm", seed, clips, lstm_epochs, lstm_lr, network)
        run["parameters"] = count_parameters(network.requires_grad_())
        x, labels = zip(*self._test_set(seed, "lstm"))
        labels = torch.tensor(labels)
        with torch.inference_mode():
            logits = torch.cat([network.eval().at_each_frame(few) for few in torch.stack(x).split(50)])
        truth = logits.softmax(2)[torch.arange(len(labels)), :, labels].mean(0)
        right = (logits.argmax(2) == labels[:, None]).float().mean(0)
        return run | {key: [round(v, 4) for v in t.tolist()] for key, t in dict(truth=truth, right=right).items()}

    def i3d(self, seed, clips, epochs, lr, tuned_epochs) -> dict[str, Any]:
        """f-R2D, the network inflated from it with both kinds of ends, and the one with repeated ends after training."""
        image, _ = self.train("fr2d", seed, clips, epochs, lr)
        test_set, before, off = self._test_set(seed, "fr2d"), {}, {}
        still = torch.stack([x[:, :1] for x, _ in test_set[:50]])
        for ends in ("replicate", "zeros"):
            network = self.inflated(image, ends)
            before[ends] = _table(*predict(network, test_set))
            off[ends] = deviation_when_still(image, network, still)
        _, run = self.train("i3d", seed, clips, tuned_epochs, lr, self.inflated(image, "replicate"))
        return run | dict(before=before, off=off)

    def stored(self, clips, epochs, lr, lstm_epochs, lstm_lr, tuned_epochs) -> dict[str, list[dict[str, Any]]]:
        """All trainings by name, each a list of a run for each seed, with its confusion matrix as `table`.

        They are read from notebooks/runs. Beside those in `NAMES` there are the inflated networks before any training,
        "replicate" and "zeros", and "r3d_short", which has as few epochs as the inflated network after f-R2D.
        """
        settings = dict(clips=clips, epochs=epochs, lr=lr)

        def both(file, make, **more):
            return [load_or_run(f"ancestors_{file}_{seed}", make, seed=seed, **settings | more) for seed in SEEDS]

        together = ("average", "svm", "lstm", "i3d")
        runs = {name: both(name, self.alone, name=name) for name in NAMES if name not in together}
        runs["lstm"] = both("lstm", self.lstm, lstm_epochs=lstm_epochs, lstm_lr=lstm_lr)
        runs["i3d"] = both("i3d", self.i3d, tuned_epochs=tuned_epochs)
        runs["r3d_short"] = both("r3d_short", self.alone, name="r3d", tag="_short", epochs=tuned_epochs)
        streams = both("two_streams", self.two_streams)
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
