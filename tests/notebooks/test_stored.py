"""The stored notebooks, as files: run in order, complete, small, readable by everybody, and true to the helpers.

That their cells still give what is stored is nbval's part: `pytest --nbval notebooks`.
"""

import ast
import importlib
import inspect
import re

import nbformat
import pytest
from conftest import ROOT

PATHS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
BOOKS = {path.relative_to(ROOT / "notebooks").as_posix(): nbformat.read(path, as_version=4) for path in PATHS}

# What a notebook defines and a helper repeats for the notebooks after it.
TWINS = {
    "01_see_a_video_as_a_tensor.ipynb": {
        "helpers.video": ["resize", "center_crop", "normalize", "denormalize", "_channels"],
    },
    "02_compare_3d_and_2plus1d.ipynb": {"helpers.blocks": ["midplanes", "output_size"]},
    "03_build_the_2plus1d_block.ipynb": {
        "helpers.blocks": ["Conv2Plus1D", "R2Plus1dStem", "randomize_batchnorm_"],
        "helpers.kernels": ["motion_kernel", "svd_factorize"],
    },
    "04_build_the_residual_block.ipynb": {"helpers.blocks": ["BasicBlock", "summary"]},
    "05_assemble_r2plus1d_18.ipynb": {
        "helpers.networks": ["VideoResNet", "group", "initialize_weights"],
        "helpers.blocks": ["receptive_field", "activation_bytes"],
    },
    "08_meet_the_family.ipynb": {"helpers.blocks": ["Conv3DSimple", "Conv3DNoTemporal", "BasicStem", "R2DStem"]},
    "07_classify_a_clip.ipynb": {
        "helpers.classify": ["get_device", "top"],
        "helpers.scale.inference": ["seconds", "_wait_for"],
    },
    "09_train_r3d_against_r2plus1d.ipynb": {
        "helpers.training": ["batches", "train_epoch", "predict", "accuracy", "mirror"],
    },
    "12_fine_tune_on_your_own_clips.ipynb": {
        "helpers.datasets": ["split", "random_crop"],
        "helpers.training": ["replace_head", "freeze", "learn", "class_weights"],
    },
    "13_make_it_fast.ipynb": {
        "helpers.scale.inference": ["interleaved", "matrix_product", "peak", "bandwidth", "_best", "_wait_for"],
        "helpers.scale.preprocessing": ["neighbours", "ahead"],
    },
}


def code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def outputs(book):
    return [output for cell in code_cells(book) for output in cell.outputs]


def is_widget(cell):
    return "widget" in cell.metadata.get("tags", [])


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


def bare(function):
    """A function's syntax tree without its docstring."""
    tree = function if isinstance(function, ast.AST) else ast.parse(inspect.getsource(function)).body[0]
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:]
    return ast.dump(tree)


@pytest.mark.parametrize("name", TWINS)
def test_what_a_notebook_teaches_is_what_its_helper_does(name):
    source = "\n".join(cell.source for cell in code_cells(BOOKS[name]))
    taught = {node.name: node for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for module, definitions in TWINS[name].items():
        for definition in definitions:
            assert bare(taught[definition]) == bare(getattr(importlib.import_module(module), definition)), definition


def test_every_notebook_links_to_those_beside_it():
    series = [name for name in BOOKS if "/" not in name]
    for name, following in zip(series, series[1:]):
        last = BOOKS[name].cells[-1].source
        assert f"Next in the series: [{following[:2]} " in last and f"]({following})" in last, name
    for name in series:
        exercises = any("checks." in cell.source for cell in code_cells(BOOKS[name]))
        assert exercises == (f"solutions/{name}" in BOOKS), name
        assert not exercises or name in BOOKS[f"solutions/{name}"].cells[0].source, name
    for name, before in zip(series[1:], series):
        assert f"]({before})" in BOOKS[name].cells[0].source, name


def test_the_series_is_there():
    assert PATHS and all(re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name) for path in PATHS)
