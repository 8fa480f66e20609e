"""The notebooks: they run, without warnings, on public names alone, and are kept without output."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import splinecam

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SECONDS = 300
"""What one cell may take, first compilation included, before the kernel is held to be stuck."""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    """The Python of all cells, without IPython's magics."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return ast.parse(re.sub(r"(?m)^%.*$", "", "\n".join(cells)))


def test_there_are_seven():
    assert len(NOTEBOOKS) == 7


def test_is_stripped(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.metadata, cell.source
        if cell.cell_type == "code":
            assert cell.outputs == [], cell.source
            assert cell.execution_count is None, cell.source


def test_uses_public_names_only(path):
    for node in ast.walk(code(read(path))):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("splinecam"), "write: import splinecam as sc"
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("splinecam.") for alias in node.names)
        if isinstance(node, ast.Attribute):
            assert not re.match("_(?!_)", node.attr), node.attr
            if isinstance(node.value, ast.Name) and node.value.id == "sc":
                assert node.attr in splinecam.__all__, node.attr


def test_links_lead_somewhere(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (FOLDER / target).exists(), target


def test_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("SPLINECAM_FAST", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = read(path)
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=SECONDS, resources=folder).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    warnings = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not warnings, warnings
    assert any("image/png" in output.get("data", {}) for output in outputs)
