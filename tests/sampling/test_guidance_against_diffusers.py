"""Diffusers' guiders compute the same, where they have the method."""

from __future__ import annotations

import pytest
import torch
from diffusers.guiders import adaptive_projected_guidance as apg
from diffusers.guiders import tangential_classifier_free_guidance as tcfg
from diffusers.guiders.classifier_free_zero_star_guidance import cfg_zero_star_scale
from diffusers.guiders.guider_utils import rescale_noise_cfg

from graphflow.sampling.guidance import match_spread
from graphflow.sampling.modifiers import AdaptiveProjected, Tangential, ZeroStar
from tests.sampling.predictions import SCALE, guided, predictions, tensor


@pytest.mark.parametrize("eta", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_adaptive_projected_guidance(eta: float, threshold: float) -> None:
    p = predictions()
    expected = apg.normalized_guidance(p.cond, p.uncond, SCALE - 1, None, eta, threshold, use_original_formulation=True)
    got = guided(AdaptiveProjected(eta=eta, norm_threshold=threshold))
    assert torch.allclose(got, expected, atol=1e-4)


def test_its_momentum() -> None:
    buffer, modifier = apg.MomentumBuffer(-0.5), AdaptiveProjected(norm_threshold=0.0, momentum=-0.5)
    for seed, sigma in ((2, 3.0), (3, 2.0), (4, 1.0)):
        p = predictions(cond=tensor(seed), sigma=torch.tensor(sigma))
        expected = apg.normalized_guidance(p.cond, p.uncond, SCALE - 1, buffer, use_original_formulation=True)
        assert torch.allclose(guided(modifier, p=p), expected, atol=1e-4)


def test_tangential_damping() -> None:
    p = predictions()
    expected = tcfg.normalized_guidance(p.x - p.cond, p.x - p.uncond, SCALE)
    assert torch.allclose(p.x - guided(Tangential()), expected, atol=1e-3)


def test_zero_star() -> None:
    p = predictions()
    cond, uncond = p.x - p.cond, p.x - p.uncond
    scaled = uncond * cfg_zero_star_scale(cond.flatten(1), uncond.flatten(1)).reshape(-1, 1, 1, 1)
    assert torch.allclose(p.x - guided(ZeroStar()), scaled + SCALE * (cond - scaled), atol=1e-4)


def test_rescaling() -> None:
    a, b = tensor(1), 3 * tensor(2)
    assert torch.allclose(match_spread(b, a, 0.7), rescale_noise_cfg(b, a, 0.7), atol=1e-5)
