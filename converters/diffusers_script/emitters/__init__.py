"""One small function per node type: what stands in a script for it. ``EMITTERS`` lists them."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    conditioning,
    custom,
    functions,
    images,
    latents,
    loaders,
    lora,
    model_hooks,
    pipelines,
    preprocessing,
    sampling,
    saving,
    text,
)
from .base import Emitter

EMITTERS: Mapping[str, Emitter] = {
    **loaders.EMITTERS,
    **text.EMITTERS,
    **lora.EMITTERS,
    **conditioning.EMITTERS,
    **latents.EMITTERS,
    **functions.EMITTERS,
    **images.EMITTERS,
    **sampling.EMITTERS,
    **pipelines.EMITTERS,
    **preprocessing.EMITTERS,
    **custom.EMITTERS,
    **model_hooks.EMITTERS,
    **saving.EMITTERS,
}
"""Emitters by node type."""

__all__ = ["EMITTERS", "Emitter"]
