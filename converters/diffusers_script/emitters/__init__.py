"""One small function per node type: what stands in a script for it. ``EMITTERS`` lists them."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    batching,
    conditioning,
    custom,
    functions,
    images,
    inpainting,
    latents,
    loaders,
    lora,
    merging,
    model_hooks,
    network,
    pictures,
    pipelines,
    prediction,
    preprocessing,
    sampling,
    saving,
    sigmas,
    text,
    tiles,
    video,
)
from .base import Emitter

EMITTERS: Mapping[str, Emitter] = {
    **loaders.EMITTERS,
    **text.EMITTERS,
    **lora.EMITTERS,
    **merging.EMITTERS,
    **prediction.EMITTERS,
    **conditioning.EMITTERS,
    **latents.EMITTERS,
    **batching.EMITTERS,
    **functions.EMITTERS,
    **images.EMITTERS,
    **tiles.EMITTERS,
    **sampling.EMITTERS,
    **pipelines.EMITTERS,
    **preprocessing.EMITTERS,
    **custom.EMITTERS,
    **sigmas.EMITTERS,
    **model_hooks.EMITTERS,
    **network.EMITTERS,
    **pictures.EMITTERS,
    **inpainting.EMITTERS,
    **saving.EMITTERS,
    **video.EMITTERS,
}
"""Emitters by node type."""

__all__ = ["EMITTERS", "Emitter"]
