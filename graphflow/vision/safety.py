"""The safety checker of Stable Diffusion: which pictures look like what it was told to flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.vision.clip_pixels import CLIP_MEAN, CLIP_STD, clip_pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureChecker:
    """What `SafetyChecker.use()` gives.

    Attributes:
        module: A Diffusers `StableDiffusionSafetyChecker`.
        device: Where it computes.
        dtype: Dtype it computes in.
        mean: Means of the channels, as in `preprocessor_config.json`.
        std: Their standard deviations.
    """

    module: Any
    device: torch.device
    dtype: torch.dtype
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    @inference
    def check(self, pixels: Tensor) -> tuple[bool, ...]:
        """Flag pictures.

        Args:
            pixels: (B, 3 or more, H, W) in [0, 1].

        Returns:
            For each picture, whether it is flagged.
        """
        if not len(pixels):
            return ()
        size = int(self.module.config.vision_config.image_size)
        prepared = clip_pixels(pixels, size, self.mean, self.std)
        # The checker blackens what it flags; it is given one pixel of each to do so.
        decoys: Any = np.zeros((len(pixels), 1, 1, 3), dtype=np.float32)
        _, flags = self.module(clip_input=prepared.to(self.device, self.dtype), images=decoys)
        return tuple(bool(flag) for flag in flags)


def statistics(config: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation from a `preprocessor_config.json`; CLIP's where it does not say."""
    mean, std = config.get("image_mean"), config.get("image_std")
    if not (isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) == 3):
        return {"mean": CLIP_MEAN, "std": CLIP_STD}
    return {"mean": tuple(float(value) for value in mean), "std": tuple(float(value) for value in std)}
