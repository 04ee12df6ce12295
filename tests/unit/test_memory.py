"""What nobody uses any more goes back to the system, even from between things that are still used."""

import ctypes
import subprocess
import sys

import psutil
import pytest
from conftest import ROOT

from helpers import training

SCRIPT = """
import psutil, torch
from helpers import memory
resident = psutil.Process().memory_info
blocks = [torch.ones(2**14) for _ in range(4000)]  # 64 KB each
blocks = blocks[::10]  # those that are left lie between the holes
kept = resident().rss
training.malloc_trim()
print(kept - resident().rss)
assert all(block.sum() == 2**14 for block in blocks)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is the C library of Linux")
def test_holes_between_tensors_go_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 150e6  # of 236 MB that nobody uses


@pytest.mark.parametrize("missing", [OSError, AttributeError])
def test_nothing_happens_where_there_is_no_such_function(monkeypatch, missing):
    def absent(name):
        raise missing(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert training.malloc_trim() is None


def test_reference_cycles_are_let_go_first():
    class Node:
        pass

    before = psutil.Process().memory_info().rss
    node = Node()
    node.itself, node.data = node, bytearray(b"x") * 200_000_000
    del node
    training.malloc_trim()
    assert psutil.Process().memory_info().rss - before < 50e6
