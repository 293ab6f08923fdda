"""Pictures that steer, of which a part may be unknown: it is -1."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.pixels.batches import cycled
from graphflow.pixels.resampling import crop_to_shape, resize_bilinear, resize_nearest

HIDDEN = 0.5
"""What hides the part of a picture that Fun ControlNets fill in."""


def hide_part(pixels: Tensor, mask: Tensor) -> Tensor:
    """A picture (B, 3, H, W) that is unknown where a mask (B, h, w) is above a half."""
    size, unknown = pixels.shape[-2:], mask[:, None]
    if unknown.shape[-2:] != size:
        unknown = resize_bilinear(crop_to_shape(unknown, size), size)
    return pixels[:, :3].where(unknown <= 0.5, -1.0)


def with_filling(steering: Tensor | None, filled: Tensor) -> Tensor:
    """What steers, and behind it a picture to fill in: (B, 6, H, W).

    Args:
        steering: (B, 3, H, W); None where nothing does.
        filled: (B, 3, h, w).
    """
    steers = torch.full_like(filled[:1], -1.0) if steering is None else steering[:, :3]
    filled = resize_nearest(crop_to_shape(filled, steers.shape[-2:]), steers.shape[-2:])
    count = max(len(steers), len(filled))
    return torch.cat([cycled(steers, count), cycled(filled, count)], dim=1)


def known_part(hint: Tensor, hidden: float = 0.0) -> tuple[Tensor, Tensor]:
    """A picture with a value where it is unknown, and (B, 1, H, W) 1 where it is known."""
    known = (hint[:, :1] >= 0).float()
    return hint.where(known > 0, hidden), known


def marked_latents(samples: Tensor, known: Tensor) -> Tensor:
    """Latents (B, C, ..., h, w) and a channel behind them that is 1 where the picture is known."""
    small = functional.interpolate(known, size=samples.shape[-2:])
    return torch.cat(
        [samples, small.reshape(len(small), 1, *samples.shape[2:]).to(samples)], dim=1
    )


def filling_latents(
    hint: Tensor, channels: int, own: int, encode: Callable[[Tensor, float], Tensor]
) -> Tensor:
    """What alibaba-pai's Fun ControlNets read (B, channels, ..., h, w): a picture, a mask and one to fill in.

    Channels of the latter two are 1 and those of a picture; zeros where nothing is filled in.

    Args:
        hint: (B, 3, H, W); or (B, 6, H, W), the picture that steers and behind it the one to be filled in.
        channels: How many it reads.
        own: How many a picture has.
        encode: What makes latents of a picture, with what stands where it is unknown.
    """
    steering, filled = hint[:, :3], hint[:, 3:]
    if channels > own and not filled.shape[1] and bool((hint < 0).any()):
        steering, filled = torch.full_like(hint, -1.0), hint
    if not filled.shape[1]:
        found = encode(steering, 0.0)
    else:
        known = encode(filled, HIDDEN)
        # Nothing may steer but the picture to fill in.
        blank = bool((steering < 0).all())
        found = torch.zeros_like(known) if blank else encode(steering, 0.0)
        mask = functional.interpolate(
            (filled[:, :1] >= 0).float(), size=found.shape[-2:]
        )
        mask = mask.reshape(len(mask), 1, *found.shape[2:]).to(found)
        found = torch.cat([found, mask, known], dim=1)
    after = (0, 0) * (found.ndim - 2)
    return functional.pad(found, (*after, 0, channels - found.shape[1]))
