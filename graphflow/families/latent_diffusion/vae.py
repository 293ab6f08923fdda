"""Pixels to latents and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphflow import runtime
from graphflow.basics.finite import is_finite, require_finite
from graphflow.basics.inference import inference
from graphflow.basics.tiles import in_tiles
from graphflow.families.latent_diffusion.saving import VAE, Config, Tensors, vae_tensors

OVERLAP = 64
"""Pixels that neighbouring tiles share unless told otherwise."""

MEMORY_TILE = 512
"""Edge in pixels of the tiles that the memory ladder asks for."""


@dataclass(kw_only=True, eq=False)
class Autoencoder:
    """What `Vae.use()` gives.

    Attributes:
        module: A Diffusers `AutoencoderKL` or `AutoencoderTiny`.
        device: Where it computes.
        dtype: Dtype it computes in.
        downscale: Pixels per latent sample along an edge.
        latent_channels: Channels C of its latents.
        pixel_channels: Channels of its pictures: 3, or 4 with alpha.
        upcast: Brings the module into float32; called once where half precision overflows.
        latent_scale: Factor between this module's latents and raw ones: 1, but a tiny autoencoder stands for
            another one together with the family's scale.
        save_memory: Decode large pictures in tiles although nobody asked.
        axes: Axes behind the channels of the latents that it was made for: 2 for pictures, 3 for video.
    """

    module: Any
    device: torch.device
    dtype: torch.dtype
    downscale: int
    latent_channels: int
    upcast: Callable[[], None]
    pixel_channels: int = 3
    latent_scale: float = 1.0
    save_memory: bool = False
    axes: ClassVar[int] = 2

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Tensors in the original layout and config, alone or as they stand in a whole checkpoint.

        Raises:
            ModelFormatError: It is of another kind than AutoencoderKL.
        """
        return vae_tensors(self.module, VAE if whole else "")

    @inference
    def encode(self, pixels: Tensor, tile: int = 0, overlap: int = OVERLAP) -> Tensor:
        """Encode pictures; what does not fill a whole latent sample is cut off evenly at both sides.

        Args:
            pixels: (B, 3 or more, H, W) in [0, 1]; channels that it does not read are left out, and what has no alpha is
                opaque.
            tile: Edge of the tiles in pixels; 0 encodes each picture whole.
            overlap: Pixels that neighbouring tiles share.

        Returns:
            The mode of the distribution, raw latents (B, C, H / f, W / f), float32 on the CPU.

        Raises:
            NonFiniteError: The autoencoder makes NaN in float32, too.
        """
        pixels = self._enter(_whole_samples(_with_channels(pixels, self.pixel_channels), self.downscale))
        tile, overlap = self._tile(tile, overlap, pixels.shape[-2:], 1)
        compute = (
            self._whole(self._encode) if not tile else self._tiled(self._encode, tile, overlap, 1 / self.downscale)
        )
        return self._checked(compute, pixels, "the latent") / self.latent_scale

    @inference
    def decode(self, latents: Tensor, tile: int = 0, overlap: int = OVERLAP) -> Tensor:
        """Decode latents.

        Args:
            latents: (B, C, h, w), raw (before the family's scale and shift).
            tile: Edge of the tiles in pixels; 0 decodes each picture whole.
            overlap: Pixels that neighbouring tiles share.

        Returns:
            (B, 3 or 4, h * f, w * f) in [0, 1], float32 on the CPU.

        Raises:
            NonFiniteError: The autoencoder makes NaN in float32, too.
        """
        f = self.downscale
        tile, overlap = self._tile(tile, overlap, latents.shape[-2:], f)
        compute = (
            self._whole(self._decode) if not tile else self._tiled(self._decode, tile // f, overlap // f, float(f))
        )
        return self._leave(self._checked(compute, latents * self.latent_scale, "the picture"))

    def _tile(self, tile: int, overlap: int, size: torch.Size, factor: int) -> tuple[int, int]:
        """The tile to use: what was asked for, or the memory ladder's where the picture is larger."""
        if tile or not self.save_memory or max(size) * factor <= MEMORY_TILE:
            return max(tile, 2 * self.downscale) if tile else 0, min(overlap, tile // 2)
        runtime.current().inexact("the autoencoder worked in tiles to save memory")
        return MEMORY_TILE, OVERLAP

    def _checked(self, compute: Callable[[Tensor], Tensor], source: Tensor, what: str) -> Tensor:
        result = compute(source)
        if self.dtype != torch.float32 and not is_finite(result):
            runtime.current().notice(f"{what} overflows in {str(self.dtype)[6:]}: the autoencoder goes on in float32")
            self.upcast()
            self.dtype = torch.float32
            result = compute(source)
        require_finite(
            result, what, "look for NaN in what the autoencoder got: a damaged checkpoint, or sampling that diverged"
        )
        return result

    def _whole(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        # One by one: a batch needs no more memory than a picture, and its size changes no result.
        return lambda source: torch.cat([function(item).float().cpu() for item in source.split(1)])

    def _tiled(
        self, function: Callable[[Tensor], Tensor], tile: int, overlap: int, scale: float
    ) -> Callable[[Tensor], Tensor]:
        """The mean of three tilings, square, tall and wide, so that no seam is in the same place in all of them."""

        def compute(source: Tensor) -> Tensor:
            channels = self.latent_channels if scale < 1 else self.pixel_channels
            shapes = ((tile, tile), (max(overlap + 1, tile // 2), tile * 2), (tile * 2, max(overlap + 1, tile // 2)))
            total: Tensor | None = None
            for shape in shapes:
                part = in_tiles(
                    lambda item: function(item).float().cpu(),
                    source,
                    tile=shape,
                    overlap=overlap,
                    scale=scale,
                    channels=channels,
                )
                total = part if total is None else total + part
            assert total is not None
            return total / len(shapes)

        return compute

    def _enter(self, pixels: Tensor) -> Tensor:
        return pixels * 2.0 - 1.0

    def _leave(self, pixels: Tensor) -> Tensor:
        return (pixels / 2.0 + 0.5).clamp(0.0, 1.0)

    def _encode(self, pixels: Tensor) -> Tensor:
        output = self.module.encode(pixels.to(self.device, self.dtype))
        latents: Tensor = output.latent_dist.mode() if hasattr(output, "latent_dist") else output.latents
        return latents

    def _decode(self, latents: Tensor) -> Tensor:
        pixels: Tensor = self.module.decode(latents.to(self.device, self.dtype)).sample
        return pixels


def _with_channels(pixels: Tensor, count: int) -> Tensor:
    opaque = torch.ones_like(pixels[:, :1]).expand(-1, max(0, count - pixels.shape[1]), -1, -1)
    return torch.cat([pixels[:, :count], opaque], dim=1)


def _whole_samples(pixels: Tensor, downscale: int) -> Tensor:
    height, width = pixels.shape[-2:]
    rows, columns = height % downscale, width % downscale
    top, left = rows // 2, columns // 2
    return pixels[..., top : top + height - rows, left : left + width - columns]
