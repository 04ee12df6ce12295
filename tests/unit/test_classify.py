"""From a file to an answer, in Python and as a command; bad files are named and the others done."""

import contextlib
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from conftest import ROOT, numbered_frame, read_number
from torch import nn
from torchvision.datasets.samplers import UniformClipSampler
from torchvision.datasets.video_utils import VideoFolder

from helpers import classify, stickfigures, transforms, video, weights

CLIP = weights.ASSETS / "jumping_jacks.mp4"


@pytest.fixture(scope="module")
def pretrained():
    return weights.load("stickfigures")


def test_the_repositorys_clip_is_understood(pretrained):
    answers = classify.predict_video(CLIP, pretrained)
    assert answers[0].label == "jumping jacks" and answers[0].probability > 0.6
    assert len(answers) == 5 and [a.probability for a in answers] == sorted(
        (a.probability for a in answers), reverse=True
    )


def test_actions_in_files_are_understood(pretrained, tmp_path):
    """Each action drawn as a film of another size and rate, encoded, decoded, resized, cropped."""
    right = 0
    for label, action in enumerate(stickfigures.ACTIONS):
        film = stickfigures.scene(action, seed=77, index=label, frames=32, size=(256, 342), stage=0.875).frames
        video.write_video(tmp_path / "a.mp4", film, fps=30)
        right += classify.predict_video(tmp_path / "a.mp4", pretrained, clips=1)[0].label == action
    assert right >= 9


@pytest.mark.parametrize("dtype, allowed", [(torch.float32, 5e-3), (torch.bfloat16, 2e-2)])
def test_the_fast_way_gives_nearly_the_same_shares(pretrained, dtype, allowed, tmp_path, monkeypatch):
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no bfloat16 here")
    before = {name: tensor.clone() for name, tensor in pretrained.network.state_dict().items()}
    plain = classify.VideoClassifier(pretrained, clips=3, k=10)
    with monkeypatch.context() as m:  # it is really another way
        m.setattr(video, "preprocess", None)
        fast = classify.VideoClassifier(pretrained, clips=3, k=10, dtype=dtype, fast=True)
        found = {answer.label: answer.probability for answer in fast.classify(CLIP)}
    wanted = {answer.label: answer.probability for answer in plain.classify(CLIP)}
    assert found.keys() == wanted.keys() and max(wanted, key=wanted.get) == max(found, key=found.get) == "jumping jacks"
    assert 0 < max(abs(found[label] - wanted[label]) for label in wanted) < allowed
    assert all(torch.equal(tensor, before[name]) for name, tensor in pretrained.network.state_dict().items())
    row = fast.answer(fast.read(CLIP))
    assert {answer["label"]: answer["probability"] for answer in row["answers"]} == found
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert list(fast.answer(fast.read(tmp_path / "bad.mp4"))) == ["error"]
    with pytest.raises(video.VideoError):
        fast.classify(tmp_path / "bad.mp4")
    assert fast.how == plain.how | dict(fast=True, precision=str(dtype).removeprefix("torch."))


def test_the_next_clip_is_decoded_while_one_is_classified(pretrained, monkeypatch):
    decoded, seen = [threading.Event() for _ in range(3)], []

    def read_clips(*_, **__):
        for event in decoded:
            event.set()
            yield torch.zeros(16, 128, 171, 3, dtype=torch.uint8)

    def network(x):
        assert len(seen) == 2 or decoded[len(seen) + 1].wait(10)
        seen.append(x)
        return pretrained.network(x)

    monkeypatch.setattr(video, "read_clips", read_clips)
    classifier = classify.VideoClassifier(pretrained, clips=3)
    monkeypatch.setattr(classifier.runner, "network", network)
    classifier.classify("any")
    assert len(seen) == 3


def test_probabilities_are_the_mean_softmax_over_clips(pretrained):
    clips = list(video.read_clips(CLIP, clips=3))
    shares = classify.average_probs(pretrained, clips)
    with torch.inference_mode():
        logits = pretrained.network(torch.stack([transforms.preprocess(clip) for clip in clips]))
    assert torch.allclose(shares, logits.softmax(1).mean(0), atol=1e-5)
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)


def test_top():
    shares = torch.tensor([0.1, 0.6, 0.3])
    assert classify.top_k(shares, ("a", "b", "c"), k=2) == [("b", pytest.approx(0.6)), ("c", pytest.approx(0.3))]
    assert len(classify.top_k(shares, ("a", "b", "c"), k=9)) == 3
    assert str(classify.Prediction("wave", 0.914)) == "  91.4%  wave"


def test_device_is_the_cpu_where_offline(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert classify.get_device().type == "cpu"
    monkeypatch.setenv("VIDEO_RESNET_OFFLINE", "0")
    assert classify.get_device().type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert classify.get_device().type == ("mps" if torch.backends.mps.is_built() else "cpu")  # tried, and said
    assert torch.backends.mps.is_built() or "Going on with the CPU" in capsys.readouterr().err
    monkeypatch.setattr(classify, "mps_convolves", lambda: True)
    assert classify.get_device().type == "mps"


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "helpers.classify", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )


def test_the_command_prints_what_the_function_returns(pretrained):
    expected = classify.predict_video(CLIP, pretrained)
    done = command(CLIP)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert "'stickfigures'" in lines[0] and "nothing else" in lines[0] and lines[2] == str(CLIP)
    assert lines[3:] == [str(answer) for answer in expected]


def test_json_goes_on_after_a_bad_file(pretrained, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    done = command("--json", "--top", 3, tmp_path / "bad.mp4", CLIP, tmp_path / "missing.mp4")
    bad, good, missing = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1 and done.stderr == ""
    assert "is not a video" in bad["error"] and "no such file" in missing["error"]
    expected = classify.predict_video(CLIP, pretrained, k=3)
    assert [answer["label"] for answer in good["answers"]] == [answer.label for answer in expected]
    assert [answer["probability"] for answer in good["answers"]] == pytest.approx(
        [a.probability for a in expected], abs=1e-5
    )
    assert good["file"] == str(CLIP) and good["weights"] == "stickfigures" and good["clips"] == 5


def test_a_name_that_the_terminal_cannot_show_does_no_harm(tmp_path):
    copy = tmp_path / "日本.mp4"
    copy.write_bytes(CLIP.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "helpers.classify", "--clips", "1", str(copy), str(CLIP)],
        capture_output=True, cwd=ROOT, timeout=300, env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.count(b"jumping jacks") == 2


def test_the_fast_command(capsys):
    assert classify.main([str(CLIP), "--fast", "--clips", "1", "--top", "2", "--json"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["answers"][0]["label"] == "jumping jacks" and len(row["answers"]) == 2
    with pytest.raises(SystemExit):
        classify.main([str(CLIP), "--fast", "--over-time"])
    assert "does not go with --over-time" in capsys.readouterr().err


def test_bad_arguments_are_refused(capsys):
    for wrong, says in [
        (["--clips", "0", "a"], "less than 1"),
        (["--device", "abacus", "a"], "cannot be used here"),
        ([], "FILE"),
    ]:
        with pytest.raises(SystemExit) as raised:
            classify.main(wrong)
        assert raised.value.code == 2 and says in capsys.readouterr().err


def test_a_bad_file_is_named_without_json(tmp_path, capsys):
    assert classify.main([str(tmp_path / "missing.mp4")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_a_real_clip_is_read_and_gets_a_foolish_answer(real_clips, pretrained):
    answers = classify.predict_video(real_clips / "v_SoccerJuggling_g23_c01.avi", pretrained)
    assert {answer.label for answer in answers} <= set(stickfigures.ACTIONS)  # it knows no other answer
    assert answers[0].label == "jumping jacks"  # as notebook 07 tells


def test_environment_of_the_tests():
    assert os.environ["VIDEO_RESNET_OFFLINE"] == "1"


class Scale(nn.Module):
    """A network that gives the mean and the largest number of each clip, if no more than `fits` come at once."""

    def __init__(self, fits=99, error=None):
        super().__init__()
        self.fits, self.error, self.batches = fits, error, []

    def forward(self, x):
        self.batches.append(len(x))
        if len(x) > self.fits:
            raise self.error
        return torch.stack([x.mean((1, 2, 3, 4)), x.amax((1, 2, 3, 4))], 1)


CLIPS = torch.randn(11, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
EXPECTED = torch.stack([CLIPS.mean((1, 2, 3, 4)), CLIPS.amax((1, 2, 3, 4))], 1)


@pytest.mark.parametrize("batch, sizes", [(1, [1] * 11), (4, [4, 4, 3]), (11, [11]), (50, [11])])
def test_runner_keeps_the_order_and_the_size_of_batches(batch, sizes):
    network = Scale()
    rows = list(classify.Runner(network, "cpu", batch=batch).logits(CLIPS))
    assert torch.equal(torch.stack(rows), EXPECTED) and network.batches == sizes
    assert list(classify.Runner(network, "cpu").logits(iter(()))) == []


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_runner_answers_for_what_came_before_a_damage(batch):
    def damaged():
        yield from CLIPS[:6]
        raise video.VideoError("film.mp4", "is damaged", "Take another copy")

    rows = []
    with pytest.raises(video.VideoError, match="is damaged"):
        for row in classify.Runner(Scale(), "cpu", batch=batch).logits(damaged()):
            rows.append(row)
    assert torch.equal(torch.stack(rows), EXPECTED[:6])


def test_runner_takes_no_more_clips_than_it_needs():
    taken = []
    logits = classify.Runner(Scale(), "cpu", batch=2).logits(taken.append(k) or clip for k, clip in enumerate(CLIPS))
    next(logits)
    assert taken == [0, 1]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_runner_halves_the_batch_when_memory_is_short_and_says_so(error, capsys):
    network = Scale(fits=2, error=error)
    rows = list(classify.Runner(network, "cpu", batch=8).logits(CLIPS))
    assert torch.equal(torch.stack(rows), EXPECTED)  # nothing lost, nothing twice
    assert network.batches == [8, 4, 2, 2, 2, 2, 2, 1]  # and it does not try the large ones again
    err = capsys.readouterr().err
    assert "8 clips at once do not fit into memory; trying 4." in err and "trying 2." in err and "trying 1." not in err


def test_runner_gives_up_on_a_single_clip_and_on_other_errors():
    for error in (torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("expected 3 channels")):
        with pytest.raises(RuntimeError, match="out of memory|3 channels"):
            list(classify.Runner(Scale(fits=0, error=error), "cpu", batch=4).logits(CLIPS))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Conv3D is not supported on MPS"),
        RuntimeError("Conv3D is only supported on MPS for MacOS_13_2 or newer"),
        NotImplementedError(
            "The operator 'aten::slow_conv3d_forward' is not currently implemented for the MPS device. If you want"
        ),
    ],
)
def test_runner_goes_on_with_the_cpu_where_mps_has_no_3d_convolution(error, monkeypatch, capsys):
    """There is no such device here: tensors stay where they are, and the network raises what torch has raised there."""
    network = Scale(fits=0, error=error)
    runner = classify.Runner(network, "cpu", batch=4)
    runner.device = torch.device("mps")

    def moved(module, device):
        if torch.device(device).type == "cpu":
            module.fits = 99  # there it can
        return module

    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **how: contextlib.nullcontext())
    assert torch.equal(torch.stack(list(runner.logits(CLIPS))), EXPECTED)
    err = capsys.readouterr().err
    assert "MPS" in err and "Going on with the CPU" in err and runner.device.type == "cpu"


def test_half_precision_changes_little(pretrained):
    clips = list(video.read_clips(CLIP, clips=2))
    full = classify.average_probs(pretrained, clips, "cpu")
    half = classify.average_probs(pretrained, clips, "cpu", torch.bfloat16)
    assert half.dtype == torch.float32 and 0 < (full - half).abs().max() < 0.05


@pytest.mark.parametrize(
    "frames, rate", [(60, 30), (119, 30), (121, 30), (301, 30), (300, 29.97), (100, 25), (17, 15), (16, 15), (250, 24)]
)
def test_protocol_takes_torchvisions_clips(frames, rate, tmp_path):
    """The frames that torchvision's own VideoFolder and UniformClipSampler would have taken."""
    path = tmp_path / "a.mp4"
    video.write_video(path, np.stack([numbered_frame(k) for k in range(frames)]), rate)
    clips = VideoFolder.__new__(VideoFolder)
    every, _ = VideoFolder.compute_clips_for_video(torch.arange(frames), 16, 1, rate, 15)  # of frames, numbered
    clips.clips = [every]
    chosen = [every[k].tolist() for k in UniformClipSampler(clips, 5)]
    found = [[read_number(frame) for frame in clip] for clip in video.protocol_clips(path)]
    if len(every) >= 5:
        assert found == [[k % 256 for k in row] for row in chosen]
    else:  # torchvision takes fewer clips of a video that is so short
        assert len(found) == 5 and {tuple(row) for row in found} == {tuple(row.tolist()) for row in every}


def test_protocol_sums_the_softmaxes_of_five_clips(pretrained):
    shares = classify.evaluate_torchvision_protocol(CLIP, pretrained, "cpu")
    clips = list(video.protocol_clips(CLIP))
    with torch.inference_mode():
        logits = pretrained.network(torch.stack([transforms.preprocess(clip) for clip in clips]))
    assert shares.shape == (5, 10) and torch.allclose(shares, logits.softmax(1), atol=1e-5)


def test_answers_over_time_are_those_of_the_clips_there(pretrained):
    rows = list(classify.predict_stream(CLIP, pretrained, step=12, device="cpu"))
    assert [start for start, _ in rows] == pytest.approx(
        [0, 0.8, 1.6, 2.4, 44 / 15]
    )  # the last one ends with the video
    for start, shares in rows[::2]:
        clip = video.read_clip(CLIP, start)
        assert torch.allclose(shares, classify.average_probs(pretrained, [clip], "cpu"), atol=1e-5)


def test_answers_over_time_come_while_the_video_is_decoded(pretrained, film, monkeypatch):
    decoded = []
    picture = video._Reader.picture
    monkeypatch.setattr(video._Reader, "picture", lambda reader: decoded.append(1) or picture(reader))
    rows = classify.predict_stream(film, pretrained, step=4, device="cpu")
    next(rows)
    assert len(decoded) == 16


def test_stretches_join_what_follows_without_gaps():
    def share(best, value):
        return torch.tensor([value if k == best else (1 - value) / 2 for k in range(3)])

    rows = [
        (0.0, share(0, 0.9)),
        (0.5, share(0, 0.7)),
        (1.0, share(2, 0.6)),
        (1.5, share(1, 0.8)),
        (2.0, share(1, 1.0)),
    ]
    found = classify.segments(rows, "abc", clip_seconds=1.0)
    assert [stretch.label for stretch in found] == ["a", "c", "b"]
    assert [(stretch.start, stretch.end) for stretch in found] == [(0.0, 1.25), (1.25, 1.75), (1.75, 3.0)]
    assert [stretch.probability for stretch in found] == pytest.approx([0.8, 0.6, 0.9])
    assert classify.segments([], "abc", 1.0) == []
    (only,) = classify.segments(rows[:1], "abc", 1.0)
    assert only[:3] == (0.0, 1.0, "a")


def test_device_names():
    assert "threads" in classify.device_name("cpu") and len(classify.device_name("cpu")) > 12


def test_the_command_in_half_precision(capsys):
    assert classify.main(["--precision", "bfloat16", "--clips", "1", str(CLIP)]) == 0
    assert "jumping jacks" in capsys.readouterr().out


def test_the_command_tells_what_happens_when(pretrained, tmp_path, capsys):
    film = [stickfigures.scene(action, seed, k, frames=60, size=(256, 342), seconds=2.0, stage=0.875).frames
            for k, (action, seed) in enumerate([("wave", 3), ("kick", 9)])]  # fmt: skip
    video.write_video(tmp_path / "two.mp4", np.concatenate(film), fps=30)
    (tmp_path / "bad.mp4").write_text("no video")
    files = [str(tmp_path / "two.mp4"), str(tmp_path / "bad.mp4")]
    assert classify.main(["--over-time", *files]) == 1
    out, err = capsys.readouterr()
    first, *_, last = [line for line in out.splitlines() if " to " in line]
    assert first.startswith("    0.0 to ") and first.endswith("wave") and last.endswith("kick") and " 4.0 s" in last
    assert "bad.mp4: is not a video" in err
    assert classify.main(["--over-time", "--json", files[0]]) == 0
    told = json.loads(capsys.readouterr().out)["segments"]
    assert told[0]["label"] == "wave" and told[0]["start"] == 0 and told[-1]["end"] == pytest.approx(4.0)
    assert all(a["end"] == b["start"] for a, b in zip(told, told[1:]))
