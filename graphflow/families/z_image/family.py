"""What Z-Image is known by; without torch."""

from __future__ import annotations

from graphflow.basics.prompt_syntax import plainly
from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.language_models import QWEN3
from graphflow.families.z_image.config import (
    CONTROL,
    TEMPLATE,
    VARIANT,
    infer_control,
    infer_transformer,
    schedule,
    settled_control,
    times,
)
from graphflow.families.z_image.names import control_names, transformer_names
from graphflow.families.z_image.stand_ins import STAND_INS
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Variant
from graphflow.modelfiles.footprint import Footprint, next_width
from graphflow.modelfiles.scripts import FlowCall, FlowScripts, FlowSteering, ScriptTraits

FAMILY = FlowFamily(
    name="z-image",
    made_by="ZImage",
    transformer="ZImageTransformer2DModel",
    # Blocks of Lumina 2, whose other tensors are called the same, have an activation before this layer.
    marks=("noise_refiner.0.adaLN_modulation.0.weight",),
    # Names in the authors' code, such as `layers_0_attention_qkv`, are those of Lumina 2, too.
    adapter_marks=tuple(f"layers{dot}{block}{dot}attention{dot}to_" for dot in "._" for block in range(30)),
    control=CONTROL,
    control_marks=("control_all_x_embedder.",),
    infer_control=infer_control,
    control_names=control_names,
    steering=("Fun ControlNets 1.0 to 2.1",),
    words=("z-image", "z_image", "zimage"),
    rank=2,
    half="bfloat16",
    comfyui_loader={1: "lumina2"},
    footprint=Footprint(numbers=17, text=512, patch=2, width=next_width),
    latent=LatentFormat(channels=16, scale=0.3611, shift=0.1159, tiny="taef1"),
    variants=(Variant(name=VARIANT, gguf="lumina2"),),
    infer=infer_transformer,
    names=transformer_names,
    schedule=schedule,
    roles=(EncoderRole(part="text_encoder", classes=QWEN3.classes),),
    texts={"text_encoder": QWEN3},
    lone=True,
    tasks={"text2img": "ZImagePipeline"},
    scripts=ScriptTraits(
        network="transformer",
        sources=(
            "graphflow.families.flow.language_states",
            "graphflow.families.flow.patches",
            "graphflow.families.z_image.network",
            "graphflow.families.flow.residuals",
            "graphflow.families.z_image.steering",
        ),
        flow=FlowScripts(
            velocity="z_image_velocity",
            times=times,
            encode="encode_with_language_model",
            options=lambda _: {"template": TEMPLATE},
            reads=plainly,
            steering=FlowSteering(
                nets={CONTROL: ("z_image_hint", "z_image_steered")},
                settled=settled_control,
                filled=lambda config: config["control_in_dim"],
            ),
            call=FlowCall(
                arguments={"guidance_scale": 0.0},
                scale=("guidance_scale", 1),
                embeds={"embeds": "prompt_embeds"},
                listed=True,
            ),
        ),
    ),
    components_in="graphflow.families.z_image.components",
    stand_ins=STAND_INS,
)
