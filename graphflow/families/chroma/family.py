"""What Chroma is known by; without torch."""

from __future__ import annotations

from graphflow.families.chroma.config import infer_transformer, times
from graphflow.families.chroma.stand_ins import STAND_INS
from graphflow.families.flow.bfl_config import schedule
from graphflow.families.flow.bfl_names import transformer_names
from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.t5_config import T5
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Variant
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.scripts import FlowScripts, ScriptTraits

FAMILY = FlowFamily(
    name="chroma",
    made_by="Chroma",
    transformer="ChromaTransformer2DModel",
    marks=("distilled_guidance_layer.in_proj.bias",),
    adapter_marks=("distilled_guidance_layer",),
    words=("chroma",),
    rank=3,
    half="bfloat16",
    comfyui_loader={1: "chroma"},
    footprint=Footprint(numbers=34, text=256, patch=2),
    latent=LatentFormat(channels=16, scale=0.3611, shift=0.1159, tiny="taef1"),
    variants=(Variant(name="chroma", gguf="flux"),),
    infer=infer_transformer,
    names=transformer_names,
    schedule=schedule,
    roles=(EncoderRole(part="text_encoder", classes=("T5EncoderModel",)),),
    texts={"text_encoder": T5},
    tasks={"text2img": "ChromaPipeline"},
    scripts=ScriptTraits(
        network="transformer",
        sources=(
            "graphflow.families.flow.exact_times",
            "graphflow.families.flow.patches",
            "graphflow.families.chroma.network",
        ),
        flow=FlowScripts(
            velocity="chroma_velocity",
            times=times,
            encode="encode_with_t5",
            options=lambda _: {"neutral": 0},
            adjusts="finely_normed",
        ),
    ),
    components_in="graphflow.families.chroma.components",
    stand_ins=STAND_INS,
)
