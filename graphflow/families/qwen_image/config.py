"""Configs of Qwen-Image's transformer, text encoder and autoencoder, from the names and shapes of their tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.checkpoint import VAE_PREFIXES
from graphflow.modelfiles.description import Config, Description, JsonValue
from graphflow.modelfiles.flow_times import FlowTimes
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

TEXT_CLASSES = ("Qwen2_5_VLForConditionalGeneration", "Qwen25VL")
"""The text encoder as published, and what is made of it here."""
VAE_CLASSES = ("AutoencoderKLQwenImage", "AutoencoderKLWan")
"""Two classes for one autoencoder; the latter was trained on videos."""
CONTROL = "QwenImageControlNetModel"
BLOCKWISE, _BLOCKWISE = "QwenImageBlockWiseControlNet", "controlnet_blocks"
"""A class of DiffSynth-Studio's, and where its blocks lie."""
FUN = "QwenImageFunControlNet"
"""What alibaba-pai's files hold beside a transformer's own layers."""
_LAYERS = 60
"""Of the published transformers, which Fun ControlNets steer in even steps."""
TIME_ZERO = "__index_timestep_zero__"
"""An empty tensor that marks models which were trained to see reference pictures without noise."""

PUBLISHED = ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen-Image:tokenizer")
"""Where the Hub has Qwen2.5-VL's tokenizer."""
TEXT_PREFIXES = ("text_encoders.qwen25_7b.transformer.", "")
_TEXT_MARK = "model.layers.0.self_attn.q_proj.bias"
_VAE_MARKS = ("decoder.upsamples.0.residual.0.gamma", "decoder.up_blocks.0.resnets.0.norm1.gamma")
_HEAD, _SEEING_HEAD = 128, 80
"""Widths of the heads of every published Qwen2.5-VL: of the language model, and of the network that sees."""
_BLOCK = re.compile(r"^transformer_blocks\.(\d{1,3})\.")
_SEEING = re.compile(r"^visual\.blocks\.(\d{1,3})\.")
_LAYER = re.compile(r"^model\.(?:language_model\.)?layers\.(\d{1,3})\.")
_DOWN = re.compile(r"^encoder\.downsamples\.(\d{1,2})\.(residual\.2|resample\.1|time_conv)\.weight$")
_DOWN_DIFFUSERS = re.compile(r"^encoder\.down_blocks\.(\d{1,2})\.(conv1|resample\.1|time_conv)\.weight$")


def text_prefix(shapes: Shapes) -> str | None:
    """The prefix of a Qwen2.5-VL's tensors; None where there is none."""
    return next((prefix for prefix in TEXT_PREFIXES if prefix + _TEXT_MARK in shapes), None)


def vae_prefix(shapes: Shapes) -> str | None:
    """The prefix of the autoencoder's tensors; None where there is none."""
    return next((prefix for prefix in VAE_PREFIXES if any(prefix + mark in shapes for mark in _VAE_MARKS)), None)


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `QwenImageTransformer2DModel`.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    facts, defaults = _blocks(shapes, where)
    last = shape_of(shapes, "proj_out.weight", dims=2)
    if not last:
        raise ModelFormatError("the Qwen-Image transformer lacks its last layer", where=where)
    facts |= {
        "out_channels": last[0] // 4,
        "zero_cond_t": TIME_ZERO in shapes,
        "use_additional_t_cond": "time_text_embed.addition_t_embedding.weight" in shapes,
    }
    variant = "qwen_image_edit_2511" if facts["zero_cond_t"] else "qwen_image"
    return Inferred("QwenImageTransformer2DModel", variant, facts, defaults, frozenset({"axes_dims_rope"}))


def infer_control(shapes: Shapes, where: str) -> Inferred:
    """Config of a `QwenImageControlNetModel`, of a blockwise one or of a Fun one, as :func:`infer_transformer`."""
    if (first := shape_of(shapes, "img_in.weight", dims=2)) and f"{_BLOCKWISE}.0.x_rms.weight" in shapes:
        layers = {name.split(".")[1] for name in shapes if name.startswith(f"{_BLOCKWISE}.")}
        return Inferred(BLOCKWISE, "qwen_image", {"reads": first[1], "width": first[0], "layers": len(layers)})
    if first := shape_of(shapes, "control_img_in.weight", dims=2):
        return _fun(shapes, first, where)
    facts, defaults = _blocks(shapes, where)
    reads, channels = shape_of(shapes, "controlnet_x_embedder.weight", dims=2), facts["in_channels"]
    assert isinstance(channels, int)
    if not reads or reads[1] < channels:
        raise ModelFormatError("the Qwen-Image ControlNet lacks the layer that reads the picture", where=where)
    facts["extra_condition_channels"] = reads[1] - channels
    return Inferred(CONTROL, "qwen_image", facts, defaults, frozenset({"axes_dims_rope"}))


def _fun(shapes: Shapes, first: tuple[int, ...], where: str) -> Inferred:
    norm = shape_of(shapes, "control_blocks.0.attn.norm_k.weight", dims=1)
    if not norm or first[0] % norm[0] or first[1] % 4:
        raise ModelFormatError("the Qwen-Image ControlNet lacks its first layers", where=where)
    blocks = len({name.split(".")[1] for name in shapes if name.startswith("control_blocks.")})
    facts: Config = {"reads": first[1], "heads": first[0] // norm[0], "head_dim": norm[0]}
    places: Config = {"places": [number * (_LAYERS // blocks) for number in range(blocks)]}
    return Inferred(FUN, "qwen_image", facts, places, frozenset(places))


def _blocks(shapes: Shapes, where: str) -> tuple[Config, Config]:
    """Facts and defaults of all but the last layer."""
    picture = shape_of(shapes, "img_in.weight", dims=2)
    text = shape_of(shapes, "txt_in.weight", dims=2)
    norm = shape_of(shapes, "transformer_blocks.0.attn.norm_k.weight", dims=1)
    if not (picture and text and norm) or picture[0] % norm[0]:
        raise ModelFormatError("the Qwen-Image transformer lacks its first layers", where=where)
    facts: Config = {
        "patch_size": 2,
        "in_channels": picture[1],
        "num_layers": len({match[1] for name in shapes if (match := _BLOCK.match(name))}),
        "attention_head_dim": norm[0],
        "num_attention_heads": picture[0] // norm[0],
        "joint_attention_dim": text[1],
    }
    # Positions have three axes: the picture's number takes an eighth of a head, row and column share the rest.
    first = norm[0] // 8
    return facts, {"axes_dims_rope": [first, (norm[0] - first) // 2, (norm[0] - first) // 2]}


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler, as the models were published."""
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 0.9,
        "base_image_seq_len": 256,
        "max_image_seq_len": 8192,
        "shift_terminal": 0.02,
    }


def infer_text(shapes: Shapes, where: str) -> Inferred:
    """Config of a Qwen2.5-VL (Bai et al. 2025, arXiv:2502.13923), with or without the network that sees.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    first = "model.layers.0."
    tokens = shape_of(shapes, "model.embed_tokens.weight", dims=2)
    query = shape_of(shapes, first + "self_attn.q_proj.weight", dims=2)
    key = shape_of(shapes, first + "self_attn.k_proj.weight", dims=2)
    inner = shape_of(shapes, first + "mlp.gate_proj.weight", dims=2)
    if not (tokens and query and key and inner) or query[0] % _HEAD or key[0] % _HEAD:
        raise ModelFormatError("the Qwen2.5-VL text encoder lacks embeddings or layers", where=where)
    facts: Config = {
        "vocab_size": tokens[0],
        "hidden_size": tokens[1],
        "intermediate_size": inner[0],
        "num_hidden_layers": len({match[1] for name in shapes if (match := _LAYER.match(name))}),
        "num_attention_heads": query[0] // _HEAD,
        "num_key_value_heads": key[0] // _HEAD,
        "head_dim": _HEAD,
    }
    defaults: Config = {"rope_theta": 1e6, "rms_norm_eps": 1e-6, "vision_config": _seeing(shapes)}
    return Inferred(TEXT_CLASSES[0], "qwen2_5_vl", facts, defaults, frozenset(defaults))


def _seeing(shapes: Shapes) -> Config | None:
    """Config of the network that sees; None where the file has none."""
    patch = shape_of(shapes, "visual.patch_embed.proj.weight", dims=5)
    inner = shape_of(shapes, "visual.blocks.0.mlp.gate_proj.weight", dims=2)
    out = shape_of(shapes, "visual.merger.mlp.2.weight", dims=2)
    if not (patch and inner and out):
        return None
    return {
        "depth": len({match[1] for name in shapes if (match := _SEEING.match(name))}),
        "hidden_size": patch[0],
        "intermediate_size": inner[0],
        "num_heads": max(1, patch[0] // _SEEING_HEAD),
        "out_hidden_size": out[0],
        "patch_size": patch[-1],
    }


def infer_vae(shapes: Shapes, where: str) -> Inferred:
    """Config of an `AutoencoderKLQwenImage`, in the authors' or in Diffusers' naming.

    Raises:
        ModelFormatError: The tensors do not form such an autoencoder.
    """
    first = shape_of(shapes, "encoder.conv1.weight", "encoder.conv_in.weight", dims=5)
    latent = shape_of(shapes, "conv2.weight", "post_quant_conv.weight", dims=5)
    found = [match for name in shapes if (match := _DOWN.match(name) or _DOWN_DIFFUSERS.match(name))]
    steps = {int(match[1]): shapes[match[0]] for match in found if "time" not in match[2]}
    coarser = sorted(int(match[1]) for match in found if "resample" in match[2])
    timed = {int(match[1]) for match in found if "time" in match[2]}
    if not (first and latent and coarser) or any(not shape or shape[0] % first[0] for shape in steps.values()):
        raise ModelFormatError("the autoencoder lacks its first or last layers", where=where)
    starts = [0, *(number + 1 for number in coarser)]
    widths: list[JsonValue] = [steps[number][0] // first[0] for number in starts if number in steps]
    if len(widths) != len(starts):
        raise ModelFormatError("the autoencoder's levels have no layers", where=where)
    facts: Config = {
        "base_dim": first[0],
        "z_dim": latent[0],
        "dim_mult": widths,
        "num_res_blocks": coarser[0],
        "temperal_downsample": [number in timed for number in coarser],
        "input_channels": first[1],
    }
    return Inferred(VAE_CLASSES[0], "", facts)


MU = 1.15
"""Logarithm of the time shift, whatever the size."""


def times(description: Description) -> FlowTimes:
    """The noise levels, whatever the model."""
    return FlowTimes(shift=math.exp(MU), levels=10_000)


def references(description: Description) -> Mapping[str, str]:
    """The functions that place reference pictures by a script, by method; the model's own first."""
    part = description.parts.get("transformer")
    clean = {"index_timestep_zero": "clean_grids_behind"}
    before = {"negative_index": "grids_before"}
    known = {"index": "grids_behind", **clean, **before, "offset": "grids_on_one_sheet"}
    if part is not None and part.config.get("use_additional_t_cond"):
        return {**before, **known}
    return {**clean, **known} if part is not None and part.config.get("zero_cond_t") else known
