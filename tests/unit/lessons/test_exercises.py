"""How a check works: hints, errors of the reader's code, random numbers, `python -O`, and the comparison of modules."""

import ast
import copy
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn

from helpers.lessons import exercises
from helpers.lessons.exercises import exercise, require
from helpers.networks import NETWORKS


@exercise
def check_double(solution):
    """The double of a number."""
    require(solution(2) == 4, "The double of 2 is 4.")


@pytest.mark.parametrize(
    "solution, right, said",
    [
        (lambda x: 2 * x, True, "double: right."),
        (None, False, "double: not yet. Write the function, then run this cell again."),
        (lambda x: x, False, "double: not yet. The double of 2 is 4."),
        (lambda: 4, False, r"double: not yet. It raised TypeError: .*takes 0 positional"),
        (lambda x: np.linalg.inv(x), False, "It raised LinAlgError"),
    ],
)
def test_a_check_says_how_it_went_and_never_raises(solution, right, said, capsys):
    assert check_double(solution) is right
    assert re.search(said, capsys.readouterr().out)


def test_an_assertion_of_the_reader_is_an_error_like_any_other(capsys):
    def fails(x):
        raise AssertionError("mine")

    assert check_double(fails) is False and check_double.__doc__ == "The double of a number."
    assert capsys.readouterr().out == "double: not yet. It raised AssertionError: mine\n"


def test_random_numbers_are_the_same_in_each_check_and_the_readers_go_on():
    drawn = []

    @exercise
    def check_any(solution):
        drawn.append(solution())

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    assert check_any(lambda: torch.rand(2).tolist()) and check_any(lambda: torch.rand(2).tolist())
    assert drawn[0] == drawn[1] and torch.equal(torch.rand(3), expected)


WRONG = """
from torch import nn
from helpers.lessons import compare_3d_and_2plus1d, build_the_2plus1d_block
assert False, "not reached under -O"
print(compare_3d_and_2plus1d.check_conv3d_macs(lambda weight, output: 27))
print(build_the_2plus1d_block.check_conv2plus1d(lambda *sizes: nn.Identity()))
"""


@pytest.mark.slow  # once for each environment Python compiles torch and torchvision anew: half a minute
def test_a_wrong_solution_is_wrong_under_python_O():
    done = subprocess.run([sys.executable, "-O", "-c", WRONG], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second, third, fourth = done.stdout.splitlines()
    assert first.startswith("conv3d_macs: not yet. Each of the 8") and second == "False"
    assert third.startswith("conv2plus1d: not yet. Its state dict has no") and fourth == "False"


def test_a_wrong_solution_is_wrong_in_optimized_code(capsys):
    """As under `python -O`, without a process of its own."""
    code = compile(Path(exercises.__file__).read_text(encoding="utf-8"), "exercises", "exec", optimize=1)
    optimized = {"__name__": "optimized"}
    exec(code, optimized)

    def check_layers(solution):
        optimized["same_layers"](solution(), nn.Sequential(nn.Conv3d(1, 1, 1), nn.ReLU()), torch.ones(1, 1, 2, 2, 2))

    wrong = nn.Sequential(nn.Conv3d(1, 1, 1), nn.Tanh())
    assert optimized["exercise"](check_layers)(lambda: wrong) is False
    assert "The first difference is in what comes out of 1" in capsys.readouterr().out


def test_no_lesson_relies_on_assert():
    for path in (ROOT / "helpers" / "lessons").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), path.name


CLIP = torch.randn(2, 3, 16, 17, 40, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return NETWORKS["r2plus1d_18"](num_classes=5, width=8)


def altered(network, how, where):
    """A network with one mistake in it."""
    network = copy.deepcopy(network)
    parent, _, name = where.rpartition(".")
    part = None if how == "extra" else network.get_submodule(where)
    if how == "delete" and parent == "stem":
        network.stem = nn.Sequential(*list(network.stem)[: int(name)])
    elif how == "delete":
        setattr(network.get_submodule(parent), name, None)
    elif how == "extra":
        setattr(network, name, nn.Linear(1, 1))
    elif how == "eps":
        part.eps = 1e-2
    elif how == "stride":
        part.stride = (1, 1, 1)
    elif how == "padding":
        part.padding = (0, 0, 0)
    elif how == "skip":
        part.forward = lambda x: x
    elif how == "dropout":
        part.register_forward_hook(lambda module, x, y: nn.functional.dropout(y, 0.5, module.training))
    elif how == "before":
        part.register_forward_pre_hook(lambda module, x: (x[0] - 1,), prepend=True)
    elif how == "first frame":
        part.forward = lambda x: x[:, :, :1].mean((2, 3, 4), keepdim=True)
    elif how == "after":
        network.register_forward_hook(lambda module, x, y: y + 1)
    elif how == "text":
        network.forward = lambda x: "logits"
    return network


@pytest.mark.parametrize(
    "how, where, hint",
    [
        ("delete", "layer2.0.downsample", r"no layer2\.0\.downsample.*Complete are: stem, layer1, layer3"),
        ("delete", "fc", r"no fc\.weight\. Complete are: stem, layer1, layer2, layer3, layer4\."),
        ("extra", "layer5", r"has layer5\.weight, which is not in torchvision's"),
        ("eps", "stem.1", r"The first difference is in what comes out of stem\.1: its stride, its padding, its eps"),
        (
            "stride",
            "layer2.0.conv1.0.0",
            r"RuntimeError.*comes out of layer2\.0\.conv1\.0\.0 is \(2, 28, 16, 9, 20\), not",
        ),
        ("padding", "layer1.1.conv2.0.3", r"RuntimeError.*what comes out of layer1\.1\.conv2\.0\.3 is"),
        ("first frame", "avgpool", r"in what (comes out of avgpool|goes into fc)"),
        ("skip", "layer3.1.relu", r"what comes out of layer3\.1\.relu"),
        ("delete", "stem.5", r"what comes out of stem: its layers agree; is a ReLU or a sum missing"),
        ("before", "layer2.0", r"what goes into layer2\.0.*: is something missing before it"),
        ("dropout", "fc", r"in train mode\. The first difference is in what comes out of fc"),
        ("after", "", "All named layers agree up to there"),
        ("text", "", "Its output is no tensor"),
    ],
)
def test_a_mistake_in_a_network_gets_a_hint_where_it_is(how, where, hint, network, capsys):
    @exercise
    def check_network(solution):
        exercises.same_layers(solution(), copy.deepcopy(network), CLIP)

    assert check_network(lambda: copy.deepcopy(network)) is True
    capsys.readouterr()
    assert check_network(lambda: altered(network, how, where)) is False
    out = capsys.readouterr().out
    assert re.search(hint, out), out
