"""Nodes that change how a model is guided. They give the model with one more change; sampling applies it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Conditioning, Model
from graphflow.values.sampling_hooks import DifferentialHook, GuidanceHook, PerpNegHook

from ..choices import Denoiser, LatentRadius, Plateau, Share, Sharpness, Spread

__all__ = [
    "adaptive_projected_guidance",
    "cfg_zero_star",
    "differential_diffusion",
    "dynamic_thresholding",
    "guidance_interval",
    "limit_guidance_norm",
    "perp_neg_guidance",
    "ramp_guidance",
    "renormalize_guidance",
    "rescale_guidance",
    "scale_epsilon",
    "scale_guidance_frequencies",
    "sharpen_guidance",
    "tangential_guidance",
    "tonemap_guidance",
]


@node("rescale_guidance", map=True)
def rescale_guidance(
    model: Denoiser, multiplier: Annotated[Share, Field(description="share of the rescaled result")] = 0.7
) -> Model:
    """Keep guidance from making pictures overexposed: its result gets the spread of the conditional prediction.

    Lin et al. 2023, arXiv:2305.08891, section 3.4.
    """
    return _guided(model, "rescale", multiplier=multiplier)


@node("adaptive_projected_guidance", map=True)
def adaptive_projected_guidance(
    model: Denoiser,
    eta: Annotated[
        float, Field(ge=-10, le=10, description="weight of the part that oversaturates; 0 removes it")
    ] = 1.0,
    norm_threshold: Annotated[float, Field(ge=0, le=50, description="largest guidance step; 0 has no limit")] = 5.0,
    momentum: Annotated[float, Field(ge=-5, le=1, description="weight of earlier steps; -0.5 in the paper")] = 0.0,
) -> Model:
    """Guide without oversaturation at high scales (APG; Sadat et al. 2024, arXiv:2410.02416)."""
    return _guided(model, "adaptive_projected", eta=eta, norm_threshold=norm_threshold, momentum=momentum)


@node("perp_neg_guidance", map=True)
def perp_neg_guidance(
    model: Denoiser,
    empty: Annotated[Conditioning, Field(description="the empty prompt")],
    negative_scale: Annotated[
        float, Field(ge=0, le=100, description="how strongly to avoid the negative prompt")
    ] = 1.0,
) -> Model:
    """Avoid only what is in the negative prompt and not in the positive one (Perp-Neg, arXiv:2304.04968)."""
    return model.hooked(PerpNegHook(empty=empty, negative_scale=negative_scale))


@node("cfg_zero_star", map=True)
def cfg_zero_star(
    model: Denoiser,
    zero_init: Annotated[Share, Field(description="share of sampling at whose steps the latent stays")] = 0.0,
) -> Model:
    """Scale the unconditional velocity before guiding, for flow models (CFG-Zero*; Fan et al. 2025, arXiv:2503.18886)."""
    return _guided(model, "zero_star", zero_init=zero_init)


@node("tangential_guidance", map=True)
def tangential_guidance(model: Denoiser) -> Model:
    """Damp what in the unconditional prediction leads off the way (TCFG; Kwon et al. 2025, arXiv:2503.18137)."""
    return _guided(model, "tangential")


@node("limit_guidance_norm", map=True)
def limit_guidance_norm(
    model: Denoiser, strength: Annotated[float, Field(ge=0, le=100, description="factor on the result")] = 1.0
) -> Model:
    """Keep guided predictions, place by place, no longer than the conditional ones; for editing models."""
    return _guided(model, "norm_limit", strength=strength)


@node("renormalize_guidance", map=True)
def renormalize_guidance(
    model: Denoiser,
    max_norm: Annotated[
        float,
        Field(ge=0, le=100, description="longest guided velocity, in lengths of the conditional one; 0: no limit"),
    ] = 1.0,
    guide_below: Annotated[
        float, Field(ge=0, le=100, description="noise level from which on guidance is left out")
    ] = 100.0,
    of: Annotated[
        Literal["velocity", "clean"], Field(description="whose length is limited; ComfyUI has that of clean samples")
    ] = "velocity",
) -> Model:
    """Keep guided velocities no longer than the conditional one (Lumina-Image 2.0, arXiv:2503.21758)."""
    return _guided(model, "renormalize", max_norm=max_norm, guide_below=guide_below, of=of)


@node("dynamic_thresholding", map=True)
def dynamic_thresholding(
    model: Denoiser,
    mimic_scale: Annotated[float, Field(ge=0, le=100, description="the guidance scale whose contrast is kept")] = 7.0,
    percentile: Annotated[
        float, Field(gt=0, le=1, description="share of the values that count; the rest is clipped")
    ] = 1.0,
) -> Model:
    """Guide at a high scale with the contrast of a low one (after Saharia et al. 2022, arXiv:2205.11487, section 2.3)."""
    return _guided(model, "dynamic_threshold", mimic_scale=mimic_scale, percentile=percentile)


@node("scale_guidance_frequencies", map=True)
def scale_guidance_frequencies(
    model: Denoiser,
    low: Annotated[float, Field(ge=0, le=10, description="weight of coarse structure")] = 1.0,
    high: Annotated[float, Field(ge=0, le=10, description="weight of fine structure")] = 1.25,
    cutoff: Annotated[
        int, Field(ge=1, le=10000, description="waves across the picture up to which structure is coarse")
    ] = 20,
) -> Model:
    """Guide coarse and fine structure with weights of their own (FreSca, Huang et al. 2025, arXiv:2504.02154)."""
    return _guided(model, "frequency_scale", low=low, high=high, cutoff=cutoff)


@node("guidance_interval", map=True)
def guidance_interval(
    model: Denoiser,
    start: Annotated[Share, Field(description="share of sampling at which guidance begins")] = 0.0,
    end: Annotated[Share, Field(description="share of sampling at which guidance ends")] = 1.0,
) -> Model:
    """Guide in a part of sampling only (Kynkäänniemi et al. 2024, arXiv:2404.07724)."""
    return _guided(model, "interval", start=start, end=end)


@node("ramp_guidance", map=True)
def ramp_guidance(
    model: Denoiser,
    min_scale: Annotated[
        float, Field(ge=0, le=100, description="guidance scale of the first picture of a batch, or of both ends")
    ] = 1.0,
    shape: Annotated[
        Literal["linear", "triangle"],
        Field(description="linear: up to the sampler's scale at the last; triangle: up to it in the middle and back"),
    ] = "linear",
) -> Model:
    """Guide each picture of a batch at a scale of its own, as video models want it (SVD, arXiv:2311.15127)."""
    return _guided(model, "ramp", min_scale=min_scale, triangle=shape == "triangle")


@node("sharpen_guidance", map=True)
def sharpen_guidance(
    model: Denoiser,
    radius: LatentRadius = 9,
    sigma: Spread = 1.0,
    strength: Sharpness = 0.1,
    start: Annotated[Share, Field(description="share of sampling at which it begins")] = 0.0,
    end: Annotated[Share, Field(description="share of sampling at which it ends")] = 1.0,
) -> Model:
    """Guide in the direction from the negative to the positive prediction, sharpened as sharpen_latent does."""
    return _guided(model, "sharpen", radius=radius, sigma=sigma, strength=strength, start=start, end=end)


@node("tonemap_guidance", map=True)
def tonemap_guidance(
    model: Denoiser,
    multiplier: Plateau = 1.0,
    start: Annotated[Share, Field(description="share of sampling at which it begins")] = 0.0,
    end: Annotated[Share, Field(description="share of sampling at which it ends")] = 1.0,
) -> Model:
    """Guide in the direction from the negative to the positive prediction, its large vectors compressed (tonemap_latent).

    High scales oversaturate less; the tone mapping is Reinhard's (SIGGRAPH 2002).
    """
    return _guided(model, "tonemap", multiplier=multiplier, start=start, end=end)


@node("scale_epsilon", map=True)
def scale_epsilon(
    model: Denoiser,
    factor: Annotated[float, Field(ge=0.5, le=1.5, description="what predicted noise is divided by")] = 1.005,
) -> Model:
    """Make up for noise that models predict a little too strongly on their own results (arXiv:2308.15321)."""
    return _guided(model, "epsilon_scale", factor=factor)


@node("differential_diffusion", map=True)
def differential_diffusion(
    model: Denoiser, strength: Annotated[Share, Field(description="share of it against the plain mask")] = 1.0
) -> Model:
    """Read grey values of a noise mask as how much a place may change (Levin and Fried 2023, arXiv:2306.00950)."""
    return model.hooked(DifferentialHook(strength=strength))


def _guided(model: Model, method: str, **options: float | str) -> Model:
    return model.hooked(GuidanceHook(method=method, options=options))
