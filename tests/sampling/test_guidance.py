"""Guiders and what changes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.pixels.latents import sharpen_latent, tonemap_latent
from graphflow.sampling.guidance import (
    AwayFromVariation,
    ClassifierFree,
    Modifier,
    Predictions,
    VariedNegative,
    guide,
)
from graphflow.sampling.guiders import DualClassifierFree, PerpendicularNegative, Unguided
from graphflow.sampling.modifiers import (
    AdaptiveProjected,
    DynamicThreshold,
    EpsilonScale,
    FrequencyScale,
    NormLimit,
    Ramp,
    Renormalize,
    Rescale,
    SharpenDirection,
    Tangential,
    TonemapDirection,
    ZeroStar,
)
from tests.closeness import close
from tests.sampling.predictions import SCALE, guided, predictions, tensor
from tests.sampling.toy import DISCRETE, FLOW


def plain(p: Predictions | None = None) -> Tensor:
    p = p or predictions()
    return p.uncond + p.scale * (p.cond - p.uncond)


# ------------------------------------------------------------------------------------------------ guiders


def test_classifier_free_guidance_extrapolates() -> None:
    assert torch.allclose(guided(), plain(), atol=1e-5)
    p = predictions(scale=1.0)
    assert ClassifierFree(scale=1.0)(p) is p.cond
    assert ClassifierFree(scale=1.0).sides == ("positive",)
    assert ClassifierFree(scale=0.0).sides == ("positive", "negative")


def test_without_guidance_the_conditional_prediction_stands() -> None:
    p = predictions()
    assert Unguided()(p) is p.cond


def test_dual_guidance_by_the_middle_and_the_positive_side() -> None:
    middle = tensor(5)
    p = predictions(others={"middle": middle})
    got = DualClassifierFree(scale=SCALE, middle_scale=1.5)(p)
    assert torch.allclose(got, p.uncond + 1.5 * (middle - p.uncond) + SCALE * (p.cond - middle), atol=1e-5)
    nested = DualClassifierFree(scale=SCALE, middle_scale=1.5, nested=True)(p)
    first = middle + SCALE * (p.cond - middle)
    assert torch.allclose(nested, p.uncond + 1.5 * (first - p.uncond), atol=1e-5)


def test_perpendicular_negative_takes_nothing_from_a_parallel_prompt() -> None:
    empty = tensor(6)
    wanted = tensor(7)
    p = predictions(cond=empty + wanted, uncond=empty + 0.5 * wanted, others={"empty": empty})
    assert torch.allclose(PerpendicularNegative(scale=SCALE)(p), empty + SCALE * wanted, atol=1e-4)
    across = torch.zeros_like(wanted)
    across[:, 0], along = 1.0, wanted.clone()
    along[:, 0] = 0.0
    p = predictions(cond=empty + along, uncond=empty + across, others={"empty": empty})
    got = PerpendicularNegative(scale=SCALE, negative_scale=0.5)(p)
    assert torch.allclose(got, empty + SCALE * (along - 0.5 * across), atol=1e-4)


@pytest.mark.parametrize(
    ("triangle", "scales"), [(False, [1.0, 2.0, 3.0, 4.0, 5.0]), (True, [1.0, 3.0, 5.0, 3.0, 1.0])]
)
def test_a_ramp_guides_each_item_at_its_own_scale(triangle: bool, scales: list[float]) -> None:
    shape = (5, 4, 8, 8)
    p = predictions(x=tensor(1, shape), cond=tensor(2, shape), uncond=tensor(3, shape), scale=5.0)
    found = guide(ClassifierFree(scale=5.0), [Ramp(min_scale=1.0, triangle=triangle)], p)[0]
    expected = torch.stack([p.uncond[i] + scale * (p.cond[i] - p.uncond[i]) for i, scale in enumerate(scales)])
    assert torch.allclose(found, expected, atol=1e-5)


# ---------------------------------------------------------------------------------------------- the stages


class Note(Modifier):
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def before(self, predictions: Predictions) -> Predictions:
        self.log.append(f"before {self.name}")
        return predictions

    def combine(self, predictions: Predictions, guided: Tensor) -> Tensor:
        self.log.append(f"combine {self.name}")
        return guided

    def after(self, predictions: Predictions, guided: Tensor) -> Tensor:
        self.log.append(f"after {self.name}")
        return guided


def test_modifiers_act_stage_by_stage_in_their_order() -> None:
    log: list[str] = []
    guided(Note("a", log), Note("b", log))
    assert log == ["before a", "before b", "combine a", "combine b", "after a", "after b"]


def test_guidance_away_from_a_variation_acts_in_its_share_of_sampling() -> None:
    p = predictions()
    moved = guided(AwayFromVariation(variation="weak", scale=2.0))
    assert torch.allclose(moved, plain() + 2.0 * (p.cond - 0.4 * p.x), atol=1e-5)
    assert torch.allclose(guided(AwayFromVariation(variation="weak", scale=2.0, start=0.9)), plain(), atol=1e-5)
    rescaled = guided(AwayFromVariation(variation="weak", scale=2.0, rescale=1.0))
    assert torch.allclose(rescaled.std(dim=(1, 2, 3)), p.cond.std(dim=(1, 2, 3)), rtol=1e-4)


def test_a_weakened_network_makes_the_negative_prediction_in_its_share_of_sampling() -> None:
    p = predictions()
    wanted = 0.4 * p.x + SCALE * (p.cond - 0.4 * p.x)
    assert torch.allclose(guided(VariedNegative(variation="weak")), wanted, atol=1e-5)
    assert torch.allclose(guided(VariedNegative(variation="weak", start=0.9)), plain(), atol=1e-5)
    alone = predictions(cond=p.cond, uncond=p.cond, scale=1.0)
    assert guide(ClassifierFree(scale=1.0), [VariedNegative(variation="weak")], alone)[0] is p.cond


# --------------------------------------------------------------------------------------------- the formulas


@pytest.mark.parametrize("sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
def test_rescaled_guidance_has_the_spread_of_the_conditional_velocity(sampling: Any) -> None:
    p = predictions(levels=sampling, sigma=torch.tensor(0.7))

    def velocity(denoised: Tensor) -> Tensor:
        if sampling.is_flow:
            return (p.x - denoised) / p.sigma
        norm = (p.sigma**2 + 1) ** 0.5
        return (p.x / norm**2 - denoised) * norm / p.sigma

    rescaled = velocity(guided(Rescale(multiplier=1.0), p=p))
    assert torch.allclose(rescaled.std(dim=(1, 2, 3)), velocity(p.cond).std(dim=(1, 2, 3)), rtol=1e-4)
    assert torch.allclose(guided(Rescale(multiplier=0.0), p=p), plain(p), atol=1e-5)


def test_adaptive_projected_guidance_is_the_plain_one_with_neutral_options() -> None:
    assert torch.allclose(guided(AdaptiveProjected(eta=1.0, norm_threshold=0.0)), plain(), atol=1e-5)


def test_adaptive_projected_guidance_moves_across_the_conditional_prediction_and_no_further_than_its_norm() -> None:
    p = predictions()
    update = (guided(AdaptiveProjected(eta=0.0, norm_threshold=0.1)) - p.cond) / (SCALE - 1)
    inner = (update * p.cond).sum(dim=(1, 2, 3))
    assert torch.allclose(inner, torch.zeros(2), atol=1e-4)
    assert float(update.flatten(1).norm(dim=1).max()) <= 0.1 + 1e-5


def test_momentum_remembers_within_a_run() -> None:
    modifier = AdaptiveProjected(eta=1.0, norm_threshold=0.0, momentum=-0.5)
    p = predictions()
    direction = p.cond - p.uncond
    assert torch.allclose(guided(modifier), plain(), atol=1e-5)
    second = guided(modifier, p=predictions(sigma=torch.tensor(1.0)))
    assert torch.allclose(second, p.cond + (SCALE - 1) * 0.5 * direction, atol=1e-5)
    again = guided(modifier, p=predictions(sigma=torch.tensor(9.0)))
    assert torch.allclose(again, plain(), atol=1e-5)


def test_zero_star_scales_the_unconditional_velocity_to_the_conditional_one() -> None:
    x = tensor(1)
    velocity = tensor(2)
    p = predictions(x=x, cond=x - velocity, uncond=x - 3.0 * velocity)
    assert torch.allclose(guided(ZeroStar(), p=p), p.cond, atol=1e-4)


def test_zero_star_stands_still_in_the_beginning() -> None:
    early = predictions(sigma=DISCRETE.sigmas[-1])
    assert torch.equal(guided(ZeroStar(zero_init=0.1), p=early), early.x)
    late = predictions(sigma=DISCRETE.sigmas[100])
    assert not close(guided(ZeroStar(zero_init=0.1), p=late), late.x)


def test_tangential_damping_keeps_what_lies_along_both_scores() -> None:
    x, score = tensor(1), tensor(2)
    p = predictions(x=x, cond=x - score, uncond=x - 0.5 * score)
    assert torch.allclose(guided(Tangential(), p=p), plain(p), atol=1e-4)


def test_tangential_damping_equals_the_projection_on_the_first_singular_vector() -> None:
    p = predictions()
    seen: list[Predictions] = []

    class Spy(Modifier):
        def before(self, predictions: Predictions) -> Predictions:
            seen.append(predictions)
            return predictions

    guided(Tangential(), Spy(), p=p)
    for item in range(2):
        scores = torch.stack([(p.x - side)[item].flatten() for side in (p.cond, p.uncond)]).double()
        first = torch.linalg.svd(scores, full_matrices=False).Vh[0]
        kept = (scores[1] @ first) * first
        assert torch.allclose((p.x - seen[0].uncond)[item].flatten().double(), kept, atol=1e-5)


@pytest.mark.parametrize(
    ("modifier", "operation"),
    [
        (TonemapDirection(multiplier=0.3), lambda direction: tonemap_latent(direction, 0.3)),
        (SharpenDirection(radius=2, strength=0.7), lambda direction: sharpen_latent(direction, 2, 1.0, 0.7)),
    ],
)
def test_operations_change_the_direction_of_guidance(
    modifier: SharpenDirection | TonemapDirection, operation: Callable[[Tensor], Tensor]
) -> None:
    """On cond - uncond, with uncond added again; on cond alone where nothing else is known; within its window only."""
    p = predictions()
    direction = p.uncond + SCALE * operation(p.cond - p.uncond)
    assert torch.allclose(guided(modifier), direction, atol=1e-4)
    alone = replace(p, uncond=p.cond, scale=1.0)
    assert torch.allclose(guide(ClassifierFree(scale=1.0), [modifier], alone)[0], operation(p.cond), atol=1e-5)
    assert torch.equal(guided(replace(modifier, end=0.0)), guided())


def test_limited_norms() -> None:
    p = predictions()
    limited = guided(NormLimit())
    assert bool((limited.norm(dim=1) <= p.cond.norm(dim=1) + 1e-4).all())
    velocity = p.x - guided(Renormalize(max_norm=1.5))
    assert torch.allclose(velocity.flatten(1).norm(dim=1), 1.5 * (p.x - p.cond).flatten(1).norm(dim=1), rtol=1e-4)
    clean = guided(Renormalize(max_norm=0.5, of="clean")).flatten(1)
    assert torch.allclose(clean.norm(dim=1), 0.5 * p.cond.flatten(1).norm(dim=1), rtol=1e-4)
    assert torch.allclose(guided(Renormalize(max_norm=0.0)), plain(), atol=1e-5)
    assert torch.equal(guided(Renormalize(guide_below=1.0)), p.cond)


def test_dynamic_thresholding_keeps_the_range_of_the_lower_scale() -> None:
    p = predictions()
    mimic = p.uncond + 2.0 * (p.cond - p.uncond)
    got = guided(DynamicThreshold(mimic_scale=2.0))

    def spread(value: Tensor) -> Tensor:
        flat = value.flatten(2)
        return (flat - flat.mean(dim=2, keepdim=True)).abs().amax(dim=2)

    assert torch.allclose(spread(got), spread(mimic), rtol=1e-4)
    assert torch.allclose(guided(DynamicThreshold(mimic_scale=SCALE)), plain(), atol=1e-4)
    clipped = guided(DynamicThreshold(mimic_scale=2.0, percentile=0.9))
    reach = (clipped.flatten(2) - plain().flatten(2).mean(dim=2, keepdim=True)).abs().amax(dim=2)
    assert bool((reach <= spread(mimic) * 1.001).all())


def test_coarse_and_fine_structure_have_weights_of_their_own() -> None:
    assert torch.allclose(guided(FrequencyScale(low=1.0, high=1.0)), plain(), atol=1e-4)
    assert torch.allclose(guided(FrequencyScale(low=1.0, high=9.0, cutoff=8)), plain(), atol=1e-4)
    x = torch.zeros(2, 4, 8, 8)
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(2, 4, 8, 8)
    p = predictions(x=x, cond=1.0 + stripes, uncond=x)
    got = guided(FrequencyScale(low=0.5, high=2.0, cutoff=1), p=p)
    assert torch.allclose(got, SCALE * (0.5 + 2.0 * stripes), atol=1e-4)


def test_scaled_noise() -> None:
    p = predictions()
    noise, scaled = (p.x - plain()) / p.sigma, (p.x - guided(EpsilonScale(factor=1.02))) / p.sigma
    assert torch.allclose(noise / 1.02, scaled, atol=1e-4)
