"""What stands in for files of FLUX.2."""

from __future__ import annotations

from graphflow.families.flow.stand_ins import HEAD, HEADS, QWEN3_4B, deep_language_model
from graphflow.families.flux2.config import schedule
from graphflow.families.latent_diffusion.vae_config import PATCH_VAE
from graphflow.modelfiles.stand_in import StandIn, TinyPart

_QWEN3_8B = deep_language_model("Qwen3Model", 4096, rope_theta=1e6)
_MISTRAL3 = deep_language_model("MistralModel", 5120, rope_theta=1e9)
_VAE = TinyPart(
    class_name=PATCH_VAE,
    config={
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 32,
        "patch_size": [2, 2],
        "block_out_channels": [8] * 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "mid_block_add_attention": False,  # of every pixel to every other
    },
)


def _model(names: str, variant: str, text: TinyPart) -> StandIn:
    width = text.config["hidden_size"]
    assert isinstance(width, int)
    transformer = TinyPart(
        class_name="Flux2Transformer2DModel",
        config={
            "patch_size": 1,
            "in_channels": 128,
            "out_channels": 128,
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": HEAD,
            "num_attention_heads": HEADS,
            "joint_attention_dim": 3 * width,
            "axes_dims_rope": [HEAD // 4] * 4,
            "guidance_embeds": variant == "flux2_dev",
        },
    )
    return StandIn(
        names=names,
        variant=variant,
        parts={"transformer": transformer, "text_encoder": text, "vae": _VAE},
        scheduler=schedule(variant),
    )


STAND_INS = (
    _model(r"flux.?2(?!.*klein)", "flux2_dev", _MISTRAL3),
    _model(r"flux.?2.*klein.*4b|klein.*4b", "flux2_klein", QWEN3_4B),
    _model(r"flux.?2.*klein.*9b|klein.*9b", "flux2_klein", _QWEN3_8B),
    StandIn(names=r"mistral.?(small.?)?3", variant="mistral_small_3", parts={"text_encoder": _MISTRAL3}),
    StandIn(names=r"qwen.?3.?8b", variant="qwen3_8b", parts={"text_encoder": _QWEN3_8B}),
    StandIn(names=r"flux.?2.*vae|full_encoder_small_decoder", parts={"vae": _VAE}),
)
