"""The stored notebooks, as files: run in order, complete, small, readable by everybody, and true to the helpers.

That their cells still give what is stored is nbval's part: `pytest --nbval notebooks`.
"""

import ast
import re

import nbformat
import pytest
from conftest import ROOT

PATHS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
BOOKS = {path.relative_to(ROOT / "notebooks").as_posix(): nbformat.read(path, as_version=4) for path in PATHS}

# Definitions of one name in a notebook and in helpers that differ on purpose.
HOMONYMS = {
    ("04_build_the_residual_block.ipynb", "train"): "forty steps on twenty clips, to see a gradient",
    ("05_assemble_r2plus1d_18.ipynb", "r2plus1d_18"): "the notebook calls VideoResNet itself; helpers know the family",
    ("07_classify_a_clip.ipynb", "average_probs"): "without the batches, the stream and the precision of the helper",
}


def code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def outputs(book):
    return [output for cell in code_cells(book) for output in cell.outputs]


def is_widget(cell):
    return "widget" in cell.metadata.get("tags", [])


@pytest.mark.parametrize(
    "path", [path for path in PATHS if path.parent.name == "notebooks"], ids=lambda path: path.name
)
def test_the_pictures_of_the_readme_can_be_drawn(path):
    """By `make pictures`: one cell has the figure for the table."""
    (figure,) = (cell for cell in BOOKS[path.name].cells if "thumbnail" in cell.metadata.get("tags", []))
    assert sum("image/png" in output.get("data", {}) for output in figure.outputs) == 1


@pytest.mark.parametrize("name", BOOKS)
def test_one_fresh_run_is_stored(name):
    cells = [cell for cell in code_cells(BOOKS[name]) if not is_widget(cell)]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in code_cells(BOOKS[name]):
        if is_widget(cell):
            assert cell.execution_count is None and cell.outputs == []
    assert "widgets" not in BOOKS[name].metadata


@pytest.mark.parametrize("name", BOOKS)
def test_no_errors_and_no_warnings_are_stored(name):
    for output in outputs(BOOKS[name]):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.get("text")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_small_enough_to_be_shown(path):
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("name", BOOKS)
def test_cells_are_short(name):
    for cell in code_cells(BOOKS[name]):
        lines = cell.source.splitlines()
        assert 0 < len(lines) <= 30 and max(map(len, lines)) <= 99, cell.source


@pytest.mark.parametrize("name", BOOKS)
def test_every_picture_has_a_sentence_for_those_who_cannot_see_it(name):
    for output in outputs(BOOKS[name]):
        for kind in output.get("data", {}):
            if kind.startswith("image/"):
                alt = output.metadata[kind]["alt"]
                assert len(alt.split()) >= 8 and alt.endswith("."), alt
    for cell in BOOKS[name].cells:
        if cell.cell_type == "markdown":
            for alt in re.findall(r"!\[([^]]*)\]", cell.source):
                assert len(alt.split()) >= 8 and alt.endswith("."), alt
            assert "<img" not in cell.source


@pytest.mark.parametrize("name", BOOKS)
def test_every_link_within_the_repository_leads_somewhere(name):
    texts = [cell.source for cell in BOOKS[name].cells if cell.cell_type == "markdown"]
    check_links((ROOT / "notebooks" / name).parent, "\n".join(texts))


def test_every_link_of_the_readme_leads_somewhere():
    check_links(ROOT, (ROOT / "README.md").read_text(encoding="utf-8"))


def check_links(folder, text):
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith(("https://", "#")):
            assert (folder / link.split("#")[0]).exists(), link


class Bare(ast.NodeTransformer):
    """Strips docstrings and annotations: helpers have them, cells do without."""

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.visit_ClassDef(node)

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        return ast.Assign([node.target], node.value, lineno=0) if node.value else None


def bare(source):
    """The functions and classes that a source defines, by name, each as a dump of its bare syntax tree."""
    tree = Bare().visit(ast.parse(source))
    return {node.name: ast.dump(node) for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def taught(name):
    """What a notebook defines, as in `bare`; of a name that it defines twice, the last."""
    return bare("\n".join(cell.source for cell in code_cells(BOOKS[name])))


SOURCES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "helpers").rglob("*.py")}


def twins():
    """Where a helper says that a notebook builds it: (the notebook's number, the file, the name)."""
    for path, source in SOURCES.items():
        for node in ast.parse(source).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                for number in re.findall(r"Built in notebook (\d\d)", ast.get_docstring(node) or ""):
                    yield number, path, node.name


@pytest.mark.parametrize("number, path, definition", list(twins()), ids=lambda part: getattr(part, "stem", part))
def test_what_a_helper_says_is_built_in_a_notebook_is_built_there_alike(number, path, definition):
    name = next(name for name in BOOKS if name.startswith(number))
    assert taught(name).get(definition) == bare(SOURCES[path])[definition]


@pytest.mark.parametrize("name", [name for name in BOOKS if "/" not in name])
def test_what_has_one_name_in_a_notebook_and_in_helpers_is_alike(name):
    elsewhere = {definition for number, _, definition in twins() if number != name[:2]}
    helpers = [bare(source) for source in SOURCES.values()]
    for definition, tree in taught(name).items():
        if definition not in elsewhere and (name, definition) not in HOMONYMS:
            there = [module[definition] for module in helpers if definition in module]
            assert not there or tree in there, definition


def test_annotations_and_docstrings_make_no_difference_and_all_else_does():
    cell = "def f(x, n=2):\n    y = x\n    return y * n"
    assert bare(cell) == bare('def f(x: int, n: int = 2) -> int:\n    """Twice."""\n    y: int = x\n    return y * n')
    for other in ("x, n=3", "x, k=2", "*x, n=2"):
        assert bare(cell) != bare(cell.replace("x, n=2", other))
    assert bare(cell) != bare(cell.replace("y * n", "n * y"))
    assert len(list(twins())) >= 20


def test_every_notebook_links_to_those_beside_it():
    series = [name for name in BOOKS if "/" not in name]
    for name, following in zip(series, series[1:]):
        last = BOOKS[name].cells[-1].source
        assert f"Next in the series: [{following[:2]} " in last and f"]({following})" in last, name
    for name, before in zip(series[1:], series):
        assert f"]({before})" in BOOKS[name].cells[0].source, name


@pytest.mark.parametrize("name", [name for name in BOOKS if "/" not in name])
def test_every_exercise_has_its_check_and_a_solution_that_passes_it(name):
    checks, solution = checks_called(name), f"solutions/{name}"
    assert bool(checks) == (solution in BOOKS)
    if checks:
        assert checks_called(solution) == checks
        assert name in BOOKS[solution].cells[0].source


def checks_called(name):
    """The checks of the notebook's lesson that its cells call."""
    return set(re.findall(r"\blesson\.check_\w+", "\n".join(cell.source for cell in code_cells(BOOKS[name]))))


def test_the_series_is_there():
    assert PATHS and all(re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name) for path in PATHS)
