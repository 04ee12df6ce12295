"""One process, and what several need to meet. That several compute the same is tested where they train, in test_training."""

import pickle

import pytest
import torch
from torch import nn

from helpers import processes, video


def test_alone_nothing_changes(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    network = nn.BatchNorm3d(2)
    with processes.together("cpu") as device:
        assert device == torch.device("cpu") and (processes.count(), processes.rank()) == (1, 0)
        assert processes.averaged(network) is network and processes.add_up([1, 2.5], device) == [1, 2.5]
        assert processes.from_first("a") == "a"
        processes.agree(network)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(ValueError, match="process 2 of this machine has no GPU of its own: there are 1"),
        processes.together("cuda"),
    ):
        pass


def test_what_cannot_be_shared_is_left_for_the_cpu(monkeypatch, capsys):
    started = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes.distributed, "init_process_group", lambda kind, **how: started.append(kind))
    monkeypatch.setattr(processes.distributed, "destroy_process_group", lambda: started.append("end"))
    with processes.together("mps") as device:
        assert device == torch.device("cpu")
    assert started == ["gloo", "end"] and "on the CPU instead" in capsys.readouterr().err


def test_an_error_of_a_worker_keeps_its_words():
    error = video.VideoError("a.mp4", "is empty", "Copy it again")
    assert str(error) == "a.mp4: is empty. Copy it again."
    assert str(video.VideoError(str(error))) == str(pickle.loads(pickle.dumps(error))) == str(error)
