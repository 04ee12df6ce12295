"""The tests of `cluster_cases.py`, in a process of their own.

Ray leaves threads in the process that has started it. If its server is gone for a minute, it ends that process with exit
code 1, and pytest keeps its last words to itself.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.slow
def test_ray():
    pytest.importorskip("ray")
    cases = Path(__file__).with_name("cluster_cases.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", cases]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "6 passed" in done.stdout, done.stdout + done.stderr
