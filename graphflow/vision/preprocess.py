"""What a ControlNet reads, drawn from pictures by the detectors of controlnet-aux."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from graphflow import runtime
from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.vision.annotators import Annotator, quiet

STEP = 64
"""Detectors work on pictures whose edges are multiples of this."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocessor:
    """A detector in place.

    Attributes:
        method: What it does.
        detector: An object of controlnet-aux.
    """

    method: Annotator
    detector: Any

    @inference
    def draw(self, pixels: Tensor, resolution: int, seed: int) -> Tensor:
        """Draw pictures, one by one, with progress and cancellation between them.

        Args:
            pixels: (B, 3 or more, H, W) in [0, 1].
            resolution: Pixels of the shorter edge on which the detector works.
            seed: Where its random numbers begin; picture i has seed + i.

        Returns:
            (B, 3, H, W) in [0, 1], float32.

        Raises:
            CancelledError: The user stopped the run.
            InvalidInputError: A picture is so narrow that nothing is left at this resolution.
        """
        current = runtime.current()
        drawn: list[Tensor] = []
        for index, item in enumerate(pixels[:, :3]):
            current.check_cancelled()
            drawn.append(self._one(item, resolution, seed + index))
            current.report(index + 1, len(pixels), None)
        return torch.stack(drawn)

    def _one(self, item: Tensor, resolution: int, seed: int) -> Tensor:
        height, width = item.shape[-2:]
        if round(resolution / STEP) < 1 or max(height, width) * resolution // min(height, width) > 2**15:
            raise InvalidInputError(f"a picture of {width}x{height} cannot be drawn at {resolution}", where="image")
        picture = (item.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        sizes = {"detect_resolution": resolution, "output_type": "np"}
        if self.method.module not in ("teed", "lineart_standard"):
            sizes["image_resolution"] = resolution
        with quiet(), _seeded(seed) if self.method.random else nullcontext():
            found = self.detector(np.ascontiguousarray(picture), **sizes, **self.method.calling)
        if self.method.pick is not None:
            found = found[self.method.pick]
        result = torch.from_numpy(np.ascontiguousarray(found)).float().div(255)
        result = result[None, None].expand(1, 3, -1, -1) if result.ndim == 2 else result.permute(2, 0, 1)[None]
        if result.shape[-2:] != (height, width):
            result = functional.interpolate(
                result, size=(height, width), mode="bilinear", antialias=True, align_corners=False
            )
        return result[0, :3].clamp(0, 1)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python and numpy, which the package draws from, and put them back."""
    state: Any = np.random.get_state()
    plain = random.getstate()
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
        random.setstate(plain)
