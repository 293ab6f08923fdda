"""What the checks of prompts let through, and which names files may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphflow.converters.comfyui import to_prompt
from graphflow.converters.comfyui.rules import RULES
from graphflow.errors import InvalidInputError
from graphflow.service.comfyui.checking import RefusedPromptError, check
from graphflow.service.comfyui.names import Names, place_of
from graphflow.service.comfyui.table import Table
from graphflow.session import Session
from graphflow.settings import Settings
from tests.comfyui.fuzz import template, templates

SHARE = 9
"""One of so many official workflows is checked."""
LACKING = {"value_not_in_list", "custom_validation_failed"}
"""What is told of models and pictures that are not there."""


def test_official_workflows_are_refused_for_missing_files_alone(tmp_path: Path) -> None:
    told = {"models": (), "cache_dir": tmp_path, "device": "cpu", "offline": True}
    session, names = Session(Settings.model_validate(told)), Names(tmp_path / "names.sqlite")
    table = Table(session.registry, session.library, names)
    checked = 0
    for name in templates()[::SHARE]:
        flat = to_prompt(template(name))
        types = {node["class_type"] for node in flat.prompt.values()}
        if not types <= RULES.keys() or not flat.outputs:
            continue
        try:
            errors = check(flat.prompt, flat.outputs, table.info, table.missing).errors
        except RefusedPromptError as error:
            errors = error.body["node_errors"]
        # One has an output that nothing feeds, which ComfyUI refuses, too.
        found = [error for id, node in errors.items() if id not in flat.outputs for error in node["errors"]]
        assert all(error["type"] in LACKING and not error["details"].startswith("type:") for error in found), (
            name,
            found,
        )
        checked += 1
    names.close()
    assert checked >= 5


@pytest.mark.parametrize(
    "name",
    ["", "..", "../a.png", "a/../../b", "/etc/passwd", "\\\\host\\share\\a", "C:\\a.png", "a.png:stream", "a\0.png", "a/ /b", "x" * 256, "~:"],
)  # fmt: skip
def test_names_that_might_lead_out_are_none(name: str) -> None:
    with pytest.raises(InvalidInputError):
        place_of(name)
    with pytest.raises(InvalidInputError):
        place_of("a.png", name or "..")


def test_names_are_places() -> None:
    assert place_of("b/a.png [temp]", "c", "output") == ("temp", "c/b", "a.png")
    assert place_of("é 雪.png").below == "é 雪.png"
    with pytest.raises(InvalidInputError):
        place_of("a.png", type="models")
