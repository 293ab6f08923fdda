"""Alpha: in pictures' fourth channel 1 is opaque, in masks 1 is transparent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from .batches import cycled
from .resampling import crop_to_shape, resize_bicubic, resize_bilinear

Operator = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(source times alpha, its alpha, destination times alpha, its alpha) -> (colours times alpha, alpha)."""


def with_channels(pixels: Tensor, channels: int) -> Tensor:
    """Pictures (B, 3 or 4, H, W) with three or four channels; new alpha is opaque."""
    if pixels.shape[1] >= channels:
        return pixels[:, :channels]
    return torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)


def mask_plane(mask: Tensor, images: Tensor) -> Tensor:
    """Masks (b, h, w) as (B, 1, H, W) of the pictures' size and number."""
    plane = resize_bilinear(mask[:, None], images.shape[-2:])
    return cycled(plane, images.shape[0])


def join_alpha(images: Tensor, mask: Tensor) -> Tensor:
    """Give pictures an alpha channel: (B, 3 or 4, H, W) to (B, 4, H, W)."""
    alpha = (1 - mask_plane(mask, images)).clamp(0, 1)
    return torch.cat([images[:, :3], alpha], dim=1)


def split_alpha(images: Tensor) -> tuple[Tensor, Tensor]:
    """Take pictures apart into colours and transparency, which may be none."""
    alpha = images[:, 3] if images.shape[1] == 4 else torch.ones_like(images[:, 0])
    return images[:, :3].clone(), 1 - alpha


def appearances(pixels: Tensor) -> list[Tensor]:
    """What pictures (B, 3 or 4, H, W) show, each (B, 3, H, W) in [0, 1].

    The colours; of what has alpha also the picture over white, over black, and alpha
    itself as grey.
    """
    pixels = pixels.float().clamp(0, 1)
    colors, alpha = pixels[:, :3], pixels[:, 3:4]
    if not alpha.shape[1]:
        return [colors]
    over_black = colors * alpha
    return [colors, over_black + 1 - alpha, over_black, alpha.expand_as(colors)]


def porter_duff(
    source: Tensor,
    source_alpha: Tensor,
    destination: Tensor,
    destination_alpha: Tensor,
    operator: Operator,
) -> tuple[Tensor, Tensor]:
    """Composite two partly transparent pictures by an operator.

    Args:
        source: Pictures above, brought to the size and number of those below.
        source_alpha: (B, H, W), 1 where they are transparent.
        destination: Pictures below.
        destination_alpha: The same of these.
        operator: From colours multiplied by alpha, and alpha, of both to those of the
            result.
    """
    size = destination.shape[-2:]
    above = resize_bicubic(crop_to_shape(source[:, :3], size), size).clamp(0, 1)
    above = cycled(above, destination.shape[0])
    sa = 1 - mask_plane(source_alpha, destination)
    da = 1 - mask_plane(destination_alpha, destination)
    color, alpha = operator(above * sa, sa, destination[:, :3] * da, da)
    straight = torch.where(alpha > 1e-5, color / alpha, 0.0).clamp(0, 1)
    return straight, (1 - alpha[:, 0]).clamp(0, 1)


def alpha_add(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """The sum."""
    return (s + d).clamp(max=1), (sa + da).clamp(max=1)


def alpha_clear(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing."""
    return torch.zeros_like(d), torch.zeros_like(da)


def alpha_darken(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """The darker one."""
    return (s * (1 - da) + d * (1 - sa)) + torch.minimum(s, d), sa + da - sa * da


def alpha_dst(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """The destination."""
    return d, da


def alpha_dst_atop(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """The destination on top, where the source is."""
    return sa * d + s * (1 - da), sa


def alpha_dst_in(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """The destination where the source is."""
    return d * sa, da * sa


def alpha_dst_out(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """The destination where the source is not."""
    return d * (1 - sa), da * (1 - sa)


def alpha_dst_over(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """The destination over the source."""
    return d + s * (1 - da), sa + da - sa * da


def alpha_lighten(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """The lighter one."""
    return (s * (1 - da) + d * (1 - sa)) + torch.maximum(s, d), sa + da - sa * da


def alpha_multiply(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """The product."""
    return s * d, sa * da


def alpha_overlay(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """Light where the destination is light."""
    both = s * (1 - da) + d * (1 - sa)
    light = sa * da - 2 * (da - d) * (sa - s)
    lit = torch.where(2 * d <= da, 2 * s * d, light)
    return both + lit, sa + da - sa * da


def alpha_screen(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """The product of negatives."""
    return s + d - s * d, sa + da - sa * da


def alpha_src(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """The source."""
    return s, sa


def alpha_src_atop(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """The source on top, where the destination is."""
    return s * da + d * (1 - sa), da


def alpha_src_in(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """The source where the destination is."""
    return s * da, sa * da


def alpha_src_out(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """The source where the destination is not."""
    return s * (1 - da), sa * (1 - da)


def alpha_src_over(
    s: Tensor, sa: Tensor, d: Tensor, da: Tensor
) -> tuple[Tensor, Tensor]:
    """The source over the destination."""
    return s + d * (1 - sa), sa + da - sa * da


def alpha_xor(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """Either, where the other is not."""
    return s * (1 - da) + d * (1 - sa), sa + da - 2 * sa * da


PORTER_DUFF: Mapping[str, Operator] = MappingProxyType(
    {
        "add": alpha_add,
        "clear": alpha_clear,
        "darken": alpha_darken,
        "dst": alpha_dst,
        "dst_atop": alpha_dst_atop,
        "dst_in": alpha_dst_in,
        "dst_out": alpha_dst_out,
        "dst_over": alpha_dst_over,
        "lighten": alpha_lighten,
        "multiply": alpha_multiply,
        "overlay": alpha_overlay,
        "screen": alpha_screen,
        "src": alpha_src,
        "src_atop": alpha_src_atop,
        "src_in": alpha_src_in,
        "src_out": alpha_src_out,
        "src_over": alpha_src_over,
        "xor": alpha_xor,
    }
)
"""The operators of Porter and Duff (SIGGRAPH 1984) and the blends of Android's ``PorterDuff.Mode``, by name."""
