"""Several calls of a sampling node as one: their latents are one batch, each with random numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.spec.decorator import Merging
from graphflow.values import Conditioning, Latent

BATCH_PIXELS = 2 * 256 * 256
"""Pixels of all pictures of a batch beyond which it was measured to be no faster than one after the other on two cores."""
MOST = 16

_WHOLE = {"dpm_adaptive": "the step size of dpm_adaptive depends on all pictures of a batch"}


def merging(function: Callable[[Sequence[Mapping[str, Any]]], Sequence[Latent]]) -> Merging:
    """Say how calls of a sampling node that differ in seed and prompts become one."""
    return Merging(
        varied=frozenset({"seed", "positive", "negative"}),
        function=function,
        alone=lambda literals: _WHOLE.get(literals.get("sampler", "")),
        most=lambda width, height: min(MOST, BATCH_PIXELS // (width * height)),
    )


def merged_conditioning(told: Sequence[Conditioning | None], items: int) -> Conditioning | None:
    """Return what several calls are told as one: that of each for its own items.

    Args:
        told: By call.
        items: Latents of each call.

    Raises:
        ValueError: They cannot be one.
    """
    from dataclasses import replace

    import torch

    from graphflow.pixels.batches import cycled

    values = (value for other in told if other for entry in other.entries for value in entry.extras.values())
    if not all(isinstance(value, int | float | str) for value in values):  # families may put noise on them, by the seed
        raise ValueError("their prompts have pictures")
    first = told[0]
    if all(other is first for other in told):
        return first
    entries = [() if other is None else other.entries for other in told]
    if any(len(found) != 1 for found in entries):
        raise ValueError("their prompts have several parts")
    alike = [replace(found[0], embedding=None, pooled=None, attention_mask=None) for found in entries]
    if any(entry.area or entry.mask is not None or entry.controls or entry.extras for entry in alike):
        raise ValueError("their prompts have areas, controls or more")
    if len({(entry.strength, entry.start, entry.end) for entry in alike}) > 1:
        raise ValueError("their prompts act in different steps")
    stacked: dict[str, Any] = {}
    for name in ("embedding", "pooled", "attention_mask"):
        tensors = [getattr(found[0], name) for found in entries]
        if all(tensor is None for tensor in tensors):
            continue
        if any(tensor is None for tensor in tensors) or len({tuple(tensor.shape[1:]) for tensor in tensors}) > 1:
            raise ValueError("their prompts are of different lengths")
        stacked[name] = torch.cat([cycled(tensor, items) for tensor in tensors])
    return Conditioning(entries=(replace(entries[0][0], **stacked),))
