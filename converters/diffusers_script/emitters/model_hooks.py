"""Changes of how a model runs."""

from __future__ import annotations

from dataclasses import replace

from ..handles import Hook, ModelPart
from .base import Emission, Emitter

STAGES: dict[str, int] = {
    "guidance_interval": 0,
    "rescale_guidance": 1,
    "scale_epsilon": 2,
    "perturbed_attention_guidance": 2,
}
"""Changes of guidance by node type, which is also the name of the script's function."""


def guidance(emission: Emission) -> ModelPart:
    """A change of guidance, with the node's literals as arguments."""
    return _hooked(emission, emission.node.type, STAGES[emission.node.type])


def freeu(emission: Emission) -> ModelPart:
    """FreeU, put on the network after loading."""
    return _hooked(emission, "enable_freeu", "unet")


def _hooked(emission: Emission, helper: str, stage: int | str) -> ModelPart:
    model = emission.part("model")
    names = [name for name in emission.node.values if name != "model"]
    arguments = tuple((name, emission.value(name)) for name in names)
    return replace(model, hooks=(*model.hooks, Hook(helper, arguments, stage)))


EMITTERS: dict[str, Emitter] = {**dict.fromkeys(STAGES, guidance), "freeu": freeu}
