"""Models mixed with others; the script mixes their weights when they are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..families import flow_of
from ..layout import Expression, mapped
from ..models import Change, ModelPart
from ..script import UnsupportedError
from .base import Emission, Emitter
from .stored import stored

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "input_blocks": ("conv_in.", "down_blocks."),
    "middle_block": ("mid_block.",),
    "output_blocks": ("up_blocks.",),
    "out": ("up_blocks.", "conv_norm_out.", "conv_out."),
    "out.": ("conv_norm_out.", "conv_out."),
    "out.0": ("conv_norm_out.",),
    "out.2": ("conv_out.",),
    "time_embed": ("time_embedding.",),
    "time_embed.0": ("time_embedding.linear_1.",),
    "time_embed.2": ("time_embedding.linear_2.",),
    "label_emb": ("add_embedding.",),
    "middle_block.0": ("mid_block.resnets.0.",),
    "middle_block.1": ("mid_block.attentions.0.",),
    "middle_block.2": ("mid_block.resnets.1.",),
}
"""What the beginnings of original tensor names are in Diffusers' naming, apart from numbered blocks."""

OWN = (
    "conv_in",
    "down_blocks",
    "mid_block",
    "up_blocks",
    "conv_norm_out",
    "conv_out",
    "time_embedding",
    "add_embedding",
)
"""How tensor names begin in Diffusers' UNets."""


def merge(emission: Emission) -> ModelPart:
    """Both with factors."""
    type_ = emission.node.type
    if type_.startswith("merge"):
        ratio = emission.value("ratio")
        return _merged(emission, keep=ratio, add=_rest(ratio))
    if type_.startswith("add"):
        return _merged(emission, keep="1.0", add="1.0")
    factor = emission.value("multiplier")
    return _merged(emission, keep=factor, add=f"-{factor}" if factor[0].isalnum() else f"-({factor})")


def merge_model_blocks(emission: Emission) -> ModelPart:
    """Another share in each block."""
    shares: dict[str, Expression] = {}
    for name, section in (("middle_ratio", "middle_block"), ("output_ratio", "out")):
        shares |= dict.fromkeys(SECTIONS[section], emission.value(name))
    for start, share in sorted((emission.fixed("blocks") or {}).items(), key=lambda item: len(item[0])):
        shares |= dict.fromkeys(_starts(emission, start), repr(float(share)))
    rest = emission.value("input_ratio")
    return _merged(emission, keep=rest, add=_rest(rest), shares=mapped(shares))


def scale_attention(emission: Emission) -> ModelPart:
    """Factors on projections of attention layers."""
    text = emission.node.type == "scale_text_attention"
    layers = "self_attn" if text else {"cross": "attn2", "self": "attn1"}[emission.fixed("attention")]
    names = ("q_proj", "k_proj", "v_proj", "out_proj") if text else ("to_q", "to_k", "to_v", "to_out.0")
    factors = {
        f"{layers}.{name}": emission.value(role)
        for role, name in zip("qkv", names, strict=False)
        if not emission.is_default(role, 1.0)
    }
    if not emission.is_default("out", 1.0):
        factors[f"{layers}.{names[3]}"] = emission.value("out")
    part = emission.part("text_encoder" if text else "model")
    if not factors:
        return part
    return _changed(part, Change("scale_layers", _module(part), (("factors", mapped(factors)),)))


def _merged(emission: Emission, **arguments: Expression) -> ModelPart:
    part = emission.part("text_encoder" if "text_encoder" in emission.node.values else "model")
    other = emission.part("other")
    if part.base.family != other.base.family:
        raise UnsupportedError(f"a model of the family {part.base.family} does not mix with {other.base.family}")
    if other.hooks:
        other = replace(other, hooks=())
    return _changed(part, Change("merge_weights", _module(part), tuple(arguments.items()), other))


def _changed(part: ModelPart, change: Change) -> ModelPart:
    change = replace(change, rounded=stored(part) if change.has_text else "")
    return replace(part, patches=(*part.patches, change))


def _module(part: ModelPart) -> str:
    if flow_of(part.base) is not None:
        raise UnsupportedError("scripts mix weights of Stable Diffusion 1, 2 and XL only")
    return "text_encoder" if part.part == "text_encoder" else "unet"


def _rest(share: str) -> str:
    try:
        return repr(1.0 - float(share))
    except ValueError:
        return f"1 - {share}"


def _starts(emission: Emission, start: str) -> tuple[str, ...]:
    """The beginnings of Diffusers' tensor names that an original beginning means, or itself.

    Raises:
        UnsupportedError: It ends inside a block.
    """
    if start.startswith(OWN):
        return (start,)
    known = SECTIONS.get(start) or SECTIONS.get(start.removesuffix("."))
    if known:
        return known
    config: Mapping[str, Any] = emission.part("model").base.description.parts["unet"].config
    numbered = dict(_numbered(config))
    found = numbered.get(start if start.endswith(".") else start + ".")
    several = [names for block, names in numbered.items() if block.startswith(start)]
    if found is None and (not several or start[-1:].isdigit()):
        raise UnsupportedError(f"the beginning {start!r} of tensor names is none that scripts know")
    return found or tuple(name for names in several for name in names)


def _numbered(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Original names of numbered blocks with what they are in Diffusers' naming."""
    kinds = list(config["down_block_types"])
    layers = config.get("layers_per_block", 2)
    counts = list(layers) if isinstance(layers, Iterable) else [layers] * len(kinds)
    yield "input_blocks.0.", ("conv_in.",)
    place = 1
    for level, count in enumerate(counts):
        for index in range(count):
            yield f"input_blocks.{place}.", _pair(f"down_blocks.{level}", index)
            place += 1
        if level < len(counts) - 1:
            yield f"input_blocks.{place}.", (f"down_blocks.{level}.downsamplers.",)
            place += 1
    place = 0
    for level, count in enumerate(reversed(counts)):
        for index in range(count + 1):
            names = _pair(f"up_blocks.{level}", index)
            last = index == count and level < len(counts) - 1
            yield f"output_blocks.{place}.", (*names, f"up_blocks.{level}.upsamplers.") if last else names
            place += 1


def _pair(block: str, index: int) -> tuple[str, ...]:
    return f"{block}.resnets.{index}.", f"{block}.attentions.{index}."


EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(("merge_models", "add_models", "subtract_models"), merge),
    **dict.fromkeys(("merge_text_encoders", "add_text_encoders", "subtract_text_encoders"), merge),
    "merge_model_blocks": merge_model_blocks,
    "scale_attention": scale_attention,
    "scale_text_attention": scale_attention,
}
