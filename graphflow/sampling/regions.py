"""Where in the latent a conditioning entry acts, and with what weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.pixels.batches import cycled
from graphflow.values import Area, ConditioningEntry

FEATHER = 8
"""Most latent samples over which an area fades in at those edges that lie inside the picture; at most a quarter of it."""

SMALLEST_SIDE = 8
"""An area found from a mask is at least this large, in latent samples."""

CONTROL_EMBEDDING, CONTROL_POOLED = "control_embedding", "control_pooled"
"""The extras of an entry that its ControlNets read in place of its embedding and pooled output."""
PICTURE, HOLE = "picture", "hole"
"""Where an entry's extras have the raw latents (B, C, h, w) of a picture to go on from, and the mask (B or 1, 1, H, W) of
what is made anew in it."""
CONCAT = "concat"
"""The extra of an entry that a network reads as further channels of the latent, (1 or B, C, h, w)."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in latent samples."""

    y: int
    x: int
    height: int
    width: int

    def crop(self, tensor: Tensor) -> Tensor:
        """The part of a (..., h, w) tensor inside; a view."""
        return tensor[..., self.y : self.y + self.height, self.x : self.x + self.width]

    def contains(self, other: Box) -> bool:
        """Whether `other` lies inside."""
        return (
            self.y <= other.y
            and self.x <= other.x
            and other.y + other.height <= self.y + self.height
            and other.x + other.width <= self.x + self.width
        )

    @property
    def samples(self) -> int:
        """Number of latent samples inside."""
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class Region:
    """A conditioning entry made ready for one latent size.

    Attributes:
        entry: what the model is told.
        box: the part of the latent it is evaluated on; None is all of it.
        weight: (1 or B, 1, h, w) of the box, against other entries that overlap it.
    """

    entry: ConditioningEntry
    box: Box | None
    weight: Tensor


def make_regions(entries: Sequence[ConditioningEntry], latent: Tensor, downscale: int = 1) -> list[Region]:
    """Resolve areas and masks of entries for a latent (B, C, ..., h, w); weights lie on its device.

    Args:
        entries: what the model is told.
        latent: for its size and device.
        downscale: pixels per latent sample, for areas in pixels.
    """
    return [_region(entry, latent, downscale) for entry in entries]


def match_areas(regions: list[Region], others: Sequence[Region]) -> list[Region]:
    """Add, for each of `others` with an area that no region has, the same area with the nearest region's entry.

    Guidance compares predictions; this way both sides of it see the same crop of the latent.
    """
    result = list(regions)
    for other in others:
        if other.box is None:
            continue
        around = [r for r in result if r.box is None or r.box.contains(other.box)]
        if not around:
            continue
        nearest = min(around, key=lambda r: float("inf") if r.box is None else r.box.samples)
        if nearest.box != other.box:
            told = nearest.entry
            entry = replace(
                other.entry,
                embedding=told.embedding,
                pooled=told.pooled,
                attention_mask=told.attention_mask,
                controls=told.controls,
                extras=told.extras,
            )
            if CONCAT in told.extras and CONCAT in other.entry.extras:
                # Only the other's is cut to this area.
                entry = replace(entry, extras={**told.extras, CONCAT: other.entry.extras[CONCAT]})
            result.append(replace(other, entry=entry))
    return result


def resize_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask (B, H, W) or (B, 1, H, W) resized bilinearly to (B, 1, height, width), float32."""
    mask = mask.float().reshape(-1, 1, *mask.shape[-2:])
    if mask.shape[-2:] == (height, width):
        return mask
    return functional.interpolate(mask, size=(height, width), mode="bilinear")


def _region(entry: ConditioningEntry, latent: Tensor, downscale: int) -> Region:
    height, width = latent.shape[-2:]
    box = None if entry.area is None else _box(entry.area, height, width, downscale)
    mask = None if entry.mask is None else resize_mask(entry.mask.to(latent.device), height, width)
    if mask is not None and entry.mask_bounds:
        box = _bounds(mask, height, width)
    crop = box or Box(0, 0, height, width)
    if mask is not None:
        mask = mask if len(mask) == 1 else cycled(mask, len(latent))
        weight = crop.crop(mask) * entry.mask_strength
    else:
        weight = latent.new_ones((1, 1, crop.height, crop.width))
        if box is not None:
            weight = weight * _feather(box, height, width).to(latent.device)
    return Region(entry if box is None else _cropped(entry, box, height, width), box, weight * entry.strength)


def _cropped(entry: ConditioningEntry, box: Box, height: int, width: int) -> ConditioningEntry:
    """The entry with the same part of what the network reads beside the latent as it sees of the latent."""
    beside = entry.extras.get(CONCAT)
    if not isinstance(beside, Tensor):
        return entry
    if beside.shape[-2:] != (height, width):
        beside = functional.interpolate(beside, size=(height, width), mode="bilinear")
    return replace(entry, extras={**entry.extras, CONCAT: box.crop(beside)})


def _box(area: Area, height: int, width: int, downscale: int) -> Box:
    if area.relative:
        sizes = (max(1, round(area.height * height)), max(1, round(area.width * width)))
        y, x = round(area.y * height), round(area.x * width)
    else:
        y, x = int(area.y // downscale), int(area.x // downscale)
        sizes = (max(1, int(area.height // downscale)), max(1, int(area.width // downscale)))
    y, x = min(y, height - 1), min(x, width - 1)
    return Box(y, x, min(sizes[0], height - y), min(sizes[1], width - x))


def _bounds(mask: Tensor, height: int, width: int) -> Box:
    inside = mask.abs().amax(dim=(0, 1)) > 0
    rows, columns = inside.any(dim=1).nonzero().flatten().tolist(), inside.any(dim=0).nonzero().flatten().tolist()
    if not rows:
        return Box(0, 0, min(SMALLEST_SIDE, height), min(SMALLEST_SIDE, width))
    tall, wide = max(SMALLEST_SIDE, rows[-1] - rows[0] + 1), max(SMALLEST_SIDE, columns[-1] - columns[0] + 1)
    return Box(rows[0], columns[0], min(tall, height - rows[0]), min(wide, width - columns[0]))


def _feather(box: Box, height: int, width: int) -> Tensor:
    rows = _ramp(box.height, before=box.y > 0, after=box.y + box.height < height)
    columns = _ramp(box.width, before=box.x > 0, after=box.x + box.width < width)
    return rows[:, None] * columns[None, :]


def _ramp(length: int, *, before: bool, after: bool) -> Tensor:
    width = max(1, min(FEATHER, length // 4))
    rise = ((torch.arange(length) + 1) / width).clamp(max=1.0)
    ramp = torch.ones(length)
    if before:
        ramp = ramp * rise
    if after:
        ramp = ramp * rise.flip(0)
    return ramp
