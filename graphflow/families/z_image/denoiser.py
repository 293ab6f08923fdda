"""Z-Image's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.families.flow.next_dit import NextDenoiser
from graphflow.families.flow.patches import whole_patches
from graphflow.families.z_image.control import ZImageControl
from graphflow.families.z_image.family import FAMILY
from graphflow.families.z_image.network import z_image_velocity
from graphflow.families.z_image.steering import by_layer
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class ZImageDenoiser(NextDenoiser):
    """What `Model.use()` gives for a Z-Image model; of a conditioning entry it reads the embedding."""

    velocity = staticmethod(z_image_velocity)
    footprint = FAMILY.footprint
    steered_by = ZImageControl

    def heeding(self, entries: Sequence[ConditioningEntry]) -> AbstractContextManager[None]:
        """Refuse masks; the class itself fills text and picture up.

        Raises:
            InvalidInputError: A mask leaves tokens of a text out.
        """
        if any(entry.attention_mask is not None and not bool(entry.attention_mask.all()) for entry in entries):
            raise InvalidInputError(
                "Z-Image reads all tokens of a text, and a conditioning's mask leaves some out",
                advice="encode the prompt with Z-Image's text encoder",
            )
        return nullcontext()

    def added(self, x: Tensor, time: Tensor, text: Tensor, entries: Sequence[ConditioningEntry]) -> dict[str, Any]:
        """What ControlNets add to its layers."""
        latent = whole_patches(x)
        told = {"x": list(latent[:, :, None]), "t": 1 - time, "cap_feats": list(text)}
        steering = self.steering(entries, latent.shape, told, self.module.config.dim)
        return dict(by_layer(steering))
