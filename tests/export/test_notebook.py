"""Notebooks: their cells, run one after the other, draw what the script draws."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from graphflow import workflows
from graphflow.converters.diffusers_script import export
from graphflow.converters.diffusers_script.notebook import to_notebook
from tests.export.comparing import difference, make_session, pictures
from tests.export.packaged import SMALL, packaged
from tests.fresh import Fresh

SOAK = os.environ.get("GRAPHFLOW_TEST_SOAK") == "1"
SAMPLE = ["txt2img", "hires_fix", "custom_sampling"]


def code_cells(notebook: str) -> list[str]:
    """The source of each cell with code."""
    cells: list[dict[str, Any]] = json.loads(notebook)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("name", [*SMALL] if SOAK else SAMPLE[:2])
def test_the_cells_draw_what_the_script_draws(name: str, models: Path, fresh: Fresh, tmp_path: Path) -> None:
    session = make_session(tmp_path, models=({"path": models},))
    made = export(packaged(name), session=session, folder=workflows.path(name).parent)
    script = tmp_path / "script.py"
    script.write_text(made.code, "utf-8")
    done = fresh.run(script, "--out", tmp_path / "out_of_script", cwd=tmp_path)
    assert done.code == 0, done.err[-2000:]
    cells = code_cells(to_notebook(made))
    program = f"space = {{}}\nfor number, cell in enumerate({cells!r}):\n    exec(compile(cell, f'cell {{number}}', 'exec'), space)\n"
    done = fresh.execute(program, cwd=tmp_path)
    assert done.code == 0, done.err[-2000:]
    row = difference(name, pictures(tmp_path / "out_of_script"), pictures(tmp_path / "out"), 0.0)
    assert row.ok, row
