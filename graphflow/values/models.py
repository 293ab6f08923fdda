"""Recipes: models as they travel on links, which say how to make a module instead of holding one.

A recipe names files, weight patches and runtime hooks: a few hundred bytes. ``with model.use() as module`` asks the
model manager of the current runtime for the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from graphflow import runtime
from graphflow.values.types import value_type

__all__ = [
    "ControlNet",
    "EmbeddingPatch",
    "IPAdapter",
    "ImageEncoder",
    "LoraPatch",
    "Model",
    "ModelFile",
    "NetworkExtension",
    "Recipe",
    "SafetyChecker",
    "StyleModel",
    "TextEncoder",
    "UpscaleModel",
    "Vae",
    "VisionModel",
]


@value_type("model_file")
@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One part of one model file or folder.

    Attributes:
        name: The name as the document has it.
        kind: The library's kind, e.g. ``checkpoint``, ``lora``, ``vae``.
        part: Which part of it, e.g. ``unet``, ``text_encoder``, ``vae``, ``safety_checker``.
        family: The model family, e.g. ``sd``, ``sdxl``.
        fingerprint: What the file held when the recipe was made (see ``graphflow.library``).
        options: Choices that the file itself does not tell, e.g. ``{"prediction": "v_prediction"}``.
    """

    name: str
    kind: str
    part: str
    family: str
    fingerprint: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@value_type("lora_patch")
@dataclass(frozen=True, kw_only=True)
class LoraPatch:
    """Low-rank update W' = W + strength * alpha / rank * up @ down."""

    file: ModelFile
    strength: float


@value_type("embedding_patch")
@dataclass(frozen=True, kw_only=True)
class EmbeddingPatch:
    """A textual-inversion embedding that prompts may call by ``token``."""

    file: ModelFile
    token: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a module: files, then weight patches in order, then runtime hooks in order.

    Attributes:
        files: The base; several where a family keeps a part in several files (SDXL's two text encoders).
        patches: Registered dataclasses that change weights.
        hooks: Registered dataclasses that change how the module runs.
    """

    files: tuple[ModelFile, ...]
    patches: tuple[Any, ...] = ()
    hooks: tuple[Any, ...] = ()

    @property
    def family(self) -> str:
        """The model family of the base."""
        return self.files[0].family

    def patched(self, *patches: Any) -> Self:
        """Return the recipe with more weight patches."""
        return replace(self, patches=(*self.patches, *patches))

    def hooked(self, *hooks: Any) -> Self:
        """Return the recipe with more runtime hooks."""
        return replace(self, hooks=(*self.hooks, *hooks))

    def use(self) -> AbstractContextManager[Any]:
        """Have the module in place, on its device, until the block ends.

        Raises:
            ModelNotFoundError: A file of the recipe is gone.
            ModelFormatError: A file does not hold what the recipe says.
        """
        return runtime.current().models.use(self)


@value_type("model")
@dataclass(frozen=True, kw_only=True)
class Model(Recipe):
    """A diffusion model (UNet or transformer) with its parameterisation."""


@value_type("text_encoder")
@dataclass(frozen=True, kw_only=True)
class TextEncoder(Recipe):
    """A family's text encoders with their tokenizers.

    Attributes:
        layer: Which hidden layer conditions the model, counted from the end (-1 the last, -2 "clip skip 2"); None is the family's own.
    """

    layer: int | None = None


@value_type("vae")
@dataclass(frozen=True, kw_only=True)
class Vae(Recipe):
    """An autoencoder between pixels and latents."""


@value_type("control_net")
@dataclass(frozen=True, kw_only=True)
class ControlNet(Recipe):
    """A ControlNet or T2I-Adapter."""


@value_type("safety_checker")
@dataclass(frozen=True, kw_only=True)
class SafetyChecker(Recipe):
    """A checker that flags pictures, with its image processor."""


@value_type("image_encoder")
@dataclass(frozen=True, kw_only=True)
class ImageEncoder(Recipe):
    """A CLIP image encoder."""


@value_type("ip_adapter")
@dataclass(frozen=True, kw_only=True)
class IPAdapter(Recipe):
    """An IP-Adapter: attention to pictures beside the text."""


@value_type("network_extension")
@dataclass(frozen=True, kw_only=True)
class NetworkExtension(Recipe):
    """A network that acts inside a diffusion model's own: a hypernetwork, or layers that place things in boxes."""


@value_type("style_model")
@dataclass(frozen=True, kw_only=True)
class StyleModel(Recipe):
    """A style model: what an image encoder sees, as tokens beside those of the text (FLUX.1 Redux)."""


@value_type("upscale_model")
@dataclass(frozen=True, kw_only=True)
class UpscaleModel(Recipe):
    """A network that makes pictures larger, or repairs them at their size."""


@value_type("vision_model")
@dataclass(frozen=True, kw_only=True)
class VisionModel(Recipe):
    """A network that finds things in pictures, cuts them out, or describes them."""
