"""Settings files, variables and ComfyUI's list of model folders say what they said."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from graphflow.settings import load_settings
from tests.frozen.conftest import Command
from tests.frozen.fixtures import FROZEN

FOLDER = FROZEN / "settings"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text("utf-8"))


def shown(environment: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = load_settings(environment).model_dump(mode="json")
    return found


@pytest.mark.parametrize("name", ["all", "few", "empty"])
def test_a_settings_file_says_what_it_said(name: str) -> None:
    found = shown({"GRAPHFLOW_SETTINGS": str(FOLDER / f"{name}.toml")})
    assert {key: found[key] for key in EXPECTED[name]} == EXPECTED[name]


def test_variables_say_what_they_said() -> None:
    variables = json.loads((FOLDER / "variables.json").read_text("utf-8"))
    variables["GRAPHFLOW_MODELS"] = variables["GRAPHFLOW_MODELS"].replace(":", os.pathsep)
    found = shown({"GRAPHFLOW_SETTINGS": str(FOLDER / "all.toml"), **variables})
    assert {key: found[key] for key in EXPECTED["variables"]} == EXPECTED["variables"]


def test_model_folders_of_comfyui_are_found(graphflow: Command) -> None:
    listed = json.loads(graphflow("models", "--models", FOLDER / "extra_model_paths.yaml", "--json", packs=False))
    own = [(entry["name"], entry["kind"]) for entry in listed if str(FOLDER) in entry["path"]]
    assert own == [(f"{name}.safetensors", "embedding") for name in ("word", "first", "second")]
