"""Calling a node's function, once or once per element of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow import runtime
from graphflow.spec.decorator import NodeSpec


def call_node(spec: NodeSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a node's function and name its outputs, once per element where it is mapped over sequences.

    Shorter sequences repeat their last element.

    Raises:
        ValueError: A sequence to map over is empty.
    """
    mapped = {name for name, value in arguments.items() if spec.map and isinstance(value, tuple) and _maps(spec, name)}
    if not mapped:
        return spec.split(spec.function(**arguments))
    count = max(len(arguments[name]) for name in mapped)
    if any(not arguments[name] for name in mapped):
        raise ValueError("a sequence to run over is empty: " + ", ".join(sorted(mapped)))
    results: list[dict[str, Any]] = []
    for index in range(count):
        runtime.current().check_cancelled()
        one = {
            name: value[min(index, len(value) - 1)] if name in mapped else value for name, value in arguments.items()
        }
        results.append(spec.split(spec.function(**one)))
    return {output.name: tuple(result[output.name] for result in results) for output in spec.outputs}


def _maps(spec: NodeSpec, name: str) -> bool:
    parameter = spec.inputs[name]
    return parameter.type.item is None and not parameter.many and parameter.type.name != "json"
