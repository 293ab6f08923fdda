"""Diffusers configs of Chroma's transformers, from the names and shapes of their tensors."""

from __future__ import annotations

import math
import re

from graphflow.errors import ModelFormatError
from graphflow.families.flow.bfl_config import transformer_facts
from graphflow.modelfiles.description import Description
from graphflow.modelfiles.flow_times import FlowTimes
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_RADIANCE = ("nerf_", "img_in_patch.")
"""What names of tensors begin with that only Chroma Radiance has."""
_LAYER = re.compile(r"^distilled_guidance_layer\.norms\.(\d{1,3})\.")


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `ChromaTransformer2DModel`, in the authors' or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    if any(name.startswith(_RADIANCE) for name in shapes):
        raise ModelFormatError(
            "is Chroma Radiance, which draws pixels, and Diffusers has no such network",
            where=where,
            advice="use Chroma1-HD or Chroma1-Base, which draw latents",
        )
    facts, defaults = transformer_facts(shapes, where)
    modulating = shape_of(shapes, "distilled_guidance_layer.in_proj.weight", dims=2)
    if not modulating:
        raise ModelFormatError("the Chroma transformer lacks the network that makes its modulations", where=where)
    facts |= {
        "approximator_num_channels": modulating[1],
        "approximator_hidden_dim": modulating[0],
        "approximator_layers": len({match[1] for name in shapes if (match := _LAYER.match(name))}),
    }
    return Inferred("ChromaTransformer2DModel", "chroma", facts, defaults, frozenset(defaults))


MU = 1.15
"""Logarithm of the time shift."""


def times(description: Description) -> FlowTimes:
    """The noise levels, whatever the model."""
    return FlowTimes(shift=math.exp(MU), levels=10_000)
