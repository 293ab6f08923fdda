"""What is around a picture, or under a mask, before sampling paints there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from .batches import cycled
from .filters import dilate
from .resampling import resize_bilinear


def pad_for_outpaint(
    images: Tensor,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    feather: int = 40,
) -> tuple[Tensor, Tensor]:
    """Add grey margins to pictures, and make the mask by which sampling fills them.

    A feather that is not less than half of an edge of the picture is left out.
    """
    batch, channels, height, width = images.shape
    size = height + top + bottom, width + left + right
    inner = (..., slice(top, top + height), slice(left, left + width))
    pixels, mask = torch.full((batch, channels, *size), 0.5), torch.ones(1, *size)
    pixels[:, 3:] = 1.0
    pixels[inner] = images
    inside = torch.zeros(height, width)
    if feather and 2 * feather < min(height, width):
        rows = distance_inside(height, bool(top), bool(bottom))
        columns = distance_inside(width, bool(left), bool(right))
        nearest = torch.minimum(rows[:, None], columns)
        inside = ((feather - nearest) / feather).clamp(min=0) ** 2
    mask[inner] = inside
    return pixels, mask


def distance_inside(length: int, before: bool, after: bool) -> Tensor:
    """Pixels to the nearer of an edge's ends, which count only where it is padded."""
    far = torch.full((length,), float(length))
    place = torch.arange(length, dtype=torch.float32)
    return torch.minimum(place if before else far, length - place if after else far)


def with_hole(
    images: Tensor, mask: Tensor, downscale: int = 8
) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) and masks (B or 1, 1, H, W) of whole latent samples."""
    height, width = images.shape[-2:]
    hole = resize_bilinear(mask[:, None], (height, width))
    rows, columns = height // downscale * downscale, width // downscale * downscale
    top, left = (height - rows) // 2, (width - columns) // 2
    window = (..., slice(top, top + rows), slice(left, left + columns))
    return images[:, :3][window], hole[window]


def grey_under(pixels: Tensor, hole: Tensor) -> Tensor:
    """Pictures that are grey where a hole is 1."""
    return (pixels - 0.5) * (1 - hole) + 0.5


def grown_hole(hole: Tensor, grow: int) -> Tensor:
    """A noise mask (B, H, W) some pixels wider than a hole, so that no seam is left."""
    grown = dilate(hole.round(), grow, grow) if grow else hole
    return grown.round()[:, 0]


def fill_with_surroundings(images: Tensor, mask: Tensor) -> Tensor:
    """Fill what is masked with colours from the mask's edge, ever smoother inside.

    Averages at half the size, a quarter, and so on, each where the finer one knows
    nothing (pull and push; Gortler et al. 1996, The Lumigraph, section 3.3).
    """
    hole = resize_bilinear(mask[:, None], images.shape[-2:])
    colours = images[:, :3]
    filling = from_surroundings(colours, (hole < 0.5).float())
    mixed = colours + (filling - colours) * hole
    return torch.cat([mixed, images[:, 3:]], dim=1)


def fill_with_grey(images: Tensor, mask: Tensor) -> Tensor:
    """Fill what is masked with grey."""
    hole = resize_bilinear(mask[:, None], images.shape[-2:])
    colours = images[:, :3]
    mixed = colours + (torch.full_like(colours, 0.5) - colours) * hole
    return torch.cat([mixed, images[:, 3:]], dim=1)


FILLINGS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"surroundings": fill_with_surroundings, "grey": fill_with_grey}
)
"""By the names that nodes call them by."""


def from_surroundings(colours: Tensor, known: Tensor) -> Tensor:
    """Colours with those that are not known from ever wider averages of the others."""
    weight = known.expand(len(colours), 1, *colours.shape[-2:])
    if min(colours.shape[-2:]) == 1 or not bool((weight == 0).any()):
        count = weight.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        mean = (colours * weight).sum(dim=(2, 3), keepdim=True) / count
        return torch.where(weight > 0, colours, mean)
    total = functional.avg_pool2d(weight, 2, ceil_mode=True)
    coarse = functional.avg_pool2d(colours * weight, 2, ceil_mode=True)
    coarse = from_surroundings(coarse / total.clamp(min=1e-6), (total > 0).float())
    wide = resize_bilinear(coarse, colours.shape[-2:])
    return torch.where(weight > 0, colours, wide)


def fill_latent_with_noise(latent: Tensor, noise_mask: Tensor, seed: int = 0) -> Tensor:
    """Replace latents under their noise mask by noise as spread out as they are."""
    generator = torch.Generator().manual_seed(seed)
    spread = latent.std(unbiased=latent.numel() > 1)
    filling = torch.randn(latent.shape, generator=generator) * spread
    return latent + (filling - latent) * latent_hole(latent, noise_mask)


def fill_latent_with_nothing(
    latent: Tensor, noise_mask: Tensor, seed: int = 0
) -> Tensor:
    """Replace latents under their noise mask by zeros; the seed changes nothing."""
    return latent + (0.0 - latent) * latent_hole(latent, noise_mask)


LATENT_FILLINGS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"noise": fill_latent_with_noise, "nothing": fill_latent_with_nothing}
)
"""By the names that nodes call them by."""


def latent_hole(latent: Tensor, noise_mask: Tensor) -> Tensor:
    """A noise mask (B, 1, h, w) of the size and number of latents."""
    hole = resize_bilinear(noise_mask[:, None], latent.shape[-2:])
    return cycled(hole, latent.shape[0])
