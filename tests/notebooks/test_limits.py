"""The bound on a notebook's memory: what is over it fails, with the processes that it starts; what is shared counts once."""

import subprocess
import sys

import nbformat
import nbformat.v4 as v4
import pytest
from conftest import ROOT

CELLS = {
    "held": "held = b'x' * 1_200_000_000",
    "forked": """
import os, time
child = os.fork()
if child == 0:
    time.sleep(1)
    os._exit(0)
waited = os.waitpid(child, 0)""",
    "started": """
import subprocess, sys
program = "import time; mine = b'x' * 1_200_000_000; time.sleep(1)"
done = subprocess.run([sys.executable, '-c', program])""",
    "environment": """
import os
assert os.environ['VIDEO_RESNET_OFFLINE'] == os.environ['OMP_NUM_THREADS'] == '1'
assert os.environ['VIDEO_RESNET_DEVICE'] == 'cpu'""",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what processes share is not told")
def test_a_notebook_over_its_memory_fails(tmp_path):
    book = v4.new_notebook(cells=[v4.new_code_cell(source.strip()) for source in CELLS.values()])
    nbformat.write(book, tmp_path / "large.ipynb")
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "-rA"]
    command += ["-p", "no:cacheprovider", "-n", "1", "--nbval", "--nbval-current-env", tmp_path / "large.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    outcomes = {number: f"{outcome} large.ipynb::Cell {number}" for number, outcome in enumerate(
        ["PASSED", "PASSED", "FAILED", "PASSED"])}  # fmt: skip
    assert all(outcome in done.stdout for outcome in outcomes.values()), done.stdout
    assert "GB of memory, and 2 are allowed" in done.stdout and "GB  large.ipynb" in done.stdout, done.stdout
