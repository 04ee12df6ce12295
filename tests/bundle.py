"""All that `make gpu` needs on a machine without a network, as one file: `make gpu-bundle`.

    tar xf gpu-bundle.tar.gz && gpu-bundle/gpu.sh

It is for Linux on x86-64 with Python 3.12, PyTorch and torchvision, as PyTorch's own images have them.
"""

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
LARGEST = 60_000_000  # bytes of the file
PARTS = ["helpers", "tests", "notebooks/07*", "notebooks/09*", "notebooks/13*", "notebooks/runs", "Makefile"]
PARTS += ["pyproject.toml", "requirements.txt", "LICENSE"]
WANTED = ["av", "anywidget", "nbval", "pytest", "tqdm"]
# What PyTorch and torchvision bring themselves, and what nothing here imports though a package asks for it.
PRESENT = ["numpy", "pillow", "typing_extensions", "widgetsnbextension", "tzdata"]
PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64"]


def files():
    """The files of the project that go along: those that git knows, and new ones that it does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({name for name in names if name and (ROOT / name).is_file()})


def download(folder):
    """The wheels of the packages that are wanted, in the versions of requirements.txt, and of those that they need."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", "3.12"]
    command += ["--implementation", "cp", "--dest", folder]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run([*command, *pinned()], check=True)
    for wheel in Path(folder).glob("*.whl"):
        if wheel.name.split("-")[0] in PRESENT:
            wheel.unlink()


def pinned():
    """The wanted packages as requirements.txt pins them for Python 3.12, without the marker, which pip asks its own Python."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line.partition("==")[0] in WANTED and "< '3.12'" not in line]
    return [pin.partition(" ;")[0] for pin in pins]


def pack(wheels, out):
    """Write the file; the names in it."""
    folder = "gpu-bundle"
    with tarfile.open(out, "w:gz") as tar:
        for name in files():
            tar.add(ROOT / name, f"{folder}/{name}")
        tar.add(ROOT / "tests" / "gpu.sh", f"{folder}/gpu.sh")
        for wheel in sorted(Path(wheels).glob("*.whl")):
            tar.add(wheel, f"{folder}/wheels/{wheel.name}")
        return tar.getnames()


def main():
    """0, or 1 if the file is too large."""
    wheels, out = BUILD / "wheels", BUILD / "gpu-bundle.tar.gz"
    wheels.mkdir(parents=True, exist_ok=True)
    for old in wheels.glob("*.whl"):
        old.unlink()
    download(wheels)
    pack(wheels, out)
    size = out.stat().st_size
    print(f"{out}: {size / 1e6:.1f} MB. There: tar xf {out.name} && gpu-bundle/gpu.sh")
    if size > LARGEST:
        print(f"{LARGEST / 1e6:.0f} MB are allowed.", file=sys.stderr)
    return int(size > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
