"""Small workflows for models of every family, one for each thing that a script has to say."""

from __future__ import annotations

from typing import Any

from graphflow import Workflow, nodes
from tests.export.parts import SIZE, Build, Parts, sampler


def _regional(g: Workflow, p: Parts) -> Any:
    left = g.add(nodes.set_conditioning_area, conditioning=p.prompt("a cat"), width=0.6, strength=0.8)
    right = g.add(
        nodes.set_conditioning_area,
        conditioning=p.prompt("a dog"),
        width=SIZE / 2,
        height=SIZE,
        x=SIZE / 2,
        unit="pixels",
    )
    both = g.add(nodes.combine_conditioning, conditioning=[p.prompt("a field"), left, right])
    return p.sample(positive=both)


def _masked_prompt(g: Workflow, p: Parts) -> Any:
    mask = g.add(nodes.rectangle_mask, width=SIZE, height=SIZE, left=0.1, right=0.6)
    parts = [
        g.add(nodes.set_conditioning_mask, conditioning=p.prompt("a cat"), mask=mask, strength=0.9),
        g.add(nodes.set_conditioning_mask, conditioning=p.prompt("a dog"), mask=mask, bounds=True),
        p.prompt("a field"),
    ]
    return p.sample(positive=g.add(nodes.combine_conditioning, conditioning=parts))


def _ranges(g: Workflow, p: Parts) -> Any:
    early = g.add(nodes.set_conditioning_range, conditioning=p.prompt("a cat"), end=0.5)
    late = g.add(nodes.set_conditioning_range, conditioning=p.prompt("a dog"), start=0.5)
    return p.sample(positive=g.add(nodes.combine_conditioning, conditioning=[early, late]))


def _mixed(g: Workflow, p: Parts) -> Any:
    mixed = g.add(nodes.average_conditioning, conditioning=p.prompt("a cat"), other=p.prompt("a dog"), strength=0.7)
    joined = g.add(nodes.concat_conditioning, conditioning=mixed, other=p.prompt("a field"))
    return p.sample(positive=joined, negative=g.add(nodes.zero_out_conditioning, conditioning=p.prompt("no")))


def _img2img_with(**options: Any) -> Build:
    return lambda g, p: p.sample(latent=g.add(nodes.encode_image, vae=p.vae, images=p.picture()), **options)


def _inpaint_with(**options: Any) -> Build:
    def make(g: Workflow, p: Parts) -> Any:
        mask = g.add(nodes.rectangle_mask, width=SIZE + 8, height=SIZE + 8)
        latent = g.add(nodes.encode_image, vae=p.vae, images=p.picture())
        return p.sample(latent=g.add(nodes.set_noise_mask, latent=latent, mask=mask), strength=0.9, **options)

    return make


def _two_stages(g: Workflow, p: Parts) -> Any:
    first = p.sample(end_step=2, leftover_noise=True, sampler="heun")
    return p.sample(latent=first, start_step=2, add_noise=False, sampler="dpmpp_2m")


def _stopped_early(g: Workflow, p: Parts) -> Any:
    return p.sample(end_step=2, sampler="dpmpp_2m")


def _latent_upscale(g: Workflow, p: Parts) -> Any:
    larger = g.add(nodes.upscale_latent, latent=p.sample(), scale=1.5, method="bilinear")
    return p.sample(latent=larger, strength=0.5, seed=4)


def _batch(g: Workflow, p: Parts) -> Any:
    latent = g.add(nodes.empty_latent, width=SIZE, height=SIZE, batch_size=3)
    return p.sample(latent=latent, sampler="euler_ancestral", noise_layout="batch", step_noise="seed + 1")


def _shared(g: Workflow, p: Parts) -> Any:
    first = p.decode(p.sample())
    g.add(nodes.save_image, images=first, filename_prefix="small")
    return g.add(nodes.resize, images=first, scale=2.0, method="bicubic")


def _names(g: Workflow, p: Parts) -> Any:
    """Nodes that are called as what scripts need, and several files of one name."""
    image = g.add(nodes.resize, images=p.decode(p.sample()), width=40, height=40, id="image")
    g.add(nodes.save_image, images=image, filename_prefix="case", id="option")
    flipped = g.add(nodes.flip_image, images=image, id="number")
    g.add(nodes.save_image, images=flipped, filename_prefix="case", id="picture")
    return g.add(nodes.flip_image, images=flipped, direction="horizontal", id="class")


def _weights(g: Workflow, p: Parts) -> Any:
    return p.sample(positive=p.prompt(r"a (red:1.3) ((circle)) \(round\)"), negative=p.prompt("(blurred:0.8)"))


def _long_prompt(g: Workflow, p: Parts) -> Any:
    return p.sample(positive=p.prompt("a red circle on a blue background, " * 20), sampler="euler")


def _layer(g: Workflow, p: Parts) -> Any:
    encoder = g.add(nodes.set_text_layer, text_encoder=p.text_encoder, layer=-2)
    return p.sample(
        positive=p.prompt("a red circle", text_encoder=encoder), negative=p.prompt("", text_encoder=encoder)
    )


def _no_negative(g: Workflow, p: Parts) -> Any:
    return g.add(
        nodes.sample, model=p.model, positive=p.prompt("a red circle"), latent=p.latent, steps=4, seed=2**64 - 1
    )


def _comfyui(g: Workflow, p: Parts) -> Any:
    """As the importer writes it: noise for the whole batch at once, and pictures cut to 8 bits."""
    latent = g.add(nodes.empty_latent, width=SIZE, height=SIZE, batch_size=2)
    images = p.decode(p.sample(latent=latent, sampler="dpmpp_2m", schedule="karras", noise_layout="batch"))
    g.add(nodes.save_image, images=images, filename_prefix="cut", rounding="truncate")
    return images


CASES: dict[str, Build] = {
    "comfyui": _comfyui,
    "text": sampler("dpmpp_2m"),
    "exponential": sampler("dpmpp_2m", "exponential"),
    "beta_schedule": sampler("dpmpp_2m", "beta"),
    "euler": sampler("euler", "normal"),
    "ancestral": sampler("dpmpp_2s_ancestral", step_noise="seed + 1"),
    "brownian": sampler("dpmpp_2m_sde"),
    "uni_pc": sampler("uni_pc", "simple"),
    "cfg_pp": sampler("euler_cfg_pp", guidance_scale=1.0),
    "unguided": sampler("dpmpp_2m", guidance_scale=1.0),
    "weak_guidance": sampler("dpmpp_2m", guidance_scale=0.5),
    "webp_batch": _batch,
    "img2img": _img2img_with(strength=0.5),
    "img2img_ancestral": _img2img_with(strength=0.6, sampler="euler_ancestral", schedule="normal"),
    "ddim_uniform": sampler("euler", "ddim_uniform", steps=6),
    "ddim_uniform_img2img": _img2img_with(steps=6, strength=0.6, sampler="dpmpp_2m", schedule="ddim_uniform"),
    "highest_noise_on_a_picture": _img2img_with(strength=0.95),
    "heun": sampler("heun", "normal"),
    "inpaint": _inpaint_with(),
    "inpaint_ddim": _inpaint_with(sampler="ddim"),
    "two_stages": _two_stages,
    "stopped_early": _stopped_early,
    "latent_upscale": _latent_upscale,
    "shared": _shared,
    "weights": _weights,
    "names": _names,
    "long_prompt": _long_prompt,
    "text_layer": _layer,
    "no_negative": _no_negative,
    "regional": _regional,
    "masked_prompt": _masked_prompt,
    "ranges": _ranges,
    "mixed": _mixed,
}
"""Cases for every family."""
