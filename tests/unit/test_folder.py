"""Folders of any size: a row for each file, none twice, none lost, bad files named."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import write_film

from helpers import classify, video, weights
from helpers.scale import folder as folder_job


def fill(folder, out, **other):
    """Rows that say how long each file's content is; a file of zeros cannot be told anything about."""
    how = dict(how=1) | other

    def finish(content):
        return dict(error="empty") if not content else dict(length=len(content))

    return list(folder_job.write_rows(folder, out, how, lambda path: path.read_bytes(), finish))


def rows(out):
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "in"
    (home / "b" / "deep").mkdir(parents=True)
    for name, length in (("c", 3), ("a", 1), ("b/z", 2), ("b/deep/y", 0), (".hidden", 9)):
        (home / name).write_bytes(b"x" * length)
    return home


def test_every_file_has_a_row_in_order(folder, tmp_path):
    told = fill(folder, tmp_path / "out")
    assert rows(tmp_path / "out") == [
        dict(file="a", how=1, length=1),
        dict(file="b/deep/y", how=1, error="empty"),
        dict(file="b/z", how=1, length=2),
        dict(file="c", how=1, length=3),
    ]
    assert [(p.done, p.total, p.failed) for p in told] == [(0, 4, 0), (1, 4, 0), (2, 4, 1), (3, 4, 1), (4, 4, 1)]
    assert str(told[0]) == "0 of 4"
    assert "4 of 4, 1 could not be read; " in str(told[-1]) and str(told[-1]).endswith("0:00 minutes left")


def test_what_is_done_is_not_done_again(folder, tmp_path):
    out = tmp_path / "out"
    fill(folder, out)
    before = out.read_text()
    (told,) = fill(folder, out)
    assert told == (4, 4, 1, 0.0) and out.read_text() == before  # the error of the earlier run is not forgotten
    (folder / "bb").write_bytes(b"xx")
    first, last = fill(folder, out)
    assert (first.done, first.total, last.done, last.failed) == (4, 5, 5, 1)
    assert out.read_text() == before + '{"file": "bb", "how": 1, "length": 2}\n'


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
    (b"Dear reader,\nthis is a letter.\n", "its line 1"),
    (b"\x00\x01 a film without an end of line", "its line 1"),
    (b'{"file": "a", "how": 1, "length": 1}\n[1, 2]\n', "its line 2"),
    (b'{"file": "a", "length": 1}\n', "its line 1"),
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


def test_files_are_prepared_a_few_ahead_and_no_more(tmp_path):
    for k in range(20):
        (tmp_path / f"{k:02}").write_bytes(b"x")
    prepared = []
    run = folder_job.write_rows(
        tmp_path, tmp_path / ".out", {}, lambda path: prepared.append(path.name), lambda _: {}, threads=3
    )
    for done, _ in enumerate(run):
        time.sleep(0.01)
        assert len(prepared) <= min(20, done + 3)
    assert sorted(prepared) == [f"{k:02}" for k in range(20)]


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


def test_a_folder_is_classified_as_its_files_are(clips, tmp_path):
    pretrained = weights.load()
    told = list(classify.classify_folder(clips, tmp_path / "out", pretrained, clips=2, k=3, device="cpu"))
    assert (told[-1].done, told[-1].total, told[-1].failed) == (6, 6, 2)
    for row in rows(tmp_path / "out"):
        assert (row["weights"], row["clips"], row["top"], row["precision"]) == (pretrained.name, 2, 3, "float32")
        try:
            answers = classify.predict_video(clips / row["file"], pretrained, clips=2, k=3, device="cpu")
        except video.VideoError as error:
            assert row["error"] == str(error) and "answers" not in row
        else:
            assert [one["label"] for one in row["answers"]] == [one.label for one in answers] and "error" not in row
            assert [one["probability"] for one in row["answers"]] == pytest.approx([one.probability for one in answers])


def test_the_command_goes_on_after_it_was_killed(clips, tmp_path):
    """Killed at several moments, and started again until it ends: the rows of a run that was not disturbed."""
    home, out, calm = tmp_path / "in", tmp_path / "out.jsonl", tmp_path / "calm.jsonl"
    home.mkdir()
    for k in range(12):
        os.link(clips / "1.mp4", home / f"{k:02}.mp4")
    command = [sys.executable, "-m", "helpers.classify", str(home), "--clips", "1", "--top", "1", "--out"]
    assert subprocess.run([*command, str(calm)], capture_output=True).returncode == 0
    for rows_before_the_end in (1, 4, 5):
        run = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while run.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < rows_before_the_end):
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert 5 <= len(rows(out)) < 12  # half a row would not be JSON, and is not likely
    assert subprocess.run([*command, str(out)], capture_output=True).returncode == 0
    assert out.read_bytes() == calm.read_bytes()


def test_the_command_tells_what_is_wrong(clips, tmp_path, capsys):
    out = str(tmp_path / "out.jsonl")
    assert classify.main([str(clips), "--clips", "1", "--out", out]) == 1
    assert "6 of 6, 2 could not be read" in capsys.readouterr().err
    assert classify.main([str(clips), "--clips", "1", "--out", out]) == 1  # nothing left to do, and two still unread
    assert capsys.readouterr().err == "6 of 6, 2 could not be read\n"
    for other in (["--clips", "2"], ["--clips", "1", "--precision", "bfloat16"]):
        assert classify.main([str(clips), *other, "--out", out]) == 2
        assert "name another file" in capsys.readouterr().err
    assert classify.main([str(clips / "nowhere"), "--out", str(tmp_path / "new")]) == 2
    assert "nowhere is no folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        classify.main([str(clips), str(clips), "--out", out])
    assert "--out goes with one folder" in capsys.readouterr().err
