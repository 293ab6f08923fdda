"""Small workflows, one for each thing that a script has to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow import Workflow, nodes

SIZE = 64
"""Pixels of the pictures."""

Build = Callable[[Workflow, "Parts"], Any]
"""Adds nodes to a workflow; returns latents, or pictures."""


class Parts:
    """A checkpoint and what most workflows have."""

    def __init__(self, g: Workflow, model: str) -> None:
        self.g = g
        self.loaded = g.add(nodes.load_checkpoint, model=model)
        self.model, self.text_encoder, self.vae = self.loaded.model, self.loaded.text_encoder, self.loaded.vae
        self.latent = g.add(nodes.empty_latent, width=SIZE, height=SIZE)

    def prompt(self, text: str, **options: Any) -> Any:
        """An encoded prompt."""
        return self.g.add(nodes.encode_prompt, **{"text_encoder": self.text_encoder, "text": text, **options})

    def sample(self, **options: Any) -> Any:
        """A sampling with usual settings."""
        usual = {"model": self.model, "latent": self.latent, "steps": 4, "guidance_scale": 5.0, "seed": 3}
        chosen = {**usual, **options}
        chosen.setdefault("positive", self.prompt("a red circle"))
        chosen.setdefault("negative", self.prompt("blurred"))
        return self.g.add(nodes.sample, **chosen)

    def decode(self, latent: Any) -> Any:
        """Latents to pictures."""
        return self.g.add(nodes.vae_decode, vae=self.vae, latent=latent)

    def picture(self, size: int = SIZE + 8) -> Any:
        """A picture that the workflow makes itself."""
        return self.g.add(nodes.resize, images=self.decode(self.sample(steps=1)), width=size, height=size)


def build(make: Build, model: str) -> Workflow:
    """A workflow that saves what ``make`` returns."""
    g = Workflow("a case")
    parts = Parts(g, model)
    found = make(g, parts)
    if found.spec.output_types[found.output].name == "latent":
        found = parts.decode(found)
    g.add(nodes.save_image, images=found, filename_prefix="case")
    return g


def sampler(name: str, schedule: str = "karras", **options: Any) -> Build:
    """A case of one sampler."""
    return lambda g, p: p.sample(sampler=name, schedule=schedule, **options)


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


def _inpaint(g: Workflow, p: Parts) -> Any:
    mask = g.add(nodes.rectangle_mask, width=SIZE + 8, height=SIZE + 8)
    latent = g.add(nodes.encode_image, vae=p.vae, images=p.picture())
    return p.sample(latent=g.add(nodes.set_noise_mask, latent=latent, mask=mask), strength=0.9)


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
    return p.sample(latent=latent, sampler="euler_ancestral", noise_layout="batch")


def _shared(g: Workflow, p: Parts) -> Any:
    first = p.decode(p.sample())
    g.add(nodes.save_image, images=first, filename_prefix="small")
    return g.add(nodes.resize, images=first, scale=2.0, method="bicubic")


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


def _lora(g: Workflow, p: Parts) -> Any:
    changed = g.add(
        nodes.apply_lora, model=p.model, text_encoder=p.text_encoder, lora="tiny-lora", strength=0.8,
        text_encoder_strength=0.5,
    )  # fmt: skip
    encoder = changed.text_encoder
    return p.sample(
        model=changed.model,
        positive=p.prompt("a red circle", text_encoder=encoder),
        negative=p.prompt("", text_encoder=encoder),
    )


def _lora_on_one_side(g: Workflow, p: Parts) -> Any:
    changed = g.add(nodes.apply_lora, model=p.model, text_encoder=p.text_encoder, lora="tiny-lora", strength=0.8)
    positive = p.prompt("a red circle", text_encoder=changed.text_encoder)
    return p.sample(model=changed.model, positive=positive, sampler="euler")


def _lora_without_text(g: Workflow, p: Parts) -> Any:
    return p.sample(model=g.add(nodes.apply_lora, model=p.model, lora="tiny-lora").model)


def _embedding(g: Workflow, p: Parts) -> Any:
    return p.sample(positive=p.prompt("a (embedding:tiny-word:1.2) and embedding:missing"))


def _control(g: Workflow, p: Parts, **options: Any) -> Any:
    net = g.add(nodes.load_control_net, control_net="tiny-control")
    positive, negative = p.prompt("a red circle"), p.prompt("blurred")
    for _ in range(2):
        steered = g.add(
            nodes.apply_control_net, positive=positive, negative=negative, control_net=net, image=p.picture(), **options
        )
        positive, negative = steered.positive, steered.negative
    return p.sample(positive=positive, negative=negative)


def _control_img2img(g: Workflow, p: Parts) -> Any:
    net = g.add(nodes.load_control_net, control_net="tiny-control")
    image = p.picture()
    steered = g.add(
        nodes.apply_control_net, positive=p.prompt("a red circle"), negative=p.prompt(""), control_net=net, image=image,
        strength=0.6, end=0.7,
    )  # fmt: skip
    latent = g.add(nodes.encode_image, vae=p.vae, images=image)
    return p.sample(positive=steered.positive, negative=steered.negative, latent=latent, strength=0.5, steps=5)


def _control_on_one_side(g: Workflow, p: Parts) -> Any:
    net = g.add(nodes.load_control_net, control_net="tiny-control")
    steered = g.add(nodes.apply_control_net, positive=p.prompt("a red circle"), control_net=net, image=p.picture())
    return p.sample(positive=steered.positive)


def _union(g: Workflow, p: Parts, *, times: int = 1, **options: Any) -> Any:
    net = g.add(nodes.load_control_net, control_net="tiny-union")
    net = g.add(nodes.set_union_control_type, control_net=net, type="depth")
    positive, negative = p.prompt("a red circle"), p.prompt("blurred")
    for _ in range(times):
        steered = g.add(
            nodes.apply_control_net, positive=positive, negative=negative, control_net=net, image=p.picture(),
            strength=0.7,
        )  # fmt: skip
        positive, negative = steered.positive, steered.negative
    return p.sample(positive=positive, negative=negative, **options)


def _t2i(g: Workflow, p: Parts, *, name: str = "tiny-t2i", sampler: str = "dpmpp_2m", **options: Any) -> Any:
    net = g.add(nodes.load_control_net, control_net=name)
    steered = g.add(
        nodes.apply_control_net, positive=p.prompt("a red circle"), negative=p.prompt(""), control_net=net,
        image=p.picture(), **{"strength": 0.8, **options},
    )  # fmt: skip
    return p.sample(positive=steered.positive, negative=steered.negative, sampler=sampler)


def _ip_adapter(
    g: Workflow, p: Parts, *, name: str = "tiny-ip", eye: str = "eye", sampler: str = "dpmpp_2m", masked: bool = False,
    **options: Any,
) -> Any:  # fmt: skip
    half = g.add(nodes.rectangle_mask, width=SIZE, height=SIZE, right=0.5)
    mask = {"mask": half} if masked else {}
    model = g.add(
        nodes.apply_ip_adapter,
        model=p.model,
        ip_adapter=g.add(nodes.load_ip_adapter, ip_adapter=name),
        image_encoder=g.add(nodes.load_image_encoder, image_encoder=eye),
        image=g.add(nodes.mask_to_image, mask=half),
        **{"strength": 0.8, **mask, **options},
    )
    return p.sample(model=model, sampler=sampler)


def _two_ip_adapters(g: Workflow, p: Parts) -> Any:
    eye, model = g.add(nodes.load_image_encoder, image_encoder="eye"), p.model
    half = g.add(nodes.rectangle_mask, width=SIZE, height=SIZE, right=0.5)
    image = g.add(nodes.mask_to_image, mask=half)
    for name, strength in (("tiny-ip", 0.7), ("tiny-plus", 0.4)):
        adapter = g.add(nodes.load_ip_adapter, ip_adapter=name)
        model = g.add(
            nodes.apply_ip_adapter, model=model, ip_adapter=adapter, image_encoder=eye, image=image, strength=strength
        )
    return p.sample(model=model)


def _refiner(g: Workflow, p: Parts, *, sampler: str = "dpmpp_2m", sized: bool = True) -> Any:
    """SDXL's base and refiner as ComfyUI's two advanced samplers have them."""
    first = p.sample(steps=6, end_step=4, leftover_noise=True, sampler=sampler)
    other = Parts(g, "tiny-refiner")
    if sized:
        told = [
            g.add(nodes.encode_prompt_refiner, text_encoder=other.text_encoder, text=text, aesthetic_score=score)
            for text, score in (("a red circle", 7.0), ("blurred", 2.0))
        ]
    else:
        told = [other.prompt("a red circle"), other.prompt("blurred")]
    return other.sample(
        latent=first, steps=6, start_step=4, add_noise=False, sampler=sampler, positive=told[0], negative=told[1]
    )


def _refined_again(g: Workflow, p: Parts) -> Any:
    """The refiner on a finished picture."""
    other = Parts(g, "tiny-refiner")
    return other.sample(latent=p.sample(steps=3), strength=0.4, sampler="dpmpp_2m")


def _own_files(g: Workflow, p: Parts, *, text: bool = False) -> Any:
    """A UNet and an autoencoder from files of their own, and the text encoder as well or from the checkpoint."""
    p.model = g.add(nodes.load_diffusion_model, model="lone-unet")
    p.vae = g.add(nodes.load_vae, model="lone-vae")
    if text:
        p.text_encoder = g.add(nodes.load_text_encoder, model="lone-text_encoder")
    return p.sample(sampler="dpmpp_2m")


def _other_vae(g: Workflow, p: Parts) -> Any:
    p.vae = g.add(nodes.load_vae, model="lone-vae")
    return p.sample(positive=p.prompt("a (red:1.2) circle"))


def _nine_channels(g: Workflow, p: Parts, *, kept: bool = True, **options: Any) -> Any:
    p = Parts(g, "tiny-inpaint")
    told = g.add(
        nodes.inpaint_conditioning,
        positive=p.prompt("a red circle"),
        negative=p.prompt(""),
        vae=p.vae,
        images=g.add(nodes.solid_image, width=SIZE + 8, height=SIZE, color="#3060c0"),
        mask=g.add(nodes.rectangle_mask, width=SIZE, height=SIZE, right=0.45),
        noise_mask=kept,
    )
    return p.decode(p.sample(positive=told.positive, negative=told.negative, latent=told.latent, **options))


def _edit(g: Workflow, p: Parts) -> Any:
    """A picture that is changed, by the usual guidance and by two conditionings."""
    p = Parts(g, "tiny-edit")
    told = g.add(
        nodes.edit_conditioning,
        positive=p.prompt("a red circle"),
        negative=p.prompt(""),
        vae=p.vae,
        images=g.add(nodes.solid_image, width=SIZE, height=SIZE, color="#3060c0"),
    )
    first = p.sample(positive=told.positive, negative=told.negative, latent=told.latent)
    sides = {"positive": told.positive, "middle": told.negative, "negative": told.negative}
    return p.decode(
        g.add(
            nodes.sample_custom,
            guider=g.add(nodes.dual_cfg_guider, model=p.model, **sides),
            noise=g.add(nodes.random_noise, seed=4),
            sampler=g.add(nodes.select_sampler, sampler="euler"),
            sigmas=g.add(nodes.make_sigmas, model=p.model, steps=4),
            latent=first,
        ).latent
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
    "ancestral": sampler("dpmpp_2s_ancestral"),
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
    "inpaint": _inpaint,
    "two_stages": _two_stages,
    "stopped_early": _stopped_early,
    "latent_upscale": _latent_upscale,
    "shared": _shared,
    "weights": _weights,
    "long_prompt": _long_prompt,
    "text_layer": _layer,
    "no_negative": _no_negative,
    "regional": _regional,
    "masked_prompt": _masked_prompt,
    "ranges": _ranges,
    "mixed": _mixed,
}
"""Cases for every family."""


def _two_texts(g: Workflow, p: Parts, *, text: str = "a red circle", **options: Any) -> Any:
    sides = [
        g.add(nodes.encode_prompt_sdxl, text_encoder=p.text_encoder, text=first, text_l=second)
        for first, second in ((text, "a drawing"), ("blurred", "noise"))
    ]
    return p.sample(positive=sides[0], negative=sides[1], **options)


SDXL_CASES: dict[str, Build] = {
    "two_texts": _two_texts,
    "two_texts_loop": lambda g, p: _two_texts(g, p, sampler="heun"),
    "two_weighted_texts": lambda g, p: _two_texts(g, p, text="a (red:1.3) circle"),
    "union": _union,
    "union_twice": lambda g, p: _union(g, p, times=2, sampler="euler", schedule="normal"),
    "refiner": _refiner,
    "refiner_euler": lambda g, p: _refiner(g, p, sampler="euler", sized=False),
    "refiner_loop": lambda g, p: _refiner(g, p, sampler="heun", sized=False),
    "refiner_loop_sized": lambda g, p: _refiner(g, p, sampler="heun"),
    "refined_again": _refined_again,
    "ip_adapter_sdxl": lambda g, p: _ip_adapter(g, p, name="tiny-ip-xl"),
    "sizes": lambda g, p: p.sample(
        positive=g.add(nodes.encode_prompt_sdxl, text_encoder=p.text_encoder, text="a red circle", width=512, crop_x=8)
    ),
}
"""Cases for SDXL alone."""

SD_CASES: dict[str, Build] = {
    "lora": _lora,
    "lora_on_one_side": _lora_on_one_side,
    "lora_without_text": _lora_without_text,
    "embedding": _embedding,
    "own_files": _own_files,
    "nine_channels": _nine_channels,
    "nine_channels_everywhere": lambda g, p: _nine_channels(g, p, kept=False, sampler="euler", schedule="normal"),
    "nine_channels_partly": lambda g, p: _nine_channels(g, p, strength=0.6),
    "nine_channels_loop": lambda g, p: _nine_channels(g, p, sampler="heun"),
    "edit": _edit,
    "other_vae": _other_vae,
    "control": _control,
    "control_for_a_while": lambda g, p: _control(g, p, strength=0.7, start=0.1, end=0.6),
    "control_img2img": _control_img2img,
    "control_on_one_side": _control_on_one_side,
    "t2i": _t2i,
    "t2i_file": lambda g, p: _t2i(g, p, name="tiny-t2i-file"),
    "t2i_for_a_while": lambda g, p: _t2i(g, p, sampler="heun", end=0.6),
    "ip_adapter": _ip_adapter,
    "ip_adapter_for_a_while": lambda g, p: _ip_adapter(g, p, name="tiny-plus", eye="eye-file", end=0.9),
    "ip_adapter_masked": lambda g, p: _ip_adapter(g, p, masked=True),
    "ip_adapter_loop": lambda g, p: _ip_adapter(g, p, masked=True, sampler="heun", start=0.1, end=0.7),
    "two_ip_adapters": _two_ip_adapters,
}
"""Cases that need files for Stable Diffusion 1."""
