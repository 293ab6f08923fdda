"""How exported scripts have FLUX.1 read the style of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphflow.families.flux.style_projector import (
    STYLE_LAYERS,
    reading_style,
    with_room,
)
from graphflow.vision.clip_pixels import Crop, seen_pixels


def take_style(denoise: Any, encoder: Any, projector: Any, image: Tensor, crop: Crop = "center") -> None:
    """Have a denoiser's transformer read the style of pictures behind the text."""
    seen = seen_pixels(encoder, image, crop)
    found = encoder(seen, output_hidden_states=True).hidden_states
    tokens = projector([found[layer] for layer in STYLE_LAYERS])
    if not hasattr(denoise, "styles"):
        denoise.styles = []
        denoise.velocity = with_styles(denoise.velocity, denoise.styles)
    denoise.styles.append(tokens.flatten(0, 1)[None])


def with_styles(velocity: Callable[..., Tensor], styles: list[Tensor]) -> Any:
    """What evaluates the network while it reads styles."""

    def evaluate(network: Any, x: Tensor, time: Tensor, **told: Any) -> Tensor:
        tokens = torch.cat(styles, dim=1)
        told["embeds"] = with_room(told["embeds"], tokens)
        with reading_style(network, tokens):
            return velocity(network, x, time, **told)

    return evaluate
