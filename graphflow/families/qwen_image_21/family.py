"""What Qwen-Image 2.1 is known by; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.basics.prompt_syntax import unescaped
from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.qwen3_vl import QWEN3_VL
from graphflow.families.qwen_image_21.config import (
    MARK,
    VAE_CLASS,
    infer_transformer,
    infer_vae,
    schedule,
    times,
    vae_prefix,
)
from graphflow.families.qwen_image_21.names import transformer_names, vae_names
from graphflow.families.qwen_image_21.stand_ins import STAND_INS
from graphflow.modelfiles.description import Config, Kind, Part
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Match, TensorNames, Variant
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.inferred import Shapes
from graphflow.modelfiles.scripts import FlowScripts, ScriptTraits


@dataclass(frozen=True, kw_only=True)
class QwenImage21Family(FlowFamily):
    """Implements :class:`graphflow.modelfiles.family.Family`; it describes Qwen3-VL and its own autoencoder, too."""

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Any = None) -> Match | None:
        """Recognise a transformer, Qwen3-VL or an autoencoder by its tensors."""
        match = super().recognise(shapes, metadata, stated=stated)
        if match is not None and match.kind == "text_encoder":
            return Match(kind="text_encoder", rank=self.rank)  # Qwen3 has tensors of the same names
        if match is None and vae_prefix(shapes) is not None:
            return Match(kind="vae", rank=self.rank)
        return match

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file: a transformer alone, or with encoder and autoencoder, or one of these."""
        if match.kind != "vae":
            super().describe(draft, match, kind)
        if (prefix := vae_prefix(draft.shapes)) is not None:
            below = draft.under(prefix)
            original = "decoder.conv1.weight" in below
            draft.parts.pop("vae", None)
            draft.add("vae", infer_vae(below, draft.where), prefix, "ldm" if original else "diffusers")
            draft.kind = "vae" if match.kind == "vae" else "checkpoint"

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        """Recognise a component by its class."""
        return Match(kind="vae") if class_name == VAE_CLASS else super().recognise_part(class_name, config)

    def tensor_names(self, part: Part) -> TensorNames:
        """Return how the tensors of a part are called."""
        return vae_names(part) if part.class_name == VAE_CLASS else super().tensor_names(part)


FAMILY = QwenImage21Family(
    name="qwen_image_21",
    made_by="QwenImage21",
    transformer="QwenImage21Transformer2DModel",
    marks=(MARK,),
    adapter_marks=("img_mlp.gate_layer", "img_mlp_gate_layer", "img_mlp.gate_up", "img_mlp_gate_up", "txt_in.in_layer"),
    words=("qwen-image-2.1", "qwen_image_2.1", "qwen_image_21", "qwen-image-21", "qwenimage21"),
    rank=3,
    half="bfloat16",
    comfyui_loader={1: "qwen_image"},
    footprint=Footprint(numbers=34, text=512),
    latent=LatentFormat(
        channels=64,
        downscale=16,
        mean=(
            0.5126, 0.7721, -0.0631, 1.3506, -0.7855, -2.1025, -0.3458, 1.3722, 1.8873, -1.7177, -0.6510, 0.2732, 0.7562,
            -0.6163, -1.0277, 3.8363, 2.0210, 0.0472, 0.9320, 2.0087, 2.4954, -0.1391, -1.4249, 1.8464, -0.5236, 1.2826,
            3.7046, -1.3035, 2.7286, -1.4518, -1.9036, -1.9955, -0.0342, -1.0265, -0.7636, 3.0555, 0.0746, -3.0751, -0.1076,
            1.7376, -1.0914, -1.9435, -0.2784, -1.3680, 0.4809, -0.4433, 0.3764, 0.5729, -2.0595, 1.0960, -1.3260, -2.0211,
            -5.0179, 0.5275, 4.0162, 1.8505, 0.3026, 1.9373, 1.4937, 0.2632, 0.5547, -1.7121, -0.1562, 0.0304,
        ),
        deviation=(
            3.2001, 3.2936, 3.4321, 3.0091, 3.1061, 4.0379, 4.0705, 3.7910, 3.0785, 3.6500, 3.9308, 3.0904, 2.8778, 3.7675,
            3.7320, 5.0756, 3.2864, 4.0397, 3.1317, 4.0443, 2.9249, 3.9454, 3.0988, 4.2489, 3.4896, 3.8513, 3.9323, 3.4719,
            3.7498, 4.2830, 3.5694, 4.2467, 3.9037, 3.2947, 5.0770, 3.5075, 3.2700, 3.4767, 2.8063, 5.1125, 3.5327, 4.7833,
            3.1286, 4.1819, 3.8527, 3.8312, 3.5605, 4.3875, 3.9624, 4.0168, 3.5643, 4.0550, 5.5614, 4.2963, 4.4080, 3.4959,
            3.8747, 3.7608, 3.5735, 3.1490, 3.7662, 3.6746, 3.4563, 3.8161,
        ),
    ),
    variants=(Variant(name="qwen_image_21"),),
    infer=infer_transformer,
    names=transformer_names,
    schedule=schedule,
    roles=(EncoderRole(part="text_encoder", classes=QWEN3_VL.classes),),
    texts={"text_encoder": QWEN3_VL},
    lone=True,
    tasks={"text2img": "QwenImage21Pipeline"},
    scripts=ScriptTraits(
        network="transformer",
        sources=(
            "graphflow.families.flow.exact_times",
            "graphflow.families.flow.patches",
            "graphflow.families.flow.seeing",
            "graphflow.families.qwen_image_21.network",
            "graphflow.families.qwen_image_21.prompts",
        ),
        flow=FlowScripts(
            velocity="qwen_image_21_velocity",
            misfit="qwen_image_21_misfit",
            times=times,
            encode="encode_with_qwen3_vl",
            holder="QwenImagePipeline",
            reads=unescaped,
            sees=True,
            references=lambda _: {"index": ""},
            keeps="",
        ),
    ),
    components_in="graphflow.families.qwen_image_21.components",
    stand_ins=STAND_INS,
)  # fmt: skip
