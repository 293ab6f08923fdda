"""Runtime hooks and weight patches of ControlNets. They are values; this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphflow.errors import InvalidInputError
from graphflow.values.types import value_type

if TYPE_CHECKING:
    from graphflow.families.latent_diffusion.control import Net
    from graphflow.values.models import Model

UNION_TYPES = ("openpose", "depth", "soft_edges", "hard_edges", "normal", "segmentation", "tile", "inpaint")
"""What union ControlNets can get, in the order of their numbers."""


@value_type("union_type_hook")
@dataclass(frozen=True, kw_only=True)
class UnionType:
    """Tells a union ControlNet what kind of picture it gets.

    Attributes:
        type: One of `UNION_TYPES`.
    """

    type: str

    @contextmanager
    def attach(self, loaded: Net) -> Iterator[None]:
        """Set the type until the block ends.

        Raises:
            InvalidInputError: It is no union ControlNet.
        """
        from graphflow.families.latent_diffusion.control import ControlModel

        if not isinstance(loaded, ControlModel) or "num_control_type" not in loaded.module.config:
            raise InvalidInputError(
                "the ControlNet was made for one kind of pictures and takes no type",
                where="control_net",
                advice="leave set_union_control_type out, or load a union ControlNet",
            )
        loaded.union_type = UNION_TYPES.index(self.type)
        yield


@value_type("control_difference_patch")
@dataclass(frozen=True, kw_only=True)
class ControlDifferencePatch:
    """Adds a diffusion model's weights to a ControlNet that was published as the difference to it.

    Attributes:
        model: The diffusion model.
    """

    model: Model
