"""The recorded features as native graphs, on the full-size weights and through the public nodes.

Each function builds the graph of one recorded case and returns what to compare: a reference for each recorded array.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphflow import Workflow, nodes
from graphflow.building.refs import Ref
from graphflow.session import Session
from graphflow.values import Conditioning, Image, Latent

Taps = dict[str, Ref[Any]]
Case = Callable[["Graph"], Taps]

INPUTS = Path(__file__).parent / "data" / "inputs"
CHECKPOINT = "sd15_rand"
PROMPT = "a red fox sitting in a snowy forest, oil painting, detailed"
NEGATIVE_PROMPT = "blurry, low quality, text"
OTHER_PROMPT = "a blue robot in a desert"

CASES: dict[str, Case] = {}


def _case(name: str) -> Callable[[Case], Case]:
    def keep(function: Case) -> Case:
        CASES[name] = function
        return function

    return keep


class Graph:
    """A graph with the checkpoint, the prompts and the settings that most recorded cases share."""

    def __init__(self) -> None:
        self.workflow = Workflow("recorded")
        self.checkpoint: Ref[Any] = self.add(nodes.load_checkpoint, model=CHECKPOINT)
        self.model: Ref[Any] = self.checkpoint.model
        self.encoder: Ref[Any] = self.checkpoint.text_encoder
        self.vae: Ref[Any] = self.checkpoint.vae

    def add(self, function: Callable[..., Any], **arguments: Any) -> Ref[Any]:
        return self.workflow.add(function, **arguments)

    def prompt(self, text: str) -> Ref[Any]:
        return self.add(nodes.encode_prompt, text_encoder=self.encoder, text=text)

    def positive(self) -> Ref[Any]:
        return self.prompt(PROMPT)

    def negative(self) -> Ref[Any]:
        return self.prompt(NEGATIVE_PROMPT)

    def empty(self, width: int = 64, height: int = 64, batch_size: int = 1) -> Ref[Any]:
        return self.add(nodes.empty_latent, width=width, height=height, batch_size=batch_size)

    def picture(self, name: str = "lab64.png") -> Ref[Any]:
        return self.add(nodes.load_image, file=name).image

    def mask(self) -> Ref[Any]:
        return self.add(nodes.load_mask, file="lab64_mask.png", channel="red")

    def encoded(self) -> Ref[Any]:
        return self.add(nodes.encode_image, vae=self.vae, images=self.picture())

    def patch(self, lora: str, strength: float, text_encoder_strength: float) -> None:
        """Give the model and the text encoder a LoRA."""
        patched = self.add(
            nodes.apply_lora,
            model=self.model,
            text_encoder=self.encoder,
            lora=lora,
            strength=strength,
            text_encoder_strength=text_encoder_strength,
        )
        self.model, self.encoder = patched.model, patched.text_encoder

    def sample(self, **changes: Any) -> Ref[Any]:
        settings: dict[str, Any] = {
            "model": self.model,
            "seed": 42,
            "steps": 4,
            "guidance_scale": 7.0,
            "sampler": "euler",
            "schedule": "normal",
            "noise_layout": "batch",
        }
        settings |= changes
        for side in ("positive", "negative"):
            if side not in settings:
                settings[side] = getattr(self, side)()
        if "latent" not in settings:
            settings["latent"] = self.empty()
        return self.add(nodes.sample, **settings)


@_case("txt2img_euler_normal_8")
def _txt2img(g: Graph) -> Taps:
    return {"latent": g.sample(steps=8)}


@_case("cfg1")
def _no_guidance(g: Graph) -> Taps:
    return {"latent": g.sample(guidance_scale=1.0)}


@_case("size_72x104")
def _odd_size(g: Graph) -> Taps:
    return {"latent": g.sample(latent=g.empty(104, 72))}


@_case("img2img_0.5")
def _img2img(g: Graph) -> Taps:
    return {"latent": g.sample(steps=8, strength=0.5, latent=g.encoded())}


@_case("inpaint_noise_mask")
def _noise_mask(g: Graph) -> Taps:
    masked = g.add(nodes.set_noise_mask, latent=g.encoded(), mask=g.mask())
    return {"latent": g.sample(steps=6, strength=0.8, latent=masked)}


@_case("inpaint_noise_mask_ddim")
def _noise_mask_ddim(g: Graph) -> Taps:
    masked = g.add(nodes.set_noise_mask, latent=g.encoded(), mask=g.mask())
    return {"latent": g.sample(steps=6, sampler="ddim", strength=0.8, latent=masked)}


@_case("inpaint_vae_encode_for_inpaint")
def _masked_content(g: Graph) -> Taps:
    encoded = g.add(nodes.encode_for_inpaint, vae=g.vae, images=g.picture(), mask=g.mask(), grow=6)
    return {"encoded": encoded, "latent": g.sample(steps=6, latent=encoded)}


@_case("lora_0.8_0.6")
def _lora(g: Graph) -> Taps:
    g.patch("lora_a", 0.8, 0.6)
    return {"latent": g.sample(steps=6)}


@_case("lora_two_stacked")
def _two_loras(g: Graph) -> Taps:
    g.patch("lora_a", 0.8, 0.6)
    g.patch("lora_b", -0.5, 1.0)
    return {"latent": g.sample(steps=6)}


@_case("lora_model_only")
def _lora_on_the_model(g: Graph) -> Taps:
    g.model = g.add(nodes.apply_lora, model=g.model, lora="lora_a", strength=0.8).model
    return {"latent": g.sample()}


@_case("controlnet_adv_0.7_0.1_0.8")
def _control_net(g: Graph) -> Taps:
    controlled = g.add(
        nodes.apply_control_net,
        positive=g.positive(),
        negative=g.negative(),
        control_net=g.add(nodes.load_control_net, control_net="control_sd15_rand"),
        image=g.picture("lab64_edges.png"),
        strength=0.7,
        start=0.1,
        end=0.8,
    )
    return {"latent": g.sample(steps=8, positive=controlled.positive, negative=controlled.negative)}


@_case("cond_combine")
def _combine(g: Graph) -> Taps:
    return {"latent": g.sample(positive=_combined(g, g.positive(), g.prompt(OTHER_PROMPT)))}


@_case("cond_area")
def _area(g: Graph) -> Taps:
    right = g.add(
        nodes.set_conditioning_area,
        conditioning=g.prompt(OTHER_PROMPT),
        unit="pixels",
        width=64,
        height=64,
        x=64,
        y=0,
        strength=0.8,
    )
    return {"latent": g.sample(positive=_combined(g, g.positive(), right), latent=g.empty(128, 64))}


@_case("cond_mask")
def _mask(g: Graph) -> Taps:
    masked = g.add(
        nodes.set_conditioning_mask, conditioning=g.prompt(OTHER_PROMPT), mask=g.mask(), strength=0.9, bounds=False
    )
    return {"latent": g.sample(positive=_combined(g, g.positive(), masked))}


@_case("cond_timestep")
def _range(g: Graph) -> Taps:
    early = g.add(nodes.set_conditioning_range, conditioning=g.positive(), start=0.0, end=0.4)
    late = g.add(nodes.set_conditioning_range, conditioning=g.prompt(OTHER_PROMPT), start=0.4, end=1.0)
    return {"latent": g.sample(positive=_combined(g, early, late))}


@_case("ksampler_advanced_two_stage")
def _two_stages(g: Graph) -> Taps:
    first = g.sample(steps=8, end_step=4, leftover_noise=True)
    return {"stage1": first, "latent": g.sample(steps=8, start_step=4, add_noise=False, seed=0, latent=first)}


@_case("hires_fix")
def _hires_fix(g: Graph) -> Taps:
    first = g.sample(steps=6)
    larger = g.add(nodes.upscale_latent, latent=first, scale=1.5, method="bislerp")
    second = g.sample(seed=7, sampler="dpmpp_2m", schedule="karras", strength=0.55, latent=larger)
    return {"stage1": first, "upscaled": larger, "latent": second}


@_case("batch2")
def _batch(g: Graph) -> Taps:
    return {"latent": g.sample(sampler="euler_ancestral", latent=g.empty(batch_size=2))}


@_case("latent_from_batch_index1")
def _from_batch(g: Graph) -> Taps:
    second = g.add(nodes.latents_from_batch, latent=g.empty(batch_size=2), start=1, length=1)
    return {"latent": g.sample(sampler="euler_ancestral", latent=second)}


@_case("repeat_latent_batch_img2img")
def _repeated(g: Graph) -> Taps:
    twice = g.add(nodes.repeat_latents, latent=g.encoded(), count=2)
    return {"latent": g.sample(strength=0.6, latent=twice)}


@_case("clipskip2_sampled")
def _clip_skip(g: Graph) -> Taps:
    negative = g.negative()
    g.encoder = g.add(nodes.set_text_layer, text_encoder=g.encoder, layer=-2)
    return {"latent": g.sample(negative=negative)}


@_case("embedding_sampled")
def _embedding(g: Graph) -> Taps:
    return {"latent": g.sample(positive=g.prompt("a portrait of embedding:rand_ti in a forest"))}


@_case("sampler_custom")
def _custom(g: Graph) -> Taps:
    return _custom_sampling(g, _guided(g), sampler="dpmpp_2m", schedule="karras", steps=6)


@_case("sampler_custom_advanced_cfg")
def _custom_advanced(g: Graph) -> Taps:
    return _custom_sampling(g, _guided(g), sampler="euler", schedule="normal", steps=4)


@_case("sampler_custom_advanced_dual_nested")
def _dual_guidance(g: Graph) -> Taps:
    guider = g.add(
        nodes.dual_cfg_guider,
        model=g.model,
        positive=g.positive(),
        middle=g.prompt(OTHER_PROMPT),
        negative=g.negative(),
        guidance_scale=5.0,
        middle_scale=3.0,
        nested=True,
    )
    return _custom_sampling(g, guider, sampler="euler", schedule="normal", steps=4)


@_case("lcm_sampling")
def _lcm(g: Graph) -> Taps:
    g.model = g.add(nodes.set_prediction, model=g.model, prediction="lcm")
    return {"latent": g.sample(sampler="lcm", schedule="sgm_uniform", guidance_scale=1.5)}


@_case("rescale_cfg")
def _rescale(g: Graph) -> Taps:
    g.model = g.add(nodes.rescale_guidance, model=g.model, multiplier=0.7)
    return {"latent": g.sample()}


@_case("v_prediction_zsnr")
def _zero_snr(g: Graph) -> Taps:
    g.model = g.add(nodes.set_prediction, model=g.model, prediction="v_prediction", zero_snr=True)
    return {"latent": g.sample()}


@_case("model_merge_simple")
def _merge(g: Graph) -> Taps:
    other = g.add(nodes.apply_lora, model=g.model, lora="lora_a", strength=1.0).model
    g.model = g.add(nodes.merge_models, model=g.model, other=other, ratio=0.5)
    return {"latent": g.sample()}


@_case("freeu_v2_128")
def _freeu(g: Graph) -> Taps:
    g.model = g.add(nodes.freeu, model=g.model, b1=1.3, b2=1.4, s1=0.9, s2=0.2, method="v2")
    return {"latent": g.sample(steps=3, latent=g.empty(128, 128))}


@_case("patch_model_add_downscale")
def _deep_shrink(g: Graph) -> Taps:
    g.model = g.add(nodes.deep_shrink, model=g.model)
    return {"latent": g.sample()}


@_case("perturbed_attention_guidance_128")
def _perturbed_attention(g: Graph) -> Taps:
    g.model = g.add(nodes.perturbed_attention_guidance, model=g.model, scale=3.0)
    return {"latent": g.sample(steps=3, latent=g.empty(128, 128))}


def _combined(g: Graph, *parts: Ref[Any]) -> Ref[Any]:
    return g.add(nodes.combine_conditioning, conditioning=list(parts))


def _guided(g: Graph) -> Ref[Any]:
    return g.add(nodes.cfg_guider, model=g.model, positive=g.positive(), negative=g.negative(), guidance_scale=7.0)


def _custom_sampling(g: Graph, guider: Ref[Any], *, sampler: str, schedule: str, steps: int) -> Taps:
    result = g.add(
        nodes.sample_custom,
        guider=guider,
        noise=g.add(nodes.random_noise, seed=42, layout="batch"),
        sampler=g.add(nodes.select_sampler, sampler=sampler),
        sigmas=g.add(nodes.make_sigmas, model=g.model, schedule=schedule, steps=steps),
        latent=g.empty(),
    )
    return {"latent": result.latent, "denoised_output": result.denoised}


def run(session: Session, case: str) -> dict[str, Tensor]:
    """Return what a case gives, by the name of its recorded array."""
    graph = Graph()
    taps = CASES[case](graph)
    for name, ref in taps.items():
        graph.workflow.output(name, ref)
    result = session.run(graph.workflow, targets=[ref.address for ref in taps.values()], folder=INPUTS)
    return {name: _tensor(result.outputs[name]) for name in taps}


def _tensor(value: object) -> Tensor:
    match value:
        case Latent():
            return value.samples
        case Image():
            return value.pixels.permute(0, 2, 3, 1)
        case Conditioning():
            return torch.cat([entry.embedding for entry in value.entries])
    raise TypeError(f"a {type(value).__name__} is no array")
