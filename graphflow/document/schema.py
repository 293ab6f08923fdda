"""The JSON Schema of workflow documents, for editors and other programs.

It has one branch per node type, chosen by ``type``. What the schema refuses, validation refuses too; the reverse does
not hold, since a schema cannot follow links, nor know what a caller or an outer workflow fills in.
"""

from __future__ import annotations

import json
from typing import Any

from graphflow.document.document import FORMAT_VERSION
from graphflow.document.flatten import PREFIX
from graphflow.spec.decorator import InputSpec, NodeSpec
from graphflow.spec.registry import Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NODE_ID = r"[A-Za-z0-9_][A-Za-z0-9_:~-]*"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCES = "#/$defs/"


def document_schema(registry: Registry) -> dict[str, Any]:
    """Return the schema of documents whose node types a registry knows.

    Args:
        registry: The known node types.

    Returns:
        A JSON Schema, draft 2020-12.
    """
    definitions: dict[str, Any] = {
        "address": {
            "type": "string",
            "pattern": rf"^{_NODE_ID}(\.{_NAME})?$",
            "description": "an output of a node: NODE for its primary output, or NODE.OUTPUT",
        },
        "target": {
            "type": "string",
            "pattern": rf"^{_NODE_ID}\.{_NAME}$",
            "description": "a parameter of a node: NODE.PARAMETER",
        },
    }
    branches = []
    for spec in sorted(registry.specs.values(), key=lambda spec: spec.type):
        name = f"node.{spec.type}"
        definitions[name] = _node(spec, definitions)
        branches.append({"$ref": _REFERENCES + name})
    definitions["node.workflow"] = _inner_node()
    branches.append({"$ref": _REFERENCES + "node.workflow"})
    definitions["node"] = {"type": "object", "required": ["type"], "oneOf": branches}
    definitions["document"] = _document()
    return {
        "$schema": DIALECT,
        "title": "graphflow workflow",
        "$ref": _REFERENCES + "document",
        "required": ["graphflow"],  # inner workflows need no version
        "$defs": definitions,
    }


def _document() -> dict[str, Any]:
    json_object = {"type": "object"}
    return {
        "type": "object",
        "properties": {
            "$schema": {"type": "string"},
            "graphflow": {"const": FORMAT_VERSION, "description": "the version of the document format"},
            "name": {"type": ["string", "null"], "description": "what to call the workflow"},
            "description": {"type": ["string", "null"], "description": "what it does"},
            "inputs": {
                "type": "object",
                "description": "the knobs that a caller may turn; their values stand in the nodes",
                "propertyNames": {"pattern": f"^{_NAME}$"},
                "additionalProperties": {
                    "type": "object",
                    "required": ["to"],
                    "properties": {
                        "to": {"type": "array", "minItems": 1, "items": {"$ref": _REFERENCES + "target"}},
                        "description": {"type": ["string", "null"]},
                    },
                    "additionalProperties": False,
                },
            },
            "nodes": {
                "type": "object",
                "propertyNames": {"pattern": f"^{_NODE_ID}$"},
                "additionalProperties": {"$ref": _REFERENCES + "node"},
            },
            "outputs": {
                "type": "object",
                "description": "values that a run returns, by name",
                "propertyNames": {"pattern": f"^{_NAME}$"},
                "additionalProperties": {"$ref": _REFERENCES + "address"},
            },
            "requires": {
                "type": "object",
                "description": "node packs that must be installed, and their versions",
                "additionalProperties": {"type": "string"},
            },
            "workflows": {
                "type": "object",
                "description": f"inner workflows, for nodes of type {PREFIX}NAME",
                "propertyNames": {"pattern": f"^{_NAME}$"},
                "additionalProperties": {"$ref": _REFERENCES + "document"},
            },
            "meta": {"anyOf": [json_object, {"type": "null"}]},
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def _entry(type_schema: dict[str, Any], params: dict[str, Any], links: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": type_schema,
            "params": {"type": "object", "description": "literals", **params},
            "links": {"type": "object", "description": "references to outputs of other nodes", **links},
            "version": {"type": ["integer", "null"], "minimum": 1},
            "title": {"type": ["string", "null"]},
            "note": {"type": ["string", "null"]},
            "meta": {"type": ["object", "null"]},
        },
        "additionalProperties": False,
    }


def _node(spec: NodeSpec, definitions: dict[str, Any]) -> dict[str, Any]:
    literals = {name: _literal(spec, parameter, definitions) for name, parameter in spec.inputs.items()}
    links = {name: _link(parameter) for name, parameter in spec.inputs.items()}
    summary = (
        spec.summary if spec.waits is None else f"{spec.summary} It cannot run yet: it waits for {spec.waits_for}."
    )
    return {
        "description": summary,
        **_entry(
            {"const": spec.type, "description": summary},
            {
                "properties": {name: schema for name, schema in literals.items() if schema is not None},
                "additionalProperties": False,
            },
            {"properties": links, "additionalProperties": False},
        ),
    }


def _inner_node() -> dict[str, Any]:
    address = {"$ref": _REFERENCES + "address"}
    links = {"additionalProperties": {"anyOf": [address, {"type": "array", "items": address}]}}
    type_schema = {"type": "string", "pattern": f"^{PREFIX}", "description": "runs an inner workflow"}
    return {"description": "a node that runs an inner workflow", **_entry(type_schema, {}, links)}


def _literal(spec: NodeSpec, parameter: InputSpec, definitions: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of a parameter's literals; None where it takes links only."""
    if parameter.linked:
        return {"type": "null", "description": "no link"} if parameter.optional else None
    schema = parameter.json_schema()
    inner = schema.pop("$defs", {})
    text = json.dumps(schema)
    for name, definition in inner.items():
        own = f"{spec.type}.{parameter.name}.{name}"
        definitions[own] = definition
        text = text.replace(json.dumps(_REFERENCES + name), json.dumps(_REFERENCES + own))
    result: dict[str, Any] = json.loads(text)
    return result


def _link(parameter: InputSpec) -> dict[str, Any]:
    note = f"{parameter.description} " if parameter.description else ""
    described = {"description": f"{note}({parameter.type})"}
    address = {"$ref": _REFERENCES + "address"}
    if parameter.many:
        return {"anyOf": [address, {"type": "array", "items": address}], **described}
    return {**address, **described}
