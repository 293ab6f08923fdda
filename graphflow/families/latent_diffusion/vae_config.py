"""Diffusers configs of VAEs, from the names and shapes of their tensors."""

from __future__ import annotations

import math
import re

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion import upscaler
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.families import family_of_variant, installed
from graphflow.modelfiles.family import LatentFormat
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_LDM_BLOCK = re.compile(r"(encoder\.down|decoder\.up)\.(\d{1,2})\.block\.(\d{1,2})\.conv1\.weight")
PATCH_VAE = "AutoencoderKLFlux2"
"""An AutoencoderKL whose latents are put together to patches, which have a mean and a deviation by channel."""
STATISTICS = "bn.running_mean"

_BLOCK = re.compile(r"(encoder\.down|decoder\.up)_blocks\.(\d{1,2})\.resnets\.(\d{1,2})\.conv1\.weight")


def is_vae(shapes: Shapes) -> bool:
    """Whether the tensors are those of an `AutoencoderKL`, in either naming."""
    return "decoder.conv_in.weight" in shapes and "decoder.conv_out.weight" in shapes


def is_tiny_vae(shapes: Shapes) -> bool:
    """Whether the tensors are those of a TAESD, in Diffusers' naming or in its author's."""
    return "decoder.layers.0.weight" in shapes or ("1.weight" in shapes and "3.conv.0.weight" in shapes)


def infer_vae(shapes: Shapes, where: str, *, variant: str = "", task: str = "generate") -> Inferred:
    """Config of an `AutoencoderKL`, or of an `AutoencoderKLFlux2`.

    Args:
        shapes: The VAE's tensors, without prefix.
        where: The file, for errors.
        variant: Variant of the model it belongs to; empty: not known, scaling is a guess.
        task: What that model was trained for.

    Raises:
        ModelFormatError: The tensors do not form such a VAE.
    """
    first = shape_of(shapes, "decoder.conv_in.weight", dims=4)
    last = shape_of(shapes, "decoder.conv_out.weight", dims=4)
    if not first or not last:
        raise ModelFormatError("the VAE is not two-dimensional, so AutoencoderKL cannot hold it", where=where)
    ldm = any(_LDM_BLOCK.match(name) for name in shapes)
    widths: dict[str, dict[int, int]] = {"encoder.down": {}, "decoder.up": {}}
    layers: dict[str, dict[int, int]] = {"encoder.down": {}, "decoder.up": {}}
    for name, shape in shapes.items():
        if (match := (_LDM_BLOCK if ldm else _BLOCK).match(name)) and shape:
            side, level = match[1], int(match[2])
            widths[side][level] = shape[0]
            layers[side][level] = layers[side].get(level, 0) + 1
    # The decoder counts from the inside in Diffusers' names, from the outside in the original ones.
    order = sorted(widths["decoder.up"], reverse=not ldm)
    levels: list[JsonValue] = [widths["decoder.up"][level] for level in order]
    outer: list[JsonValue] = [widths["encoder.down"][level] for level in sorted(widths["encoder.down"])] or levels
    counts = {count - 1 for count in layers["decoder.up"].values()} | set(layers["encoder.down"].values())
    if not levels or len(counts) != 1 or min(counts) < 1:
        raise ModelFormatError("the VAE's levels differ in their number of layers", where=where)
    encoder = shape_of(shapes, "encoder.conv_in.weight", dims=4)
    numbers = [width for width in levels if isinstance(width, int)]
    facts: Config = {
        "in_channels": encoder[1] if encoder else last[0],
        "out_channels": last[0],
        "latent_channels": first[1],
        "block_out_channels": levels,
        "down_block_types": ["DownEncoderBlock2D"] * len(levels),
        "up_block_types": ["UpDecoderBlock2D"] * len(levels),
        "layers_per_block": counts.pop(),
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "mid_block_add_attention": any(".mid.attn_1." in name or ".mid_block.attentions.0." in name for name in shapes),
    }
    if patched := shape_of(shapes, STATISTICS, dims=1):
        edge = math.isqrt(patched[0] // first[1])
        facts |= {"patch_size": [edge, edge], "block_out_channels": outer}
        if outer != levels:
            facts["decoder_block_out_channels"] = levels
        return Inferred(PATCH_VAE, variant, facts, {"act_fn": "silu", "batch_norm_eps": 1e-4})
    family = variant or ("flux" if first[1] == 16 else "")
    owner = installed().get(family_of_variant(family) or "")
    latent = LatentFormat(channels=first[1], scale=0.18215) if owner is None else owner.latent
    groups = next(count for count in (32, 16, 8, 4, 2, 1) if all(width % count == 0 for width in numbers))
    defaults: Config = {
        "scaling_factor": upscaler.SCALE if task == "upscale" else latent.scale,
        "shift_factor": latent.shift or None,
        "norm_num_groups": groups,
        "act_fn": "silu",
        "sample_size": 1024 if family.startswith(("sdxl", "sd3", "flux")) else 512,
        "force_upcast": family.startswith("sdxl"),
    }
    certain = {"act_fn", "sample_size", "force_upcast"}
    if numbers == [128, 256, 512, 512]:
        certain.add("norm_num_groups")
    return Inferred("AutoencoderKL", family, facts, defaults, frozenset(certain))
