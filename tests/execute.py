"""Run notebooks from a fresh start and store their outputs; the one right way, also behind `make notebooks`.

    python tests/execute.py                 all of the series
    python tests/execute.py 07              those whose name begins so
    python tests/execute.py --online DIR    those that want a connection, into a folder; also behind `make online`

Cells tagged `widget` are stored unexecuted and empty. The environment is that of the tests: offline, on the CPU, with one
thread, so that what is stored depends on neither a network nor a GPU. With --online it is offline no more, and what is in
the repository stays as it is: the site takes the pages from build/online, and missing.json there says of each notebook that
could not be run why.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import nbformat
from limits import ENVIRONMENT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
# What the notebooks download that want a connection: names of weights, or of a clip in helpers.weights.
WANTED = {
    "06": ("kinetics400", "kinetics400-mc3_18", "kinetics400-r3d_18"),
    "07": ("JUGGLING", "kinetics400"),
    "11": ("JUGGLING", "kinetics400"),
    "12": ("kinetics400",),
}


def execute(path, target=None):
    """Run one notebook in its folder and store it, there or elsewhere; raises what a cell raised."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=1800,
        kernel_name="python3",
        skip_cells_with_tag="widget",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, target or path)


def fetch(name):
    """Download a file that a notebook wants, if it is not here yet."""
    from helpers import weights

    source = weights.SOURCES.get(name)
    weights.download(*((source.url, source.sha256) if source else getattr(weights, name)))


def run_online(paths, folder):
    """Run notebooks with a connection; a dict of those that could not be run, with a sentence each."""
    from helpers.weights import WeightsError

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    missing = {}
    for path in paths:
        print(path.name, flush=True)
        try:
            for name in WANTED[path.name[:2]]:
                fetch(name)
            execute(path, folder / path.name)
        except WeightsError as error:
            missing[path.stem] = str(error).partition(": try again")[0]
        except CellExecutionError as error:
            missing[path.stem] = f"a cell raised {error.ename}: {error.evalue}"
        if path.stem in missing:
            print(f"{path.name} was not run with a connection: {missing[path.stem]}", flush=True)
    (folder / "missing.json").write_text(json.dumps(missing, indent=1) + "\n", encoding="utf-8")
    return missing


def main(words):
    """The command; 1 if a notebook that wants a connection could not be run."""
    os.environ.update(ENVIRONMENT)
    folder = words[1] if words[:1] == ["--online"] else None
    beginnings = tuple(words[2:] if folder else words) or ("",)
    paths = [path for path in sorted(NOTEBOOKS.rglob("*.ipynb")) if path.name.startswith(beginnings)]
    if folder:
        sys.path.insert(0, str(ROOT))
        os.environ["VIDEO_RESNET_OFFLINE"] = "0"
        wanted = [path for path in paths if path.parent == NOTEBOOKS and path.name[:2] in WANTED]
        return int(bool(run_online(wanted, Path(folder))))
    for path in paths:
        if ".ipynb_checkpoints" not in path.parts:
            print(path.relative_to(NOTEBOOKS), flush=True)
            execute(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
