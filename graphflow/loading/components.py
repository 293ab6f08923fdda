"""What a family makes of loaded modules; it imports torch, unlike :mod:`graphflow.modelfiles.family`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphflow.modelfiles.description import Description, Part
from graphflow.sampling.network import Denoiser

FindVectors = Callable[[str], "Mapping[str, Tensor] | None"]
"""From an embedding's name to the tensors of its file, or None where there is no such file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Module:
    """A module in place, ready to compute.

    Attributes:
        name: What the part is in its family: `unet`, `text_encoder_2`, …
        part: The part's name in its file.
        module: The torch module.
        description: The model it belongs to.
        config: Its complete Diffusers or transformers config.
        device: Where it computes.
        dtype: Dtype it computes in.
        upcast: Brings it into float32 for good.
        save_memory: Whether the memory ladder asked for tiles.
    """

    name: str
    part: str
    module: nn.Module
    description: Description
    config: Mapping[str, Any]
    device: torch.device
    dtype: torch.dtype
    upcast: Callable[[], None]
    save_memory: bool = False


class Components(Protocol):
    """The networks of a family."""

    def build(self, part: Part) -> nn.Module:
        """Make a part's module without weights (on the meta device, where the caller has said so).

        Raises:
            ModelFormatError: There is no such class.
        """
        ...

    def denoiser(self, part: Module) -> Denoiser:
        """Return the diffusion model.

        Raises:
            ModelFormatError: It needs something that only its own pipeline gives.
        """
        ...

    def encoder(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> Any:
        """Return the text encoders together.

        Args:
            parts: Their modules.
            layer: Which hidden layer conditions the model, counted from the end; None is the family's own.
            find_embedding: Where embeddings are looked up by name.
            tokens: Words that call an embedding, with the tensors of its file.
        """
        ...

    def autoencoder(self, part: Module) -> Any:
        """Return the autoencoder."""
        ...

    def control(self, part: Module) -> Any:
        """Return a ControlNet or another network that steers by a picture."""
        ...

    def picture_adapter(self, part: Module) -> Any:
        """Return an adapter that has the model attend to pictures."""
        ...
