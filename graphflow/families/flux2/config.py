"""Diffusers configs of FLUX.2's transformers, from the names and shapes of their tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.errors import ModelFormatError
from graphflow.families.flow import bfl_config
from graphflow.families.flow.bfl_config import transformer_facts
from graphflow.families.flow.language_models import MISTRAL3, QWEN3
from graphflow.modelfiles.description import Config, Description
from graphflow.modelfiles.flow_times import FlowTimes
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `Flux2Transformer2DModel`, in the authors' or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    facts, _ = transformer_facts(shapes, where)
    inner = shape_of(shapes, "double_blocks.0.img_mlp.2.weight", "transformer_blocks.0.ff.linear_out.weight", dims=2)
    time = shape_of(shapes, "time_in.in_layer.weight", "time_guidance_embed.timestep_embedder.linear_1.weight", dims=2)
    if not (inner and time):
        raise ModelFormatError(
            "the FLUX.2 transformer lacks its perceptrons or the layers that read the time", where=where
        )
    guided = any(name.startswith(("guidance_in.", "time_guidance_embed.guidance_embedder.")) for name in shapes)
    facts |= {"mlp_ratio": inner[1] / inner[0], "timestep_guidance_channels": time[1], "guidance_embeds": guided}
    head = facts["attention_head_dim"]
    assert isinstance(head, int)
    # Positions have four axes: the picture's number, row, column, and the place in the text.
    defaults: Config = {"axes_dims_rope": [head // 4] * 4, "rope_theta": 2000, "eps": 1e-6}
    variant = "flux2_dev" if guided else "flux2_klein"
    return Inferred("Flux2Transformer2DModel", variant, facts, defaults, frozenset(defaults))


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler, as the models were published."""
    return bfl_config.schedule(variant)


MU = 2.02
"""Logarithm of the time shift."""


def times(description: Description) -> FlowTimes:
    """The noise levels, whatever the model and the size."""
    return FlowTimes(shift=math.exp(MU), levels=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a language model is asked, as Diffusers' Flux2Pipeline and Flux2KleinPipeline do.

    Attributes:
        template: What it reads; `{}` is the prompt.
        layers: Those whose outputs are read, counted from 0.
        words: Tokens of the template that its tokenizer must know.
        least: Tokens that a text is filled up to; zeros of the denoiser's own do it where it is 0.
        filler: The token that fills it up.
    """

    template: str
    layers: tuple[int, ...]
    words: tuple[str, ...]
    least: int = 0
    filler: str = ""


ASKED = {
    MISTRAL3: Asked(
        template="<s>[SYSTEM_PROMPT]You are an AI that reasons about image descriptions. You give structured responses"
        " focusing on object relationships, object\nattribution and actions without speculation."
        "[/SYSTEM_PROMPT][INST]{}[/INST]",
        layers=(9, 19, 29),
        words=("<s>", "[SYSTEM_PROMPT]", "[INST]"),
    ),
    QWEN3: Asked(
        template="<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        layers=(8, 17, 26),
        words=("<|im_start|>", "<think>", "<|endoftext|>"),
        least=512,
        filler="<|endoftext|>",
    ),
}


def how_asked(class_name: str) -> Asked | None:
    """How a text encoder of a class is asked; None where it is none of the family's."""
    return next((asked for file, asked in ASKED.items() if class_name in file.classes), None)


def script_options(class_name: str) -> Mapping[str, Any]:
    """The same as a script's function takes it."""
    asked = how_asked(class_name)
    if asked is None:
        return {}
    filled = {"least": asked.least, "filler": asked.filler} if asked.least else {}
    return {"template": asked.template, "layers": [*asked.layers], **filled}
