"""From a file to an answer, in Python and as a command; bad files are named and the others done."""

import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from helpers import classify, stickfigures, video, weights

CLIP = weights.ASSETS / "jumping_jacks.mp4"


@pytest.fixture(scope="module")
def pretrained():
    return weights.load("stickfigures")


def test_the_repositorys_clip_is_understood(pretrained):
    answers = classify.classify(CLIP, pretrained)
    assert answers[0].label == "jumping jacks" and answers[0].probability > 0.6
    assert len(answers) == 5 and [a.probability for a in answers] == sorted((a.probability for a in answers), reverse=True)


def test_actions_in_files_are_understood(pretrained, tmp_path):
    """Each action drawn as a film of another size and rate, encoded, decoded, resized, cropped."""
    right = 0
    for label, action in enumerate(stickfigures.ACTIONS):
        film = stickfigures.scene(action, seed=77, index=label, frames=32, size=(256, 342), stage=0.875).film
        video.write_video(tmp_path / "a.mp4", film, rate=30)
        right += classify.classify(tmp_path / "a.mp4", pretrained, clips=1)[0].label == action
    assert right >= 9


def test_probabilities_are_the_mean_softmax_over_clips(pretrained):
    clips = list(video.read_clips(CLIP, clips=3))
    shares = classify.probabilities(pretrained, clips)
    with torch.inference_mode():
        logits = pretrained.network(torch.stack([video.preprocess(clip) for clip in clips]))
    assert torch.allclose(shares, logits.softmax(1).mean(0), atol=1e-5)
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)


def test_top():
    shares = torch.tensor([0.1, 0.6, 0.3])
    assert classify.top(shares, ("a", "b", "c"), k=2) == [("b", pytest.approx(0.6)), ("c", pytest.approx(0.3))]
    assert len(classify.top(shares, ("a", "b", "c"), k=9)) == 3
    assert str(classify.Answer("wave", 0.914)) == "  91.4%  wave"


def test_device_is_the_cpu_where_offline(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert classify.best_device().type == "cpu"
    monkeypatch.setenv("VIDEO_RESNET_OFFLINE", "0")
    assert classify.best_device().type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert classify.best_device().type == "mps"


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "helpers.classify", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=300
    )


def test_the_command_prints_what_the_function_returns(pretrained):
    expected = classify.classify(CLIP, pretrained)
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
    expected = classify.classify(CLIP, pretrained, k=3)
    assert [answer["label"] for answer in good["answers"]] == [answer.label for answer in expected]
    assert [answer["probability"] for answer in good["answers"]] == pytest.approx([a.probability for a in expected], abs=1e-5)
    assert good["file"] == str(CLIP) and good["weights"] == "stickfigures" and good["clips"] == 5


def test_a_name_that_the_terminal_cannot_show_does_no_harm(tmp_path):
    copy = tmp_path / "日本.mp4"
    copy.write_bytes(CLIP.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "helpers.classify", "--clips", "1", str(copy), str(CLIP)],
        capture_output=True, cwd=ROOT, timeout=300, env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.count(b"jumping jacks") == 2


def test_bad_arguments_are_refused(capsys):
    for wrong, says in [(["--clips", "0", "a"], "less than 1"), (["--device", "abacus", "a"], "cannot be used here"), ([], "FILE")]:
        with pytest.raises(SystemExit) as raised:
            classify.main(wrong)
        assert raised.value.code == 2 and says in capsys.readouterr().err


def test_a_bad_file_is_named_without_json(tmp_path, capsys):
    assert classify.main([str(tmp_path / "missing.mp4")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_a_real_clip_is_read_and_gets_a_foolish_answer(real_clips, pretrained):
    answers = classify.classify(real_clips / "v_SoccerJuggling_g23_c01.avi", pretrained)
    assert {answer.label for answer in answers} <= set(stickfigures.ACTIONS)  # it knows no other answer
    assert answers[0].label == "jumping jacks"  # as notebook 08 tells


def test_environment_of_the_tests():
    assert os.environ["VIDEO_RESNET_OFFLINE"] == "1"
