"""Muted and bypassed nodes: which input stands in for an output."""

from __future__ import annotations

from functools import lru_cache

from .documents import UiNode

ACTIVE = 0
MUTED = 2
BYPASSED = 4


def compatible(a: str, b: str) -> bool:
    """Say whether two slot types fit: regardless of case, lists overlap, ``*`` or nothing fits anything."""
    left, right = _alternatives(a), _alternatives(b)
    return "*" in left or "*" in right or not left.isdisjoint(right)


def bypass_input(node: UiNode, output_slot: int, target_type: str) -> int | None:
    """Return the input that a bypassed node passes to its output, or None.

    Args:
        node: The bypassed node.
        output_slot: The output that is read.
        target_type: Type of the input that reads it.
    """
    inputs = node.inputs
    if not inputs:
        return None
    if target_type == "*":
        return output_slot if output_slot < len(inputs) else 0
    output_type = node.outputs[output_slot].type if output_slot < len(node.outputs) else "*"
    if output_slot < len(inputs):
        same = inputs[output_slot].type
        if compatible(same, output_type) and compatible(same, target_type):
            return output_slot
    for position, slot in enumerate(inputs):
        if slot.type == target_type:
            return position
    for position, slot in enumerate(inputs):
        if compatible(slot.type, target_type):
            return position
    return None


@lru_cache(maxsize=1024)
def _alternatives(type: str) -> frozenset[str]:
    return frozenset(part.strip() for part in type.lower().split(",")) if type.strip() else frozenset("*")
