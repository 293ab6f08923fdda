"""What FLUX.1 is known by; without torch."""

from __future__ import annotations

from graphflow.families.flow.bfl_names import transformer_names
from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.t5_config import T5
from graphflow.families.flux.config import infer_transformer, schedule, times
from graphflow.families.flux.sizes import KONTEXT_SIZES
from graphflow.modelfiles.family import EncoderRole, FlowScripts, LatentFormat, ScriptTraits, Variant

FAMILY = FlowFamily(
    name="flux",
    made_by="Flux(?!2)",
    transformer="FluxTransformer2DModel",
    marks=("double_blocks.0.img_attn.norm.key_norm.scale", "single_transformer_blocks.0.norm.linear.weight"),
    control="FluxControlNetModel",
    control_marks=("single_transformer_blocks.", "double_blocks."),
    adapter_marks=("double_blocks", "single_transformer_blocks"),
    words=("flux",),
    rank=2,
    half="bfloat16",
    trained_sizes={"flux_kontext": KONTEXT_SIZES},
    comfyui_loader={2: "flux"},
    latent=LatentFormat(channels=16, scale=0.3611, shift=0.1159, tiny="taef1"),
    variants=tuple(Variant(name=name) for name in ("flux_dev", "flux_schnell", "flux_fill", "flux_control")),
    infer=infer_transformer,
    names=transformer_names,
    schedule=schedule,
    roles=(
        EncoderRole(part="text_encoder", classes=("CLIPTextModel",)),
        EncoderRole(part="text_encoder_2", classes=("T5EncoderModel",)),
    ),
    texts={"text_encoder_2": T5},
    lone=True,
    tasks={"text2img": "FluxPipeline"},
    scripts=ScriptTraits(
        network="transformer",
        sources=(
            "graphflow.families.flow.exact_times",
            "graphflow.families.flow.patches",
            "graphflow.families.flux.references",
            "graphflow.families.flux.network",
        ),
        flow=FlowScripts(
            velocity="flux_velocity",
            times=times,
            encode="encode_with_clip_and_t5",
            layer="layer",
            texts={"text_l": "parts_l"},
            guides=True,
            channels="flux_channels",
            references=lambda _: {"offset": "on_one_sheet", "index": "numbered", "uno": "diagonal"},
        ),
    ),
    components_in="graphflow.families.flux.components",
)
