"""Sampling taken apart: noise, guiders, samplers, and changes of the model that sampling applies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from graphflow.basics.finite import NonFiniteError
from graphflow.document.document import Document, NodeEntry
from graphflow.errors import CancelledError, InvalidInputError
from graphflow.nodes import (
    adaptive_projected_guidance,
    add_noise,
    basic_guider,
    cfg_guider,
    cfg_zero_star,
    combine_conditioning,
    differential_diffusion,
    dual_cfg_guider,
    dynamic_thresholding,
    empty_latent,
    encode_prompt,
    guidance_interval,
    karras_sigmas,
    limit_guidance_norm,
    load_checkpoint,
    make_sigmas,
    no_noise,
    perp_neg_guider,
    random_noise,
    renormalize_guidance,
    rescale_guidance,
    sample,
    sample_custom,
    sampler_dpm_adaptive,
    sampler_dpmpp_2m_sde,
    sampler_dpmpp_2s_ancestral,
    sampler_dpmpp_3m_sde,
    sampler_dpmpp_sde,
    sampler_er_sde,
    sampler_euler_ancestral,
    sampler_euler_ancestral_cfg_pp,
    sampler_lms,
    sampler_sa_solver,
    scale_epsilon,
    scale_guidance_frequencies,
    select_sampler,
    set_conditioning_range,
    set_conditioning_strength,
    set_continuous_sampling,
    set_flow_shift,
    set_flux_shift,
    set_noise_mask,
    set_prediction,
    sharpen_guidance,
    sigmas_from_list,
    split_sigmas,
    tangential_guidance,
    tonemap_guidance,
)
from graphflow.planning.validate import validate
from graphflow.sampling.philox import PhiloxGenerator
from graphflow.spec.registry import installed
from graphflow.values import Conditioning, Latent, Mask, Model, Sampler
from graphflow.values import types as value_types
from tests.closeness import assert_close
from tests.nodes.fakes import FakeModels, Told


@pytest.fixture
def model(told: Told) -> Model:
    return load_checkpoint("full").model


def prompt(length: int) -> Conditioning:
    """Return a prompt under which the stand-in predicts its length; latents are twice that."""
    return encode_prompt(load_checkpoint("full").text_encoder, "x" * length)


def drawn(model: Model, **changes: Any) -> Latent:
    given: dict[str, Any] = {
        "guider": cfg_guider(model, prompt(2), prompt(1), 3.0),
        "noise": random_noise(5),
        "sampler": select_sampler("euler"),
        "sigmas": make_sigmas(model, "karras", 6),
        "latent": empty_latent(64, 64),
    }
    return sample_custom(**{**given, **changes}).latent


def test_the_parts_together_equal_the_whole(model: Model) -> None:
    whole = sample(
        model, prompt(2), empty_latent(64, 64), prompt(1), seed=5, steps=6, guidance_scale=3.0,
        sampler="euler", schedule="karras",
    )  # fmt: skip
    assert_close(drawn(model).samples, whole.samples)


def test_both_outputs_on_the_way_and_at_the_end(model: Model) -> None:
    high, low = split_sigmas(make_sigmas(model, "karras", 6), 3)
    halfway = sample_custom(
        basic_guider(model, prompt(2)), random_noise(5), select_sampler("euler"), high, empty_latent(64, 64)
    )
    assert torch.allclose(halfway.denoised.samples, torch.tensor(4.0), atol=1e-3)
    assert float(halfway.latent.samples.std()) > 0.5
    rest = sample_custom(basic_guider(model, prompt(2)), no_noise(), select_sampler("euler"), low, halfway.latent)
    assert torch.allclose(rest.latent.samples, torch.tensor(4.0), atol=1e-3)
    assert torch.allclose(rest.latent.samples, rest.denoised.samples, atol=1e-3)


def test_guiders_follow_their_formulas(model: Model) -> None:
    def ends(guider: Any) -> float:
        return float(drawn(model, guider=guider).samples.mean()) / 2

    assert ends(basic_guider(model, prompt(2))) == pytest.approx(2.0, abs=1e-3)
    assert ends(cfg_guider(model, prompt(2), prompt(1), 3.0)) == pytest.approx(4.0, abs=1e-3)
    dual = dual_cfg_guider(model, prompt(4), prompt(2), prompt(1), 3.0, 2.0)
    assert ends(dual) == pytest.approx(1 + 2 * (2 - 1) + 3 * (4 - 2), abs=1e-3)
    nested = dual_cfg_guider(model, prompt(4), prompt(2), prompt(1), 3.0, 2.0, nested=True)
    assert ends(nested) == pytest.approx(1 + 2 * (2 + 3 * (4 - 2) - 1), abs=1e-3)
    # everything lies on one line here, so nothing of the negative direction is perpendicular
    perp = perp_neg_guider(model, prompt(4), prompt(2), prompt(1), 3.0, 1.0)
    assert ends(perp) == pytest.approx(1 + 3 * (4 - 1), abs=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        sampler_euler_ancestral, sampler_euler_ancestral_cfg_pp, sampler_dpmpp_2s_ancestral, sampler_dpmpp_sde,
        sampler_dpmpp_2m_sde, sampler_dpmpp_3m_sde, sampler_lms, sampler_dpm_adaptive, sampler_er_sde, sampler_sa_solver,
    ],
)  # fmt: skip
def test_every_sampler_node_runs_and_has_the_published_options_as_defaults(
    make: Callable[[], Sampler], model: Model
) -> None:
    chosen = make()
    assert_close(drawn(model, sampler=chosen).samples, drawn(model, sampler=select_sampler(chosen.name)).samples)


def test_sampler_options_reach_the_sampler(model: Model) -> None:
    sigmas = sigmas_from_list([10.0, 5.0, 2.0])

    def noisy(sampler: Sampler) -> torch.Tensor:
        return drawn(model, sampler=sampler, sigmas=sigmas).samples

    assert not torch.equal(noisy(sampler_euler_ancestral(eta=0.5)), noisy(sampler_euler_ancestral()))
    assert torch.allclose(noisy(sampler_euler_ancestral(eta=0.0)), noisy(select_sampler("euler")), atol=1e-4)
    assert sampler_dpmpp_2m_sde("heun", noise_device="gpu").name == "dpmpp_2m_sde_heun_gpu"
    assert not torch.equal(noisy(sampler_er_sde("ode")), noisy(sampler_er_sde()))


def test_noise_of_a_cuda_device(model: Model) -> None:
    sigmas = sigmas_from_list([10.0, 9.0])
    cpu, cuda = (
        drawn(model, noise=random_noise(5, device=device), sigmas=sigmas).samples for device in ("cpu", "cuda")
    )
    assert not torch.allclose(cpu, cuda, atol=0.1)
    # one Euler step from x = 10 n towards x0 = 4 in the model's space, which is twice as small as latents
    expected = 0.9 * 10 * PhiloxGenerator(5).randn((1, 4, 8, 8)) + 0.1 * 4
    assert torch.allclose(cuda * 0.5, expected, atol=1e-3)
    ancestral = {"sampler": sampler_euler_ancestral(), "sigmas": sigmas}
    first = drawn(model, noise=random_noise(5, step_device="cuda"), **ancestral).samples
    assert not torch.allclose(first, drawn(model, noise=random_noise(5), **ancestral).samples, atol=0.1)
    whole = [
        sample(model, prompt(2), empty_latent(64, 64), seed=5, steps=4, end_step=2, leftover_noise=True,
               guidance_scale=1.0, noise_device=device).samples
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    assert not torch.allclose(*whole, atol=0.1)


def test_noise_is_put_on_as_much_as_lies_between_the_ends(model: Model) -> None:
    latent = Latent(samples=torch.full((1, 4, 64, 64), 2.0))
    noisy = add_noise(model, random_noise(5), sigmas_from_list([3.0, 1.0]), latent)
    # the model's space is half as large as the latents'
    assert float((noisy.samples * 0.5).std()) == pytest.approx(2.0, rel=0.02)
    assert torch.equal(add_noise(model, no_noise(), sigmas_from_list([3.0, 0.0]), latent).samples, latent.samples)


def test_a_level_of_zero_may_stand_only_at_the_end(model: Model) -> None:
    with pytest.raises(InvalidInputError, match="only at the end"):
        drawn(model, sigmas=sigmas_from_list([3.0, 0.0, 1.0]))
    untouched = Latent(samples=torch.rand(1, 4, 8, 8))
    assert torch.equal(drawn(model, sigmas=sigmas_from_list([3.0]), latent=untouched).samples, untouched.samples)


# -------------------------------------------------------------------------------- what is put on the model


@pytest.mark.parametrize(
    "change",
    [
        rescale_guidance, adaptive_projected_guidance, cfg_zero_star, tangential_guidance, limit_guidance_norm,
        sharpen_guidance, tonemap_guidance, renormalize_guidance, dynamic_thresholding, guidance_interval, scale_epsilon, scale_guidance_frequencies, differential_diffusion,
        set_prediction, set_continuous_sampling, set_flow_shift, set_flux_shift,
    ],
)  # fmt: skip
def test_changes_of_a_model_are_values_that_can_be_stored(change: Callable[[Model], Model], model: Model) -> None:
    changed = change(model)
    assert changed != model
    assert len(changed.hooks) == 1
    data, tensors = value_types.encode(changed)
    assert value_types.decode(data, tensors) == changed
    assert change(changed).hooks[0] == changed.hooks[0]


def test_guidance_is_changed_in_both_sampling_nodes(model: Model) -> None:
    off = guidance_interval(model, 0.0, 0.0)
    for got in (
        drawn(model, guider=cfg_guider(off, prompt(2), prompt(1), 3.0)),
        sample(off, prompt(2), empty_latent(64, 64), prompt(1), steps=6, guidance_scale=3.0),
    ):
        assert float(got.samples.mean()) == pytest.approx(4.0, abs=1e-3)


def test_changes_add_up_in_their_order(model: Model) -> None:
    twice = limit_guidance_norm(limit_guidance_norm(model, 0.5), 0.5)
    got = drawn(model, guider=basic_guider(twice, prompt(2)))
    assert float(got.samples.mean()) == pytest.approx(0.25 * 4.0, abs=1e-3)


def test_the_prediction_is_what_the_node_says(model: Model) -> None:
    # the stand-in's output, read as a clean sample, is another picture
    assert not torch.allclose(
        drawn(set_prediction(model, "sample"), guider=basic_guider(set_prediction(model, "sample"), prompt(2))).samples,
        drawn(model, guider=basic_guider(model, prompt(2))).samples,
        atol=0.1,
    )


def test_schedules_follow_the_models_levels(model: Model) -> None:
    wide = set_continuous_sampling(model, "epsilon", 80.0, 0.01)
    values = make_sigmas(wide, "karras", 5).values
    assert float(values[0]) == pytest.approx(80.0, rel=1e-4)
    shifted = make_sigmas(set_flow_shift(model, 3.0), "simple", 2).values
    assert_close(shifted, torch.tensor([1.0, 0.75, 0.0]), pointwise=True)
    flux = make_sigmas(set_flux_shift(model, width=256, height=256), "simple", 2).values
    assert 0.6 < float(flux[1]) < 0.64  # exp(0.5) / (1 + exp(0.5))
    with pytest.raises(InvalidInputError, match="not below"):
        set_continuous_sampling(model, sigma_min=5.0, sigma_max=5.0)


def test_grey_masks_change_little_with_differential_diffusion(model: Model) -> None:
    latent = set_noise_mask(Latent(samples=torch.zeros(1, 4, 8, 8)), Mask(values=torch.full((1, 8, 8), 0.3)))
    plain = drawn(model, latent=latent).samples
    opened = drawn(
        model, latent=latent, guider=cfg_guider(differential_diffusion(model), prompt(2), prompt(1), 3.0)
    ).samples
    assert not torch.allclose(plain, opened, atol=0.1)


# -------------------------------------------------------------------------------------------------- faults


def test_what_does_nothing_is_said(model: Model, told: Told) -> None:
    prompt, latent = encode_prompt(load_checkpoint("full").text_encoder, "a fox"), empty_latent(16, 16)
    settings: dict[str, Any] = {"steps": 4, "sampler": "euler", "schedule": "normal"}
    early, late = set_conditioning_range(prompt, 0, 0.5), set_conditioning_range(prompt, 0.5, 1)
    sample(model, combine_conditioning([early, late]), latent, prompt, **settings)
    sample(model, prompt, latent, late, guidance_scale=1.0, **settings)
    assert not told.notices
    sample(model, prompt, latent, late, **settings)
    assert "no negative conditioning acts in 2 of 4 steps" in told.notices.pop()
    sample(model, set_conditioning_strength(prompt, 0.0), latent, prompt, **settings)
    assert "no positive conditioning acts in 4 of 4 steps" in told.notices.pop()
    for name in ("dpm_fast", "dpm_adaptive"):
        sample(model, prompt, latent, prompt, steps=2, sampler=name)
        assert not told.notices
        sample(model, prompt, latent, prompt, steps=1, sampler=name)
        assert "take two steps or more" in told.notices.pop()


def test_sampling_stops_at_any_step(model: Model, told: Told) -> None:
    for step in range(6):
        told.progress.clear()
        told.cancel_at = step
        with pytest.raises(CancelledError):
            drawn(model, sigmas=karras_sigmas(6))
        assert len(told.progress) == step


def test_nan_is_an_error_in_whatever_step_it_appears(model: Model, models: FakeModels) -> None:
    for step in range(4):
        models.denoiser.broken_from = step
        with pytest.raises(NonFiniteError, match=f"step {step + 1} of 4"):
            drawn(model, sigmas=karras_sigmas(4))


def test_both_sides_share_a_batch_unless_memory_is_short(model: Model, models: FakeModels) -> None:
    together = drawn(model).samples
    assert models.denoiser.calls == 6
    models.denoiser.most_items = 1
    apart = drawn(model).samples
    assert models.denoiser.calls == 12
    assert torch.allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize(("version", "sampler"), [(1, "euler"), (2, "ddim"), (None, "ddim")])
def test_ddim_of_version_1_stays_what_it_was(version: int | None, sampler: str) -> None:
    entry = NodeEntry(type="select_sampler", params={"sampler": "ddim"}, version=version)
    checked = validate(Document(nodes={"ddim": entry}), installed())
    assert (checked.nodes["ddim"].params, checked.notices) == ({"sampler": sampler}, [])


def test_step_noise_of_a_node_starts_where_it_says(model: Model) -> None:
    def ends(**noise: Any) -> Latent:
        sigmas = sigmas_from_list([10.0, 5.0])
        return drawn(model, noise=random_noise(5, **noise), sampler=select_sampler("euler_ancestral"), sigmas=sigmas)

    step = ends(step_noise="seed + 1").samples - ends().samples
    beside, again = (torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (6, 5))
    share = step / (beside - again)
    torch.testing.assert_close(share, share.mean().expand_as(share), rtol=1e-3, atol=0)
