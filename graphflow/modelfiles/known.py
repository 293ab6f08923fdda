"""What is known of the families by name: their variants, schedulers, and the marks of those without a config here."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Shapes

FAMILIES: Mapping[str, str] = {"sd1": "sd", "sd2": "sd", "sdxl": "sdxl", "sdxl_refiner": "sdxl"}
"""Variant to family."""

SCHEDULER: Config = {
    "_class_name": "EulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
"""The noise schedule of SD 1.x, 2.x and SDXL."""

_HUNYUAN_VIDEO = "HunyuanVideoTransformer3DModel"
_TRANSFORMERS: tuple[tuple[str, str, str], ...] = (
    ("single_stream_modulation.lin.weight", "flux2", "Flux2Transformer2DModel"),
    ("distilled_guidance_layer.in_proj.bias", "chroma", "ChromaTransformer2DModel"),
    ("double_blocks.0.img_attn.norm.key_norm.scale", "flux", "FluxTransformer2DModel"),
    ("single_transformer_blocks.0.norm.linear.weight", "flux", "FluxTransformer2DModel"),
    ("joint_blocks.0.context_block.adaLN_modulation.1.bias", "sd3", "SD3Transformer2DModel"),
    ("transformer_blocks.0.norm1_context.linear.weight", "sd3", "SD3Transformer2DModel"),
    ("double_layers.0.attn.w2q.weight", "auraflow", "AuraFlowTransformer2DModel"),
    ("patchify_proj.weight", "ltx-video", "LTXVideoTransformer3DModel"),
    ("blocks.0.attn.qkv_x.weight", "mochi", "MochiTransformer3DModel"),
    ("txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias", "hunyuan-video", _HUNYUAN_VIDEO),
    ("cap_embedder.0.weight", "lumina2", "Lumina2Transformer2DModel"),
    ("blocks.0.cross_attn.q_linear.weight", "sana", "SanaTransformer2DModel"),
    ("head.modulation", "wan", "WanTransformer3DModel"),
    ("double_stream_blocks.0.block.adaLN_modulation.1.bias", "hidream", "HiDreamImageTransformer2DModel"),
    ("transformer_blocks.0.img_mod.1.weight", "qwen-image", "QwenImageTransformer2DModel"),
)
"""A tensor by which a transformer is known, its family and its Diffusers class."""

_PIPELINES: tuple[tuple[str, str], ...] = (
    ("StableDiffusionXL", "sdxl"), ("StableDiffusion3", "sd3"), ("StableDiffusion", "sd"), ("LatentConsistency", "sd"),
    ("Flux2", "flux2"), ("Flux", "flux"), ("Chroma", "chroma"), ("PixArt", "pixart"), ("Sana", "sana"), ("Wan", "wan"),
    ("LTX", "ltx-video"), ("HunyuanVideo", "hunyuan-video"), ("Mochi", "mochi"), ("AuraFlow", "auraflow"),
    ("Lumina2", "lumina2"), ("QwenImage", "qwen-image"), ("HiDream", "hidream"), ("Kandinsky", "kandinsky"),
    ("StableCascade", "stable-cascade"), ("CogVideoX", "cogvideox"), ("AnimateDiff", "sd"),
)  # fmt: skip
"""Beginning of a pipeline's class name to its family, the longer first."""


def family_of(variant: str) -> str | None:
    """The family that a variant belongs to; a variant that is none is its own family."""
    return FAMILIES.get(variant, variant or None)


def family_of_pipeline(class_name: str) -> str | None:
    """The family of a Diffusers pipeline class; None where it is not known."""
    return next((family for start, family in _PIPELINES if class_name.startswith(start)), None)


def find_transformer(shapes: Shapes) -> tuple[str, str, str] | None:
    """Recognise a diffusion transformer by its tensors: (family, class, prefix)."""
    for prefix in ("model.diffusion_model.", "transformer.", ""):
        for mark, family, class_name in _TRANSFORMERS:
            if prefix + mark in shapes:
                return family, class_name, prefix
    return None


def prediction_of(variant: str, task: str) -> tuple[str, bool]:
    """What a variant's models predict by default, and whether nearly all of them do.

    SD 1.x was published with epsilon only; SD 2.x with both (v for 768 pixels, epsilon for 512, inpainting and depth).
    """
    if variant == "sd2":
        return ("epsilon", False) if task in ("inpaint", "depth") else ("v_prediction", False)
    return ("v_prediction" if task == "upscale" else "epsilon"), False
