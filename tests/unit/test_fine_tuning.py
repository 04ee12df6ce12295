"""From a folder of videos to a network that knows its classes, as a user of the command does it; and what can go wrong."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import av
import pytest
import torch
from conftest import ROOT, torchrun
from torch import nn

from helpers import classify, stickfigures, training, video, weights

CLASSES = ("arm circles", "bow")


def write_folder(home, seed, recordings):
    """Two classes, each recording cut into two files, and one file that is no video."""
    for label, action in enumerate(CLASSES):
        (home / action).mkdir(parents=True)
        for k in range(recordings):
            film = stickfigures.scene(
                action, seed + label, k, frames=40, size=(96, 128), seconds=40 / 15, stage=0.85
            ).frames
            for cut in (0, 1):
                video.write_video(home / action / f"v_{label}_g{k:02}_c{cut}.mp4", film[20 * cut :][:20], fps=15)
    (home / "bow" / "letter.mp4").write_text("Dear reader", encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("folder"), 700, recordings=6)


SMALL = "--crop-size 32 --frozen-epochs 1 --epochs 2 --batch-size 8 --workers 1 --device cpu".split()


@pytest.mark.slow
def test_two_classes_are_learned_saved_and_recognized(folder, tmp_path, capsys):
    out = tmp_path / "mine.pt"
    options = "--crop-size 64 --frozen-epochs 3 --epochs 4 --batch-size 8 --workers 2 --device cpu".split()
    assert training.main([str(folder), "--out", str(out), *options]) == 0
    printed, problems = capsys.readouterr()
    assert problems.count("skipped:") == 1 and "letter.mp4: is not a video" in problems
    assert "1 files skipped." in problems
    assert "16 videos of 8 groups in 2 classes to train on, 8 to test with." in printed
    accuracy = float(re.search(r"([\d.]+)% of 8 videos correct\. Saved as", printed)[1])
    assert accuracy >= 75
    rows = re.findall(r"(\d+) of 4 correct", printed)
    assert len(rows) == 2 and sum(map(int, rows)) == accuracy * 8 / 100
    loaded = weights.load(str(out))
    assert loaded.labels == CLASSES and loaded.crop_size == 64 and f"{accuracy}% of 8 other videos" in loaded.score
    film = stickfigures.scene("bow", 900, 1, frames=16, size=(96, 128), stage=0.85).frames
    video.write_video(tmp_path / "new.mp4", film, fps=15)
    assert classify.main(["--weights", str(out), "--device", "cpu", str(tmp_path / "new.mp4")]) == 0
    answer = capsys.readouterr().out
    assert "stick figures. Then on 16 videos of 2 classes." in answer and answer.index("bow") < answer.index(
        "arm circles"
    )


def test_a_folder_of_its_own_to_test_with(folder, tmp_path, capsys, monkeypatch):
    other = write_folder(tmp_path / "other", 800, recordings=1)
    arguments = [
        str(folder),
        "--test",
        str(other),
        "--out",
        str(tmp_path / "mine.pt"),
        *SMALL,
        "--balance",
        "--no-flip",
    ]
    assert training.main(arguments) == 0
    assert "24 videos of 12 groups in 2 classes to train on, 4 to test with." in capsys.readouterr().out
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(folder, home / "train")
    shutil.copytree(other, home / "val")
    assert training.main([str(home), "--out", str(tmp_path / "split.pt"), *SMALL, "--balance", "--no-flip"]) == 0
    printed = capsys.readouterr().out
    assert "is split into folders already; they are used as they are." in printed
    assert "24 videos of 12 groups in 2 classes to train on, 4 to test with." in printed
    (other / "bow").rename(other / "clap")
    monkeypatch.setattr(av, "open", None)  # it is said before the first video is opened
    assert training.main(arguments) == 2
    assert "has other classes: arm circles, clap, not arm circles, bow" in capsys.readouterr().err


def test_what_cannot_be_done_is_said(folder, tmp_path, capsys, monkeypatch):
    out = ["--out", str(tmp_path / "mine.pt"), *SMALL]
    for arguments, words in (
        ([str(tmp_path / "nowhere"), *out], "nowhere"),
        ([str(folder / "bow"), *out], "needs two or more"),
        ([str(folder), *out, "--weights", "imagenet"], "unknown weights 'imagenet'"),
        ([str(folder), *out, "--weights", str(folder / "bow" / "letter.mp4")], "cannot be read"),
        ([str(folder), "--out", str(tmp_path / "no" / "where.pt"), *SMALL], "there is no folder"),
    ):
        assert training.main(arguments) == 2, arguments
        assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    for option, value, words in (
        ("--batch-size", 0, "0 is no whole number from 1 on"),
        ("--lr", "nan", "nan is no number from 0"),
    ):
        with pytest.raises(SystemExit):
            training.main([str(folder), *out, option, str(value)])
        assert f"{option}: {words}" in capsys.readouterr().err

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    assert training.main([str(folder), *out]) == 130
    assert "The same command goes on" in capsys.readouterr().err


def test_the_output_and_the_options_are_checked_before_the_first_video(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(av, "open", None)
    (tmp_path / "folder").mkdir()
    for out, says in (
        (tmp_path / "folder", "is a folder: name a file"),
        (tmp_path / "no" / "a.pt", "there is no folder"),
    ):
        assert training.main([str(folder), "--out", str(out), *SMALL]) == 2
        assert says in capsys.readouterr().err
    for wrong, says in (
        (["--test-fraction", "25"], "25 is no number from 0.01 to 0.99"),
        (["--lr", "0"], "nothing would be learned: --lr has to be above 0"),
        (["--epochs", "0", "--frozen-epochs", "0"], "nothing would be learned"),
        (["--device", "meta"], "meta cannot be used here"),
        (["--batch-size", "0"], "0 is no whole number from 1 on"),
        (["--seed", "99999999999999999999"], "is no whole number from 0 to"),
        (["--crop-size", "100000"], "100000 is no whole number from 1 to 1,024"),
        (["--workers", "nan"], "nan is no whole number"),
    ):
        with pytest.raises(SystemExit) as raised:
            training.main([str(folder), "--out", str(tmp_path / "a.pt"), *wrong])
        assert raised.value.code == 2 and says in capsys.readouterr().err


def test_class_names_that_the_terminal_cannot_show_do_no_harm():
    code = (
        "import sys; from helpers import training\n"
        "training._fine_tune_folder = lambda *_: print('jump\u00e9 \u65e5')\n"
        "sys.exit(training.main(['.', '--device', 'cpu', '--out', sys.argv[1]]))"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code, os.path.join(tempfile.gettempdir(), "a.pt")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0 and done.stdout == "jump\\xe9 \\u65e5\n"


class _Opened:
    """Notes each file that PyAV opens."""

    def __init__(self, monkeypatch):
        self.paths, av_open = [], av.open
        monkeypatch.setattr(
            av, "open", lambda file, *rest, **options: self.note(file) or av_open(file, *rest, **options)
        )

    def note(self, file):
        self.paths.append(os.path.basename(getattr(file, "name", file)))


def test_each_video_is_opened_once_before_the_first_gradient(folder, tmp_path, monkeypatch):
    opened, at_first_step = _Opened(monkeypatch), []

    def train_epoch(network, loader, *others):
        at_first_step.extend(opened.paths)
        raise training.TrainingError("far enough")

    monkeypatch.setattr(training, "train_epoch", train_epoch)
    assert training.main([str(folder), "--out", str(tmp_path / "mine.pt"), *SMALL, "--workers", "0"]) == 2
    videos = sorted(path.name for path in folder.rglob("*.mp4"))
    assert sorted(at_first_step) == videos and len(videos) == 25


def test_errors_that_are_no_slip_of_the_user_keep_their_traceback(folder, tmp_path, monkeypatch):
    for error in (ValueError("a bug"), RuntimeError("out of memory")):

        def train_epoch(*arguments, error=error):
            raise error

        monkeypatch.setattr(training, "train_epoch", train_epoch)
        with pytest.raises(type(error), match=str(error)):
            training.main([str(folder), "--out", str(tmp_path / "mine.pt"), *SMALL])


def test_a_checkpoint_of_other_videos_is_refused(folder, tmp_path, capsys):
    out = ["--out", str(tmp_path / "mine.pt"), *SMALL, "--epochs", "0"]
    assert training.main([str(folder), *out]) == 0
    assert training.main([str(folder), *out, "--seed", "1"]) == 2
    assert "is of a run with" in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_of_another_number_of_frozen_epochs_is_refused(folder, tmp_path, capsys):
    out = ["--out", str(tmp_path / "mine.pt"), *SMALL, "--epochs", "1"]
    assert training.main([str(folder), *out]) == 0
    assert training.main([str(folder), *out, "--frozen-epochs", "0"]) == 2
    assert "is of a run with" in capsys.readouterr().err
    for content in (b"half of a", b""):
        (tmp_path / "mine.pt.checkpoint.frozen").write_bytes(content)
        assert training.main([str(folder), *out]) == 2
        assert "mine.pt.checkpoint.frozen cannot be read" in capsys.readouterr().err
    torch.save([1], tmp_path / "mine.pt.checkpoint.frozen")
    assert training.main([str(folder), *out]) == 2
    assert "is no checkpoint" in capsys.readouterr().err


def test_the_new_head_does_not_depend_on_what_was_drawn_before():
    heads = []
    for draw in (1, 2):
        torch.manual_seed(draw)
        tuned, history = training.fine_tune(weights.load(), [], {}, CLASSES, frozen_epochs=0, epochs=0, seed=5)
        heads.append(tuned.network.fc.weight.detach().clone())
        assert history == [] and tuned.labels == CLASSES and not tuned.network.training
    assert torch.equal(*heads) and heads[0].shape == (2, 128)


def test_only_norms_that_are_frozen_stay_in_eval_mode():
    network = weights.load().network
    training.freeze(network)
    training.set_train_mode(network)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    assert (
        len(norms) == 37 and not any(norm.training for norm in norms) and network.training and network.layer1.training
    )
    network.layer4.requires_grad_()
    training.set_train_mode(network)
    assert [norm.training for norm in norms].count(True) == sum(
        isinstance(m, nn.BatchNorm3d) for m in network.layer4.modules()
    )


@pytest.mark.slow
def test_the_command_killed_and_started_again_saves_the_same_weights(folder, tmp_path, capsys):
    def arguments(name):
        return [str(folder), "--out", str(tmp_path / f"{name}.pt"), *SMALL]

    words = [sys.executable, "-m", "helpers.training", *arguments("killed")]
    threads = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # with another number it rounds otherwise
    with subprocess.Popen(
        words, cwd=ROOT, env=threads, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as killed:
        for line_printed in killed.stdout:
            if line_printed.startswith("epoch  1/2"):
                killed.kill()
    assert not (tmp_path / "killed.pt").exists()
    assert training.main(arguments("killed")) == 0
    again = capsys.readouterr().out
    assert "epoch  1/1" not in again and "epoch  2/2" in again  # of the last layer alone all was done
    assert training.main(arguments("whole")) == 0
    states = [weights.load(str(tmp_path / f"{name}.pt")).network.state_dict() for name in ("whole", "killed")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.slow
def test_two_processes_fine_tune_together(folder, tmp_path):
    run = torchrun("-m", "helpers.training", str(folder), "--out", str(tmp_path / "two.pt"), *SMALL)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("Saved as") == 1 and run.stderr.count("letter.mp4") == 1
    assert weights.load(str(tmp_path / "two.pt")).labels == CLASSES


def test_a_zip_file_is_a_folder(folder, tmp_path, capsys):
    """As the site's page saves recordings; and one that was not copied whole."""
    archive = shutil.make_archive(str(tmp_path / "motions"), "zip", folder)
    assert training.main([archive, "--out", str(tmp_path / "zip.pt"), *SMALL]) == 0
    assert "16 videos of 8 groups in 2 classes to train on, 8 to test with." in capsys.readouterr().out
    content = bytearray((tmp_path / "motions.zip").read_bytes())
    content[2000:2100] = bytes(100)
    (tmp_path / "damaged.zip").write_bytes(content)
    assert training.main([str(tmp_path / "damaged.zip"), "--out", str(tmp_path / "a.pt"), *SMALL]) == 2
    assert "damaged.zip is damaged: Bad CRC-32" in capsys.readouterr().err
