"""Z-Image's ControlNets (alibaba-pai's Fun)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.control import FlowControl, Residuals
from graphflow.families.flow.patches import whole_patches
from graphflow.values import Vae

LAYERS = "controlnet_block_samples"
_LENT = (
    "t_scale", "t_embedder", "all_x_embedder", "cap_embedder", "rope_embedder", "noise_refiner", "context_refiner",
    "x_pad_token", "cap_pad_token",
)  # fmt: skip
"""What a ControlNet has of its transformer."""
_HIDDEN = 0.5
"""What hides the part of a picture that is to be filled in."""


@dataclass(kw_only=True, eq=False)
class ZImageControl(FlowControl):
    """A ControlNet of Z-Image: a Diffusers `ZImageControlNetModel`, which reads all kinds of pictures alike."""

    @property
    def width(self) -> None:
        """None: the text comes through the transformer's own layers."""
        return

    @property
    def inner(self) -> int:
        """Width of its tokens, which is the transformer's."""
        return int(self.module.config.dim)

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The latents (K, C, h, w) of the picture and, of later ones, what is known of another one to be filled in."""
        further = self.module.config.control_in_dim - self.latent.channels
        steering, filled = hint[:, :3], hint[:, 3:]
        if further and not filled.shape[1] and bool((hint < 0).any()):
            steering, filled = torch.full_like(hint, -1.0), hint
        if filled.shape[1] and not further:
            raise InvalidInputError(
                "this Z-Image ControlNet fills nothing in, and gets a picture to fill in",
                where="control_net",
                advice="use a later one (2.0 or 2.1), or take the picture out",
            )
        if bool((steering < 0).all()):  # nothing steers but the picture to fill in
            found = torch.zeros(len(hint), self.latent.channels, height, width, device=self.device, dtype=self.dtype)
        else:
            found = self.latents(steering, height, width, vae)
        if filled.shape[1]:
            mask = functional.interpolate((filled[:, :1] >= 0).float(), size=(height, width))
            known = self.latents(filled, height, width, vae, hidden=_HIDDEN)
            found = torch.cat([found, mask.to(found), known], dim=1)
        found = whole_patches(found)
        return [functional.pad(found, (0, 0, 0, 0, 0, self.module.config.control_in_dim - found.shape[1]))]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`.

        Raises:
            InvalidInputError: It steers layers that the transformer has not.
        """
        last = max(self.module.config.control_layers_places)
        if last >= len(transformer.layers):
            raise InvalidInputError(
                f"the ControlNet steers layer {last + 1} of a model that has {len(transformer.layers)}",
                where="control_net",
                advice="use a ControlNet that was made for this model",
            )
        with _lent(self.module, transformer):
            found = self.module(**told, control_context=list(encoded[0][:, :, None]), conditioning_scale=strength)
        return {(LAYERS, layer): sample for layer, sample in found.items()}


@contextmanager
def _lent(net: Any, transformer: Any) -> Iterator[None]:
    """Give a ControlNet the layers of its transformer until the block ends, without making them its own."""
    try:
        vars(net).update({name: getattr(transformer, name) for name in _LENT})
        yield
    finally:
        vars(net).update(dict.fromkeys(_LENT))
