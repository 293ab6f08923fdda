"""Small workflows with LoRAs, ControlNets, adapters and models of other shapes, one for each thing that a script has to say."""

from __future__ import annotations

from typing import Any

from graphflow import Workflow, nodes
from tests.export.parts import SIZE, Build, Parts


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


def _lora_and_embedding(g: Workflow, p: Parts) -> Any:
    changed = g.add(
        nodes.apply_lora, model=p.model, text_encoder=p.text_encoder, lora="tiny-kohya-xl", strength=0.8,
        text_encoder_strength=0.3,
    )  # fmt: skip
    positive = p.prompt("embedding:tiny-words circle", text_encoder=changed.text_encoder)
    return p.sample(model=changed.model, positive=positive, negative=p.prompt("", text_encoder=changed.text_encoder))


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


def _no_picture(g: Workflow, p: Parts) -> Any:
    """Models that paint into a picture and change one, given none."""
    painted, edits = Parts(g, "tiny-inpaint").sample(sampler="dpmpp_2m"), Parts(g, "tiny-edit")
    return edits.decode(edits.sample(latent=painted, strength=0.6))


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
    "ip_adapter_sdxl_style": lambda g, p: _ip_adapter(g, p, name="tiny-ip-xl", part="style"),
    "lora_and_embedding": _lora_and_embedding,
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
    "no_picture": _no_picture,
    "other_vae": _other_vae,
    "control": _control,
    "control_for_a_while": lambda g, p: _control(g, p, strength=0.7, start=0.1, end=0.6),
    "control_masked": lambda g, p: _control(g, p, mask=g.add(nodes.rectangle_mask, width=SIZE, height=SIZE, right=0.5)),
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
