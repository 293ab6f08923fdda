"""Several calls of a sampling node as one: their latents are one batch, each with random numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from graphflow import runtime
from graphflow.spec.decorator import Merging
from graphflow.values import Conditioning, Latent

if TYPE_CHECKING:
    import torch

    from graphflow.sampling.guidance import Guider
    from graphflow.sampling.network import Denoiser
    from graphflow.sampling.samplers import Sampler

R = TypeVar("R")
Call: TypeAlias = Mapping[str, Any]
Calls: TypeAlias = Sequence[Call]

BATCH_PIXELS = 2 * 256 * 256
"""Pixels of all pictures of a batch beyond which it was measured to be no faster than one after the other on two cores."""
MOST = 16

_WHOLE = {"dpm_adaptive": "the step size of dpm_adaptive depends on all pictures of a batch"}


class SinglyError(Exception):
    """Calls cannot be one after all; the message says why."""


def at_once(calls: Calls, together: Callable[[Calls], Sequence[R]], single: Callable[[Call], R]) -> Sequence[R]:
    """Return what calls give, sampled together, or one after the other where they cannot be one; then that is told."""
    try:
        return together(calls)
    except SinglyError as why:
        runtime.current().notice(f"{len(calls)} variants run singly: {why}")
        return [single(call) for call in calls]


def merging(
    function: Callable[[Calls], Sequence[Any]],
    varied: frozenset[str],
    behind: Mapping[str, frozenset[str]] | None = None,
) -> Merging:
    """Say how calls of a sampling node that differ in seed and prompts become one; see :class:`graphflow.spec.spec.Merging`."""
    return Merging(
        varied=varied,
        behind=behind or {},
        function=function,
        alone=lambda literals: _WHOLE.get(literals.get("sampler", "")),
        most=lambda width, height: min(MOST, BATCH_PIXELS // (width * height)),
    )


def require_apart(denoiser: Denoiser, guider: Guider, sampler: Sampler) -> None:
    """Refuse to sample several calls as one where an item of a batch depends on the others.

    Raises:
        SinglyError: It does.
    """
    from graphflow.sampling.guiders import PerpendicularNegative

    if sampler.spans_batch:
        raise SinglyError("the step size of their sampler depends on all pictures of a batch")
    if isinstance(guider, PerpendicularNegative) or any(part.spans_batch for part in denoiser.guidance):
        raise SinglyError("their guidance depends on all pictures of a batch")
    if denoiser.spans_batch:
        raise SinglyError("their model takes a batch for the frames of one video")


def repeated(latent: Latent, count: int) -> Latent:
    """Return the latents of so many calls that start from the same ones, as one batch.

    Raises:
        SinglyError: Its mask has another number of items.
    """
    _require_fitting([latent.noise_mask], len(latent.samples))
    return replace(
        latent,
        samples=latent.samples.repeat(count, *[1] * (latent.samples.dim() - 1)),
        further={name: part.repeat(count, *[1] * (part.dim() - 1)) for name, part in latent.further.items()},
    )


def taken_apart(latent: Latent, count: int) -> list[Latent]:
    """Return the latents of each call, which have memory of their own."""
    items = len(latent.samples) // count
    return [
        replace(
            latent,
            samples=latent.samples[start : start + items].clone(),
            further={name: part[start : start + items].clone() for name, part in latent.further.items()},
        )
        for start in range(0, len(latent.samples), items)
    ]


def _require_fitting(tensors: Sequence[torch.Tensor | None], items: int) -> None:
    """Refuse tensors that begin again within the items of a call: in a batch they would not do so at the same place.

    Raises:
        SinglyError: There is one.
    """
    if any(tensor is not None and items % len(tensor) for tensor in tensors):
        raise SinglyError("what they are told has another number of items than their latents")


def merged_conditioning(told: Sequence[Conditioning | None], items: int) -> Conditioning | None:
    """Return what several calls are told as one: that of each for its own items.

    Args:
        told: By call.
        items: Latents of each call.

    Raises:
        SinglyError: They cannot be one.
    """
    import torch

    from graphflow.pixels.batches import cycled

    values = (value for other in told if other for entry in other.entries for value in entry.extras.values())
    if not all(isinstance(value, int | float | str) for value in values):  # families may put noise on them, by the seed
        raise SinglyError("their prompts have pictures")
    first = told[0]
    for entry in (entry for other in told if other for entry in other.entries):
        own = (entry.embedding, entry.pooled, entry.attention_mask, entry.mask)
        _require_fitting([*own, *(control.hint for control in entry.controls)], items)
    if all(other is first for other in told):
        return first
    entries = [() if other is None else other.entries for other in told]
    if any(len(found) != 1 for found in entries):
        raise SinglyError("their prompts have several parts")
    alike = [replace(found[0], embedding=None, pooled=None, attention_mask=None) for found in entries]
    if any(entry.area or entry.mask is not None or entry.controls or entry.weights or entry.extras for entry in alike):
        raise SinglyError("their prompts have areas, controls or more")
    if len({(entry.strength, entry.start, entry.end) for entry in alike}) > 1:
        raise SinglyError("their prompts act in different steps")
    stacked: dict[str, Any] = {}
    for name in ("embedding", "pooled", "attention_mask"):
        tensors = [getattr(found[0], name) for found in entries]
        if all(tensor is None for tensor in tensors):
            continue
        if any(tensor is None for tensor in tensors) or len({tuple(tensor.shape[1:]) for tensor in tensors}) > 1:
            raise SinglyError("their prompts are of different lengths")
        stacked[name] = torch.cat([cycled(tensor, items) for tensor in tensors])
    return Conditioning(entries=(replace(entries[0][0], **stacked),))
