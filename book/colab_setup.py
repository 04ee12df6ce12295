"""What the first cell of a copy for Colab runs: install the packages that are missing, and let Python find `helpers`.

What is there stays, as long as it is new enough: Colab has most packages, and the others come in seconds.
"""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The running kernel is made of these, and cannot exchange them. Colab's are old, and what the series needs of them works.
KERNEL = {"ipython", "ipywidgets", "traitlets", "psutil"}
PYTORCH = {"torch", "torchvision"}  # several gigabytes, and Colab's fit its GPUs


def numbers(version):
    """The numbers of a version, to be compared; 2, 2.0 and 2.0+cu128 are the same."""
    return [int(number) for number in re.findall(r"\d+", re.sub(r"(\.0)+$", "", version.partition("+")[0]))]


def installed(name):
    """The version of a package that is there, else None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing(lines):
    """Which of the lines `name>=version` have to be installed; RuntimeError if PyTorch is there and too old."""
    found = []
    for line in lines:
        name, least = line.split(">=")
        there = installed(name)
        if there is None:
            if name != "jupyterlab":  # Colab takes its place
                found.append(line)
        elif numbers(there) < numbers(least) and name not in KERNEL:
            if name in PYTORCH:
                remedy = "In Colab choose Runtime, Change runtime type, and there the newest version."
                raise RuntimeError(f"This machine has {name} {there}; the series needs {least} or newer. {remedy}")
            found.append(line)
    return found


def install(lines):
    """Install packages by pip; RuntimeError with its last word if it fails."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *lines], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        problem = f"pip cannot install {', '.join(lines)}. Is there a network connection? It says:"
        raise RuntimeError(f"{problem} {last}")
    importlib.invalidate_caches()


def show_helpers():
    """Let this process and those that it starts import `helpers`."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), others]))


def show_explorers():
    """Let Colab show widgets that are not its own."""
    try:
        from google.colab import output
    except ImportError:
        return  # this is not Colab
    output.enable_custom_widget_manager()


def main():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if lines := missing(project["dependencies"]):
        install(lines)
    show_helpers()
    show_explorers()
    print(f"Installed: {', '.join(lines)}." if lines else "All packages are here.", "Go on with the next cell.")


if __name__ == "__main__":
    main()
