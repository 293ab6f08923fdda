"""Nodes that put latents into batches and take them out.

An item keeps its place in the batch that it comes from (``Latent.batch_index``), so it is given the same noise alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Each, OneOrMany, node
from graphflow.values import Latent

from ..choices import Latents
from ..images.checks import require_batch, require_items, require_planes
from ..sequences import each, latents_of

if TYPE_CHECKING:
    import torch

__all__ = ["batch_latents", "batch_noise", "latents_from_batch", "rebatch_latents", "repeat_latents"]


@node("batch_latents", version=2)
def batch_latents(
    latents: Annotated[list[OneOrMany[Latent]], Field(description="the latents to put together, in order")],
    resize: Annotated[
        bool, Field(description="bring all to the size of the first: bilinear, cut to its shape")
    ] = False,
) -> Latent:
    """Put latents into one batch (B, C, h, w); each is given the noise that it would have where it comes from.

    So two latents that come alone start from the same noise; batch_noise changes that.

    Raises:
        InvalidInputError: There are none, their channels differ, or their sizes differ and nothing was resized.
        LimitError: The batch is larger than the limits allow.
    """
    import torch

    from graphflow.pixels.resampling import resample

    parts = latents_of(latents)
    first = parts[0]
    size = tuple(first.samples.shape[-2:])
    require_batch(sum(part.samples.shape[0] for part in parts), *first.samples.shape[1:])
    samples: list[torch.Tensor] = []
    for part in parts:
        if resize:
            require_planes(part.samples)
        item = resample(part.samples, (size[0], size[1]), "bilinear", "center") if resize else part.samples
        if item.shape[1:] != first.samples.shape[1:] or part.downscale != first.downscale:
            raise InvalidInputError(
                f"latents of {_shape(first.samples)} and {_shape(item)} do not make one batch",
                where="latents",
                advice="set resize for latents of different size; different channels are of different families",
            )
        samples.append(item)
    batch = torch.cat(samples)
    index = tuple(place for part in parts for place in places(part))
    return replace(first, samples=batch, noise_mask=_joined_masks(parts), batch_index=index)


@node("latents_from_batch", map=True)
def latents_from_batch(
    latent: Latents,
    start: Annotated[int, Field(ge=0, le=LIMITS.batch, description="the first one to take, from 0")] = 0,
    length: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many to take, at most to the last one")] = 1,
) -> Latent:
    """Take some latents out of a batch; each keeps the noise that it has in the batch.

    A start behind the last item takes the last item.

    Raises:
        InvalidInputError: The batch is empty.
    """
    from graphflow.pixels.batches import window

    require_items(latent.samples)
    return _take(latent, window(latent.samples.shape[0], start, length))


@node("repeat_latents", map=True)
def repeat_latents(
    latent: Latents,
    count: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many times each")] = 2,
) -> Latent:
    """Put a batch of latents several times behind itself: (B, C, h, w) to (count * B, C, h, w).

    Raises:
        LimitError: The batch is larger than the limits allow.
    """
    from graphflow.pixels.batches import cycled

    items = latent.samples.shape[0]
    require_batch(items * count, *latent.samples.shape[1:])
    if latent.noise_mask is not None:
        require_items(latent.noise_mask, items)
    mask = latent.noise_mask
    if mask is not None and mask.shape[0] > 1:
        mask = cycled(mask, items).repeat(count, 1, 1)
    index = latent.batch_index
    if index:
        span = max(index) - min(index) + 1
        index = tuple(place + turn * span for turn in range(count) for place in index)
    return replace(latent, samples=cycled(latent.samples, items * count), noise_mask=mask, batch_index=index)


@node("rebatch_latents")
def rebatch_latents(
    latents: Annotated[OneOrMany[Latent], Field(description="the latents: one batch, or a sequence of batches")],
    batch_size: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many in each batch")] = 1,
) -> Each[Latent]:
    """Make a sequence of batches of another size; nodes that map over sequences then run once for each.

    Latents of different shapes do not share a batch. Each keeps the noise that it has in the whole.

    Raises:
        InvalidInputError: There are no latents.
    """
    groups: list[list[Latent]] = []
    offset = 0
    for part in latents_of([latents]):
        count = part.samples.shape[0]
        if part.batch_index is None:
            part = replace(part, batch_index=tuple(range(offset, offset + count)))
        offset += count
        if groups and groups[-1][0].samples.shape[1:] == part.samples.shape[1:]:
            groups[-1].append(part)
        else:
            groups.append([part])
    return each(
        _take(whole, range(start, min(start + batch_size, whole.samples.shape[0])))
        for group in groups
        for whole in (batch_latents([tuple(group)]),)
        for start in range(0, whole.samples.shape[0], batch_size)
    )


@node("batch_noise", map=True)
def batch_noise(
    latent: Latents,
    behavior: Annotated[
        Literal["fixed", "random"],
        Field(description="fixed gives all items the noise of the first, random gives each its own"),
    ] = "fixed",
) -> Latent:
    """Choose whether the items of a batch start from the same noise."""
    if behavior == "random":
        return replace(latent, batch_index=None)
    first = latent.batch_index[0] if latent.batch_index else 0
    return replace(latent, batch_index=(first,) * latent.samples.shape[0])


def places(latent: Latent) -> tuple[int, ...]:
    """For each item, its place in the batch whose noise it takes."""
    return latent.batch_index if latent.batch_index is not None else tuple(range(latent.samples.shape[0]))


def _take(latent: Latent, wanted: range) -> Latent:
    from graphflow.pixels.batches import cycled

    mask = latent.noise_mask
    if mask is not None:
        require_items(mask)
    return replace(
        latent,
        samples=latent.samples[wanted.start : wanted.stop],
        noise_mask=mask
        if mask is None or mask.shape[0] == 1
        else cycled(mask, latent.samples.shape[0])[wanted.start : wanted.stop],
        batch_index=places(latent)[wanted.start : wanted.stop],
    )


def _joined_masks(parts: Sequence[Latent]) -> torch.Tensor | None:
    """One mask for each item where any has one; items without one are made anew everywhere."""
    import torch

    from graphflow.pixels.batches import cycled
    from graphflow.pixels.resampling import resample

    masks = [part.noise_mask for part in parts]
    if all(mask is None for mask in masks):
        return None
    size = max((tuple(mask.shape[-2:]) for mask in masks if mask is not None), key=lambda edges: edges[0] * edges[1])
    joined: list[torch.Tensor] = []
    for part, mask in zip(parts, masks, strict=True):
        count = part.samples.shape[0]
        plane = torch.ones(1, *size) if mask is None else resample(mask[None], (size[0], size[1]), "bilinear")[0]
        require_items(plane, count)
        joined.append(cycled(plane, count))
    return torch.cat(joined)


def _shape(samples: torch.Tensor) -> str:
    return f"{samples.shape[1]} channels and {samples.shape[3]} x {samples.shape[2]} samples"
