"""Configs of Qwen-Image 2.1's transformer and autoencoder, from the names and shapes of their tensors."""

from __future__ import annotations

import math
import re

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.checkpoint import VAE_PREFIXES
from graphflow.modelfiles.description import Config, Description, JsonValue
from graphflow.modelfiles.flow_times import FlowTimes
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

VAE_CLASS = "AutoencoderKLQwenImage21"
MARK = "txt_in.text_norm.weight"
PLANE = 4
"""Dimensions of its autoencoder's weights, which Wan's, made for videos, has one more of."""
_BLOCK = re.compile(r"^transformer_blocks\.(\d{1,3})\.")
_LAYER = re.compile(
    r"^encoder\.(?:down_blocks|downsamples)\.(\d)\.(?:resnets|downsamples)\.(\d)\.(?:conv1|residual\.2)\.weight$"
)
_TIMED = re.compile(r"^encoder\.(?:down_blocks|downsamples)\.(\d)\..*time_conv\.weight$")


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `QwenImage21Transformer2DModel`, in ComfyUI's or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    picture = shape_of(shapes, "img_in.weight", dims=2)
    text = shape_of(shapes, "txt_in.in_layer.weight", dims=2)
    norm = shape_of(shapes, "transformer_blocks.0.attn.norm_k.weight", dims=1)
    inner = shape_of(shapes, "transformer_blocks.0.img_mlp.out.weight", dims=2)
    last = shape_of(shapes, "proj_out.weight", dims=2)
    if not (picture and text and norm and inner and last) or picture[0] % norm[0] or inner[1] % picture[0]:
        raise ModelFormatError("the Qwen-Image 2.1 transformer lacks its first or last layers", where=where)
    facts: Config = {
        "patch_size": 1,
        "in_channels": picture[1],
        "out_channels": last[0],
        "num_layers": len({match[1] for name in shapes if (match := _BLOCK.match(name))}),
        "attention_head_dim": norm[0],
        "num_attention_heads": picture[0] // norm[0],
        "context_in_dim": text[1],
        "mlp_ratio": inner[1] // picture[0],
    }
    # Positions have three axes: the place in the text takes an eighth of a head, row and column share the rest.
    first = norm[0] // 8
    defaults: Config = {
        "axes_dims_rope": [first, (norm[0] - first) // 2, (norm[0] - first) // 2],
        "eps": 1e-6,
        "causal_condition": True,
    }
    return Inferred("QwenImage21Transformer2DModel", "qwen_image_21", facts, defaults, frozenset(defaults))


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler, as the model was published."""
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


def vae_prefix(shapes: Shapes) -> str | None:
    """The prefix of the autoencoder's tensors; None where there is none."""
    return next((prefix for prefix in VAE_PREFIXES if _is_vae(shapes, prefix)), None)


def _is_vae(shapes: Shapes, prefix: str) -> bool:
    nested = ("encoder.down_blocks.0.resnets.0.norm1.gamma", "encoder.downsamples.0.downsamples.0.residual.0.gamma")
    first = next(
        (
            shapes[prefix + name]
            for name in ("encoder.conv_in.weight", "encoder.conv1.weight")
            if prefix + name in shapes
        ),
        (),
    )
    return len(_plane(first)) == PLANE and any(prefix + name in shapes for name in nested)


def _plane(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a convolution's weight without an axis of time that is one long."""
    return (*shape[:2], *shape[3:]) if len(shape) == PLANE + 1 and shape[2] == 1 else shape


def infer_vae(shapes: Shapes, where: str) -> Inferred:
    """Config of an `AutoencoderKLQwenImage21`, in the authors' or in Diffusers' naming.

    Raises:
        ModelFormatError: The tensors do not form such an autoencoder.
    """
    planes = {name: _plane(shape) for name, shape in shapes.items()}
    first = shape_of(planes, "encoder.conv_in.weight", "encoder.conv1.weight", dims=PLANE)
    last = shape_of(planes, "decoder.conv_out.weight", "decoder.head.2.weight", dims=PLANE)
    latent = shape_of(planes, "post_quant_conv.weight", "conv2.weight", dims=PLANE)
    layers = {(int(m[1]), int(m[2])): shape for name, shape in planes.items() if (m := _LAYER.match(name))}
    timed = {int(match[1]) for name in shapes if (match := _TIMED.match(name))}
    levels = sorted({level for level, _ in layers})
    if not (first and last and latent and layers) or any(shape[0] % first[0] for shape in layers.values()):
        raise ModelFormatError("the autoencoder lacks its first or last layers", where=where)
    widths: list[JsonValue] = [layers[level, 0][0] // first[0] for level in levels]
    facts: Config = {
        "base_dim": first[0],
        "decoder_base_dim": last[1] // int(str(widths[0])),
        "z_dim": latent[0],
        "dim_mult": widths,
        "num_res_blocks": len([level for level, _ in layers if level == levels[0]]),
        "temperal_downsample": [level in timed for level in levels[:-1]],
        "in_channels": first[1],
        "out_channels": last[0],
        "scale_factor_spatial": 2 ** (len(levels) - 1),
    }
    return Inferred(VAE_CLASS, "", facts, {"is_residual": True}, frozenset({"is_residual"}))


MU = 0.69
"""Logarithm of the time shift, whatever the size, as ComfyUI has it; the published one is that at 1024 x 1024 pixels."""


def times(description: Description) -> FlowTimes:
    """The noise levels, whatever the model."""
    return FlowTimes(shift=math.exp(MU), levels=10_000)
