"""One evaluation of a model under a list of conditioning entries."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from graphflow.values import ConditioningEntry

from .prediction import ModelSampling
from .regions import Region


class Predict(Protocol):
    """The network of a model family."""

    def __call__(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor,
        variation: str | None = None,
    ) -> Tensor:
        """The network's raw output for several conditioning entries at once.

        Args:
            x: (n * B, C, ..., h, w) float32, scaled as the network expects; the first B items belong to the
                first entry, and so on.
            timestep: (n * B,) what the network expects as time.
            entries: n entries whose tensors have equal shapes apart from the batch (1 or B); their controls
                are those that act at this noise level.
            sigma: scalar noise level.
            variation: name of a variation of the network, or None for the network as it is.

        Returns:
            (n * B, C, ..., h, w); any floating dtype.
        """
        ...


def evaluate(
    predict: Predict,
    model_sampling: ModelSampling,
    x: Tensor,
    sigma: Tensor,
    sides: Sequence[Sequence[Region]],
    *,
    max_items: int | None = None,
    variation: str | None = None,
) -> list[Tensor]:
    """The clean samples predicted under each of several conditionings, positive and negative for example.

    Entries of all sides that agree in shape go through the network in one batch. Where several entries of
    a side overlap, their predictions are averaged with their weights; where none acts the prediction is 0.

    Args:
        predict: the network.
        model_sampling: how it is parameterised.
        x: (B, C, ..., h, w) float32 noisy latent.
        sigma: its scalar noise level.
        sides: the entries of each conditioning.
        max_items: most items in one batch; None has no limit.
        variation: passed on to the network.

    Returns:
        One float32 (B, C, ..., h, w) a side.
    """
    level = float(sigma)
    acting = [
        (i, region)
        for i, side in enumerate(sides)
        for region in _with_rest([region for region in side if acts(model_sampling, region.entry, level)], x)
    ]
    totals = [torch.zeros_like(x) for _ in sides]
    weights = [x.new_zeros((1, 1, *x.shape[-2:])) for _ in sides]
    for group in _groups(acting, x, max_items):
        entries = [_with_active_controls(model_sampling, region.entry, level) for _, region in group]
        crop = torch.cat([x if region.box is None else region.box.crop(x) for _, region in group])
        timestep = model_sampling.timestep(sigma).to(x.device).expand(len(crop))
        output = predict(model_sampling.scale_input(crop, sigma), timestep, entries, sigma=sigma, variation=variation)
        denoised = model_sampling.to_denoised(crop, output.float(), sigma)
        for (side, region), part in zip(group, denoised.chunk(len(group)), strict=True):
            weight = region.weight.reshape(*region.weight.shape[:2], *(1,) * (x.ndim - 4), *region.weight.shape[-2:])
            total, seen = totals[side], weights[side].expand(max(len(weight), len(weights[side])), -1, -1, -1).clone()
            weights[side] = seen
            if region.box is None:
                total += part * weight
                seen += region.weight
            else:
                region.box.crop(total).add_(part * weight)
                region.box.crop(seen).add_(region.weight)
    return [
        total / weight.clamp(min=1e-37).reshape(*weight.shape[:2], *(1,) * (x.ndim - 4), *weight.shape[-2:])
        for total, weight in zip(totals, weights, strict=True)
    ]


def acts(model_sampling: ModelSampling, entry: ConditioningEntry, sigma: float) -> bool:
    """Whether an entry acts at a noise level."""
    return model_sampling.percent_to_sigma(entry.end) <= sigma <= model_sampling.percent_to_sigma(entry.start)


def _with_rest(acting: list[Region], x: Tensor) -> list[Region]:
    """The regions that act, those that stand for the rest cut to where no other one does; left out where that is nowhere."""
    rest = [region for region in acting if region.entry.otherwise]
    if not rest:
        return acting
    others = [region for region in acting if not region.entry.otherwise]
    items = max((len(region.weight) for region in others), default=1)
    free = torch.ones(items, 1, *x.shape[-2:], device=x.device)
    for region in others:
        part = free if region.box is None else region.box.crop(free)
        part.mul_(region.weight <= 0)
    cut = [replace(r, weight=r.weight * (free if r.box is None else r.box.crop(free))) for r in rest]
    return [*others, *(region for region in cut if bool(region.weight.any()))]


def _with_active_controls(model_sampling: ModelSampling, entry: ConditioningEntry, sigma: float) -> ConditioningEntry:
    active = tuple(
        c
        for c in entry.controls
        if model_sampling.percent_to_sigma(c.end) <= sigma <= model_sampling.percent_to_sigma(c.start)
    )
    return entry if len(active) == len(entry.controls) else replace(entry, controls=active)


def _signature(region: Region, x: Tensor) -> Hashable:
    """What entries that share a batch must agree on."""
    entry = region.entry
    crop = x.shape[-2:] if region.box is None else (region.box.height, region.box.width)
    return (
        tuple(crop),
        tuple(entry.embedding.shape[1:]),
        None if entry.pooled is None else tuple(entry.pooled.shape[1:]),
        None if entry.attention_mask is None else tuple(entry.attention_mask.shape[1:]),
        tuple(id(c) for c in entry.controls),
        repr(entry.weights),
        tuple(sorted((name, _shape(value)) for name, value in entry.extras.items())),
    )


def _shape(value: object) -> tuple[int, ...]:
    return tuple(value.shape[1:]) if isinstance(value, Tensor) else ()


def _groups(acting: list[tuple[int, Region]], x: Tensor, max_items: int | None) -> Iterator[list[tuple[int, Region]]]:
    groups: dict[Hashable, list[tuple[int, Region]]] = {}
    for side, region in acting:
        groups.setdefault(_signature(region, x), []).append((side, region))
    most = max(1, max_items // len(x)) if max_items else None
    for group in groups.values():
        for start in range(0, len(group), most or len(group)):
            yield group[start : start + (most or len(group))]
