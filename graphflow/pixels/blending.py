"""Blending pictures, by the modes of the W3C's Compositing and Blending Level 1 and those of paint programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from .batches import cycled
from .resampling import crop_to_shape, resize_bicubic

Blend = Callable[[Tensor, Tensor, float], Tensor]
"""(pictures below, pictures above, opacity of these) -> blended pictures."""


def mix(
    first: Tensor,
    second: Tensor,
    factor: float,
    blended: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """First * (1 - factor) + blended(first, second) * factor; alpha is the first's.

    The second is brought to the size and number of the first.
    """
    a, size = first[:, :3], first.shape[-2:]
    b = resize_bicubic(crop_to_shape(second[:, :3], size), size).clamp(0, 1)
    made = blended(a, cycled(b, a.shape[0]))
    mixed = (a * (1 - factor) + made * factor).clamp(0, 1)
    return torch.cat([mixed, first[:, 3:]], dim=1)


def blend_normal(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures."""
    return mix(first, second, factor, lambda a, b: b)


def blend_multiply(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with their product."""
    return mix(first, second, factor, lambda a, b: a * b)


def blend_screen(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the negative of the product of their negatives."""
    return mix(first, second, factor, lambda a, b: 1 - (1 - a) * (1 - b))


def blend_overlay(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with their product where they are dark, their screen where light."""

    def blended(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))

    return mix(first, second, factor, blended)


def blend_soft_light(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the first as if a diffuse light were on it."""

    def blended(a: Tensor, b: Tensor) -> Tensor:
        bright = torch.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, a.sqrt())
        dark = a - (1 - 2 * b) * a * (1 - a)
        return torch.where(b <= 0.5, dark, a + (2 * b - 1) * (bright - a))

    return mix(first, second, factor, blended)


def blend_difference(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with how far they are apart."""
    return mix(first, second, factor, lambda a, b: (a - b).abs())


def blend_subtract(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with first - second."""
    return mix(first, second, factor, lambda a, b: a - b)


def blend_darken(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the darker of the two, channel by channel."""
    return mix(first, second, factor, torch.minimum)


def blend_lighten(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the lighter of the two, channel by channel."""
    return mix(first, second, factor, torch.maximum)


def dodge(a: Tensor, b: Tensor) -> Tensor:
    """Brighten a to reflect b: a / (1 - b)."""
    return torch.where(
        a == 0, 0.0, torch.where(b >= 1, 1.0, a / (1 - b).clamp(min=1e-9)).clamp(max=1)
    )


def burn(a: Tensor, b: Tensor) -> Tensor:
    """Darken a to reflect b: 1 - (1 - a) / b."""
    return 1 - dodge(1 - a, 1 - b)


def blend_color_dodge(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the first, brightened to reflect the second."""
    return mix(first, second, factor, dodge)


def blend_color_burn(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the first, darkened to reflect the second."""
    return mix(first, second, factor, burn)


def blend_hard_light(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with their product where the second is dark, their screen where light."""

    def blended(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(b <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))

    return mix(first, second, factor, blended)


def blend_exclusion(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with a difference of less contrast."""
    return mix(first, second, factor, lambda a, b: a + b - 2 * a * b)


def blend_add(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with first + second, at most white (linear dodge)."""
    return mix(first, second, factor, lambda a, b: (a + b).clamp(max=1))


def blend_linear_burn(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with first + second - 1, at least black."""
    return mix(first, second, factor, lambda a, b: (a + b - 1).clamp(min=0))


def blend_linear_light(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with first + 2 second - 1."""
    return mix(first, second, factor, lambda a, b: (a + 2 * b - 1).clamp(0, 1))


def blend_vivid_light(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the first burnt where the second is dark, dodged where it is light."""

    def blended(a: Tensor, b: Tensor) -> Tensor:
        low, high = (2 * b).clamp(max=1), (2 * b - 1).clamp(min=0)
        return torch.where(b <= 0.5, burn(a, low), dodge(a, high))

    return mix(first, second, factor, blended)


def blend_pin_light(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the first, kept between 2 second - 1 and 2 second."""
    return mix(
        first,
        second,
        factor,
        lambda a, b: torch.maximum(torch.minimum(a, 2 * b), 2 * b - 1),
    )


def blend_hard_mix(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with pure colours: 1 where first + second reach 1."""
    return mix(first, second, factor, lambda a, b: (a + b >= 1).to(a.dtype))


def blend_divide(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with first / second."""
    return mix(first, second, factor, lambda a, b: (a / b.clamp(min=1e-9)).clamp(max=1))


LUMINOSITY = (0.3, 0.59, 0.11)
"""Weights of red, green and blue in the W3C's Lum."""


def luminosity(color: Tensor) -> Tensor:
    """Brightness (B, 1, H, W) of (B, 3, H, W) as the W3C weighs it."""
    red, green, blue = LUMINOSITY
    return red * color[:, :1] + green * color[:, 1:2] + blue * color[:, 2:3]


def with_luminosity(color: Tensor, wanted: Tensor) -> Tensor:
    """Give colours another brightness, and pull what leaves [0, 1] towards grey."""
    color = color + (wanted - luminosity(color))
    grey = luminosity(color)
    low, high = color.amin(1, keepdim=True), color.amax(1, keepdim=True)
    color = torch.where(
        low < 0, grey + (color - grey) * grey / (grey - low).clamp(min=1e-9), color
    )
    return torch.where(
        high > 1,
        grey + (color - grey) * (1 - grey) / (high - grey).clamp(min=1e-9),
        color,
    )


def with_saturation(color: Tensor, wanted: Tensor) -> Tensor:
    """Give colours another distance between their largest and smallest channel, from 0 on."""
    low, high = color.amin(1, keepdim=True), color.amax(1, keepdim=True)
    return (color - low) * wanted / (high - low).clamp(min=1e-9)


def saturation(color: Tensor) -> Tensor:
    """Distance between the largest and the smallest channel."""
    return color.amax(1, keepdim=True) - color.amin(1, keepdim=True)


def blend_hue(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the hue of the second, the rest of the first."""
    return mix(
        first,
        second,
        factor,
        lambda a, b: with_luminosity(with_saturation(b, saturation(a)), luminosity(a)),
    )


def blend_saturation(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the saturation of the second, the rest of the first."""
    return mix(
        first,
        second,
        factor,
        lambda a, b: with_luminosity(with_saturation(a, saturation(b)), luminosity(a)),
    )


def blend_color(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with hue and saturation of the second, the brightness of the first."""
    return mix(first, second, factor, lambda a, b: with_luminosity(b, luminosity(a)))


def blend_luminosity(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the brightness of the second, hue and saturation of the first."""
    return mix(first, second, factor, lambda a, b: with_luminosity(a, luminosity(b)))


BLENDS: Mapping[str, Blend] = MappingProxyType(
    {
        "normal": blend_normal,
        "multiply": blend_multiply,
        "screen": blend_screen,
        "overlay": blend_overlay,
        "soft_light": blend_soft_light,
        "difference": blend_difference,
        "subtract": blend_subtract,
        "darken": blend_darken,
        "lighten": blend_lighten,
        "color_dodge": blend_color_dodge,
        "color_burn": blend_color_burn,
        "hard_light": blend_hard_light,
        "exclusion": blend_exclusion,
        "add": blend_add,
        "linear_burn": blend_linear_burn,
        "linear_light": blend_linear_light,
        "vivid_light": blend_vivid_light,
        "pin_light": blend_pin_light,
        "hard_mix": blend_hard_mix,
        "divide": blend_divide,
        "hue": blend_hue,
        "saturation": blend_saturation,
        "color": blend_color,
        "luminosity": blend_luminosity,
    }
)
"""The modes of the W3C's Compositing and Blending Level 1, and those of paint programs, by name."""
