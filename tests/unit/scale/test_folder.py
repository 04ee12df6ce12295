"""Folders of any size: a row for each file, none twice, none lost, bad files named."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from conftest import ROOT, write_film
from PIL import Image

from helpers import classify, video, weights
from helpers.scale import folder as folder_job


def fill(folder, out, **other):
    """Rows that say how long each file is; an empty file gives an error."""

    def make(names):
        for name in names:
            content = (folder / name).read_bytes()
            yield name, dict(length=len(content)) if content else dict(error="empty")

    return list(folder_job.write_rows(folder, out, dict(how=1) | other, make))


def rows(out):
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "in"
    (home / "b" / "deep").mkdir(parents=True)
    for name, length in (("c", 3), ("a", 1), ("b/z", 2), ("b/deep/y", 0)):
        (home / name).write_bytes(b"x" * length)
    return home


def test_every_file_has_a_row_in_order(folder, tmp_path):
    progress = fill(folder, tmp_path / "out")
    assert rows(tmp_path / "out") == [
        dict(file="a", how=1, length=1),
        dict(file="b/deep/y", how=1, error="empty"),
        dict(file="b/z", how=1, length=2),
        dict(file="c", how=1, length=3),
    ]
    assert progress == [(0, 4, 0), (1, 4, 0), (2, 4, 1), (3, 4, 1), (4, 4, 1)]
    assert (
        str(progress[0]) == "0 of 4"
        and str(progress[-1]) == "4 of 4, 1 could not be classified; --retry tries them again"
    )


def test_what_is_done_is_not_done_again(folder, tmp_path):
    out = tmp_path / "out"
    fill(folder, out)
    before = out.read_text(encoding="utf-8")
    (progress,) = fill(folder, out)
    assert (
        progress == (4, 4, 1) and out.read_text(encoding="utf-8") == before
    )  # the error of the earlier run is not forgotten
    (folder / "bb").write_bytes(b"xx")
    first, last = fill(folder, out)
    assert (first.done, first.total, last.done, last.failed) == (4, 5, 5, 1)
    assert out.read_text(encoding="utf-8") == before + '{"file": "bb", "how": 1, "length": 2}\n'


@pytest.mark.parametrize("cut", [1, 5, 12, 30, -1])
def test_half_a_row_is_made_again(folder, tmp_path, cut):
    out = tmp_path / "out"
    fill(folder, out)
    whole = out.read_bytes()
    third = whole.index(b'{"file": "b/z"')
    end = whole.index(b"\n", third)
    out.write_bytes(whole[: third + cut if cut > 0 else end])
    fill(folder, out)
    assert out.read_bytes() == whole


@pytest.mark.parametrize("content, says", [
    (b"Dear reader,\nthis is a letter.\n", "line 1, is no row"),
    (b"\x00\x01 a film without an end of line", "line 1, is no row"),
    (b'{"file": "a", "how": 1, "length": 1}\n[1, 2]\n', "line 2, is no row"),
    (b'{"file": "a", "length": 1}\n', "line 1, is no row"),
    (b'{"file": "a", "how": 2, "length": 1}\n', "made with {'how': 2}, not with {'how': 1}"),
])  # fmt: skip
def test_another_file_is_left_alone(folder, tmp_path, content, says):
    out = tmp_path / "out"
    out.write_bytes(content)
    with pytest.raises(ValueError, match=r"name another file") as caught:
        fill(folder, out)
    assert says in str(caught.value) and out.read_bytes() == content


def test_the_file_of_rows_may_lie_in_the_folder(folder):
    out = folder / "results.jsonl"
    fill(folder, out)
    assert len(fill(folder, out)) == 1 and len(rows(out)) == 4


def test_no_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match="nowhere is no folder"):
        fill(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_are_decoded_two_ahead_and_no_more(clips, tmp_path, monkeypatch):
    decoded, read = [], classify.VideoClassifier.read
    monkeypatch.setattr(
        classify.VideoClassifier, "read", lambda self, path: decoded.append(path.name) or read(self, path)
    )
    for k in range(6):
        os.link(clips / "1.mp4", tmp_path / f"{k}.mp4")
    for progress in folder_job.classify_folder(tmp_path, tmp_path / ".out", weights.load(), clips=1, device="cpu"):
        assert len(decoded) <= min(6, progress.done + 2)
    assert sorted(decoded) == [f"{k}.mp4" for k in range(6)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Videos, good and bad."""
    home = tmp_path_factory.mktemp("clips")
    (home / "some").mkdir()
    film = (weights.ASSETS / "jumping_jacks.mp4").read_bytes()
    for name in ("1.mp4", "some/2.mp4", "some/5.mp4"):
        (home / name).write_bytes(film)
    write_film(home / "short.mp4", [0.0, 1 / 30])
    (home / "notes.txt").write_bytes(b"Buy milk.")
    (home / "some" / "cut.mp4").write_bytes(film[: len(film) // 3])
    return home


@pytest.mark.parametrize("fast", [False, True])
def test_a_folder_is_classified_as_its_files_are(clips, tmp_path, fast):
    pretrained = weights.load()
    settings = dict(clips=2, k=3, device="cpu", fast=fast)
    *_, last = folder_job.classify_folder(clips, tmp_path / "out", pretrained, **settings)
    assert last == (6, 6, 2)
    for row in rows(tmp_path / "out"):
        made = {key: row[key] for key in ("weights", "clips", "top", "precision", "fast")}
        assert made == dict(weights=pretrained.name, clips=2, top=3, precision="float32", fast=fast)
        try:
            predictions = classify.predict_video(clips / row["file"], pretrained, **settings)
        except video.VideoError as error:
            assert row["error"] == str(error) and "predictions" not in row
        else:
            expected = {prediction.label: pytest.approx(prediction.probability) for prediction in predictions}
            assert {each["label"]: each["probability"] for each in row["predictions"]} == expected
            assert "error" not in row


@pytest.mark.slow
def test_the_command_goes_on_after_it_was_killed(clips, tmp_path):
    """Killed at several moments, and started again until it ends: the rows of a run that was not disturbed."""
    home, out, calm = tmp_path / "in", tmp_path / "out.jsonl", tmp_path / "calm.jsonl"
    home.mkdir()
    for k in range(16):
        os.link(clips / "1.mp4", home / f"{k:02}.mp4")
    command = [sys.executable, "-m", "helpers.classify", str(home), "--clips", "1", "--top", "1", "--out"]
    assert subprocess.run([*command, str(calm)], capture_output=True).returncode == 0
    for rows_before_the_end in (1, 4):
        run = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while run.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < rows_before_the_end):
            time.sleep(0.005)
        run.kill()
        run.wait()
    assert 4 <= len(rows(out)) < 16  # half a row would not be JSON, and is not likely
    assert subprocess.run([*command, str(out)], capture_output=True).returncode == 0
    assert sorted(rows(out), key=str) == rows(calm)  # what was being read when it was killed comes last
    assert not list(tmp_path.glob("*.lock")) and not list(tmp_path.glob("*.begun"))


def test_the_command_tells_what_is_wrong(clips, tmp_path, capsys):
    out = str(tmp_path / "out.jsonl")
    assert classify.main([str(clips), "--clips", "1", "--out", out]) == 1
    assert (
        capsys.readouterr().err == "6 of 6, 2 could not be classified; --retry tries them again\n"
    )  # no bar where there is no terminal
    assert classify.main([str(clips), "--clips", "1", "--out", out]) == 1  # nothing left to do, and two still unread
    assert capsys.readouterr().err == "6 of 6, 2 could not be classified; --retry tries them again\n"
    for other in (["--clips", "2"], ["--clips", "1", "--precision", "bfloat16"]):
        assert classify.main([str(clips), *other, "--out", out]) == 2
        assert "name another file" in capsys.readouterr().err
    assert classify.main([str(clips / "nowhere"), "--out", str(tmp_path / "new")]) == 2
    assert "nowhere is no folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        classify.main([str(clips), str(clips), "--out", out])
    assert "--out goes with one folder" in capsys.readouterr().err


def test_any_error_of_a_file_is_a_row(clips, tmp_path, monkeypatch):
    read = classify.VideoClassifier.read

    def broken(self, path):
        if path.name == "2.mp4":
            raise ZeroDivisionError("a fault of ours")
        return read(self, path)

    monkeypatch.setattr(classify.VideoClassifier, "read", broken)
    out = tmp_path / "out"
    assert classify.main([str(clips), "--clips", "1", "--device", "cpu", "--out", str(out)]) == 1
    errors = {row["file"]: row["error"] for row in rows(out) if "error" in row}
    assert (
        len(rows(out)) == 6
        and errors["some/2.mp4"] == f"{clips / 'some' / '2.mp4'}: ZeroDivisionError: a fault of ours"
    )


def test_rows_with_errors_are_tried_again_when_asked(clips, tmp_path, capsys):
    home, out = tmp_path / "in", tmp_path / "out"
    home.mkdir()
    for name in ("1.mp4", "notes.txt"):
        (home / name).write_bytes((clips / name).read_bytes())
    command = [str(home), "--clips", "1", "--device", "cpu", "--out", str(out)]
    assert classify.main(command) == 1
    (home / "notes.txt").write_bytes((home / "1.mp4").read_bytes())  # mended
    assert classify.main(command) == 1 and "1 could not be classified; --retry" in capsys.readouterr().err
    assert classify.main([*command, "--retry"]) == 0
    assert capsys.readouterr().err == "Trying 1 files with errors again.\n2 of 2\n"
    assert [("error" in row, row["file"]) for row in rows(out)] == [(False, "1.mp4"), (False, "notes.txt")]
    with pytest.raises(SystemExit):
        classify.main([str(home), "--retry"])
    assert "--retry goes with --out" in capsys.readouterr().err


def test_two_runs_do_not_write_to_one_file(folder, tmp_path):
    out = tmp_path / "out"
    settings = dict(how=1)
    run = folder_job.write_rows(folder, out, settings, lambda names: ((name, {}) for name in names))
    next(run)
    with pytest.raises(BlockingIOError, match="another run writes to .*out: wait for its end, or name another file"):
        next(folder_job.write_rows(folder, out, settings, lambda names: iter(())))
    run.close()
    assert len(fill(folder, out)) == 5 and not list(tmp_path.glob("*.lock"))


def test_a_run_that_was_killed_leaves_no_lock(folder, tmp_path):
    code = (
        "import os, sys; from helpers.scale import folder\n"
        "next(folder.write_rows(sys.argv[1], sys.argv[2], dict(how=1), lambda names: iter(())))\n"
        "assert os.path.exists(sys.argv[2] + '.lock'); os._exit(1)"
    )
    out = tmp_path / "out"
    assert subprocess.run([sys.executable, "-c", code, str(folder), str(out)], cwd=ROOT).returncode == 1
    assert len(fill(folder, out)) == 5


KILLS = """
import os, sys
from helpers import classify, weights
from helpers.scale import folder

def read(self, path):
    if path.name == "b.mp4":
        os._exit(9)  # as a decoder that crashes, or a system without memory
    return iter([])

classify.VideoClassifier.read = read
classify.VideoClassifier.predict = lambda self, clips: []
for _ in folder.classify_folder(sys.argv[1], sys.argv[2], weights.load(), device="cpu"):
    pass
"""


def test_a_file_that_kills_the_process_does_so_twice_and_no_more(tmp_path):
    home, out = tmp_path / "in", tmp_path / "out"
    home.mkdir()
    for name in "abcdef":
        (home / f"{name}.mp4").write_bytes(b"x")
    run = [sys.executable, "-c", KILLS, str(home), str(out)]
    codes = [subprocess.run(run, cwd=ROOT).returncode for _ in range(3)]
    assert codes == [9, 9, 0]
    assert {row["file"] for row in rows(out)} == {f"{name}.mp4" for name in "abcdef"}
    (error,) = (row["error"] for row in rows(out) if "error" in row)
    assert error == f"{home / 'b.mp4'}: twice the run was killed while it read this file"
    assert not list(tmp_path.glob("out.*"))


def test_what_cannot_be_written_is_said_before_the_first_video(clips, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(classify.VideoClassifier, "read", None)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").mkdir()
    for home, out, says in (
        (clips, tmp_path / "no" / "out", "there is no folder"),
        (clips, tmp_path / "folder", "is a folder: name a file in it"),
        (tmp_path / "empty", tmp_path / "out", "empty holds no file to classify"),
    ):
        assert classify.main([str(home), "--out", str(out)]) == 2
        assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("always::helpers.video.VideoWarning")
def test_a_folder_of_frames_gets_the_command_that_makes_a_video(tmp_path, capsys):
    for clip in ("one", "two"):
        (tmp_path / "in" / clip).mkdir(parents=True)
        for k in range(1, 4):
            Image.new("RGB", (33, 20)).save(tmp_path / "in" / clip / f"img_{k:05}.jpg")
    assert classify.main([str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and "holds 3 pictures and no video (the first of 2 such folders)" in said
    command = re.search(r"ffmpeg .*", said)[0]
    assert f'-start_number 1 -i "{tmp_path / "in" / "one" / "img_%05d.jpg"}"' in command
    if shutil.which("ffmpeg"):
        subprocess.run(command, shell=True, check=True, capture_output=True)  # as it is pasted into a terminal
        info = video.probe(tmp_path / "in" / "one.mp4")
        assert (info.width, info.height, info.fps) == (32, 20, 25) and info.seconds == pytest.approx(0.12)


def test_another_network_in_a_file_of_the_same_name_is_told_from_the_first(tmp_path):
    pretrained, path = weights.load(), tmp_path / "mine.pt"
    made = []
    for label in ("first", "second"):
        weights.save(path, replace(pretrained, labels=(label, *pretrained.labels[1:])))
        made.append(folder_job.settings_of(weights.load(path), 5, 5, torch.float32, False))
    assert made[0] != made[1] and made[0]["weights"].startswith(f"{path} (")
    assert folder_job.settings_of(pretrained, 5, 5, torch.float32, False)["weights"] == "stickfigures"


def test_an_empty_line_does_no_harm(folder, tmp_path):
    out = tmp_path / "rows.jsonl"
    fill(folder, out)
    before = rows(out)
    with open(out, "a", encoding="utf-8") as file:
        file.write("\n")
    (folder / "new").write_bytes(b"1234")
    assert fill(folder, out)[-1].done == 5
    lines = [line for line in out.read_text(encoding="utf-8").splitlines() if line]
    assert [json.loads(line) for line in lines][:4] == before and len(lines) == 5
