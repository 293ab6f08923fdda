"""Diffusers configs of FLUX.1's transformers, from the names and shapes of their tensors."""

from __future__ import annotations

import math

from graphflow.errors import ModelFormatError
from graphflow.families.flow import bfl_config
from graphflow.families.flow.bfl_config import transformer_facts
from graphflow.modelfiles.description import Config, Description
from graphflow.modelfiles.flow_times import FlowTimes
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

PATCH = 64
"""Numbers of a token of the latent: 16 channels, 2 x 2."""
MASK = 256
"""Numbers of a token of the mask: 8 x 8 pixels of each latent sample, 2 x 2."""
T5_TOKENS = 256
"""Tokens that T5's prompts are filled up to."""
_CONVERTED_WIDTH = 3072


def diffusers_converter(config: Config) -> str:
    """The function of Diffusers that reads the authors' names; it splits layers by the width of the published models."""
    heads, head = config.get("num_attention_heads"), config.get("attention_head_dim")
    wide = isinstance(heads, int) and isinstance(head, int) and heads * head == _CONVERTED_WIDTH
    return "convert_flux_transformer_checkpoint_to_diffusers" if wide else ""


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `FluxTransformer2DModel`, in the authors' or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    facts, defaults = transformer_facts(shapes, where)
    pooled = shape_of(shapes, "vector_in.in_layer.weight", "time_text_embed.text_embedder.linear_1.weight", dims=2)
    if not pooled:
        raise ModelFormatError("the FLUX transformer lacks the layer that reads the pooled text", where=where)
    guided = any(name.startswith(("guidance_in.", "time_text_embed.guidance_embedder.")) for name in shapes)
    facts |= {"pooled_projection_dim": pooled[1], "guidance_embeds": guided}
    inputs, outputs = facts["in_channels"], facts["out_channels"]
    assert isinstance(inputs, int) and isinstance(outputs, int)
    variant, task = _kind(inputs, outputs, guided=guided)
    return Inferred("FluxTransformer2DModel", variant, facts, defaults, frozenset(defaults), task)


MU = 1.15
"""Logarithm of the time shift for a picture of a megapixel."""


def times(description: Description) -> FlowTimes:
    """The noise levels of a model; those that were distilled for few steps have no shift."""
    part = description.parts.get("transformer")
    guided = part is None or bool(part.config.get("guidance_embeds"))
    if not guided and description.task == "generate":
        return FlowTimes()
    return FlowTimes(shift=math.exp(MU), levels=10_000)


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler for a variant, as the models were published."""
    if variant == "flux_schnell":
        return {**bfl_config.schedule(variant), "shift": 1.0, "use_dynamic_shifting": False}
    return bfl_config.schedule(variant)


def _kind(inputs: int, outputs: int, *, guided: bool) -> tuple[str, str]:
    if inputs == 2 * outputs + MASK:
        return "flux_fill", "inpaint"
    if inputs == 2 * outputs:
        return "flux_control", "control"
    return ("flux_dev" if guided else "flux_schnell"), "generate"
