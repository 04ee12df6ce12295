"""The house that `helpers` is: arrows of imports run one way, files stay small, notebooks come in by the front door.

pytest -s tests/project/test_house.py -k arrows     draws the imports
"""

import ast
import json
from pathlib import Path

import pytest
from conftest import ROOT

# The flat files, and what each may import of the others.
FLAT = {
    "transforms": "",
    "reader": "transforms",
    "commands": "reader",
    "camera": "reader",
    "video": "reader",
    "blocks": "",
    "stickfigures": "",
    "plots": "",
    "networks": "blocks",
    "weights": "networks transforms",
    "classify": "camera commands video transforms weights networks",
    "datasets": "video transforms",
    "intervals": "",
    "processes": "",
    "training": "datasets classify commands processes weights networks transforms video",
}
FLAT = {name: set(allowed.split()) for name, allowed in FLAT.items()}
# The folders know all flat files, and these folders.
ABOVE = {"scale": {"scale"}, "explorers": set(), "lessons": {"lessons", "scale", "explorers"}, "assets": {"assets"}}
UP = {("classify", "scale")}  # inside functions only: what --fast and --out ask for

LINES = {"flat": 430, "lessons": 250, "assets": 250, "explorers": 80}  #: of a file
TOGETHER = {"flat": 3433, "scale": 1300}  #: of all files of a kind


def modules(root):
    """The files of helpers: their dotted names, `lessons.exercises` for one, and what stands in them."""
    helpers = root / "helpers"
    for path in sorted(helpers.rglob("*.py")):
        if path != helpers / "__init__.py":
            source = path.read_text(encoding="utf-8")
            yield ".".join(path.relative_to(helpers).with_suffix("").parts).removesuffix(".__init__"), source


def imports(source, package=""):
    """What a file of helpers imports of helpers: pairs of a dotted name and whether it is imported inside a function."""
    names = set()

    def visit(node, inside):
        if isinstance(node, ast.Import):
            names.update((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                start = ".".join(filter(None, ["helpers", package, start]))
            names.update((f"{start}.{alias.name}", inside) for alias in node.names)
        inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(source), False)
    return {(name.removeprefix("helpers."), inside) for name, inside in names if name.startswith("helpers.")}


def arrows(root):
    """All imports within helpers: (from, to, inside a function), each a dotted name of a file."""
    files = dict(modules(root))
    found = set()
    for name, source in files.items():
        for target, inside in imports(source, name.rpartition(".")[0]):
            while target and target not in files:  # a definition in a file
                target = target.rpartition(".")[0]
            if target and target != name:
                found.add((name, target, inside))
    return found


def room(name):
    """The folder of a dotted name, or the flat file."""
    return name.split(".")[0]


def drawing(found):
    """The arrows as text: a line for each file, with what it imports; in brackets, inside a function only."""
    lines = []
    for name in sorted({start for start, _, _ in found}, key=lambda name: (room(name) in ABOVE, name)):
        always = {end for start, end, inside in found if start == name and not inside}
        later = {end for start, end, inside in found if start == name and inside} - always
        ends = sorted(always) + [f"({end})" for end in sorted(later)]
        lines.append(f"{name:38} -> {' '.join(ends)}")
    return "\n".join(lines)


def check_arrows(root):
    """Every import of a file of helpers is one that its room allows."""
    found = arrows(root)
    wrong = []
    for start, end, inside in sorted(found):
        if room(start) in ABOVE:
            good = room(end) in FLAT or room(end) in ABOVE[room(start)]
        else:
            good = room(end) in FLAT.get(start, ()) or (inside and (start, room(end)) in UP)
        if not good:
            wrong.append(f"{start} -> {end}")
    assert not wrong, f"these arrows run up: {', '.join(wrong)}\n{drawing(found)}"


def check_circles(root):
    """No file imports itself by way of others; imports inside the named functions aside."""
    found = arrows(root)
    after = {}
    for start, end, inside in found:
        if not (inside and (start, room(end)) in UP):
            after.setdefault(start, set()).add(end)

    def walk(name, path):
        assert name not in path, f"a circle: {' -> '.join([*path[path.index(name) :], name])}\n{drawing(found)}"
        for end in sorted(after.get(name, ())):
            walk(end, [*path, name])

    for name in sorted(after):
        walk(name, [])


def check_sizes(root):
    """No file of helpers is over its size, nor all of a kind over theirs; and every flat file has its place in FLAT."""
    large, together = [], {}
    for name, source in modules(root):
        kind = room(name) if room(name) in ABOVE else "flat"
        assert kind != "flat" or name in FLAT, f"helpers/{name}.py is not in the drawing: FLAT in {Path(__file__).name}"
        lines = source.count("\n")
        together[kind] = together.get(kind, 0) + lines
        if lines > LINES.get(kind, TOGETHER.get(kind)):
            large.append(f"{name} has {lines} lines, {LINES.get(kind, TOGETHER.get(kind))} are allowed")
    for kind, allowed in TOGETHER.items():
        if together.get(kind, 0) > allowed:
            large.append(f"{kind} files have {together[kind]} lines together, {allowed} are allowed")
    assert not large, "\n".join(large)


def check_notebooks(root):
    """No notebook imports or names something private of helpers."""
    private = []
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
        come_in = {}  # names in the notebook, and what of helpers they are
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "helpers":
                for alias in node.names:
                    come_in[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        names = list(come_in.values())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in come_in:
                names.append(f"{come_in[node.value.id]}.{node.attr}")
        private += [f"{path.name}: {name}" for name in names if any(map(is_private, name.split(".")))]
    assert not private, "\n".join(private)


def check_elsewhere(root):
    """Nothing that only works where it was written: Windows has another encoding, another separator and no SIGKILL, and
    python -O no assert."""
    wrong = []
    for folder in ("helpers", "tests", "img", "book"):
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                skipped = isinstance(node, ast.Assert) and folder == "helpers"
                if problem := "python -O skips assert: raise an error" if skipped else only_here(node):
                    wrong.append(f"{path.relative_to(root).as_posix()}, line {node.lineno}: {problem}")
    assert not wrong, "\n".join(wrong)


def only_here(node):
    """What is wrong with a part of a syntax tree on other systems; None if nothing."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        mode = next((word.value for word in node.args[1:2] if isinstance(word, ast.Constant)), "r")
        text = isinstance(node.func, ast.Name) and name == "open" and "b" not in str(mode)
        if (text or name in ("read_text", "write_text")) and "encoding" not in {word.arg for word in node.keywords}:
            return f"{name} needs encoding="
    elif isinstance(node, ast.Attribute) and node.attr == "SIGKILL":
        return "call kill() of the process"
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and "/" in map(constant, (node.left, node.right)):
        return "join paths with Path, or add os.sep"
    return None


def constant(node):
    return node.value if isinstance(node, ast.Constant) else None


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


CHECKS = {
    check.__name__: check for check in (check_arrows, check_circles, check_sizes, check_notebooks, check_elsewhere)
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_house(check):
    if check == "check_arrows":
        print("\n" + drawing(arrows(ROOT)))
    CHECKS[check](ROOT)


GOOD = {
    "blocks": "import torch\n",
    "networks": "from helpers.blocks import Layer\n",
    "transforms": "",
    "weights": "from helpers import networks, transforms\nfrom helpers.networks import FAMILY\n",
    "classify": "from helpers import weights\n\ndef main():\n    from helpers.scale import inference\n",
    "scale/inference": "from helpers import classify\n",
    "scale/__init__": "",
    "lessons/one": "from helpers.lessons import exercises\nfrom helpers.blocks import Layer\n",
    "lessons/exercises": "from helpers import plots\n",
    "plots": "x = 1\n",
}


def build(root, **files):
    """A small house, like GOOD but for some files; `notebook` is a cell."""
    cell = files.pop("notebook", "from helpers import plots\nplots.show(1, plots.__name__)")
    for name, source in (GOOD | files).items():
        path = root / "helpers" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    (root / "notebooks").mkdir()
    book = {"cells": [{"cell_type": "code", "source": [cell]}]}
    (root / "notebooks" / "01_one.ipynb").write_text(json.dumps(book), encoding="utf-8")
    return root


FAULTS = [
    ("check_arrows", "blocks -> plots", {"blocks": "from helpers.plots import show\n"}),
    ("check_arrows", "networks -> weights", {"networks": "def f():\n    import helpers.weights\n"}),
    ("check_arrows", "classify -> scale.inference", {"classify": "from helpers.scale import inference\n"}),
    ("check_arrows", "classify -> lessons.one", {"classify": "def f():\n    from helpers.lessons import one\n"}),
    ("check_arrows", "plots -> lessons.one", {"plots": "from .lessons import one\n"}),
    ("check_arrows", "lessons.one -> assets.make", {"assets/make": "", "lessons/one": "import helpers.assets.make\n"}),
    ("check_arrows", "scale.inference -> lessons.one", {"scale/inference": "import helpers.lessons.one\n"}),
    ("check_circles", "blocks -> networks -> blocks", {"blocks": "def f():\n    from helpers import networks\n"}),
    (
        "check_circles",
        "lessons.exercises -> lessons.one -> ",
        {"lessons/exercises": "from helpers.lessons import one\n"},
    ),
    ("check_sizes", "plots has 431 lines", {"plots": "x = 1\n" * 431}),
    ("check_sizes", "lessons.one has 251 lines", {"lessons/one": "x = 1\n" * 251}),
    ("check_sizes", "scale files have 1301 lines", {"scale/export": "x = 1\n" * 1300}),
    (
        "check_sizes",
        "flat files have 3436",
        {name: "x = 1\n" * 387 for name in list(FLAT)[:8]} | {"classify": "x = 1\n" * 337},
    ),
    ("check_sizes", "helpers/odds.py is not in the drawing", {"odds": "x = 1\n"}),
    ("check_elsewhere", "helpers/plots.py, line 1: open needs encoding=", {"plots": "open('a', 'w')\n"}),
    ("check_elsewhere", "line 2: read_text needs", {"plots": "open('a', 'rb')\npath.read_text()\n"}),
    ("check_elsewhere", "plots.py, line 1: call kill()", {"plots": "os.kill(1, signal.SIGKILL)\n"}),
    ("check_elsewhere", "plots.py, line 1: join paths", {"plots": "str(folder) + '/'\n"}),
    ("check_notebooks", "01_one.ipynb: helpers.plots._style", {"notebook": "from helpers.plots import _style"}),
    ("check_notebooks", "helpers.plots._style", {"notebook": "from helpers import plots as p\np._style()"}),
    ("check_notebooks", "helpers._secret", {"notebook": "from helpers._secret import x"}),
    ("check_elsewhere", "helpers/plots.py, line 1: python -O skips assert", {"plots": "assert True\n"}),
]


@pytest.mark.parametrize("check, complaint, files", FAULTS, ids=[fault[1] for fault in FAULTS])
def test_each_fault_is_seen(check, complaint, files, tmp_path):
    with pytest.raises(AssertionError) as caught:
        CHECKS[check](build(tmp_path, **files))
    assert complaint in str(caught.value)


def test_a_house_without_faults_passes(tmp_path):
    root = build(tmp_path)
    for check in CHECKS.values():
        check(root)
    assert "classify                               -> weights (scale.inference)" in drawing(arrows(tmp_path))
