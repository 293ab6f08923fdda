"""What stands in for files of FLUX.2."""

from __future__ import annotations

from graphflow.families.flow.language_models import MISTRAL3
from graphflow.families.flow.stand_ins import HEADS, language_model, qwen3
from graphflow.families.flux2.config import schedule
from graphflow.families.latent_diffusion.stand_ins import autoencoder
from graphflow.families.latent_diffusion.vae_config import PATCH_VAE
from graphflow.modelfiles.stand_in import StandIn, TinyPart

_HEAD, _READ = 16, 3
"""Channels of a head, and how many layers of the text encoder are read."""
_MISTRAL3 = language_model("MistralModel", 5120, MISTRAL3.published, layers=31, rope_theta=1e9, sliding_window=None)
_QWEN3_8B = qwen3(4096)
_SMALL = autoencoder(32, 1.0).config
_VAE = TinyPart(
    class_name=PATCH_VAE,
    config={key: value for key, value in _SMALL.items() if key not in ("scaling_factor", "shift_factor")},
)


def _model(names: str, variant: str, text: TinyPart) -> StandIn:
    width = text.config["hidden_size"]
    assert isinstance(width, int)
    transformer = TinyPart(
        class_name="Flux2Transformer2DModel",
        config={
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": _HEAD,
            "num_attention_heads": HEADS,
            "joint_attention_dim": _READ * width,
            "timestep_guidance_channels": 64,
            "axes_dims_rope": [_HEAD // 4] * 4,
            "guidance_embeds": variant == "flux2_dev",
        },
    )
    parts = {"transformer": transformer, "text_encoder": text, "vae": _VAE}
    return StandIn(names=names, variant=variant, parts=parts, scheduler=schedule(variant))


STAND_INS = (
    _model(r"flux[._-]?2", "flux2_dev", _MISTRAL3),
    _model(r"flux[._-]?2.?klein", "flux2_klein", qwen3(2560)),
    _model(r"flux[._-]?2.?klein.*9b", "flux2_klein", _QWEN3_8B),
    StandIn(names=r"mistral.?3|mistral.?small", variant="mistral_small_3", parts={"text_encoder": _MISTRAL3}),
    StandIn(names=r"qwen.?3.?8b", variant="qwen3_8b", parts={"text_encoder": _QWEN3_8B}),
    StandIn(names=r"flux[._-]?2.*(vae|decoder)|full_encoder_small_decoder", parts={"vae": _VAE}),
)
