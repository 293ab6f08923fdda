"""Cheap previews: a linear map from latents to colours, at latent resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FACTORS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "sd": (
        (0.3444, 0.1385, 0.0670),
        (0.1247, 0.4027, 0.1494),
        (-0.3192, 0.2513, 0.2103),
        (-0.1307, -0.1874, -0.7445),
    ),
    "sdxl": (
        (0.3816, 0.4930, 0.5320),
        (-0.3753, 0.1631, 0.1739),
        (0.1770, 0.3588, -0.2048),
        (-0.4350, -0.2644, -0.4289),
    ),
}
"""By family: red, green and blue in [-1, 1] for one unit of each latent channel, in the model's scaled space.

Least-squares fits of decoded pictures against latents, published for SD 1 by K. Turner (discuss.huggingface.co,
"Decoding latents to RGB without upscaling", 2022) and for SDXL in InvokeAI (Apache-2.0).
"""


def latent_to_rgb(latent: Tensor, family: str) -> Tensor | None:
    """Approximate the picture behind scaled latents (B, C, h, w) as (B, 3, h, w) in [0, 1]; None for other families."""
    import torch

    factors = FACTORS.get(family)
    if factors is None or latent.ndim != 4 or latent.shape[1] != len(factors):
        return None
    table = torch.tensor(factors, dtype=latent.dtype, device=latent.device)
    return ((torch.einsum("bchw,cr->brhw", latent, table) + 1) / 2).clamp(0, 1).float().cpu()
