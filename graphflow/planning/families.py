"""Whether adapters meet models of the family that they were made for, told while planning from what files say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from graphflow.errors import Problem
from graphflow.planning.checked import CheckedNode, Source
from graphflow.planning.files import FileUse
from graphflow.planning.steps import Argument, Constant

_CARRIERS = ("model", "conditioning", "text_encoder")
"""Types of links that are of one family through and through."""

_ADAPTERS = {"control_net": "ControlNet", "ip_adapter": "IP-Adapter"}
"""Types of links that fit one family only, with their names for people."""

_ADAPTER_FILES = {"lora": "LoRA", "controlnet": "ControlNet", "t2i_adapter": "T2I-Adapter", "ip_adapter": "IP-Adapter"}
"""Kinds of files that fit one family only."""

_BASES = ("checkpoint", "diffusion_model")
"""Kinds of files whose family is that of what they are used with; text encoders and autoencoders serve several."""


@dataclass(frozen=True)
class _Origin:
    """Where a family comes from."""

    family: str
    name: str


def family_problems(
    nodes: Iterable[CheckedNode],
    uses: Mapping[str, tuple[FileUse, ...]],
    arguments: Mapping[str, Mapping[str, Argument]],
) -> list[Problem]:
    """What is wrong with the families that meet in a graph.

    Args:
        nodes: In topological order.
        uses: By node: the files that it reads.
        arguments: By node: what its inputs get, switches expanded.
    """
    origins: dict[str, _Origin] = {}
    problems: list[Problem] = []
    for node in nodes:
        linked = list(_linked(node, arguments.get(node.id, {}), origins))
        base = next((origin for _, kind, origin in linked if kind in _CARRIERS), None)
        for place, what, adapter in _adapters(node, uses.get(node.id, ()), linked):
            if base is not None and adapter.family != base.family:
                problems.append(
                    Problem(
                        place,
                        f"{adapter.name!r} is a {what} for the family {adapter.family}, and {base.name!r} is a"
                        f" {base.family} model",
                        f"use a {what} that was made for {base.family}, or a {adapter.family} checkpoint",
                    )
                )
        own = [
            _Origin(use.family, use.need.name)
            for use in uses.get(node.id, ())
            if use.family and use.need.kind in (*_BASES, *_ADAPTER_FILES)
        ]
        if base is not None:
            origins[node.id] = base
        elif own:
            origins[node.id] = own[0]
    return problems


def _linked(
    node: CheckedNode, arguments: Mapping[str, Argument], origins: Mapping[str, _Origin]
) -> Iterator[tuple[str, str, _Origin]]:
    """Input, type and origin of each link whose family is known."""
    for name, argument in arguments.items():
        kind = node.spec.inputs[name].type.name
        if kind in _CARRIERS or kind in _ADAPTERS:
            parts: tuple[Constant | Source, ...] = argument if isinstance(argument, tuple) else (argument,)
            for part in parts:
                if isinstance(part, Source) and part.node in origins:
                    yield name, kind, origins[part.node]


def _adapters(
    node: CheckedNode, uses: Iterable[FileUse], linked: Iterable[tuple[str, str, _Origin]]
) -> Iterator[tuple[str, str, _Origin]]:
    """Place, name for people and origin of each adapter that a node applies."""
    for use in uses:
        if use.need.kind in _ADAPTER_FILES and use.family:
            place = f"nodes.{node.id}.params.{use.need.param}"
            yield place, _ADAPTER_FILES[use.need.kind], _Origin(use.family, use.need.name)
    for name, kind, origin in linked:
        if kind in _ADAPTERS:
            yield f"nodes.{node.id}.links.{name}", _ADAPTERS[kind], origin
