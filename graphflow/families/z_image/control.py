"""Z-Image's ControlNets (alibaba-pai's Fun)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.flow.control import FlowControl, Residuals, require_layers
from graphflow.families.flow.patches import whole_patches
from graphflow.values import Vae

LAYERS = "controlnet_block_samples"
_LENT = (
    "t_scale", "t_embedder", "all_x_embedder", "cap_embedder", "rope_embedder", "noise_refiner", "context_refiner",
    "x_pad_token", "cap_pad_token",
)  # fmt: skip
"""What a ControlNet has of its transformer."""


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
        return [whole_patches(self.filled_latents(hint, height, width, vae, self.module.config.control_in_dim))]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`.

        Raises:
            InvalidInputError: It steers layers that the transformer has not.
        """
        require_layers(self.module.config.control_layers_places, len(transformer.layers))
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
