"""What a family makes of loaded modules, and which module of this package speaks for which family."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from graphflow.errors import ModelFormatError

if TYPE_CHECKING:
    from graphflow.families.latent_diffusion.control import Net
    from graphflow.families.latent_diffusion.text import FindVectors, TextModel
    from graphflow.families.latent_diffusion.unet import UNetModel
    from graphflow.families.latent_diffusion.vae import Autoencoder
    from graphflow.modelfiles.description import Description

_MODULES = {"sd": "graphflow.families.stable_diffusion.components", "sdxl": "graphflow.families.sdxl.components"}


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


class Family(Protocol):
    """The functions that a family's module has."""

    def model(self, part: Module) -> UNetModel:
        """The diffusion model."""
        ...

    def text_model(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> TextModel:
        """The text encoders together."""
        ...

    def autoencoder(self, part: Module) -> Autoencoder:
        """The autoencoder."""
        ...

    def control(self, part: Module) -> Net:
        """A ControlNet or T2I-Adapter."""
        ...


def family(name: str) -> Family:
    """The module of a family.

    Raises:
        ModelFormatError: The family has no components here.
    """
    if name not in _MODULES:
        known = ", ".join(sorted(_MODULES))
        raise ModelFormatError(
            f"models of the family {name!r} have no components here (known: {known})",
            advice="run the whole pipeline with run_pipeline",
        )
    return cast(Family, importlib.import_module(_MODULES[name]))
