"""Small workflows of merged models, batches, tiles and the like, as in :mod:`tests.export.cases`."""

from __future__ import annotations

from typing import Any

from graphflow import Workflow, nodes
from tests.export.parts import SIZE, Build, Parts


def _other(g: Workflow, p: Parts) -> Any:
    return g.add(nodes.load_checkpoint, model="tiny-half")


def _merged(g: Workflow, p: Parts) -> Any:
    other = _other(g, p)
    model = g.add(nodes.merge_models, model=p.model, other=other.model, ratio=0.7)
    encoder = g.add(nodes.merge_text_encoders, text_encoder=p.text_encoder, other=other.text_encoder, ratio=0.3)
    prompts = {side: p.prompt(side, text_encoder=encoder) for side in ("positive", "negative")}
    return p.sample(model=model, **prompts)


def _merged_blocks(g: Workflow, p: Parts) -> Any:
    shares = {"input_blocks.1.": 0.2, "time_embed.": 0.9, "up_blocks.0.resnets": 0.1, "output_blocks.2": 0.4}
    model = g.add(
        nodes.merge_model_blocks, model=p.model, other=_other(g, p).model, input_ratio=0.3, middle_ratio=0.6,
        output_ratio=0.8, blocks=shares,
    )  # fmt: skip
    return p.sample(model=model)


def _difference(g: Workflow, p: Parts) -> Any:
    other = _other(g, p)
    changed = g.add(nodes.apply_lora, model=other.model, lora="tiny-lora", strength=0.7).model
    difference = g.add(nodes.subtract_models, model=changed, other=other.model, multiplier=0.5)
    model = g.add(nodes.add_models, model=p.model, other=difference)
    return p.sample(model=g.add(nodes.apply_lora, model=model, lora="tiny-lora", strength=-0.3).model)


def _merged_lora(g: Workflow, p: Parts) -> Any:
    changed = g.add(nodes.apply_lora, model=p.model, lora="tiny-lora", strength=0.9).model
    return p.sample(model=g.add(nodes.merge_models, model=p.model, other=changed, ratio=0.4))


def _scaled_attention(g: Workflow, p: Parts) -> Any:
    model = g.add(nodes.scale_attention, model=p.model, q=1.2, out=0.8)
    encoder = g.add(nodes.scale_text_attention, text_encoder=p.text_encoder, v=1.1)
    return p.sample(model=model, positive=p.prompt("a circle", text_encoder=encoder), sampler="euler")


def _from_batch(g: Workflow, p: Parts, layout: str) -> Any:
    batch = g.add(nodes.empty_latent, width=SIZE, height=SIZE, batch_size=4)
    some = g.add(nodes.latents_from_batch, latent=batch, start=1, length=2)
    first = p.sample(latent=some, noise_layout=layout, sampler="euler_ancestral")
    last = g.add(nodes.latents_from_batch, latent=first, start=5)
    both = g.add(nodes.batch_latents, latents=[last, g.add(nodes.repeat_latents, latent=last)])
    images = p.decode(p.sample(latent=both, strength=0.5, noise_layout=layout))
    return g.add(nodes.images_from_batch, images=images, start=1, length=2)


def _same_noise(g: Workflow, p: Parts) -> Any:
    latent = g.add(nodes.empty_latent, width=SIZE, height=SIZE, batch_size=2)
    return p.sample(latent=g.add(nodes.batch_noise, latent=latent))


def _image_items(g: Workflow, p: Parts) -> Any:
    images = g.add(nodes.image_list, images=[p.decode(p.sample()), p.decode(p.sample(seed=5))])
    return g.add(nodes.image_item, images=images, index=-1)


def _prediction(g: Workflow, p: Parts) -> Any:
    return p.sample(model=g.add(nodes.set_prediction, model=p.model, prediction="v_prediction", zero_snr=True))


def _velocity(g: Workflow, p: Parts) -> Any:
    return p.sample(model=g.add(nodes.set_prediction, model=p.model, prediction="v_prediction"))


def _tiles(g: Workflow, p: Parts) -> Any:
    latent = g.add(nodes.encode_image, vae=p.vae, images=p.picture(SIZE + 41), tile=64, overlap=16)
    sampled = p.sample(latent=latent, strength=0.5)
    return g.add(nodes.vae_decode, vae=p.vae, latent=sampled, tile=64, overlap=32)


def _img2img_with_lora(g: Workflow, p: Parts) -> Any:
    latent = g.add(nodes.encode_image, vae=p.vae, images=g.add(nodes.solid_image, width=SIZE, height=SIZE))
    return p.sample(model=g.add(nodes.apply_lora, model=p.model, lora="tiny-lora").model, latent=latent, strength=0.5)


def _adapter(g: Workflow, p: Parts, name: str) -> Any:
    """A relative of LoRA between two LoRAs."""
    first = g.add(nodes.apply_lora, model=p.model, text_encoder=p.text_encoder, lora="tiny-lora", strength=0.4)
    changed = g.add(
        nodes.apply_lora, model=first.model, text_encoder=first.text_encoder, lora=name, strength=0.7,
        text_encoder_strength=0.6,
    )  # fmt: skip
    last = g.add(nodes.apply_lora, model=changed.model, lora="tiny-lora", strength=-0.2).model
    encoder = changed.text_encoder
    prompts = {side: p.prompt(side, text_encoder=encoder) for side in ("positive", "negative")}
    return p.sample(model=last, **prompts)


def _upscaled(g: Workflow, p: Parts) -> Any:
    network = g.add(nodes.load_upscale_model, model="tiny-double")
    images = p.decode(p.sample(latent=g.add(nodes.empty_latent, width=72, height=64)))
    return g.add(nodes.upscale_image_with_model, upscale_model=network, image=images, tile=48, overlap=16)


def _latent_edits(g: Workflow, p: Parts) -> Any:
    first = p.sample(steps=2)
    size = g.add(nodes.latent_size, latent=first)
    part = g.add(
        nodes.crop_latent, latent=g.add(nodes.sharpen_latent, latent=first, radius=2), x=8, y=16, width=40, height=32
    )
    stripe = g.add(nodes.cut_latent, latent=first, axis="y", start=-3, length=2)
    mask = g.add(nodes.solid_mask, value=0.7, width=32, height=32)
    pasted = g.add(nodes.composite_latents, destination=first, source=part, mask=mask, x=16, feather=16)
    pasted = g.add(nodes.composite_latents, destination=pasted, source=stripe, y=24)
    images = p.decode(g.add(nodes.tonemap_latent, latent=pasted, multiplier=0.3))
    noisy = g.add(nodes.add_image_noise, images=images, seed=3, strength=0.1)
    preset = g.add(nodes.resize_to_preset, images=g.add(nodes.crop_image, images=noisy, width=40, height=64))
    padded = g.add(nodes.resize_and_pad, images=preset, width=48, height=40, method="bicubic")
    return g.add(nodes.resize, images=padded, width=size.width, height=size.height)


def _network(g: Workflow, p: Parts, change: Any, **options: Any) -> Any:
    """Two samplings, so that what is drawn at random begins again."""
    model = g.add(change, model=p.model, **options)
    latent = g.add(nodes.empty_latent, width=128, height=96)
    first = p.sample(model=model, latent=latent, steps=3, sampler="heun")
    return p.sample(model=model, latent=first, strength=0.6, steps=2)


def _custom(g: Workflow, p: Parts, sampler: Any, sigmas: Any, **options: Any) -> Any:
    guider = g.add(nodes.cfg_guider, model=p.model, positive=p.prompt("a circle"), negative=p.prompt(""))
    noise = g.add(nodes.random_noise, seed=4)
    given = {"guider": guider, "noise": noise, "sampler": sampler, "sigmas": sigmas, "latent": p.latent, **options}
    return g.add(nodes.sample_custom, **given)


def _schedules(g: Workflow, p: Parts) -> Any:
    """One stage for each schedule node; each stage goes on where the one before stopped."""
    first = g.add(nodes.set_first_sigma, sigmas=g.add(nodes.karras_sigmas, steps=4, rho=5.0), sigma=14.0)
    made = [
        g.add(nodes.extend_sigmas, sigmas=first, steps=2, end_sigma=2.0, spacing="cosine"),
        g.add(nodes.exponential_sigmas, steps=2, sigma_max=3.0),
        g.add(nodes.polyexponential_sigmas, steps=2, rho=1.5, sigma_max=2.0),
        g.add(nodes.laplace_sigmas, steps=3, mu=0.5),
        g.add(nodes.vp_sigmas, steps=3),
        g.add(nodes.beta_sigmas, model=p.model, steps=3, alpha=0.7),
        g.add(nodes.turbo_sigmas, model=p.model, steps=2, strength=0.5),
        g.add(nodes.align_your_steps_sigmas, steps=5, strength=0.6),
    ]
    made.append(g.add(nodes.split_sigmas_at_strength, sigmas=made[0], strength=0.5).low)
    latent, sampler = p.latent, g.add(nodes.select_sampler, sampler="euler")
    for sigmas in made:
        latent = _custom(g, p, sampler, sigmas, latent=latent).latent
    return latent


def _solvers(g: Workflow, p: Parts) -> Any:
    samplers = [
        g.add(nodes.sampler_er_sde, solver_type="reverse_time_sde", max_stage=2, eta=0.5),
        g.add(nodes.sampler_sa_solver, use_pece=True, corrector_order=2, simple_order_2=True),
        g.add(nodes.sampler_dpm_adaptive, order=2, rtol=0.2),
    ]
    latent, sigmas = p.latent, g.add(nodes.make_sigmas, model=p.model, steps=4)
    for sampler in samplers:
        latent = _custom(g, p, sampler, sigmas, latent=latent).latent
    return latent


def _percent(g: Workflow, p: Parts) -> Any:
    sigma = g.add(nodes.percent_to_sigma, model=p.model, percent=0.1)
    sigmas = g.add(nodes.set_first_sigma, sigmas=g.add(nodes.make_sigmas, model=p.model, steps=3), sigma=sigma)
    return _custom(g, p, g.add(nodes.select_sampler, sampler="heun"), sigmas).latent


def _guided(g: Workflow, p: Parts, changes: list[tuple[Any, dict[str, Any]]], **options: Any) -> Any:
    """Modifiers of guidance, one after the other, under a sampler that asks for the negative prompt as well."""
    model = p.model
    for change, given in changes:
        model = g.add(change, model=model, **given)
    first = p.sample(model=model, sampler="euler_cfg_pp", schedule="normal", steps=3)
    return p.sample(model=model, latent=first, strength=0.7, sampler="dpmpp_2m", **options)


def _ramp(g: Workflow, p: Parts) -> Any:
    latent = g.add(nodes.empty_latent, width=SIZE, height=SIZE, batch_size=3)
    model = g.add(nodes.ramp_guidance, model=p.model, min_scale=2.0, shape="triangle")
    return p.sample(model=g.add(nodes.ramp_guidance, model=model), latent=latent, guidance_scale=6.0)


def _three_prompts(g: Workflow, p: Parts, guider: Any, third: str, *, regional: bool = False, **options: Any) -> Any:
    """Guidance by three prompts, with a change of it; one of them may act in a part of the picture only."""
    prompts = {"positive": p.prompt("a circle"), "negative": p.prompt("blurred"), third: p.prompt("a field")}
    if regional:
        left = g.add(nodes.set_conditioning_area, conditioning=prompts[third], width=0.5)
        prompts[third] = g.add(nodes.combine_conditioning, conditioning=[left, p.prompt("")])
    model = g.add(nodes.rescale_guidance, model=p.model, multiplier=0.5) if regional else p.model
    made = g.add(guider, model=model, **prompts, **options)
    sigmas = g.add(nodes.make_sigmas, model=model, steps=4)
    first = _custom(g, p, g.add(nodes.select_sampler, sampler="heun"), sigmas, guider=made)
    solver = g.add(nodes.select_sampler, sampler="euler_cfg_pp")
    return _custom(g, p, solver, sigmas, guider=made, latent=first.latent).latent


def _differential(g: Workflow, p: Parts, **options: Any) -> Any:
    """A mask of all greys, at half the noise and at all of it."""
    mask = g.add(nodes.feather_mask, mask=g.add(nodes.solid_mask, width=SIZE, height=SIZE), left=48, top=32)
    latent = g.add(nodes.encode_image, vae=p.vae, images=p.picture(SIZE))
    model = g.add(nodes.differential_diffusion, model=p.model, **options)
    latent = g.add(nodes.set_noise_mask, latent=latent, mask=mask)
    return p.sample(model=model, latent=p.sample(model=model, latent=latent, strength=0.5), sampler="dpmpp_2m", steps=6)


def _filled(g: Workflow, p: Parts, **options: Any) -> Any:
    mask = g.add(nodes.feather_mask, mask=g.add(nodes.solid_mask, width=SIZE, height=SIZE), left=24)
    latent = g.add(nodes.encode_image, vae=p.vae, images=p.picture(SIZE))
    latent = g.add(nodes.set_noise_mask, latent=latent, mask=mask)
    return p.sample(latent=g.add(nodes.fill_masked_latent, latent=latent, **options), strength=0.7)


def latents_from_a_file(name: str) -> Build:
    """A case of latents (B, 4, 8, 8) in a file: changed and sampled, decoded at once, and with a noise mask."""

    def make(g: Workflow, p: Parts) -> Any:
        loaded = g.add(nodes.load_latent, file=name)
        larger = g.add(nodes.flip_latent, latent=g.add(nodes.upscale_latent, latent=loaded, scale=1.5))
        g.add(nodes.save_image, images=p.decode(loaded), filename_prefix="loaded")
        masked = g.add(nodes.set_noise_mask, latent=loaded, mask=g.add(nodes.rectangle_mask, width=SIZE, height=SIZE))
        g.add(nodes.save_image, images=p.decode(p.sample(latent=masked, strength=0.8)), filename_prefix="masked")
        return p.sample(latent=larger, strength=0.5)

    return make


GUIDANCE: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "adaptive_projected_guidance": [
        (nodes.adaptive_projected_guidance, {"eta": 0.3, "norm_threshold": 2.0, "momentum": -0.5})
    ],
    "cfg_zero_star": [(nodes.cfg_zero_star, {"zero_init": 0.2})],
    "dynamic_thresholding": [(nodes.dynamic_thresholding, {"mimic_scale": 3.0, "percentile": 0.9})],
    "limit_guidance_norm": [(nodes.limit_guidance_norm, {"strength": 0.9})],
    "renormalize_guidance": [(nodes.renormalize_guidance, {"max_norm": 0.9, "guide_below": 5.0})],
    "scale_guidance_frequencies": [(nodes.scale_guidance_frequencies, {"low": 0.8, "high": 1.6, "cutoff": 2})],
    "sharpen_guidance": [(nodes.sharpen_guidance, {"radius": 2, "strength": 0.8, "end": 0.7})],
    "tangential_guidance": [(nodes.tangential_guidance, {})],
    "tonemap_guidance": [(nodes.tonemap_guidance, {"multiplier": 0.5, "start": 0.2})],
    "skip_layer_guidance": [
        (nodes.skip_layer_guidance, {"layers": "mid_block, down_blocks.0", "end": 0.6, "rescale": 0.4})
    ],
    "several_kinds_of_guidance": [
        (nodes.dynamic_thresholding, {"mimic_scale": 2.0}),
        (nodes.scale_epsilon, {"factor": 1.02}),
        (nodes.rescale_guidance, {"multiplier": 0.6}),
        (nodes.perturbed_attention_guidance, {"scale": 1.5}),
        (nodes.tangential_guidance, {}),
        (nodes.guidance_interval, {"start": 0.1, "end": 0.8}),
    ],
}
"""Changes of guidance by the name of their case."""

MORE_CASES: dict[str, Build] = {
    **{name: lambda g, p, changes=changes: _guided(g, p, changes) for name, changes in GUIDANCE.items()},
    "ramp_guidance": _ramp,
    "filled_with_noise": lambda g, p: _filled(g, p, seed=7),
    "filled_with_nothing": lambda g, p: _filled(g, p, content="nothing"),
    "dual_cfg_guider": lambda g, p: _three_prompts(g, p, nodes.dual_cfg_guider, "middle", guidance_scale=5.0),
    "dual_cfg_guider_nested": lambda g, p: _three_prompts(
        g, p, nodes.dual_cfg_guider, "middle", middle_scale=2.0, nested=True, regional=True
    ),
    "perp_neg_guider": lambda g, p: _three_prompts(g, p, nodes.perp_neg_guider, "empty", negative_scale=0.7),
    "perp_neg_guider_in_areas": lambda g, p: _three_prompts(
        g, p, nodes.perp_neg_guider, "empty", guidance_scale=4.0, regional=True
    ),
    "differential_diffusion": _differential,
    "differential_diffusion_partly": lambda g, p: _differential(g, p, strength=0.6),
    "merged": _merged,
    "merged_blocks": _merged_blocks,
    "difference": _difference,
    "merged_lora": _merged_lora,
    "scaled_attention": _scaled_attention,
    "from_batch": lambda g, p: _from_batch(g, p, "batch"),
    "from_samples": lambda g, p: _from_batch(g, p, "per_sample"),
    "same_noise": _same_noise,
    "image_items": _image_items,
    "prediction": _prediction,
    "velocity": _velocity,
    "tiles": _tiles,
    "loha": lambda g, p: _adapter(g, p, "tiny-loha"),
    "lokr": lambda g, p: _adapter(g, p, "tiny-lokr"),
    "dora": lambda g, p: _adapter(g, p, "tiny-dora"),
    "lycoris": lambda g, p: _adapter(g, p, "tiny-lycoris"),
    "kohya": lambda g, p: _adapter(g, p, "tiny-kohya"),
    "upscaled": _upscaled,
    "latent_edits": _latent_edits,
    "hypertile": lambda g, p: _network(g, p, nodes.hypertile, tile_size=32, max_depth=1, swap_size=3),
    "merge_tokens": lambda g, p: _network(g, p, nodes.merge_tokens, ratio=0.5),
    "deep_shrink": lambda g, p: _network(g, p, nodes.deep_shrink, block=1, downscale_factor=1.5, end=0.6),
    "deep_shrink_with_skip": lambda g, p: _network(
        g, p, nodes.deep_shrink, block=2, after_skip=False, upscale_method="nearest", downscale_method="area"
    ),
    "self_attention_guidance": lambda g, p: _network(g, p, nodes.self_attention_guidance, scale=0.9),
    "schedules": _schedules,
    "solvers": _solvers,
    "percent": _percent,
    "img2img_with_lora": _img2img_with_lora,
}
"""Cases for Stable Diffusion 1."""
