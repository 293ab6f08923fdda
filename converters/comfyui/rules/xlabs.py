"""x-labs' nodes for FLUX.1: a sampler of their own, ControlNets and IP-Adapters."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Fused, RefusedError, Source, Value
from .common import BATCH_NOISE
from .rule import AnyRule, Made, Rule

_PACK = "x-flux-comfyui"
_CONTROLS, _ADAPTER = "x-labs ControlNets", "x-labs IP-Adapter"


def _control(builder: Builder, source: Source) -> list[Value]:
    """ApplyFluxControlNet: one ControlNet with its picture, behind those so far, for the sampler."""
    before = source.fused("controlnet_condition", _CONTROLS)
    control = {
        "control_net": source.get("controlnet"),
        "image": source.get("image"),
        "strength": source.get("strength", 1.0),
        "start": source.get("start", 0.0),
        "end": source.get("end", 1.0),
    }
    found = [*(before.parts["controls"] if before is not None else ()), control]
    return [Fused(_CONTROLS, {"controls": found}, (source.id, *(before.ids if before else ())))]


def _adapter(builder: Builder, source: Source) -> list[Value]:
    source.used.add("provider")
    adapter = builder.add(source, "load_ip_adapter", {"ip_adapter": source.get("ipadatper")})
    seeing = builder.add(
        source, "load_image_encoder", {"image_encoder": source.get("clip_vision")}, suffix="image-encoder"
    )
    return [Fused(_ADAPTER, {"ip_adapter": adapter, "image_encoder": seeing})]


def _prompted(builder: Builder, source: Source) -> list[Value]:
    adapter = source.part("ip_adapter_flux", _ADAPTER)
    strength: Any = source.get("ip_scale")
    if strength is None:  # ApplyAdvancedFluxIPAdapter
        strength, end = source.number("begin_strength", 1.0), source.number("end_strength", 1.0)
        source.used.add("smothing_type")
        if strength != end:
            raise RefusedError(
                f"strengths of {strength:g} in the first block and {end:g} in the last are not told apart"
            )
    inputs = {"model": source.get("model"), **adapter.parts, "image": source.get("image"), "strength": strength}
    return [builder.add(source, "apply_ip_adapter", inputs)]


def _sampler(builder: Builder, source: Source) -> list[Value]:
    """XlabsSampler: Euler's steps on FLUX.1's schedule, the guidance from one step on."""
    if source.number("image_to_image_strength", 0.0) > 0 or source.number("denoise_strength", 1.0) < 1:
        raise RefusedError("it starts from a picture, in a way that has no native counterpart")
    sides = {"positive": source.get("conditioning"), "negative": source.get("neg_conditioning")}
    controls = source.fused("controlnet_condition", _CONTROLS)
    for number, control in enumerate(controls.parts["controls"] if controls is not None else ()):
        made = builder.add(
            source,
            "apply_control_net",
            {**sides, **control},
            suffix=f"control-{number}",
            ids=controls.ids if controls else (),
        )
        sides = {side: builder.ref(made.node, side) for side in sides}
    latent = source.get("latent_image")
    size = builder.add(source, "latent_size", {"latent": latent}, suffix="size")
    edges = {edge: builder.ref(size.node, edge) for edge in ("width", "height")}
    model = builder.add(source, "set_flux_shift", {"model": source.get("model"), **edges}, suffix="shift")
    steps, first, scale = (
        int(source.number("steps", 20)), int(source.number("timestep_to_start_cfg", 20)), source.number("true_gs", 3.0),
    )  # fmt: skip
    common = {
        "model": model, **sides, "latent": latent, "seed": source.get("noise_seed", 0), "steps": steps, "sampler": "euler",
        "schedule": "simple", **BATCH_NOISE,
    }  # fmt: skip
    if 0 < first < steps and scale != 1:
        plain = common | {"guidance_scale": 1.0, "end_step": first, "leftover_noise": True}
        latent = builder.add(source, "sample", plain, suffix="unguided")
        common |= {"latent": latent, "start_step": first, "add_noise": False}
    guided = scale if first < steps else 1.0
    return [builder.add(source, "sample", common | {"guidance_scale": guided})]


RULES: tuple[AnyRule, ...] = (
    Rule("LoadFluxControlNet", "load_control_net", "controlnet_path:control_net", ignored="model_name", pack=_PACK, back=False),
    Rule("FluxLoraLoader", "apply_lora", "lora_name:lora model strength_model:strength", pack=_PACK, back=False),
    *(
        Made(type, (), _control, says="part of the apply_control_net before the sampler", pack=_PACK)
        for type in ("ApplyFluxControlNet", "ApplyAdvancedFluxControlNet")
    ),
    Made("LoadFluxIPAdapter", ("load_ip_adapter", "load_image_encoder"), _adapter, says="load_ip_adapter and load_image_encoder", pack=_PACK),
    *(
        Made(type, ("apply_ip_adapter",), _prompted, says="apply_ip_adapter", pack=_PACK)
        for type in ("ApplyFluxIPAdapter", "ApplyAdvancedFluxIPAdapter")
    ),
    Made("XlabsSampler", ("apply_control_net", "latent_size", "set_flux_shift", "sample"), _sampler, pack=_PACK,
         says="sample, with set_flux_shift and its ControlNets", differs="the noise is drawn as ComfyUI's own samplers draw it"),
)  # fmt: skip
"""By ComfyUI type."""
