"""Nodes that change what the model is told: combine prompts, and say where, when and how strongly they act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import Seed, node
from graphflow.values import Area, Conditioning, ConditioningEntry, Mask

from ..choices import Share, Told
from ..images.checks import require_items

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "add_default_conditioning",
    "average_conditioning",
    "combine_conditioning",
    "concat_conditioning",
    "set_conditioning_area",
    "set_conditioning_mask",
    "set_conditioning_range",
    "set_conditioning_strength",
    "set_control_prompt",
    "vary_conditioning",
    "zero_out_conditioning",
]

Strength = Annotated[
    float, Field(ge=0, le=10, description="weight against other entries where they overlap; 1 is an equal share")
]


@node("combine_conditioning")
def combine_conditioning(
    conditioning: Annotated[list[Conditioning], Field(description="what the model is told, each on its own")],
) -> Conditioning:
    """Have several conditionings act at once: each is evaluated, and predictions are averaged by weight.

    Raises:
        InvalidInputError: Nothing is linked.
    """
    if not conditioning:
        raise InvalidInputError("there is no conditioning to combine", where="conditioning")
    return Conditioning(entries=tuple(entry for told in conditioning for entry in told.entries))


@node("add_default_conditioning", map=True)
def add_default_conditioning(
    conditioning: Told,
    default: Annotated[Conditioning, Field(description="what the model is told wherever nothing else acts")],
) -> Conditioning:
    """Have another prompt act where none of these does: outside their areas and masks, and of the time outside their ranges."""
    rest = (replace(entry, otherwise=True) for entry in default.entries)
    return Conditioning(entries=(*conditioning.entries, *rest))


@node("set_control_prompt", map=True)
def set_control_prompt(
    conditioning: Told,
    prompt: Annotated[Conditioning, Field(description="what ControlNets read; of several entries the first counts")],
) -> Conditioning:
    """Have ControlNets read another prompt than the model; those of Stable Diffusion and SDXL.

    Raises:
        InvalidInputError: The embeddings have different widths.
    """
    from graphflow.sampling.regions import CONTROL_EMBEDDING, CONTROL_POOLED

    read = prompt.entries[0]
    told = {CONTROL_EMBEDDING: read.embedding, **({} if read.pooled is None else {CONTROL_POOLED: read.pooled})}

    def change(entry: ConditioningEntry) -> ConditioningEntry:
        _require_same_width(entry.embedding, read.embedding)
        return replace(entry, extras={**entry.extras, **told})

    return _each(conditioning, change)


@node("concat_conditioning", map=True)
def concat_conditioning(
    conditioning: Told,
    other: Annotated[Conditioning, Field(description="what comes behind it; of several entries the first counts")],
) -> Conditioning:
    """Put two prompts one behind the other, as if written as one: embeddings (1, T, C) and (1, U, C) to (1, T + U, C).

    The pooled output stays the first one's.

    Raises:
        InvalidInputError: The embeddings have different widths.
    """
    import torch

    behind = other.entries[0]

    def change(entry: ConditioningEntry) -> ConditioningEntry:
        _require_same_width(entry.embedding, behind.embedding)
        masks = (entry.attention_mask, behind.attention_mask)
        joined = None
        if any(mask is not None for mask in masks):
            joined = torch.cat(_same_number(_attention(entry), _attention(behind)), dim=1)
        embedding = torch.cat(_same_number(entry.embedding, behind.embedding), dim=1)
        return replace(entry, embedding=embedding, attention_mask=joined)

    return _each(conditioning, change)


@node("average_conditioning", map=True)
def average_conditioning(
    conditioning: Told,
    other: Annotated[Conditioning, Field(description="what it is mixed with; of several entries the first counts")],
    strength: Annotated[Share, Field(description="weight of conditioning; other has the rest")] = 1.0,
) -> Conditioning:
    """Mix two prompts: strength * a + (1 - strength) * b, token by token; a's length stays, b is cut or filled with 0.

    Raises:
        InvalidInputError: The embeddings have different widths.
    """
    import torch

    mixed = other.entries[0]

    def change(entry: ConditioningEntry) -> ConditioningEntry:
        _require_same_width(entry.embedding, mixed.embedding)
        length = entry.embedding.shape[1]
        second = mixed.embedding[:, :length]
        second = torch.nn.functional.pad(second, (0, 0, 0, length - second.shape[1]))
        first, second = _same_number(entry.embedding, second)
        embedding = first * strength + second * (1.0 - strength)
        pooled = entry.pooled if entry.pooled is not None else mixed.pooled
        if entry.pooled is not None and mixed.pooled is not None:
            _require_same_width(entry.pooled, mixed.pooled)
            own, others = _same_number(entry.pooled, mixed.pooled)
            pooled = own * strength + others * (1.0 - strength)
        return replace(entry, embedding=embedding, pooled=pooled)

    return _each(conditioning, change)


@node("set_conditioning_area", map=True)
def set_conditioning_area(
    conditioning: Told,
    width: Annotated[float, Field(ge=0, le=16384, description="width of the rectangle")] = 1.0,
    height: Annotated[float, Field(ge=0, le=16384, description="height of the rectangle")] = 1.0,
    x: Annotated[float, Field(ge=0, le=16384, description="its left edge")] = 0.0,
    y: Annotated[float, Field(ge=0, le=16384, description="its upper edge")] = 0.0,
    unit: Annotated[
        Literal["fraction", "pixels"], Field(description="whether the four are fractions of the picture or pixels")
    ] = "fraction",
    strength: Strength = 1.0,
) -> Conditioning:
    """Have a prompt act in a rectangle only; the model sees that part of the latent alone.

    At edges inside the picture it fades over 8 latent samples, at most a quarter of the rectangle. Pixels are rounded down
    to whole latent samples, and one sample is the least.

    Raises:
        InvalidInputError: A fraction is above 1.
    """
    if unit == "fraction" and max(width, height, x, y) > 1:
        raise InvalidInputError(
            "fractions of the picture are at most 1", where="unit", advice='set unit to "pixels" for pixels'
        )
    area = Area(height=height, width=width, y=y, x=x, relative=unit == "fraction")
    return _each(conditioning, lambda entry: replace(entry, area=area, strength=strength))


@node("set_conditioning_strength", map=True)
def set_conditioning_strength(conditioning: Told, strength: Strength = 1.0) -> Conditioning:
    """Weigh a prompt against others that it overlaps with; alone it changes nothing."""
    return _each(conditioning, lambda entry: replace(entry, strength=strength))


@node("set_conditioning_mask", map=True)
def set_conditioning_mask(
    conditioning: Told,
    mask: Annotated[Mask, Field(description="1 = acts here; any size; too few begin again after the last one")],
    strength: Annotated[float, Field(ge=0, le=10, description="factor on the mask")] = 1.0,
    bounds: Annotated[
        bool, Field(description="show the model the mask's bounding box alone, not the whole latent")
    ] = False,
) -> Conditioning:
    """Have a prompt act where a mask is, in proportion to it.

    Raises:
        InvalidInputError: There is no mask.
    """
    if not mask.values.shape[0]:
        raise InvalidInputError("there is no mask", where="mask")
    return _each(
        conditioning,
        lambda entry: replace(entry, mask=mask.values, mask_strength=strength, mask_bounds=bounds),
    )


@node("set_conditioning_range", map=True)
def set_conditioning_range(
    conditioning: Told,
    start: Annotated[Share, Field(description="share of sampling at which it begins")] = 0.0,
    end: Annotated[Share, Field(description="share of sampling at which it ends")] = 1.0,
) -> Conditioning:
    """Have a prompt act in a part of sampling only: 0 is pure noise, 1 the finished picture."""
    return _each(conditioning, lambda entry: replace(entry, start=start, end=end))


@node("zero_out_conditioning", map=True)
def zero_out_conditioning(conditioning: Told) -> Conditioning:
    """Make embedding and pooled output zero: a negative prompt that says nothing, as some models want it."""
    return _each(
        conditioning,
        lambda entry: replace(
            entry,
            embedding=entry.embedding * 0.0,
            pooled=None if entry.pooled is None else entry.pooled * 0.0,
        ),
    )


@node("vary_conditioning", map=True)
def vary_conditioning(
    conditioning: Told,
    seed: Seed = 0,
    strength: Annotated[
        float, Field(ge=-1e6, le=1e6, description="the noise is even between this and its negative")
    ] = 20.0,
    share: Annotated[Share, Field(description="how many of the numbers get noise")] = 0.5,
    first: Annotated[Share, Field(description="where in the prompt it begins, as a share of its length")] = 0.0,
    last: Annotated[Share, Field(description="where it ends")] = 1.0,
) -> Conditioning:
    """Put noise into embeddings (B, T, C), for variety where a model draws much the same with every seed.

    Vectors that are all zero, which fill up short prompts, stay. Best for the first steps only, by
    ``set_conditioning_range`` and ``combine_conditioning``. After SeedVarianceEnhancer (ChangeTheConstants, MIT-0).
    """
    import torch

    def varied(entry: ConditioningEntry) -> ConditioningEntry:
        generator = torch.Generator().manual_seed(seed)
        embedding = entry.embedding
        noise = (torch.rand(embedding.shape, generator=generator) * 2 - 1) * strength
        chosen = torch.rand(embedding.shape, generator=generator) < share
        place = torch.arange(embedding.shape[1])[:, None] / max(1, embedding.shape[1])
        chosen &= (place >= first) & (place < last)
        chosen = chosen.to(embedding.device) & embedding.ne(0).any(-1, keepdim=True)
        return replace(entry, embedding=torch.where(chosen, embedding + noise.to(embedding), embedding))

    return _each(conditioning, varied)


def _each(conditioning: Conditioning, change: Callable[[ConditioningEntry], ConditioningEntry]) -> Conditioning:
    return Conditioning(entries=tuple(change(entry) for entry in conditioning.entries))


def _require_same_width(first: Tensor, second: Tensor) -> None:
    widths = first.shape[-1], second.shape[-1]
    if widths[0] != widths[1]:
        raise InvalidInputError(
            f"an embedding of width {widths[1]} does not go with one of width {widths[0]}",
            where="other",
            advice="encode both prompts with text encoders of one family",
        )


def _attention(entry: ConditioningEntry) -> Tensor:
    given = entry.attention_mask
    return entry.embedding.new_ones(entry.embedding.shape[:2]) if given is None else given


def _same_number(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both for as many items as the larger has."""
    from graphflow.pixels.batches import cycled

    count = max(len(first), len(second))
    for tensor in (first, second):
        require_items(tensor, count)
    return cycled(first, count), cycled(second, count)
