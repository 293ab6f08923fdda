"""graphflow's own node pack. ``NODES`` lists its node functions; importing it imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .constants import (
    bool_value,
    compare,
    float_math,
    float_value,
    int_math,
    int_range,
    int_value,
    seed_value,
    text_join,
    text_lines,
    text_replace,
    text_value,
)
from .image_files import load_image, load_mask
from .images import batch_images, invert_mask, rectangle_mask, resize
from .latents import empty_latent, set_noise_mask, upscale_latent
from .loaders import load_checkpoint, load_diffusion_model, load_safety_checker, load_text_encoder, load_vae
from .pipelines import run_pipeline
from .safety import safety_filter, safety_filter_video
from .sampling import sample
from .saving import preview, save_audio, save_image, save_video
from .switches import switch, switch_index
from .text import encode_prompt, set_text_layer
from .vae import encode_image, vae_decode

NODES: list[Callable[..., Any]] = [
    load_checkpoint,
    load_diffusion_model,
    load_text_encoder,
    load_vae,
    load_safety_checker,
    encode_prompt,
    set_text_layer,
    empty_latent,
    set_noise_mask,
    upscale_latent,
    encode_image,
    vae_decode,
    sample,
    run_pipeline,
    load_image,
    load_mask,
    resize,
    batch_images,
    rectangle_mask,
    invert_mask,
    safety_filter,
    safety_filter_video,
    save_image,
    preview,
    save_video,
    save_audio,
    switch,
    switch_index,
    int_value,
    seed_value,
    float_value,
    bool_value,
    text_value,
    text_join,
    text_replace,
    text_lines,
    int_range,
    int_math,
    float_math,
    compare,
]
