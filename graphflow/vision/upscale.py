"""Upscalers: networks from pictures to larger or repaired pictures, in tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from graphflow import runtime
from graphflow.basics.finite import is_finite, require_finite
from graphflow.basics.inference import inference
from graphflow.basics.tiles import in_tiles, tile_count
from graphflow.errors import is_out_of_memory

SMALLEST_TILE = 64
"""Edge in pixels below which a tile is not made smaller when memory runs out."""


class UpscaleNetwork(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A network that spandrel recognised.

    Args:
        descriptor: spandrel's `ImageModelDescriptor`.

    Attributes:
        scale: Output pixels per input pixel along an edge.
        tiled: Whether it may work in tiles; some look at the whole picture, or make tiles of their own.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.model = descriptor.model
        self._descriptor = descriptor
        self.scale = int(descriptor.scale)
        self.tiled = descriptor.tiling.name != "INTERNAL"

    def supports(self, dtype: torch.dtype) -> bool:
        """Whether it computes in a dtype without overflowing."""
        if dtype == torch.float16:
            return bool(self._descriptor.supports_half)
        return dtype != torch.bfloat16 or bool(self._descriptor.supports_bfloat16)

    def forward(self, pixels: Tensor) -> Tensor:
        """From (1, 3, H, W) in [0, 1] to (1, 3, H * scale, W * scale)."""
        if self._descriptor.input_channels == 1:
            return torch.cat([self._descriptor(channel) for channel in pixels.split(1, dim=1)], dim=1)
        return cast(Tensor, self._descriptor(pixels))


@dataclass(kw_only=True, eq=False)
class Upscaler:
    """What `UpscaleModel.use()` gives.

    Attributes:
        network: The network.
        device: Where it computes.
        dtype: Dtype it computes in.
        upcast: Brings the network into float32; called once where half precision overflows.
    """

    network: UpscaleNetwork
    device: torch.device
    dtype: torch.dtype
    upcast: Callable[[], None]

    @inference
    def upscale(self, pixels: Tensor, tile: int, overlap: int) -> Tensor:
        """Upscale pictures, tile by tile, with progress and cancellation at each tile.

        Where memory runs out, the tiles are halved, down to `SMALLEST_TILE`.

        Args:
            pixels: (B, 3, H, W) in [0, 1].
            tile: Edge of the tiles in pixels of the input; 0 takes each picture whole.
            overlap: Pixels of the input that neighbouring tiles share.

        Returns:
            (B, 3, H * scale, W * scale) in [0, 1], float32 on the CPU.

        Raises:
            CancelledError: The user stopped the run.
            NonFiniteError: The network makes NaN in float32, too.
        """
        whole = max(pixels.shape[-2:])
        tile = min(tile, whole) if tile and self.network.tiled else whole
        while True:
            try:
                return self._in_tiles(pixels, tile, min(overlap, tile // 2))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or tile <= SMALLEST_TILE or not self.network.tiled:
                    raise
            # Only here is the failed attempt's traceback gone, and with it the tensors that it held.
            tile = max(SMALLEST_TILE, tile // 2)
            runtime.current().notice(f"memory ran out; the upscaler goes on in tiles of {tile} pixels")
            runtime.current().inexact("the upscaler worked in smaller tiles to save memory")

    def _in_tiles(self, pixels: Tensor, tile: int, overlap: int) -> Tensor:
        current = runtime.current()
        total = len(pixels) * tile_count(pixels.shape[-2], tile, overlap) * tile_count(pixels.shape[-1], tile, overlap)
        done = 0

        def compute(part: Tensor) -> Tensor:
            nonlocal done
            current.check_cancelled()
            result = self._one(part)
            done += 1
            current.report(done, total, None)
            return result

        found = in_tiles(
            compute, pixels, tile=(tile, tile), overlap=overlap, scale=float(self.network.scale), channels=3
        )
        return found.clamp(0.0, 1.0)

    def _one(self, pixels: Tensor) -> Tensor:
        result = self._compute(pixels)
        if self.dtype != torch.float32 and not is_finite(result):
            runtime.current().notice(f"the picture overflows in {str(self.dtype)[6:]}: the upscaler goes on in float32")
            self.upcast()
            self.dtype = torch.float32
            result = self._compute(pixels)
        require_finite(result, "the upscaled picture", "the upscaler's file may be damaged: download it again")
        return result

    def _compute(self, pixels: Tensor) -> Tensor:
        result: Tensor = self.network(pixels.to(self.device, self.dtype))
        return result.float().cpu()
