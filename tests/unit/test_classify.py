"""From a file to predictions, in Python and as a command; bad files are named and the others done."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from conftest import ROOT, numbered_frame, read_number
from torch import nn
from torchvision.datasets.samplers import UniformClipSampler
from torchvision.datasets.video_utils import VideoClips

from helpers import classify, reader, stickfigures, transforms, video, weights
from helpers.scale import inference

CLIP = weights.ASSETS / "jumping_jacks.mp4"


@pytest.fixture(scope="module")
def pretrained():
    return weights.load("stickfigures")


def test_the_repositorys_clip_is_classified(pretrained):
    predictions = classify.predict_video(CLIP, pretrained)
    assert predictions[0].label == "jumping jacks" and predictions[0].probability > 0.6
    probs = [prediction.probability for prediction in predictions]
    assert len(probs) == 5 and probs == sorted(probs, reverse=True)


def test_actions_in_files_are_classified(pretrained, tmp_path):
    """Each action drawn as a video of another size and frame rate, encoded, decoded, resized, cropped."""
    right = 0
    for label, action in enumerate(stickfigures.ACTIONS):
        frames = stickfigures.scene(action, seed=77, index=label, frames=32, size=(256, 342), stage=0.875).frames
        video.write_video(tmp_path / "a.mp4", frames, fps=30)
        right += classify.predict_video(tmp_path / "a.mp4", pretrained, clips=1)[0].label == action
    assert right >= 9


@pytest.mark.parametrize("dtype, allowed", [(torch.float32, 5e-3), (torch.bfloat16, 2e-2)])
def test_fast_gives_nearly_the_same_probabilities(pretrained, dtype, allowed, tmp_path, monkeypatch):
    if dtype == torch.bfloat16 and not inference.cpu_has_bfloat16():
        pytest.skip("no bfloat16 here")
    before = {name: tensor.clone() for name, tensor in pretrained.network.state_dict().items()}
    plain = classify.VideoClassifier(pretrained, clips=2, k=10, device="cpu")
    fast = classify.VideoClassifier(pretrained, clips=2, k=10, device="cpu", dtype=dtype, fast=True)
    expected = {label: probability for label, probability in plain(CLIP)}
    with monkeypatch.context() as m:  # it is really another way
        m.setattr(transforms, "preprocess", None)
        m.setattr(pretrained.network, "forward", None)
        probs = {label: probability for label, probability in fast(CLIP)}
    assert probs.keys() == expected.keys()
    assert max(expected, key=expected.get) == max(probs, key=probs.get) == "jumping jacks"
    assert 0 < max(abs(probs[label] - expected[label]) for label in expected) < allowed
    assert all(torch.equal(tensor, before[name]) for name, tensor in pretrained.network.state_dict().items())
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(video.VideoError):
        fast(tmp_path / "bad.mp4")


def test_the_next_clip_is_decoded_while_one_is_classified(pretrained, monkeypatch):
    decoded, batches, forward = [threading.Event() for _ in range(3)], [], pretrained.network.forward

    def read_clips(*_, **__):
        for event in decoded:
            event.set()
            yield torch.zeros(16, 128, 171, 3, dtype=torch.uint8)

    def network(x):
        assert len(batches) == 2 or decoded[len(batches) + 1].wait(60)
        batches.append(x)
        return forward(x)

    monkeypatch.setattr(video, "read_clips", read_clips)
    monkeypatch.setattr(pretrained.network, "forward", network)
    classify.predict_video("any", pretrained, clips=3, device="cpu")
    assert [len(batch) for batch in batches] == [1, 1, 1]


def test_probabilities_are_the_mean_softmax_over_clips(pretrained):
    clips = list(video.read_clips(CLIP, clips=3))
    probs = classify.average_probs(pretrained, clips, "cpu")
    with torch.inference_mode():
        logits = pretrained.network(torch.stack([transforms.preprocess(clip) for clip in clips]))
    assert torch.allclose(probs, logits.softmax(1).mean(0), atol=1e-5)
    assert probs.sum().item() == pytest.approx(1, abs=1e-5)


def test_top_k():
    probs = torch.tensor([0.1, 0.6, 0.3])
    assert classify.top_k(probs, ("a", "b", "c"), k=2) == [("b", pytest.approx(0.6)), ("c", pytest.approx(0.3))]
    assert len(classify.top_k(probs, ("a", "b", "c"), k=9)) == 3
    assert str(classify.Prediction("wave", 0.914)) == "  91.4%  wave"


@pytest.mark.parametrize("gpu, convolves, expected", [
    (None, None, "cpu"), ("cuda", None, "cuda"), ("xpu", None, "xpu"), ("mps", True, "mps"), ("mps", False, "cpu"),
])  # fmt: skip
def test_the_device_is_a_gpu_that_can_run_the_network(gpu, convolves, expected, monkeypatch):
    monkeypatch.delenv("VIDEO_RESNET_DEVICE", raising=False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: gpu and torch.device(gpu))
    monkeypatch.setattr(classify, "mps_convolves", lambda: convolves)
    assert classify.get_device().type == expected


def test_a_variable_names_the_device(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setenv("VIDEO_RESNET_DEVICE", "cpu")
    monkeypatch.setenv("VIDEO_RESNET_OFFLINE", "0")
    assert classify.get_device().type == "cpu"
    monkeypatch.setenv("VIDEO_RESNET_DEVICE", "")
    monkeypatch.setenv("VIDEO_RESNET_OFFLINE", "1")  # which is about the network of computers only
    assert classify.get_device().type == "cuda"


def test_an_apple_gpu_without_3d_convolutions_gives_a_sentence(monkeypatch, capsys):
    def conv3d(*_):
        raise RuntimeError("Conv3D is not supported on MPS")

    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(*shape))
    assert classify.mps_convolves() and capsys.readouterr().err == ""
    monkeypatch.setattr(nn.functional, "conv3d", conv3d)
    assert not classify.mps_convolves()
    assert capsys.readouterr().err.startswith("mps cannot be used here: Conv3D is not supported on MPS. Going on with")


def test_the_command_prints_what_the_function_returns(pretrained):
    expected = classify.predict_video(CLIP, pretrained)
    command = [sys.executable, "-m", "helpers.classify", str(CLIP)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert "'stickfigures'" in lines[0] and "nothing else" in lines[0] and lines[2] == str(CLIP)
    assert [line.split(None, 1)[1] for line in lines[3:]] == [prediction.label for prediction in expected]
    probs = [float(line.split("%")[0]) / 100 for line in lines[3:]]
    assert probs == pytest.approx([prediction.probability for prediction in expected], abs=0.002)


def test_the_command_imports_no_more_than_it_needs_and_shows_any_name(tmp_path):
    """A terminal may not be able to show the name of a file."""
    copy = tmp_path / "日本.mp4"
    copy.write_bytes(CLIP.read_bytes())
    code = (
        "import sys; from helpers import classify; assert classify.main(sys.argv[1:]) == 0; "
        "print({'torchvision', 'matplotlib', 'sklearn', 'helpers.scale'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code, "--clips", "1", str(copy), str(CLIP)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=300, env=environment)
    assert done.returncode == 0 and done.stdout.count(b"jumping jacks") == 2 and done.stderr == b""
    assert done.stdout.splitlines()[-1] == b"set()"


def test_json_goes_on_after_a_bad_file(pretrained, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_text("no video", encoding="utf-8")
    files = [str(tmp_path / "bad.mp4"), str(CLIP), str(tmp_path / "missing.mp4")]
    assert classify.main(["--json", "--top", "3", "--clips", "2", *files]) == 1
    out, err = capsys.readouterr()
    bad, good, missing = map(json.loads, out.splitlines())
    assert err == "" and "is not a video" in bad["error"] and "no such file" in missing["error"]
    expected = classify.predict_video(CLIP, pretrained, clips=2, k=3)
    assert [row["label"] for row in good["predictions"]] == [prediction.label for prediction in expected]
    probs = [row["probability"] for row in good["predictions"]]
    assert probs == pytest.approx([prediction.probability for prediction in expected], abs=1e-5)
    assert good["file"] == str(CLIP) and good["weights"] == "stickfigures" and good["clips"] == 2


def test_the_fast_command(capsys):
    assert classify.main([str(CLIP), "--fast", "--clips", "1", "--top", "2", "--json"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["predictions"][0]["label"] == "jumping jacks" and len(row["predictions"]) == 2


@pytest.mark.parametrize("wrong, says", [
    (["--clips", "0", "a"], "0 is no whole number from 1 to 100,000"),
    (["--device", "abacus", "a"], "abacus cannot be used here"),
    (["--device", "meta", "a"], "meta cannot be used here"),
    (["--device", "xla", "a"], "xla cannot be used here"),
    (["--fast", "--timeline", "a"], "--fast does not go with --timeline"),
    (["--out", "b", "--timeline", "a"], "--out goes with one folder"),
    ([], "FILE"),
])  # fmt: skip
def test_bad_arguments_are_refused(wrong, says, capsys):
    with pytest.raises(SystemExit) as raised:
        classify.main(wrong)
    assert raised.value.code == 2 and says in capsys.readouterr().err


def test_a_wrong_device_in_the_environment_gives_a_sentence(monkeypatch, capsys):
    monkeypatch.setenv("VIDEO_RESNET_DEVICE", "abacus")
    with pytest.raises(SystemExit) as raised:
        classify.main([str(CLIP)])
    assert raised.value.code == 2 and "abacus cannot be used here" in capsys.readouterr().err


def test_an_interrupted_command(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    for name in ("__call__", "__init__"):
        monkeypatch.setattr(classify.VideoClassifier, name, interrupted)
        with pytest.raises(SystemExit) as raised:
            classify.main([str(CLIP)])
        assert raised.value.code == 130 and capsys.readouterr().err == "\nInterrupted.\n"


def test_a_bad_file_is_named_without_json(tmp_path, capsys):
    assert classify.main([str(tmp_path / "missing.mp4")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_a_real_clip_is_read_and_gets_a_wrong_prediction(real_clips, pretrained):
    predictions = classify.predict_video(real_clips / "v_SoccerJuggling_g23_c01.avi", pretrained)
    assert {prediction.label for prediction in predictions} <= set(stickfigures.ACTIONS)  # it knows no other label
    assert predictions[0].label == "jumping jacks"  # as notebook 07 tells


CLIPS = torch.randn(11, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size, sizes", [(1, [1] * 11), (4, [4, 4, 3]), (11, [11]), (50, [11])])
def test_batches_keep_the_order(size, sizes):
    batches = list(classify._batches(iter(CLIPS), size))
    assert torch.equal(torch.cat(batches), CLIPS) and [len(batch) for batch in batches] == sizes
    assert list(classify._batches(iter(()), size)) == []


@pytest.mark.parametrize("size", [1, 4, 6, 8])
def test_the_clips_before_a_damaged_place_come_first(size):
    def damaged():
        yield from CLIPS[:6]
        raise video.VideoError("film.mp4", "is damaged", "Take another copy")

    batches = []
    with pytest.raises(video.VideoError, match="is damaged"):
        for batch in classify._batches(damaged(), size):
            batches.append(batch)
    assert torch.equal(torch.cat(batches), CLIPS[:6])


def test_a_gpu_takes_the_clips_of_a_video_together(monkeypatch):
    class Network:
        def to(self, device):
            return self

    sizes = []
    monkeypatch.setattr(classify, "_batches", lambda clips, size: sizes.append(size) or iter(()))
    for device in ("cpu", "cuda", "mps"):
        assert list(classify._outputs(Network(), [], device, torch.float32)) == []
    assert sizes == [1, 8, 8]


def test_no_more_clips_are_taken_than_one_ahead(pretrained):
    taken = []
    frames = torch.zeros(16, 112, 112, 3, dtype=torch.uint8)
    probs = classify.predict_clips(pretrained, (taken.append(k) or frames for k in range(9)), "cpu")
    next(probs), next(probs)
    assert len(taken) in (2, 3)
    probs.close()
    assert len(taken) == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_changes_little(pretrained, dtype):
    clips = list(video.read_clips(CLIP, clips=1))
    full = classify.average_probs(pretrained, clips, "cpu")
    reduced = classify.average_probs(pretrained, clips, "cpu", dtype)
    assert reduced.dtype == torch.float32 and 0 < (full - reduced).abs().max() < 0.05


@pytest.mark.parametrize(
    "frames, rate", [(60, 30), (119, 30), (121, 30), (301, 30), (300, 29.97), (100, 25), (17, 15), (16, 15), (250, 24)]
)
def test_protocol_takes_torchvisions_clips(frames, rate, tmp_path):
    """The frames that torchvision's own VideoFolder and UniformClipSampler would have taken."""
    path = tmp_path / "a.mp4"
    video.write_video(path, np.stack([numbered_frame(k) for k in range(frames)]), rate)
    clips = VideoClips.__new__(VideoClips)
    every, _ = VideoClips.compute_clips_for_video(torch.arange(frames), 16, 1, rate, 15)  # of frames, numbered
    clips.clips = [every]
    chosen = [every[k].tolist() for k in UniformClipSampler(clips, 5)]
    found = [[read_number(frame) for frame in clip] for clip in video.protocol_clips(path)]
    if len(every) >= 5:
        assert found == [[k % 256 for k in row] for row in chosen]
    else:  # torchvision takes fewer clips of a video that is so short
        assert len(found) == 5 and {tuple(row) for row in found} == {tuple(row.tolist()) for row in every}


def test_protocol_sums_the_softmaxes_of_five_clips(pretrained):
    probs = classify.evaluate_torchvision_protocol(CLIP, pretrained, "cpu")
    clips = list(video.protocol_clips(CLIP))
    with torch.inference_mode():
        logits = pretrained.network(torch.stack([transforms.preprocess(clip) for clip in clips]))
    assert probs.shape == (5, 10) and torch.allclose(probs, logits.softmax(1), atol=1e-5)


def test_a_stream_gives_the_clips_of_its_starts(pretrained):
    rows = list(classify.predict_stream(CLIP, pretrained, step=12, device="cpu"))
    assert [start for start, _ in rows] == pytest.approx([0, 0.8, 1.6, 2.4, 44 / 15])  # the last ends with the video
    for start, probs in rows[::2]:
        clip = video.read_clip(CLIP, start)
        assert torch.allclose(probs, classify.average_probs(pretrained, [clip], "cpu"), atol=1e-5)


def test_a_stream_is_classified_while_it_is_decoded(pretrained, film, monkeypatch):
    decoded, picture = [], reader.Reader.picture
    monkeypatch.setattr(reader.Reader, "picture", lambda reader: decoded.append(1) or picture(reader))
    rows = classify.predict_stream(film, pretrained, step=4, device="cpu")
    next(rows)
    rows.close()
    assert len(decoded) == 16 + 4  # one clip ahead, of about 30 frames in all


def test_segments_join_what_follows_without_gaps():
    def probs(best, value):
        return torch.tensor([value if k == best else (1 - value) / 2 for k in range(3)])

    rows = [
        (0.0, probs(0, 0.9)),
        (0.5, probs(0, 0.7)),
        (1.0, probs(2, 0.6)),
        (1.5, probs(1, 0.8)),
        (2.0, probs(1, 1.0)),
    ]
    joined = classify.segments(rows, ("a", "b", "c"), clip_seconds=1.0)
    assert [segment.label for segment in joined] == ["a", "c", "b"]
    assert [(segment.start, segment.end) for segment in joined] == [(0.0, 1.25), (1.25, 1.75), (1.75, 3.0)]
    assert [segment.probability for segment in joined] == pytest.approx([0.8, 0.6, 0.9])
    assert classify.segments([], ("a", "b", "c"), 1.0) == []
    (only,) = classify.segments(rows[:1], ("a", "b", "c"), 1.0)
    assert only[:3] == (0.0, 1.0, "a")


def test_features_are_what_the_last_layer_reads(pretrained):
    clips = list(video.read_clips(CLIP, clips=2))
    features = classify.extract_features(pretrained, clips, "cpu")
    assert features.shape == (2, pretrained.network.fc.in_features)
    with torch.inference_mode():
        logits = pretrained.network(torch.stack([transforms.preprocess(clip) for clip in clips]))
        assert torch.allclose(pretrained.network.fc(features), logits, atol=1e-4)


def test_device_names(monkeypatch):
    for count, end in ((1, ", 1 thread"), (2, ", 2 threads")):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        assert classify.device_name("cpu").endswith(end) and len(classify.device_name("cpu")) > 12


def test_the_command_in_reduced_precision(capsys):
    assert classify.main(["--precision", "bfloat16", "--clips", "1", str(CLIP)]) == 0
    assert "jumping jacks" in capsys.readouterr().out


def test_the_command_prints_a_timeline(pretrained, tmp_path, capsys):
    parts = [stickfigures.scene(action, seed, k, frames=60, size=112, seconds=2.0).frames
             for k, (action, seed) in enumerate([("wave", 3), ("kick", 9)])]  # fmt: skip
    video.write_video(tmp_path / "two.mp4", np.concatenate(parts), fps=30)
    (tmp_path / "bad.mp4").write_text("no video", encoding="utf-8")
    files = [str(tmp_path / "two.mp4"), str(tmp_path / "bad.mp4")]
    assert classify.main(["--timeline", *files]) == 1
    out, err = capsys.readouterr()
    first, *_, last = [line for line in out.splitlines() if " to " in line]
    assert first.startswith("    0.0 to ") and first.endswith("wave") and last.endswith("kick") and " 4.0 s" in last
    assert "bad.mp4: is not a video" in err
    assert classify.main(["--timeline", "--json", *files]) == 1
    rows, bad = map(json.loads, capsys.readouterr().out.splitlines())
    segments = rows["segments"]
    assert segments[0]["label"] == "wave" and segments[0]["start"] == 0
    assert segments[-1]["end"] == pytest.approx(4.0) and "is not a video" in bad["error"]
    assert all(a["end"] == b["start"] for a, b in zip(segments, segments[1:]))


def cut_film(path):
    """Two actions, four seconds, of which the last is missing."""
    parts = [stickfigures.scene(action, seed, k, frames=60, size=112, seconds=2.0).frames
             for k, (action, seed) in enumerate([("wave", 3), ("kick", 9)])]  # fmt: skip
    video.write_video(path, np.concatenate(parts), fps=30)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])
    return str(path)


def test_a_damaged_video_has_a_timeline_as_far_as_it_goes(tmp_path, capsys):
    files = [cut_film(tmp_path / "cut.mkv"), str(CLIP)]
    assert classify.main(["--timeline", *files]) == 1
    out, err = capsys.readouterr()
    assert out.count(files[0]) == 1 and err.count("\n") == 2 and err.startswith(f"\n{files[0]}: is ")
    before, after = out.split(f"\n{CLIP}\n")
    first, *_, last = [line for line in before.splitlines() if " to " in line]
    assert first.startswith("    0.0 to ") and first.endswith("wave") and " to " in after
    assert 2 < float(last.split()[2]) < 3.9
    assert classify.main(["--timeline", "--json", *files]) == 1
    row, other = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["segments"][0]["label"] == "wave" and "cut.mkv: is " in row["error"] and "error" not in other


def test_a_segment_is_printed_as_soon_as_it_is_known(pretrained, monkeypatch, capsys):
    printed = []

    def rows(*_):
        for start, best in enumerate((0, 0, 1, 1, 2)):
            printed.append(capsys.readouterr().out.count(" to "))
            yield float(start), torch.eye(10)[best]

    monkeypatch.setattr(classify, "predict_stream", rows)
    assert classify.main(["--timeline", str(CLIP)]) == 0
    assert printed == [0, 0, 0, 1, 0] and capsys.readouterr().out.count(" to ") == 2


def test_names_that_look_like_options_and_patterns_are_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("-Xz3.mp4", "b[1].mp4", "c.mp4"):
        (tmp_path / name).write_bytes(CLIP.read_bytes())
    command = ["--clips", "1", "--json"]
    asked = {
        ("-Xz3.mp4", "c.mp4"): ["./-Xz3.mp4", "c.mp4"],
        ("--", "-Xz3.mp4"): ["./-Xz3.mp4"],
        ("*.mp4",): ["-Xz3.mp4", "b[1].mp4", "c.mp4"],
        ("b[1].mp4",): ["b[1].mp4"],
    }
    for names, expected in asked.items():
        assert classify.main([*command, *names]) == 0
        files = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
        assert [file.replace(os.sep, "/") for file in files] == expected
    assert classify.main(["*.avi"]) == 1 and "*.avi: there is no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        classify.main(["--help"])
    assert "may begin with -, and may be a pattern such as *.mp4" in " ".join(capsys.readouterr().out.split())


def test_any_error_of_a_file_leaves_the_others_alone(monkeypatch, tmp_path, capsys):
    read = classify.VideoClassifier.read

    def broken(self, path):
        if path.endswith("bad.mp4"):
            raise ZeroDivisionError
        return read(self, path)

    monkeypatch.setattr(classify.VideoClassifier, "read", broken)
    assert classify.main(["--clips", "1", "bad.mp4", str(CLIP)]) == 1
    out, err = capsys.readouterr()
    assert "bad.mp4: ZeroDivisionError: no message" in err and "jumping jacks" in out


@pytest.mark.filterwarnings("default::helpers.video.VideoWarning")
def test_what_is_said_about_a_file_is_one_sentence(tmp_path, capsys):
    joined = tmp_path / "joined.ts"
    video.write_video(joined, np.stack([numbered_frame(k) for k in range(30)]))
    joined.write_bytes(joined.read_bytes() * 2)
    assert classify.main(["--clips", "2", str(joined)]) == 0
    sentence = "its clock starts again or jumps. It is read as one video without a gap."
    assert capsys.readouterr().err == f"{joined}: {sentence}\n"


def test_clips_of_several_lengths_are_refused(pretrained):
    clips = [torch.zeros(frames, 64, 64, 3, dtype=torch.uint8) for frames in (16, 8)]
    with pytest.raises(ValueError, match=r"clips have one shape: this one is \(3, 8, 112, 112\), the first is \(3, 16"):
        list(classify.predict_clips(pretrained, clips, device="cpu"))


def test_another_preprocessing_gets_frames_as_they_are(pretrained, film):
    shapes = []

    def preprocess(frames):
        shapes.append(tuple(frames.shape))
        return transforms.preprocess(frames)

    other = dataclasses.replace(pretrained, preprocess=preprocess)
    expected, predictions = (classify.predict_video(film, each, clips=1, device="cpu") for each in (pretrained, other))
    assert shapes == [(16, 64, 96, 3)] and predictions == expected


PEAK = """
import resource, sys, torch
from helpers import classify
torch.set_num_threads(2)
code = classify.main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def write_gradient(path, height, width):
    """Two seconds of a still picture, encoded quickly."""
    picture = np.repeat(np.linspace(0, 255, width).astype(np.uint8)[None], height, 0)[..., None].repeat(3, 2)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for k in range(30):
            frame.pts, frame.time_base = k, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_picture(tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("peak memory is in other units there")
    for name, height, width in (("small", 240, 320), ("large", 2160, 3840)):
        (tmp_path / name).mkdir()
        write_gradient(tmp_path / name / "a.mp4", height, width)
        for copy in "bcd":
            os.link(tmp_path / name / "a.mp4", tmp_path / name / f"{copy}.mp4")

    def peak(*arguments):
        command = [sys.executable, "-c", PEAK, "--device", "cpu", "--clips", "2", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
        return int(done.stdout.split("peak")[1])

    small, large = (peak(tmp_path / name / "a.mp4") for name in ("small", "large"))
    assert large - small < 300
    small, large = (peak(tmp_path / name, "--out", tmp_path / f"{name}.jsonl") for name in ("small", "large"))
    assert large - small < 600


def test_a_network_in_train_mode_is_refused():
    pretrained = weights.load()
    before = {name: values.clone() for name, values in pretrained.network.state_dict().items()}
    pretrained.network.layer4.train()
    for function in (classify.predict_clips, classify.extract_features):
        with pytest.raises(ValueError, match=r"call network.eval\(\) first"):
            function(pretrained, [torch.zeros(16, 8, 8, 3, dtype=torch.uint8)], "cpu")
    with pytest.raises(ValueError, match="train mode"):
        classify.predict_video(CLIP, pretrained, device="cpu")
    assert all(torch.equal(values, before[name]) for name, values in pretrained.network.state_dict().items())


def test_features_of_a_network_inside_another_are_refused():
    pretrained = weights.load()
    wrapped = dataclasses.replace(pretrained, network=torch.nn.Sequential(pretrained.network).eval())
    with pytest.raises(TypeError, match="does not end in fc"):
        classify.extract_features(wrapped, [], "cpu")


def test_fast_refuses_a_preprocessing_that_it_would_not_do():
    pretrained = weights.load()
    for change in (dict(preprocess=lambda frames: frames), dict(crop_size=64)):
        with pytest.raises(ValueError, match="fast has a preprocessing of its own"):
            classify.VideoClassifier(dataclasses.replace(pretrained, **change), fast=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("end", ["| head -c 1", ">&-"])
def test_an_output_that_nobody_reads_ends_without_a_stack(end):
    command = f'{shlex.quote(sys.executable)} -m helpers.classify --clips 1 --device cpu "{CLIP}" "{CLIP}" {end}'
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in result.stderr, result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no such device here")
@pytest.mark.parametrize("option", ["--timeline", "--json"])
def test_an_output_on_a_full_disk_ends_with_a_sentence(option):
    command = [sys.executable, "-m", "helpers.classify", "--clips", "1", option, str(CLIP)]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 2 and done.stderr == "The output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("name", ["helpers.classify", "helpers.training", "helpers.scale.benchmark"])
def test_a_command_that_is_interrupted_while_it_is_imported_ends_without_a_stack(name, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    for error, code, says in (("KeyboardInterrupt", 130, "\nInterrupted.\n"), ("ValueError", 1, "Traceback")):
        (tmp_path / "torch.py").write_text(f"raise {error}", encoding="utf-8")  # is found before the other torch
        command = [sys.executable, "-B", "-m", name, "a"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, env=environment)
        assert done.returncode == code and done.stderr[: len(says)] == says, done.stderr
        assert error == "ValueError" or done.stderr == says
