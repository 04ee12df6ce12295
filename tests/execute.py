"""Run notebooks from a fresh start and store their outputs; the one right way, also behind `make notebooks`.

    python tests/execute.py                 all of the series
    python tests/execute.py 07              those whose name begins so

Cells tagged `widget` are stored unexecuted and empty. The environment is that of the tests: offline, on the CPU, with one
thread, so that what is stored depends on neither a network nor a GPU.
"""

import os
import sys
from pathlib import Path

import nbformat
from limits import ENVIRONMENT
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def execute(path):
    """Run one notebook in its folder and store it; raises what a cell raised."""
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
    nbformat.write(notebook, path)


if __name__ == "__main__":
    os.environ.update(ENVIRONMENT)
    for name in sorted(NOTEBOOKS.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in name.parts and name.name.startswith(tuple(sys.argv[1:]) or ""):
            print(name.relative_to(NOTEBOOKS), flush=True)
            execute(name)
