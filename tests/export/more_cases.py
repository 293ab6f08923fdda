"""Small workflows of merged models, batches, tiles and the like, as in :mod:`tests.export.cases`."""

from __future__ import annotations

from typing import Any

from graphflow import Workflow, nodes
from tests.export.cases import SIZE, Build, Parts


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


MORE_CASES: dict[str, Build] = {
    "merged": _merged,
    "merged_blocks": _merged_blocks,
    "difference": _difference,
    "scaled_attention": _scaled_attention,
    "from_batch": lambda g, p: _from_batch(g, p, "batch"),
    "from_samples": lambda g, p: _from_batch(g, p, "per_sample"),
    "same_noise": _same_noise,
    "image_items": _image_items,
    "prediction": _prediction,
    "velocity": _velocity,
    "tiles": _tiles,
    "img2img_with_lora": _img2img_with_lora,
}
"""Cases for Stable Diffusion 1."""
