"""The notebook that the pages link to runs from the top to the end, and is stored without what a run leaves behind."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import crushtest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "howto" / "notebook.ipynb"
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_it_is_stored_without_outputs() -> None:
    assert CODE
    assert not [cell for cell in CODE if cell["outputs"] or cell["execution_count"]]


def test_it_imports_what_crushtest_offers() -> None:
    nodes = [node for cell in CODE for node in ast.walk(ast.parse("".join(cell["source"])))]
    named = {
        n.name for each in nodes if isinstance(each, ast.ImportFrom) and each.module == "crushtest" for n in each.names
    }
    assert named
    assert named <= {*crushtest.__all__}


@pytest.mark.slow
def test_it_runs_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra `docs`)")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra `docs`)")
    import nbformat

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    shown = [
        "".join(str(out.get("data", {}).get("text/plain", "")) for out in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    assert "probe_facts" in shown[2]
    assert "report.html" in shown[-1]
