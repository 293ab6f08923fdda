"""What Stable Diffusion 3 and 3.5 are known by; without torch."""

from __future__ import annotations

from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.t5_config import T5
from graphflow.families.sd3.config import infer_transformer, schedule, times
from graphflow.families.sd3.control_config import CONTROL, control_names, infer_control
from graphflow.families.sd3.names import transformer_names
from graphflow.families.sd3.stand_ins import STAND_INS
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Variant
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.scripts import FlowScripts, FlowSteering, ScriptTraits


def _refuses(name: str, config: Config) -> str:
    canny = config.get("joint_attention_dim") is None and "canny" in name.lower()
    return "Stability AI's for edges reads pictures of another range" if canny else ""


def _is_marked(config: Config) -> bool:
    return bool(config.get("extra_conditioning_channels"))


FAMILY = FlowFamily(
    name="sd3",
    made_by="StableDiffusion3",
    transformer="SD3Transformer2DModel",
    marks=(
        "joint_blocks.0.context_block.adaLN_modulation.1.bias",
        "transformer_blocks.0.norm1_context.linear.weight",
    ),
    control=CONTROL,
    control_marks=("pos_embed_input.",),
    infer_control=infer_control,
    control_names=control_names,
    steering=("ControlNets of InstantX, alimama and Stability AI",),
    adapter_marks=("joint_blocks",),
    words=("sd3", "stable-diffusion-3"),
    half="bfloat16",
    comfyui_loader=dict.fromkeys((1, 2, 3), "sd3"),
    footprint=Footprint(numbers=20, text=256, patch=2),
    latent=LatentFormat(channels=16, scale=1.5305, shift=0.0609, tiny="taesd3"),
    variants=tuple(Variant(name=name, gguf="sd3") for name in ("sd3", "sd35_medium", "sd35_large")),
    infer=infer_transformer,
    names=transformer_names,
    schedule=schedule,
    roles=(
        # Diffusers' folders have CLIP-L with a projection, which is not used.
        EncoderRole(part="text_encoder", classes=("CLIPTextModel", "CLIPTextModelWithProjection")),
        EncoderRole(part="text_encoder_2", classes=("CLIPTextModelWithProjection",)),
        EncoderRole(part="text_encoder_3", classes=("T5EncoderModel",)),
    ),
    texts={"text_encoder_3": T5},
    tasks={"text2img": "StableDiffusion3Pipeline"},
    scripts=ScriptTraits(
        network="transformer",
        sources=(
            "graphflow.families.flow.patches",
            "graphflow.families.sd3.network",
            "graphflow.families.flow.residuals",
            "graphflow.families.sd3.steering",
        ),
        flow=FlowScripts(
            velocity="sd3_velocity",
            times=times,
            encode="encode_with_clips_and_t5",
            layer="layer",
            texts={"text_l": "parts_l", "text_g": "parts_g"},
            steering=FlowSteering(
                nets={CONTROL: ("sd3_hint", "sd3_steered")},
                refuses=_refuses,
                marked=_is_marked,
                unshifted=lambda config: (
                    bool(config.get("force_zeros_for_pooled_projection")) and not _is_marked(config)
                ),
            ),
        ),
    ),
    components_in="graphflow.families.sd3.components",
    stand_ins=STAND_INS,
)
