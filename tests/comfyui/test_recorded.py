"""Recorded ComfyUI workflows give the recorded masks and pictures when they are imported and run.

Those that need no weights; `python -m tests.runners.imports` compares all, with the recordings' weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphflow.converters.comfyui import catalogue
from graphflow.converters.comfyui.rules import RULES
from graphflow.planning.validate import validate
from graphflow.spec.registry import installed

from .recorded import GROUPS, HERE, SKIPPED, cases, run_recorded, with_taps

REGISTRY = installed()


@pytest.mark.parity
@pytest.mark.parametrize("case", ["masks", "image_scale"])
def test_an_imported_workflow_gives_the_recorded_numbers(case: str, tmp_path: Path) -> None:
    rows = list(run_recorded("nets", models=tmp_path, cases_wanted=[case]))
    assert len(rows) > 5
    assert [row for row in rows if not row.ok] == []


@pytest.mark.parametrize("group", GROUPS)
def test_every_recorded_workflow_imports_exactly(group: str) -> None:
    for case in cases(group).values():
        prompt = {id: node for id, node in case["prompt"].items() if node["class_type"] not in SKIPPED}
        result = with_taps(prompt, [(id, slot) for id, slot in case["taps"].values() if id in prompt])
        assert {(entry.type, entry.remarks) for entry in result.report.entries if entry.live and entry.remarks} == set()
        assert validate(result.require(), REGISTRY).problems == []


def types_in(part: Any) -> Iterator[str]:
    """Yield the node types of the prompts in a recording."""
    if isinstance(part, dict) and isinstance(part.get("class_type"), str):
        yield part["class_type"]
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from types_in(inner)


def test_the_types_that_count_as_recorded_are_those_of_the_recordings() -> None:
    files = [HERE / "data" / "recorded.json", *(HERE.parent / "families" / "recorded").glob("*.json")]
    found = {type for file in files for type in types_in(json.loads(file.read_text("utf-8")))}
    assert catalogue.recorded() == found & RULES.keys()
