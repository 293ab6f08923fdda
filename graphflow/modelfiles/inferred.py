"""What the names and shapes of tensors say of a part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphflow.modelfiles.description import Config

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor names, without the part's prefix, to shapes."""


@dataclass(slots=True)
class Inferred:
    """What the tensors of one part say.

    Attributes:
        class_name: Diffusers or transformers class.
        variant: Variant that the shapes speak for; empty where they do not tell.
        facts: Config values that follow from names and shapes.
        defaults: Config values that they do not tell, as the family has them.
        certain: Fields of `defaults` that are as good as told.
        task: As :attr:`graphflow.modelfiles.description.Description.task`.
    """

    class_name: str
    variant: str = ""
    facts: Config = field(default_factory=dict)
    defaults: Config = field(default_factory=dict)
    certain: frozenset[str] = frozenset()
    task: str = "generate"


def shape_of(shapes: Shapes, *names: str, dims: int) -> tuple[int, ...]:
    """Shape of the first of `names` that is there with `dims` dimensions, none of them 0; empty where none is."""
    for name in names:
        shape = shapes.get(name, ())
        if len(shape) == dims and all(shape):
            return shape
    return ()
