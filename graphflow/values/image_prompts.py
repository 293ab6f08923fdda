"""The runtime hook of IP-Adapters. It is a value; this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphflow.values.types import value_type

if TYPE_CHECKING:
    import torch

    from graphflow.values.models import IPAdapter


@value_type("image_prompt_hook")
@dataclass(frozen=True, kw_only=True, eq=False)
class ImagePrompt:
    """Has a UNet attend to pictures by an IP-Adapter.

    Attributes:
        adapter: The adapter.
        features: (n, D) or (n, P, D) what an image encoder makes of the pictures.
        nothing: The same of no picture, (1, …).
        masks: (n, H, W) in [0, 1], where each picture acts; None is everywhere.
        strength: Factor on its attention.
        start: Share of sampling at which it begins, 0 to 1.
        end: Share of sampling at which it ends.
        part: `all` layers, or those that make `style`, `layout`, or both: `style_and_layout`.
    """

    adapter: IPAdapter
    features: torch.Tensor
    nothing: torch.Tensor
    masks: torch.Tensor | None = None
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    part: str = "all"


@value_type("style_tokens_hook")
@dataclass(frozen=True, kw_only=True, eq=False)
class StyleTokens:
    """Has a transformer read the style of pictures beside the text.

    Attributes:
        tokens: (1, n, C) in the transformer's own width.
    """

    tokens: torch.Tensor
