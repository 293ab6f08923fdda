"""Components of Diffusers folders, by their classes and configs."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.families.latent_diffusion.unet_config import task_of
from graphflow.modelfiles.description import Config, Kind
from graphflow.modelfiles.family import Match

_KINDS: Mapping[str, Kind] = {
    "UNet2DConditionModel": "diffusion_model", "AutoencoderKL": "vae", "AutoencoderTiny": "vae",
    "ConsistencyDecoderVAE": "vae", "CLIPTextModel": "text_encoder", "CLIPTextModelWithProjection": "text_encoder",
    "ControlNetModel": "controlnet", "ControlNetUnionModel": "controlnet",
    "T2IAdapter": "t2i_adapter", "MultiAdapter": "t2i_adapter", "MotionAdapter": "motion_module",
    "CLIPVisionModelWithProjection": "image_encoder", "CLIPVisionModel": "image_encoder",
    "SiglipVisionModel": "image_encoder",
    "StableDiffusionSafetyChecker": "safety_checker",
}  # fmt: skip
_STANDARD_CROSS = (768, 1024, 1280, 2048)


def recognise_component(class_name: str, config: Config) -> Match | None:
    """Recognise a component; the variant is empty where it belongs to no single family."""
    kind = _KINDS.get(class_name)
    if kind is None:
        return None
    if kind == "t2i_adapter":
        return Match(kind=kind, variant="sdxl" if config.get("adapter_type") == "full_adapter_xl" else "sd1")
    if kind not in ("diffusion_model", "controlnet"):
        return Match(kind=kind)
    cross = config.get("cross_attention_dim")
    if config.get("addition_embed_type") == "text_time":
        variant = "sdxl_refiner" if cross == 1280 else "sdxl"
    elif cross in (768, 1024):
        variant = "sd1" if cross == 768 else "sd2"
    else:
        variant = "sd2" if config.get("use_linear_projection") else "sd1"
    return Match(kind=kind, variant=variant, certain=cross in _STANDARD_CROSS, task=task_of(config))
