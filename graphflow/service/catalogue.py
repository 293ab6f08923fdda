"""What there is, as JSON objects: plans, node types, packaged workflows; for the service and for the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from graphflow.planning.memory import evaluation_bytes
from graphflow.planning.steps import ACTIONS
from graphflow.planning.weights import loaded_bytes, loaded_weights

if TYPE_CHECKING:
    from graphflow.planning.expand import Expanded
    from graphflow.planning.files import FileUse
    from graphflow.planning.steps import Plan, Step
    from graphflow.session import Session
    from graphflow.spec.decorator import NodeSpec


def plan_json(made: Plan) -> dict[str, Any]:
    """Return a plan as a JSON object."""
    loaded = loaded_weights(made)
    return {
        "steps": [_step(step, loaded.get(step.id, ())) for step in made.steps.values()],
        "counts": {action: made.count(action) for action in ACTIONS},
        "targets": [str(source) for source in made.targets],
        "selectors": [str(source) for source in made.selectors],
        "loaded_bytes": loaded_bytes(made),
        "evaluation_bytes": evaluation_bytes(made),
        "notices": list(made.notices),
        "numerics": made.numerics.to_json(),
        "workflow": made.expanded.document.to_json(),
    }


def _step(step: Step, files: Iterable[tuple[FileUse, Mapping[str, int]]]) -> dict[str, Any]:
    return {
        "node": step.id,
        "type": step.spec.type,
        "title": step.title,
        "action": step.action,
        "reason": step.reason,
        "key": step.key,
        "needed": list(step.needed),
        "files": [
            {
                "name": use.need.name,
                "kind": use.need.kind,
                "path": use.path,
                "fingerprint": use.fingerprint,
                "weight_bytes": dict(use.weight_bytes),
                "loaded_bytes": dict(sizes),
            }
            for use, sizes in files
        ],
    }


def node_json(spec: NodeSpec) -> dict[str, Any]:
    """Return what is known of a node type as a JSON object."""
    return {
        "type": spec.type,
        "version": spec.version,
        "category": spec.category,
        "pack": spec.pack,
        "summary": spec.summary,
        "doc": spec.doc,
        "effect": spec.effect,
        "waits": spec.waits_for,
        "inputs": [
            {
                "name": parameter.name,
                "type": str(parameter.type),
                "link_only": parameter.linked,
                "many": parameter.many,
                "required": parameter.required,
                "default": parameter.default,
                "description": parameter.description,
                "schema": None if parameter.linked else parameter.json_schema(),
            }
            for parameter in spec.inputs.values()
        ],
        "outputs": [
            {
                "name": output.name,
                "type": str(output.type),
                "description": output.description,
                "primary": output.name == spec.primary,
            }
            for output in spec.outputs
        ],
    }


def workflow_json(session: Session, name: str) -> dict[str, Any]:
    """Return what is known of a workflow as a JSON object."""
    from graphflow import workflows as packaged
    from graphflow.converters.comfyui.models import model_needs
    from graphflow.document.document import read

    document = read(packaged.path(name))
    expanded = session.expand(document)
    return {
        "name": name,
        "description": document.description or "",
        "inputs": {
            knob: {"value": _value(session, expanded, exposed.to[0]), "description": exposed.description or ""}
            for knob, exposed in document.inputs.items()
        },
        "models": [need.to_json() for need in model_needs(expanded.flat, session.registry, session.library)],
        "picture": str(picture) if (picture := packaged.picture(name)).is_file() else None,
        "path": str(packaged.path(name)),
    }


def _value(session: Session, expanded: Expanded, target: str) -> Any:
    """Return the value that an input has where nobody gives one."""
    from graphflow.document.document import split_address
    from graphflow.planning.expand import parameter_of

    node, parameter = split_address(target)
    spec = parameter_of(expanded.document, session.registry, target)
    return expanded.document.nodes[node].params.get(parameter or "", spec.default if spec is not None else None)
