"""What Lumina 2 is known by; without torch."""

from __future__ import annotations

from graphflow.basics.prompt_syntax import plainly
from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.language_models import GEMMA2
from graphflow.families.lumina2.config import BEGIN, VARIANT, infer_transformer, schedule, times
from graphflow.families.lumina2.names import transformer_names
from graphflow.families.lumina2.stand_ins import STAND_INS
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Variant
from graphflow.modelfiles.footprint import Footprint, next_width
from graphflow.modelfiles.scripts import FlowScripts, ScriptTraits

FAMILY = FlowFamily(
    name="lumina2",
    made_by="Lumina2",
    transformer="Lumina2Transformer2DModel",
    marks=("noise_refiner.0.adaLN_modulation.1.weight", "time_caption_embed.caption_embedder.0.weight"),
    words=("lumina",),
    rank=2,
    half="bfloat16",
    comfyui_loader={1: "lumina2"},
    footprint=Footprint(numbers=28, text=512, patch=2, width=next_width),
    latent=LatentFormat(channels=16, scale=0.3611, shift=0.1159, tiny="taef1"),
    variants=(Variant(name=VARIANT, gguf="lumina2"),),
    infer=infer_transformer,
    names=transformer_names,
    schedule=schedule,
    roles=(EncoderRole(part="text_encoder", classes=GEMMA2.classes),),
    texts={"text_encoder": GEMMA2},
    lone=True,
    tasks={"text2img": "Lumina2Pipeline"},
    scripts=ScriptTraits(
        network="transformer",
        sources=(
            "graphflow.families.flow.language_states",
            "graphflow.families.flow.patches",
            "graphflow.families.lumina2.network",
        ),
        flow=FlowScripts(
            velocity="lumina2_velocity",
            times=times,
            encode="encode_with_language_model",
            options=lambda _: {"begin": [*BEGIN]},
            reads=plainly,
        ),
    ),
    components_in="graphflow.families.lumina2.components",
    stand_ins=STAND_INS,
)
