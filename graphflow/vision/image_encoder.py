"""Image encoders: what a picture shows, as vectors.

CLIP (Radford et al. 2021, arXiv:2103.00020) and SigLIP (Zhai et al. 2023, arXiv:2303.15343).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.vision.clip_pixels import Crop, clip_pixels, seen_pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureEncoder:
    """What `ImageEncoder.use()` gives.

    Attributes:
        module: A transformers `CLIPVisionModelWithProjection` or `SiglipVisionModel`.
        device: Where it computes.
        dtype: Dtype it computes in.
    """

    module: Any
    device: torch.device
    dtype: torch.dtype

    def prepared(self, pixels: Tensor) -> Tensor:
        """Pictures (B, 3 or more, H, W) in [0, 1] as the encoder gets them."""
        return clip_pixels(pixels, int(self.module.config.image_size))

    @property
    def projects(self) -> bool:
        """Whether it has one vector a picture, in a space that it shares with text."""
        return hasattr(self.module, "visual_projection")

    @inference
    def vectors(self, pixels: Tensor, crop: Crop) -> Tensor:
        """One vector a picture, (B, D), in the space that it shares with text; float32 on the CPU.

        Args:
            pixels: (B, 3 or more, H, W) in [0, 1].
            crop: How they become square.

        Raises:
            InvalidInputError: The encoder has none.
        """
        if not self.projects:
            raise InvalidInputError(
                "the image encoder has no vector for a whole picture",
                where="image_encoder",
                advice="use a CLIP image encoder; SigLIP goes with style models",
            )
        found: Tensor = self.module(seen_pixels(self.module, pixels, crop)).image_embeds
        return found.float().cpu()

    @inference
    def states(self, pixels: Tensor, crop: Crop, layers: Sequence[int]) -> list[Tensor]:
        """Some hidden layers, (B, T, D) each; float32 on the CPU.

        Args:
            pixels: (B, 3 or more, H, W) in [0, 1].
            crop: How they become square.
            layers: Which, counted from the end; -1 is the last.

        Raises:
            InvalidInputError: It has not so many.
        """
        found = self.module(seen_pixels(self.module, pixels, crop), output_hidden_states=True).hidden_states
        if -min(layers) > len(found):
            raise InvalidInputError(
                f"the image encoder has {len(found) - 1} layers, and one of {-min(layers) - 1} or more is read",
                where="image_encoder",
                advice="use the image encoder that the patch was made with",
            )
        return [found[layer].float().cpu() for layer in layers]

    @inference
    def tokens(self, pixels: Tensor, crop: Crop) -> Tensor:
        """One vector a token of the last layer (B, T, D), as style models read them; float32 on the CPU.

        Args:
            pixels: (B, 3 or more, H, W) in [0, 1].
            crop: How they become square.
        """
        found: Tensor = self.module(seen_pixels(self.module, pixels, crop)).last_hidden_state
        return found.float().cpu()

    @inference
    def pooled(self, prepared: Tensor) -> Tensor:
        """One vector a picture, (B, D), projected to the space that CLIP shares with text; float32 on the CPU."""
        found: Tensor = self.module(prepared.to(self.device, self.dtype)).image_embeds
        return found.float().cpu()

    @inference
    def patches(self, prepared: Tensor) -> Tensor:
        """One vector a patch, (B, T, D), of the last layer but one; float32 on the CPU."""
        output = self.module(prepared.to(self.device, self.dtype), output_hidden_states=True)
        found: Tensor = output.hidden_states[-2]
        return found.float().cpu()
