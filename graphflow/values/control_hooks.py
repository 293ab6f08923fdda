"""Runtime hooks and weight patches of ControlNets. They are values; this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphflow.values.types import value_type

if TYPE_CHECKING:
    from graphflow.values.conditioning import Control
    from graphflow.values.models import Model

UNION_TYPES = ("openpose", "depth", "soft_edges", "hard_edges", "normal", "segmentation", "tile", "inpaint")
"""What union ControlNets of UNets can get, in the order of their numbers."""


@value_type("control_hook")
@dataclass(frozen=True, kw_only=True)
class ControlHook:
    """Has a model steered by a picture whatever it is told.

    Attributes:
        control: The ControlNet with its picture.
    """

    control: Control


@value_type("union_type_hook")
@dataclass(frozen=True, kw_only=True)
class UnionType:
    """Tells a union ControlNet what kind of picture it gets.

    Attributes:
        type: What its family calls it, such as one of `UNION_TYPES`.
    """

    type: str


@value_type("control_difference_patch")
@dataclass(frozen=True, kw_only=True)
class ControlDifferencePatch:
    """Adds a diffusion model's weights to a ControlNet that was published as the difference to it.

    Attributes:
        model: The diffusion model.
    """

    model: Model
