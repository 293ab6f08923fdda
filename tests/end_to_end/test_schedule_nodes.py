"""Nodes that make schedules, solvers and guidance, in graphs that the engine runs on the shapes model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from graphflow.building.refs import Ref
from graphflow.session import Session
from tests.end_to_end.graph import Graph
from tests.shapes_judge import judge

STEPS = 12

SCHEDULES: dict[str, Callable[[Graph, Any], Ref[Any]]] = {
    "align_your_steps_sigmas": lambda g, model: g.align_your_steps_sigmas(variant="sd", steps=STEPS),
    "beta_sigmas": lambda g, model: g.beta_sigmas(model=model, steps=STEPS),
    "exponential_sigmas": lambda g, model: g.exponential_sigmas(steps=STEPS),
    "karras_sigmas": lambda g, model: g.karras_sigmas(steps=STEPS),
    "polyexponential_sigmas": lambda g, model: g.polyexponential_sigmas(steps=STEPS, rho=1.2),
    "laplace_sigmas": lambda g, model: g.laplace_sigmas(steps=STEPS),
    "vp_sigmas": lambda g, model: g.vp_sigmas(steps=STEPS),
    "turbo_sigmas": lambda g, model: g.turbo_sigmas(model=model, steps=10),
    "sigmas_from_list": lambda g, model: g.sigmas_from_list(values=[14.6, 8.0, 4.0, 2.0, 1.2, 0.7, 0.4, 0.2, 0.0]),
    "set_first_sigma": lambda g, model: g.set_first_sigma(sigmas=g.karras_sigmas(steps=STEPS), sigma=14.0),
    "scale_sigmas": lambda g, model: g.scale_sigmas(sigmas=g.karras_sigmas(steps=STEPS), factor=1.02),
    "extend_sigmas": lambda g, model: g.extend_sigmas(sigmas=g.karras_sigmas(steps=STEPS), steps=3),
}
"""Every node that makes a whole schedule for Stable Diffusion; the picture must show what the prompt said."""

SAMPLERS: dict[str, Callable[[Graph], Ref[Any]]] = {
    "detail_sampler": lambda g: g.detail_sampler(sampler=g.select_sampler(sampler="euler"), strength=1.0),
    "sampler_dpm_adaptive": lambda g: g.sampler_dpm_adaptive(rtol=0.1),
    "sampler_dpmpp_2m_sde": lambda g: g.sampler_dpmpp_2m_sde(solver_type="heun", eta=0.5),
    "sampler_dpmpp_2s_ancestral": lambda g: g.sampler_dpmpp_2s_ancestral(eta=0.5),
    "sampler_dpmpp_3m_sde": lambda g: g.sampler_dpmpp_3m_sde(eta=0.5),
    "sampler_dpmpp_sde": lambda g: g.sampler_dpmpp_sde(eta=0.5),
    "sampler_er_sde": lambda g: g.sampler_er_sde(),
    "sampler_euler_ancestral": lambda g: g.sampler_euler_ancestral(eta=0.5),
    "sampler_lms": lambda g: g.sampler_lms(order=3),
    "sampler_sa_solver": lambda g: g.sampler_sa_solver(),
}


GUIDANCE: dict[str, Callable[[Graph, Any], Ref[Any]]] = {
    "adaptive_projected_guidance": lambda g, model: g.adaptive_projected_guidance(model=model, eta=0.5, momentum=-0.3),
    "differential_diffusion": lambda g, model: g.differential_diffusion(model=model),
    "dynamic_thresholding": lambda g, model: g.dynamic_thresholding(model=model, mimic_scale=3.0, percentile=0.99),
    "limit_guidance_norm": lambda g, model: g.limit_guidance_norm(model=model),
    "renormalize_guidance": lambda g, model: g.renormalize_guidance(model=model, max_norm=1.5),
    "scale_epsilon": lambda g, model: g.scale_epsilon(model=model, factor=1.005),
    "sharpen_guidance": lambda g, model: g.sharpen_guidance(model=model, radius=3),
    "tonemap_guidance": lambda g, model: g.tonemap_guidance(model=model, multiplier=2.0),
    "set_prediction": lambda g, model: g.set_prediction(model=model, prediction="epsilon"),
    "tangential_guidance": lambda g, model: g.tangential_guidance(model=model),
    "cfg_zero_star": lambda g, model: g.cfg_zero_star(model=model),
}
"""Nodes that change how a model is guided and leave the picture what it is."""


def shown(session: Session, g: Graph, latent: Ref[Any], vae: Ref[Any]) -> tuple[str, str]:
    (picture,) = g.values(g.vae_decode(vae=vae, latent=latent))
    pixels = (picture.pixels[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    verdict = judge(pixels)
    return (verdict.findings[0].colour if verdict.findings else "nothing", verdict.background)


def guider(g: Graph, parts: Any, model: Any = None, scale: float = 4.0) -> Ref[Any]:
    encode = {"text_encoder": parts.text_encoder}
    positive = g.encode_prompt(**encode, text="a red circle on a blue background")
    negative = g.encode_prompt(**encode, text="")
    sides = {"positive": positive, "negative": negative}
    return g.cfg_guider(model=parts.model if model is None else model, **sides, guidance_scale=scale)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_schedule_leads_to_the_picture(session: Session, name: str) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    sigmas = SCHEDULES[name](g, parts.model)
    latent = g.sample_custom(
        guider=guider(g, parts),
        noise=g.random_noise(seed=g.seed_value(seed=7)),
        sampler=g.select_sampler(sampler="dpmpp_2m"),
        sigmas=sigmas,
        latent=g.empty_latent(width=128, height=128),
    )
    assert shown(session, g, latent.denoised, parts.vae) == ("red", "blue")


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_solver_leads_to_the_picture(session: Session, name: str) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    latent = g.sample_custom(
        guider=guider(g, parts),
        noise=g.random_noise(seed=7),
        sampler=SAMPLERS[name](g),
        sigmas=g.make_sigmas(model=parts.model, schedule="karras", steps=STEPS),
        latent=g.empty_latent(width=128, height=128),
    )
    assert shown(session, g, latent, parts.vae) == ("red", "blue")


@pytest.mark.parametrize("name", sorted(GUIDANCE))
def test_changed_guidance_leads_to_the_picture(session: Session, name: str) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    latent = g.sample_custom(
        guider=guider(g, parts, GUIDANCE[name](g, parts.model)),
        noise=g.random_noise(seed=7),
        sampler=g.select_sampler(sampler="dpmpp_2m"),
        sigmas=g.karras_sigmas(steps=STEPS),
        latent=g.empty_latent(width=128, height=128),
    )
    assert shown(session, g, latent, parts.vae) == ("red", "blue")


def test_every_guider_leads_to_the_picture(session: Session) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")

    def text(words: str) -> Ref[Any]:
        return g.encode_prompt(text_encoder=parts.text_encoder, text=words)

    wanted, empty, other = text("a red circle on a blue background"), text(""), text("a green square")
    nearly = g.set_conditioning_strength(
        conditioning=g.average_conditioning(conditioning=wanted, other=empty, strength=0.9), strength=2.0
    )
    guiders = (
        g.basic_guider(model=parts.model, conditioning=nearly),
        g.dual_cfg_guider(model=parts.model, positive=wanted, middle=nearly, negative=empty, middle_scale=3.0),
        g.perp_neg_guider(model=parts.model, positive=wanted, negative=other, empty=empty, guidance_scale=4.0),
        g.cfg_guider(
            model=parts.model,
            positive=g.vary_conditioning(
                conditioning=g.concat_conditioning(conditioning=wanted, other=wanted), strength=0.01
            ),
            negative=g.zero_out_conditioning(conditioning=empty),
            guidance_scale=2.0,
        ),
    )
    for each in guiders:
        latent = g.sample_custom(
            guider=each,
            noise=g.random_noise(seed=7),
            sampler=g.select_sampler(sampler="dpmpp_2m"),
            sigmas=g.karras_sigmas(steps=STEPS),
            latent=g.empty_latent(width=128, height=128),
        )
        assert shown(session, g, latent, parts.vae) == ("red", "blue")


def test_noise_levels_of_other_models_change_what_comes_out(session: Session) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    models = (
        parts.model,
        g.set_continuous_sampling(model=parts.model, prediction="edm"),
        g.set_flow_shift(model=parts.model, shift=2.0),
    )
    found = g.values(
        *(
            g.sample_custom(
                guider=guider(g, parts, model),
                noise=g.random_noise(seed=7),
                sampler=g.select_sampler(sampler="euler"),
                sigmas=g.make_sigmas(model=model, schedule="simple", steps=3),
                latent=g.empty_latent(width=64, height=64),
            )
            for model in models
        )
    )
    assert all(bool(torch.isfinite(value.samples).all()) for value in found)
    assert not any(torch.allclose(found[0].samples, value.samples) for value in found[1:])


def test_guidance_at_the_manifold_takes_a_scale_about_one(session: Session) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    latent = g.sample_custom(
        guider=guider(g, parts, scale=1.2),
        noise=g.random_noise(seed=7),
        sampler=g.sampler_euler_ancestral_cfg_pp(eta=0.0),
        sigmas=g.karras_sigmas(steps=STEPS),
        latent=g.empty_latent(width=128, height=128),
    )
    assert shown(session, g, latent, parts.vae) == ("red", "blue")


def test_a_picture_is_noised_by_hand_and_finished_from_there(session: Session) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    noise = g.random_noise(seed=3)
    halves = g.split_sigmas_at_strength(sigmas=g.karras_sigmas(steps=20), strength=0.5)
    picture = g.encode_image(vae=parts.vae, images=g.picture(128))
    noisy = g.add_noise(model=parts.model, noise=noise, sigmas=halves.low, latent=picture)
    latent = g.sample_custom(
        guider=guider(g, parts),
        noise=g.no_noise(),
        sampler=g.select_sampler(sampler="euler"),
        sigmas=halves.low,
        latent=noisy,
    )
    middle = g.percent_to_sigma(model=parts.model, percent=0.5)
    inverted = g.flip_sigmas(sigmas=halves.low)
    level, up, low = g.values(middle, inverted, halves.low)
    assert 0.1 < level < 14.0
    assert torch.equal(up.values.flip(0)[:-1], low.values[:-1])
    assert shown(session, g, latent, parts.vae) == ("red", "blue")


def test_schedules_of_flow_models_feed_a_flow_sampler(session: Session) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    model = g.set_flux_shift(model=parts.model, width=128, height=128)
    start = g.empty_latent(width=64, height=64)
    found = []
    for sigmas in (g.flux2_sigmas(steps=4, width=128, height=128), g.ltxv_sigmas(steps=4, latent=start)):
        found += g.values(
            g.sample_custom(
                guider=guider(g, parts, model),
                noise=g.random_noise(seed=7),
                sampler=g.select_sampler(sampler="euler"),
                sigmas=sigmas,
                latent=start,
            )
        )
    # The model was made for noise that is added, not mixed in: numbers count here, not pictures.
    assert all(bool(torch.isfinite(latent.samples).all()) for latent in found)
    assert not torch.equal(found[0].samples, found[1].samples)


def test_each_picture_of_a_batch_is_guided_at_its_own_scale(session: Session) -> None:
    g = Graph(session)
    parts = g.load_checkpoint(model="shapes")
    start = g.empty_latent(width=64, height=64, batch_size=3)

    def sampled(model: Any, scale: float) -> Ref[Any]:
        return g.sample_custom(
            guider=guider(g, parts, model, scale),
            noise=g.random_noise(seed=7),
            sampler=g.select_sampler(sampler="euler"),
            sigmas=g.karras_sigmas(steps=4),
            latent=start,
        )

    plain = [sampled(parts.model, scale) for scale in (2.0, 4.0, 6.0)]
    ramp = sampled(g.ramp_guidance(model=parts.model, min_scale=2.0), 6.0)
    fine = sampled(g.scale_guidance_frequencies(model=parts.model, low=1.2, high=0.8, cutoff=2), 4.0)
    *by_scale, ramped, weighed = (value.samples for value in g.values(*plain, ramp, fine))
    for item, alone in enumerate(by_scale):
        torch.testing.assert_close(ramped[item], alone[item], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(weighed, by_scale[1], atol=1e-2)
