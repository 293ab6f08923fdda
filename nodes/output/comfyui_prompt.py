"""The ComfyUI prompt that an imported workflow came from, kept true while values change, for pictures to carry."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from graphflow.basics.jsontools import digest


def origin(
    workflow: Mapping[str, Any], prompt: Mapping[str, Any], direct: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """Return what ``meta.comfyui`` of an imported document holds.

    Args:
        workflow: The document as JSON.
        prompt: The API prompt that it was made from.
        direct: For each ``node.parameter`` that is a ComfyUI input unchanged: node id and input there.

    Returns:
        ``prompt``; ``values``, which is ``direct``; ``rest``, a digest of everything else, by which it shows whether
        the prompt still says the same.
    """
    values = {place: list(there) for place, there in direct.items()}
    return {"prompt": dict(prompt), "values": values, "rest": _rest(workflow, values)}


def with_prompt(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a picture carries, with the ComfyUI prompt where the workflow came from one that still holds.

    Args:
        record: ``workflow`` is the document as JSON, with the values of the run.
    """
    prompt = current_prompt(record.get("workflow", {}))
    return dict(record) if prompt is None else {**record, "comfyui": {"prompt": prompt}}


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
