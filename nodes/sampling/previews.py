"""Cheap previews: a linear map from latents to colours at latent resolution, or a tiny autoencoder where there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graphflow import runtime
from graphflow.errors import ModelNotFoundError
from graphflow.values import Model, Vae

if TYPE_CHECKING:
    from torch import Tensor

    from graphflow.modelfiles.family import LatentFormat
    from graphflow.sampling.latent_space import LatentSpace
    from graphflow.sampling.network import Denoiser

Preview = Callable[["Tensor"], "Tensor | None"]
"""From latents (B, C, h, w) in the model's space to pictures (B, 3, H, W) in [0, 1], or None where nothing is known."""

PICTURES, EDGE, PATCH = 24, 64, 16
"""What a map is fitted on: so many pictures of this edge in pixels, in patches of one colour."""


def latent_to_rgb(latent: Tensor, factors: Tensor) -> Tensor:
    """Colours (B, 3, h, w) in [0, 1] of latents (B, C, h, w); `factors` is (C + 1, 3), the last row added."""
    import torch

    table = factors.to(latent)
    colours = torch.einsum("bchw,cr->brhw", latent, table[:-1]) + table[-1].reshape(1, 3, 1, 1)
    return colours.clamp(0, 1).float().cpu()


def published_factors(latent: LatentFormat) -> Tensor:
    """The published map of a family's latents, (C + 1, 3), to [0, 1]."""
    import torch

    return torch.cat([torch.tensor(latent.rgb) / 2, torch.full((1, 3), 0.5)])


def fit_factors(autoencoder: Any, space: LatentSpace) -> Tensor:
    """The best linear map from an autoencoder's latents to colours, (C + 1, 3), by least squares on coloured patches.

    Args:
        autoencoder: What ``Vae.use()`` gives.
        space: From its latents to the model's space.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    colours = torch.rand((PICTURES, 3, EDGE // PATCH, EDGE // PATCH), generator=generator)
    pixels = colours.repeat_interleave(PATCH, dim=-1).repeat_interleave(PATCH, dim=-2)
    latents = _flat(space.enter(autoencoder.encode(pixels)))
    wanted = torch.nn.functional.interpolate(pixels, size=latents.shape[-2:], mode="area")
    known = latents.permute(0, 2, 3, 1).flatten(0, 2)
    known = torch.cat([known, torch.ones(len(known), 1)], dim=1)
    solved: Tensor = torch.linalg.lstsq(known, wanted.permute(0, 2, 3, 1).flatten(0, 2)).solution
    return solved


def previewer(model: Model, loaded: Denoiser) -> Preview:
    """The best preview there is for a model: its tiny autoencoder, its family's published map, or one fitted now.

    Args:
        model: The model's recipe.
        loaded: What ``model.use()`` gave.
    """
    tiny = _tiny_autoencoder(loaded.latent.tiny, model.family)
    if tiny is not None:
        return _decoder(tiny, loaded)
    if loaded.text_width in loaded.latent.rgb_for:
        factors = published_factors(loaded.latent)
    else:
        own = _find(model.files[0].name, model.files[0].kind)
        if own is None:
            tiny_name = loaded.latent.tiny
            runtime.current().notice(
                "there are no previews of this model: its file has no autoencoder"
                + (f", and no folder vae has {tiny_name}" if tiny_name else "")
            )
            return lambda latent: None
        from graphflow.sampling.latent_space import space_of

        with own.use() as autoencoder:
            factors = fit_factors(autoencoder, space_of(loaded.latent))

    def preview(latent: Tensor) -> Tensor | None:
        latent = _flat(latent)
        fits = latent.ndim == 4 and latent.shape[1] + 1 == len(factors)
        return latent_to_rgb(latent, factors) if fits else None

    return preview


def _decoder(tiny: Vae, loaded: Denoiser) -> Preview:
    from graphflow.sampling.latent_space import space_of

    def preview(latent: Tensor) -> Tensor:
        with tiny.use() as autoencoder:
            pixels: Tensor = autoencoder.decode(space_of(loaded.latent).leave(latent.float().cpu()))
        return pixels

    return preview


def _flat(latent: Tensor) -> Tensor:
    """Videos of one frame as pictures."""
    return latent.squeeze(2) if latent.ndim == 5 else latent


def _tiny_autoencoder(name: str, family: str) -> Vae | None:
    found = _find(name, "vae") if name else None
    return None if found is None else Vae(files=tuple(replace(file, family=family) for file in found.files))


def _find(name: str, kind: str) -> Vae | None:
    models = runtime.current().models
    try:
        return Vae(files=(models.find(name, kind, part="vae"),))
    except ModelNotFoundError:
        return None
