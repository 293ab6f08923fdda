"""A native document to ComfyUI's API prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from graphflow.document.document import Document, NodeEntry, split_address
from graphflow.document.flatten import flatten
from graphflow.errors import ConversionError
from graphflow.spec.registry import Registry, installed
from graphflow.spec.spec import NodeSpec

from .. import catalogue
from ..core_version import BEFORE_STEP_NOISE
from ..fields import quote
from ..pruning import Prompt
from .inverse import MisfitError, best_fit
from .special import SPECIAL, Made
from .ui import to_ui


@dataclass(frozen=True)
class Exported:
    """A ComfyUI prompt and what is said otherwise in it.

    Attributes:
        prompt: The API prompt.
        notes: What is lost or differs, by native node id.
    """

    prompt: Prompt
    notes: tuple[tuple[str, str], ...]


def to_comfyui(
    document: Document, *, format: Literal["api", "ui"] = "api", registry: Registry | None = None
) -> dict[str, Any]:
    """Return a native document as JSON that ComfyUI opens.

    Args:
        document: Seeds drawn; exposed inputs have the values that stand in the nodes.
        format: ``api`` is what ComfyUI's server takes, ``ui`` what its canvas opens.
        registry: The native node types; the installed ones by default.

    Raises:
        ConversionError: Nodes that ComfyUI has no counterpart of; the error names all of them.
    """
    prompt = export_prompt(document, registry=registry).prompt
    return dict(prompt) if format == "api" else to_ui(prompt, name=document.name)


def export_prompt(document: Document, *, registry: Registry | None = None) -> Exported:
    """Return a native document as an API prompt, with what is said otherwise in it.

    Raises:
        ConversionError: See :func:`to_comfyui`.
    """
    known = installed() if registry is None else registry
    flat = flatten(document)
    failures = [f"{problem.path}: {problem.message}" for problem in flat.problems]
    made: dict[str, Made] = {}
    for id, entry in flat.document.nodes.items():
        spec = known.get(entry.type)
        try:
            if spec is None:
                raise MisfitError("the node type is unknown")
            made[id] = _said(entry, spec)
        except MisfitError as error:
            failures.append(f"{id} {entry.type}: {error}")
    if failures:
        raise ConversionError(
            "\n  ".join(["ComfyUI cannot say all of it:", *failures]),
            where=document.name or "workflow",
            advice="`graphflow export --to diffusers` writes more nodes",
        )
    prompt: Prompt = {}
    for id, nodes in made.items():
        title = flat.document.nodes[id].title
        for suffix, kind, values, links in nodes.nodes:
            resolved = {name: _source(address, id, made, flat.document, known) for name, address in links.items()}
            prompt[_id(id, suffix)] = {
                "class_type": kind,
                "inputs": {**_in_order(kind, values), **resolved},
                "_meta": {"title": title if title and not suffix else kind},
            }
    starts = {id: start for id, entry in flat.document.nodes.items() if (start := _step_noise(entry, known))}
    if set(starts.values()) == {"seed"}:  # so that it is read again as it was
        for id in starts:
            prompt[id]["_meta"] |= BEFORE_STEP_NOISE
    notes = tuple((id, note) for id, nodes in made.items() for note in nodes.notes)
    return Exported(prompt, notes)


def _step_noise(entry: NodeEntry, known: Registry) -> Any:
    spec = known.get(entry.type)
    target = None if spec is None else spec.inputs.get("step_noise")
    return None if target is None else entry.params.get("step_noise", target.default)


def _said(entry: NodeEntry, spec: NodeSpec) -> Made:
    """Return the ComfyUI nodes for a native one.

    Raises:
        MisfitError: There are none.
    """
    special = SPECIAL.get(entry.type)
    try:
        fit = best_fit(entry, spec)
    except MisfitError:
        if special is None:
            raise
        return special(entry, spec)
    rule = fit.rule
    slots = (
        {name: ("", slot) for slot, name in enumerate(rule.slots) if name} if rule.slots else {spec.primary: ("", 0)}
    )
    return Made([("", rule.comfy, fit.values, fit.links)], slots, fit.notes)


def _source(address: str, here: str, made: Mapping[str, Made], document: Document, known: Registry) -> list[Any]:
    """Return the ComfyUI link for a native address, or for ``@SUFFIX``."""
    if address.startswith("@"):
        return [_id(here, address[1:]), 0]
    node, output = split_address(address)
    entry = document.nodes.get(node)
    spec = known.get(entry.type) if entry is not None else None
    if spec is None or node not in made:
        raise ConversionError(f"the link {quote(address)} leads nowhere", where=f"nodes.{here}")
    name = output or spec.primary
    if name not in made[node].slots:
        raise ConversionError(
            f"ComfyUI's {made[node].nodes[-1][1]} has no output {name}",
            where=f"nodes.{node}",
            advice=f"{quote(here)} uses it; give it another source",
        )
    suffix, slot = made[node].slots[name]
    return [_id(node, suffix), slot]


def _id(id: str, suffix: str) -> str:
    return f"{id}~{suffix}" if suffix else id


def _in_order(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return literals in the order of the definition, lists marked as values."""
    interface = catalogue.find(kind)
    order = [name for name in interface.orders[0].names if name in values] if interface and interface.orders else []
    names = [*order, *(name for name in values if name not in order)]
    return {
        name: {"__value__": values[name]} if isinstance(values[name], list) else values[name]
        for name in dict.fromkeys(names)
    }
