"""Ways to run a notebook in a browser: addresses for the site, and copies for Google Colab: `python book/colab.py FOLDER`.

Colab opens one file, and has neither `helpers` nor the pictures. A copy therefore begins with a cell that fetches the
repository, and its pictures and links are whole addresses. The workflow `pages` pushes the copies to the branch `colab`.

Which repository this is, the variables say that GitHub sets in every workflow: the pages and copies of a fork lead to the
fork. Without them the site has no such links.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "solutions").glob("*.ipynb")])

FIRST_CELL = """\
# This copy is for Colab. The cell fetches the whole series and installs what is missing here.
import os
import runpy
import subprocess
from pathlib import Path

address, branch = {address!r}, {branch!r}
home = Path("/content") if Path("/content").is_dir() else Path.home()  # Colab has the first
series = home / "{name}"
if not series.exists():
    clone = ["git", "clone", "--quiet", "--depth", "1", "--branch", branch, address, str(series)]
    quiet = dict(os.environ, GIT_TERMINAL_PROMPT="0")  # git asks for no password
    done = subprocess.run(clone, env=quiet, capture_output=True, text=True)
    if done.returncode:
        problem = "The series cannot be fetched. Is there a network connection? Git says:"
        raise RuntimeError(f"{{problem}} {{done.stderr.strip()}}")
os.chdir(series / "{folder}")
_ = runpy.run_path(str(series / "book" / "colab_setup.py"), run_name="__main__")
"""


class Repository(NamedTuple):
    """A repository on a server like GitHub."""

    server: str  #: https://github.com
    name: str  #: OWNER/REPOSITORY
    branch: str

    def raw(self, path: str) -> str:
        """The address of the bare content of a file."""
        if self.server == "https://github.com":
            return f"https://raw.githubusercontent.com/{self.name}/{quote(self.branch)}/{quote(path)}"
        return f"{self.server}/{self.name}/raw/{quote(self.branch)}/{quote(path)}"

    def page(self, path: str) -> str:
        """The address of the page that shows a file."""
        return f"{self.server}/{self.name}/blob/{quote(self.branch)}/{quote(path)}"

    def colab(self, path: str) -> str:
        """The address at which Colab opens the copy of a notebook."""
        return f"https://colab.research.google.com/github/{self.name}/blob/colab/{quote(path)}"

    def binder(self, path: str) -> str:
        """The address at which Binder starts a machine with the repository, and opens a notebook."""
        return f"https://mybinder.org/v2/gh/{self.name}/{quote(self.branch, safe='')}?urlpath=lab/tree/{quote(path)}"


def repository() -> Repository | None:
    """The repository that a workflow runs for; None elsewhere."""
    known = [os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "REF_NAME")]
    return Repository(*known) if all(known) else None


def ways_in(path: str) -> list[tuple[str, str]]:
    """What a reader can do with a notebook without an installation, and the addresses; Colab and Binder read from github.com."""
    where = repository()
    if where is None or where.server != "https://github.com":
        return []
    return [("Open in Colab", where.colab(path)), ("Launch in Binder", where.binder(path))]


def copy(path: Path, where: Repository) -> dict:
    """A notebook as Colab is to open it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = with_addresses("".join(cell["source"]), path.parent, where).splitlines(keepends=True)
    folder, name = path.parent.relative_to(ROOT).as_posix(), where.name.split("/")[-1]
    first = FIRST_CELL.format(
        address=f"{where.server}/{where.name}.git", branch=where.branch, name=name, folder=folder
    ).splitlines(keepends=True)
    first[-1] = first[-1].rstrip()
    cell = dict(cell_type="code", execution_count=None, id="for-colab", metadata={}, outputs=[], source=first)
    notebook["cells"].insert(0, cell)
    return notebook


def with_addresses(text: str, folder: Path, where: Repository) -> str:
    """Markdown whose links and pictures can be reached from anywhere; what names no file of the repository stays as it is."""

    def address(match):
        picture, text, target = match.groups()
        file = Path(os.path.normpath(folder / target))
        if "://" in target or not file.is_file():
            return match[0]
        path = file.relative_to(ROOT).as_posix()
        find = where.raw if picture else where.colab if file in NOTEBOOKS else where.page
        return f"{picture}{text}({find(path)}"

    return re.sub(r"(!?)(\[[^\]]*\])\(([^)\s#]+)", address, text)


def main(folder: str) -> None:
    """Write the copies of all notebooks into a folder, each where it lies in the repository."""
    where = repository()
    if where is None:
        sys.exit("For which repository? Set GITHUB_SERVER_URL, GITHUB_REPOSITORY and GITHUB_REF_NAME, as workflows do.")
    for path in NOTEBOOKS:
        target = Path(folder, path.relative_to(ROOT))
        target.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(copy(path, where), indent=1, ensure_ascii=False)
        target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python book/colab.py FOLDER")
    main(sys.argv[1])
