"""FreeU (Si et al. 2023, arXiv:2309.11497), both versions of its authors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphflow import runtime
from graphflow.families.latent_diffusion.hooks.modules import removing

if TYPE_CHECKING:
    from graphflow.values.network_hooks import FreeU

_RADIUS = 1
"""Half the edge of the square of low frequencies that is weakened."""


@contextmanager
def freeu(unet: Any, hook: FreeU) -> Iterator[None]:
    """Change what the decoder's residual blocks read, until the block ends.

    As its authors have it, a stage is told by its width: four times the UNet's first width takes b1 and s1, twice that
    width b2 and s2.
    """
    first = int(unet.config.block_out_channels[0])
    factors = {4 * first: (hook.b1, hook.s1), 2 * first: (hook.b2, hook.s2)}
    width = int(unet.config.block_out_channels[-1])
    handles = []
    for block in unet.up_blocks:
        for resnet in block.resnets:
            if width in factors:
                handles.append(resnet.register_forward_pre_hook(_change(width, *factors[width], method=hook.method)))
            width = int(resnet.out_channels)
    if not handles:
        runtime.current().notice(f"freeu does nothing here: no stage of the decoder is {2 * first} or {4 * first} wide")
    with removing(*handles):
        yield


def _change(width: int, backbone: float, skip: float, *, method: str) -> Any:
    def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        # The residual block reads the backbone's channels first, then the skip connection's.
        hidden, connection = args[0][:, :width], args[0][:, width:]
        scale: Tensor | float = backbone
        if method == "v2":
            mean = hidden.mean(1, keepdim=True)
            low, high = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
            scale = (backbone - 1.0) * (mean - low) / (high - low) + 1.0
        half = width // 2
        joined = torch.cat([hidden[:, :half] * scale, hidden[:, half:], scale_low_frequencies(connection, skip)], dim=1)
        return (joined, *args[1:])

    return before


def scale_low_frequencies(x: Tensor, factor: float) -> Tensor:
    """Multiply the lowest frequencies of (B, C, h, w) by a factor; same shape and dtype."""
    spectrum = torch.fft.fftshift(torch.fft.fftn(x.float(), dim=(-2, -1)), dim=(-2, -1))
    row, column = x.shape[-2] // 2, x.shape[-1] // 2
    spectrum[..., max(0, row - _RADIUS) : row + _RADIUS, max(0, column - _RADIUS) : column + _RADIUS] *= factor
    return torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=(-2, -1)), dim=(-2, -1)).real.to(x.dtype)
