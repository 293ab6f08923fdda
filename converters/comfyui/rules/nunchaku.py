"""Loaders of quantised models of the custom pack ComfyUI-nunchaku, which is under the Apache licence."""

from __future__ import annotations

from ..building import Builder, Source, Value
from .loaders import apply_lora
from .rule import AnyRule, Made, Rule

_PACK = "ComfyUI-nunchaku"
_SPEED = "cpu_offload device_id data_type i2f_mode attention num_blocks_on_gpu use_pin_memory"


def _model(builder: Builder, source: Source) -> list[Value]:
    source.used |= set(_SPEED.split())
    if source.number("cache_threshold", 0.0) > 0:
        source.remark("every step is computed; the node takes some from the step before (cache_threshold)")
    return [builder.add(source, "load_diffusion_model", {"model": source.get("model_path")})]


def _text_encoders(builder: Builder, source: Source) -> list[Value]:
    """FLUX.1's two text encoders, and how far T5's prompts are filled up."""
    source.used |= {"model_type", "use_4bit_t5"}
    names = {"model": source.get("text_encoder1"), "model_2": source.get("text_encoder2")}
    if source.flag("use_4bit_t5") and source.text("int4_model", "none") != "none":
        names["model_2"] = source.get("int4_model")
    source.used.add("int4_model")
    loaded = builder.add(source, "load_text_encoder", {**names, "family": "flux"}, suffix="loaded")
    length = {"text_encoder": loaded, "min_length": source.get("t5_min_length", 512)}
    return [builder.add(source, "set_t5_length", length)]


def _loras(builder: Builder, source: Source) -> list[Value]:
    """As many LoRAs as its count says."""
    count = int(source.number("lora_count", 15))
    model = source.get("model")
    for number in range(1, 16):
        name, strength = source.text(f"lora_name_{number}", "None"), source.number(f"lora_strength_{number}", 1.0)
        if number <= count and name not in ("None", "") and strength:
            model, _ = apply_lora(builder, source, model, None, name, strength, 1.0, f"lora-{number}")
    return [model]


RULES: tuple[AnyRule, ...] = (
    Made("NunchakuFluxDiTLoader", ("load_diffusion_model",), _model, says="load_diffusion_model", pack=_PACK),
    *(
        Rule(f"Nunchaku{family}DiTLoader", "load_diffusion_model", "model_name:model", ignored=_SPEED, pack=_PACK, back=False)
        for family in ("QwenImage", "ZImage", "SDXL")
    ),
    *(
        Made(f"NunchakuTextEncoderLoader{version}", ("load_text_encoder", "set_t5_length"), _text_encoders,
             says="load_text_encoder and set_t5_length", pack=_PACK)
        for version in ("", "V2")
    ),
    *(
        Rule(f"Nunchaku{family}LoraLoader", "apply_lora", "model lora_name:lora lora_strength:strength", pack=_PACK, back=False)
        for family in ("Flux", "QwenImage", "ZImage")
    ),
    *(
        Made(f"Nunchaku{family}LoraStack", ("apply_lora",), _loras, says="one apply_lora for each LoRA", pack=_PACK)
        for family in ("Flux", "QwenImage", "ZImage")
    ),
)  # fmt: skip
"""By ComfyUI type."""
