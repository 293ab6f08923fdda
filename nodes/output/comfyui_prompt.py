"""The ComfyUI prompt that an imported workflow came from, kept true while values change, for pictures to carry."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from graphflow.basics.jsontools import digest, excess, loads
from graphflow.errors import GraphflowError
from graphflow.limits import LIMITS

_MOST_DRAWN = 1 << 20
"""Bytes of a workflow as the front end draws it; documents and the texts of a picture have room for more than that."""


def origin(
    workflow: Mapping[str, Any],
    prompt: Mapping[str, Any],
    direct: Mapping[str, tuple[str, str]],
    drawn: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what ``meta.comfyui`` of an imported document holds.

    Args:
        workflow: The document as JSON.
        prompt: The API prompt that it was made from.
        direct: For each ``node.parameter`` that is a ComfyUI input unchanged: node id and input there.
        drawn: The workflow as the front end draws it; one that is too large for a document is left out.

    Returns:
        ``prompt``; ``values``, which is ``direct``; ``rest``, a digest of everything else, by which it shows whether
        the prompt still says the same; ``workflow``, which is ``drawn``.
    """
    values = {place: list(there) for place, there in direct.items()}
    told = {"prompt": dict(prompt), "values": values, "rest": _rest(workflow, values)}
    return told if drawn is None else told | _fitting(drawn)


def _fitting(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a document can hold of a workflow: all of it, or nothing."""
    try:
        text = json.dumps({"meta": {"comfyui": {"workflow": drawn}}}, allow_nan=False)
        if len(text) > _MOST_DRAWN or excess(
            text.encode(), LIMITS.document_containers // 2, LIMITS.document_values // 2
        ):
            return {}
        return dict(loads(text, source="workflow")["meta"]["comfyui"])
    except (ValueError, RecursionError, GraphflowError):
        return {}


def with_prompt(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a picture carries, with the ComfyUI prompt where the workflow came from one that still holds.

    Where not even a value has changed, the workflow as the front end draws it is there, too: it would show the old values.

    Args:
        record: ``workflow`` is the document as JSON, with the values of the run.
    """
    prompt = current_prompt(record.get("workflow", {}))
    if prompt is None:
        return dict(record)
    told = record["workflow"]["meta"]["comfyui"]
    drawn = {"workflow": told["workflow"]} if "workflow" in told and prompt == told["prompt"] else {}
    return {**record, "comfyui": {"prompt": prompt, **drawn}}


def current_prompt(workflow: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the ComfyUI prompt that says what a document says now, or None where there is none.

    Values that stand in both under some name are taken over; where anything else has changed, nothing is true any more.

    Args:
        workflow: The document as JSON.
    """
    told = (workflow.get("meta") or {}).get("comfyui")
    if not isinstance(told, Mapping) or not isinstance(told.get("prompt"), Mapping):
        return None
    values = told.get("values")
    if not isinstance(values, Mapping) or told.get("rest") != _rest(workflow, values):
        return None
    prompt: dict[str, Any] = copy.deepcopy(dict(told["prompt"]))
    for place, there in values.items():
        id, _, parameter = place.partition(".")
        node, name = there if isinstance(there, list) and len(there) == 2 else ("", "")
        entry, given = prompt.get(node), workflow.get("nodes", {}).get(id, {}).get("params", {})
        if not isinstance(entry, dict) or not isinstance(entry.get("inputs"), dict) or parameter not in given:
            return None
        entry["inputs"][name] = given[parameter]
    return prompt


def _rest(workflow: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Return a digest of the nodes without the literals that ``values`` names."""
    nodes = {}
    for id, entry in workflow.get("nodes", {}).items():
        params = entry.get("params", {})
        kept = {name: value for name, value in params.items() if f"{id}.{name}" not in values}
        nodes[id] = [entry["type"], sorted(params), kept, entry.get("links", {})]
    return digest(nodes)
