"""One small function per node type: what stands in a script for it. ``EMITTERS`` lists them."""

from __future__ import annotations

from collections.abc import Mapping

from . import conditioning, images, latents, loaders, lora, pipelines, sampling, saving, text
from .base import Emitter

EMITTERS: Mapping[str, Emitter] = {
    **loaders.EMITTERS,
    **text.EMITTERS,
    **lora.EMITTERS,
    **conditioning.EMITTERS,
    **latents.EMITTERS,
    **images.EMITTERS,
    **sampling.EMITTERS,
    **pipelines.EMITTERS,
    **saving.EMITTERS,
}
"""Emitters by node type."""

__all__ = ["EMITTERS", "Emitter"]
