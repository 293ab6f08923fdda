"""Equal ControlNets of several prompts, made one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch

from graphflow.values import Conditioning, Control


def with_shared_controls(sides: Mapping[str, Conditioning]) -> dict[str, Conditioning]:
    """Return conditionings in which equal ControlNets are the same object.

    Entries with the same ones are evaluated together, which rounds otherwise than one by one. What comes from the store
    or from another process has lost that it was the same.

    Args:
        sides: What the model is told, by side.
    """
    known: list[Control] = []

    def shared(control: Control) -> Control:
        for other in known:
            if _equal(control, other):
                return other
        known.append(control)
        return control

    return {
        name: replace(
            side,
            entries=tuple(
                replace(entry, controls=tuple(map(shared, entry.controls))) if entry.controls else entry
                for entry in side.entries
            ),
        )
        for name, side in sides.items()
    }


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return bool(one.dtype == other.dtype and one.device == other.device and torch.equal(one, other))
    if isinstance(one, Control):
        return all(_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    return bool(one == other)


__all__ = ["with_shared_controls"]
