"""What holds for all tests, the kernels of notebooks and the processes that they start: offline, CPU, one thread, 2 GB.

A pytest plugin, named in pyproject.toml, so that it is loaded before anything that reads these variables.
"""

import contextlib
import os
import sys
import threading

import psutil
import pytest

ENVIRONMENT = {
    "VIDEO_RESNET_OFFLINE": "1",
    "VIDEO_RESNET_DEVICE": "cpu",
    # Two processes of one thread are faster than one of two, and do not wait for each other on a busy machine.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
os.environ.update(ENVIRONMENT)

MEMORY = 2e9  #: bytes of a kernel and of all that it starts; free notebook services give little more


class Peak(threading.Thread):
    """The most memory that a process and its children take while a block runs, asked for about four times a second.

    It is asked for twice, and the smaller value counts: for a moment a process that is being started shows the memory of
    the one that starts it as its own, too.
    """

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.process, self.bytes, self.over = psutil.Process(pid), 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def run(self):
        while not self.over.wait(0.25):
            self._ask()

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self._ask()

    def _ask(self):
        first = self._memory()
        if first > self.bytes:
            self.over.wait(0.02)
            self.bytes = max(self.bytes, min(first, self._memory()))

    def _memory(self):
        total = 0
        with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
            for process in [self.process, *self.process.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().pss  # what processes share is counted once
        return total


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Measure the memory of a notebook during each of its cells, on Linux."""
    kernel = getattr(item.parent, "kernel", None)  # nbval's
    if kernel is None or sys.platform != "linux":  # elsewhere what processes share is not told
        return (yield)
    with Peak(kernel.km.provisioner.pid) as peak:
        result = yield
    item.user_properties.append(("memory", (item.path.name, peak.bytes)))
    assert peak.bytes < MEMORY, f"{peak.bytes / 1e9:.2f} GB of memory, and {MEMORY / 1e9:.0f} are allowed"
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Say how a worker of pytest died: -9 is a system without memory, -11 a crash, and 1 a library that ended it."""
    if error:
        code = node.gateway._io.popen.wait(10)
        print(
            f"\n{node.gateway.id} ended with exit code {code}; {psutil.virtual_memory().available / 1e9:.1f} GB are free"
        )


def pytest_terminal_summary(terminalreporter):
    """Say how much memory each notebook took."""
    peaks = {}
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "memory":
                peaks[value[0]] = max(peaks.get(value[0], 0), value[1])
    if peaks:
        terminalreporter.section("memory of the notebooks at their peak")
    for notebook, peak in sorted(peaks.items(), key=lambda pair: -pair[1]):
        terminalreporter.write_line(f"{peak / 1e9:.2f} GB  {notebook}")
