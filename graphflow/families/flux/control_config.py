"""Configs and names of FLUX.1's ControlNets: of InstantX, Shakker, alimama and Diffusers, and as x-labs published them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphflow.errors import ModelFormatError
from graphflow.families.flow.bfl_config import block_facts
from graphflow.families.flow.bfl_names import LEAVES, block_rows
from graphflow.families.flow.names import Row, TableNames
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

CONTROL = "FluxControlNetModel"
EXTRA = "extra_condition_channels"
"""Config key of inpainting ControlNets, which Diffusers' class has not: channels of a token beside the latent's."""

_KINDS = {"hard_edges": 0, "tile": 1, "depth": 2, "blur": 3, "openpose": 4, "gray": 5, "low_quality": 6}
"""As InstantX and Shakker number them."""


def control_kinds(config: Mapping[str, Any]) -> dict[str, int]:
    """Numbers of the kinds of pictures that a union ControlNet of this config can get; none of one for one kind."""
    known = config.get("num_mode") or 0
    return {name: number for name, number in _KINDS.items() if number < known}


def infer_control(shapes: Shapes, where: str) -> Inferred:
    """Config of a `FluxControlNetModel`.

    Args:
        shapes: Its tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    facts, defaults = block_facts(shapes, where)
    pooled = shape_of(shapes, "vector_in.in_layer.weight", "time_text_embed.text_embedder.linear_1.weight", dims=2)
    first = shape_of(shapes, "pos_embed_input.weight", "controlnet_x_embedder.weight", dims=2)
    if not pooled or not first:
        raise ModelFormatError(
            "the FLUX ControlNet lacks the layers that read the picture or the pooled text", where=where
        )
    hint = shape_of(shapes, "input_hint_block.14.weight", "input_hint_block.conv_out.weight", dims=4)
    modes = shape_of(shapes, "controlnet_mode_embedder.weight", dims=2)
    facts |= {
        "patch_size": 2 if hint else 1,
        "pooled_projection_dim": pooled[1],
        "guidance_embeds": any(name.startswith(("guidance_in.", "time_text_embed.guidance_")) for name in shapes),
        "num_mode": modes[0] if modes else None,
        "conditioning_embedding_channels": hint[0] if hint else None,
    }
    channels = facts["in_channels"]
    assert isinstance(channels, int)
    if extra := first[1] - channels:
        facts[EXTRA] = extra
    return Inferred(CONTROL, "flux", facts, defaults, frozenset(defaults))


def control_names(part: Part) -> TableNames:
    """Return the names of a ControlNet's tensors, in which x-labs differs from Diffusers."""
    return TableNames(tuple(_rows()), LEAVES, original=True)


def _rows() -> Iterator[Row]:
    yield from block_rows()
    yield "pos_embed_input", "controlnet_x_embedder", ""
    # Convolutions with an activation between two of them.
    yield "input_hint_block.0", "input_hint_block.conv_in", ""
    for number in range(6):
        yield f"input_hint_block.{2 * number + 2}", f"input_hint_block.blocks.{number}", ""
    yield "input_hint_block.14", "input_hint_block.conv_out", ""
