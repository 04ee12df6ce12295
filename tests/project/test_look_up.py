"""The site's two pages to look things up: each term and each question leads to where it is explained."""

import re

import nbformat
import pytest
from conftest import ROOT, SERIES


def markdown(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


TEXTS = {path.name: markdown(path) for path in SERIES}
GLOSSARY = (ROOT / "book/glossary.md").read_text(encoding="utf-8")
QUESTIONS = (ROOT / "book/questions.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^\| (.+?) \| (.+?) \| \[(\d\d)\]\(../notebooks/(.+?)\) \|$", GLOSSARY, re.MULTILINE)


def test_every_row_of_the_glossary_is_read():
    names = [term for term, *_ in TERMS]
    assert len(TERMS) == GLOSSARY.count("](../notebooks/") > 60
    assert names == sorted(set(names), key=lambda name: name.lower().lstrip("("))


@pytest.mark.parametrize("term, meaning, number, name", TERMS, ids=[term for term, *_ in TERMS])
def test_a_term_is_in_bold_where_it_is_explained(term, meaning, number, name):
    assert name.startswith(number)
    bold = re.findall(r"\*\*([^*\n]+?)\*\*", TEXTS[name])
    assert any(term.lower() in text.lower() for text in bold)


def test_every_question_has_its_passage():
    """Fifteen questions; all but the last lead to a passage, and every passage is led to."""
    asked = re.findall(r"^\*\*(.+\?.*?)\*\*", QUESTIONS, re.MULTILINE)
    linked = re.findall(r'href="\.\./notebooks/(.+?)\.html#(q-[a-z-]+)"', QUESTIONS)
    anchors = {(name, anchor) for name in TEXTS for anchor in re.findall(r'<a id="(q-[a-z-]+)"></a>', TEXTS[name])}
    assert len(asked) == 15 and len(linked) == 14
    assert {(f"{name}.ipynb", anchor) for name, anchor in linked} == anchors
