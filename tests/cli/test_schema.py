"""The published JSON Schema: it takes what validation takes, and refuses what an editor should show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from graphflow import workflows
from graphflow.document.schema import document_schema
from graphflow.spec.registry import installed
from tests.cli.commands import BROKEN, CHAIN, PACK, Command

REGISTRY = installed()
SCHEMA = document_schema(REGISTRY)
SEEN_BY_A_SCHEMA = [
    "bad_ids",
    "bad_inputs_empty",
    "comfyui_graph",
    "comfyui_prompt",
    "link_in_params",
    "list_of_links",
    "not_an_object",
    "out_of_range",
    "several_problems",
    "unknown_input",
    "unknown_key",
    "unknown_type",
    "version_missing",
    "version_no_number",
    "wrong_kind_of_value",
    "wrong_shapes",
    "wrong_version",
]


def valid(document: Any, schema: Any = SCHEMA) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(document)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_one_branch_per_node_type() -> None:
    branches = {item["$ref"].rpartition("node.")[2] for item in SCHEMA["$defs"]["node"]["oneOf"]}
    assert branches == {*REGISTRY.specs, "workflow"}


@pytest.mark.parametrize("name", workflows.names())
def test_packaged_workflows_fit(name: str) -> None:
    document = json.loads(workflows.path(name).read_text("utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


@pytest.mark.parametrize("name", SEEN_BY_A_SCHEMA)
def test_broken_workflows_do_not_fit(name: str) -> None:
    assert not valid(json.loads((BROKEN / f"{name}.json").read_text("utf-8")))


@pytest.mark.parametrize(
    ("params", "fits"),
    [
        ({"seed": "random"}, True),
        ({"seed": -1}, False),
        ({"seed": "later"}, False),
        ({"sampler": "euler"}, True),
        ({"sampler": "eulr"}, False),
        ({"end_step": None}, True),
        ({"steps": 20.5}, False),
        ({"model": "shapes"}, False),
        ({"negative": None}, True),
    ],
)
def test_literals(params: dict[str, Any], fits: bool) -> None:
    assert valid({"graphflow": 2, "nodes": {"a": {"type": "sample", "params": params}}}) is fits


def test_what_a_document_may_carry_besides() -> None:
    assert valid({"graphflow": 2, "$schema": "./x.json", "x-editor": {"zoom": 2}, "meta": {"a": 1}, "nodes": {}})
    assert not valid({"graphflow": 2, "nodes": {}, "node": {}})


def test_printed_written_and_with_a_pack(graphflow: Command, packed: Command) -> None:
    assert json.loads(graphflow("schema", "-o", "-").out) == SCHEMA
    assert packed("schema", "-o", "schema.json").code == 0
    written = json.loads(Path("schema.json").read_text("utf-8"))
    assert valid(CHAIN, written)
    assert not valid(CHAIN)
    assert PACK.is_file()
