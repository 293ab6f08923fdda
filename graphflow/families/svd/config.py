"""Config of Stable Video Diffusion's networks, from the names and shapes of their tensors."""

from __future__ import annotations

from graphflow.families.latent_diffusion.unet_config import infer_unet as infer_plain_unet
from graphflow.families.latent_diffusion.vae_config import infer_vae as infer_plain_vae
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.inferred import Inferred, Shapes

UNET, VAE = "UNetSpatioTemporalConditionModel", "AutoencoderKLTemporalDecoder"
SIGMA_MIN, SIGMA_MAX = 0.002, 700.0
"""The noise levels that it was trained on."""
_HEAD = 64
_TOLD = ("in_channels", "out_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")
_TYPES = ("down_block_types", "up_block_types")


def schedule(variant: str) -> Config:
    """The scheduler's config, as the models were published."""
    return {
        "_class_name": "EulerDiscreteScheduler",
        "prediction_type": "v_prediction",
        "timestep_type": "continuous",
        "sigma_min": SIGMA_MIN,
        "sigma_max": SIGMA_MAX,
    }


def infer_unet(shapes: Shapes, where: str) -> Inferred:
    """Config of a `UNetSpatioTemporalConditionModel`.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    spatial = {name: shape for name, shape in shapes.items() if ".time_stack." not in name}
    plain = infer_plain_unet(spatial, where, variant="sd2").facts
    facts: Config = {name: plain[name] for name in _TOLD if name in plain}
    facts["transformer_layers_per_block"] = plain["transformer_layers_per_block"]
    for name in _TYPES:
        blocks = plain[name]
        assert isinstance(blocks, list)
        facts[name] = [str(block).replace("2D", "SpatioTemporal") for block in blocks]
    if label := shapes.get("label_emb.0.0.weight"):
        facts["projection_class_embeddings_input_dim"] = label[1]
    widths = facts["block_out_channels"]
    assert isinstance(widths, list)
    heads: list[JsonValue] = [max(1, width // _HEAD) for width in widths if isinstance(width, int)]
    # The published config says 10 heads of 128 on the last but one level; the code has heads of 64 everywhere.
    return Inferred(UNET, "svd", facts, {"num_attention_heads": heads, "num_frames": 25})


def infer_vae(shapes: Shapes, where: str) -> Inferred:
    """Config of an `AutoencoderKLTemporalDecoder`.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    found = infer_plain_vae(shapes, where, variant="svd")
    kept = ("in_channels", "out_channels", "latent_channels", "block_out_channels", "down_block_types")
    facts = {name: found.facts[name] for name in (*kept, "layers_per_block")}
    return Inferred(VAE, "svd", facts, {"scaling_factor": 0.18215, "force_upcast": True, "sample_size": 768})
