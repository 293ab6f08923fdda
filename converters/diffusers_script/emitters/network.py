"""Changes of how the UNet computes, beside those of :mod:`model_hooks`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..models import Hook, ModelPart
from .base import Emission, Emitter

STAGES: Mapping[str, str] = {
    "hypertile": "unet",
    "merge_tokens": "unet",
    "deep_shrink": "denoiser",
}
"""What each changes, see :class:`Hook`, by node type, which is also the name of the script's function."""


def change(emission: Emission) -> ModelPart:
    """A change with the node's literals as arguments."""
    model, type_ = emission.part("model"), emission.node.type
    standard = {name: value for name, value in emission.node.standard.items() if name != "model"}
    arguments = tuple((name, str(value)) for name, value in emission.options(**standard).items())
    return replace(model, hooks=(*model.hooks, Hook(type_, arguments, STAGES[type_])))


EMITTERS: dict[str, Emitter] = dict.fromkeys(STAGES, change)
