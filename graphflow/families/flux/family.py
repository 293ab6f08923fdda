"""What FLUX.1 is known by; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.families.flow.bfl_names import transformer_names
from graphflow.families.flow.distilled import GUIDANCE
from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.t5_config import T5
from graphflow.families.flux.config import T5_TOKENS, diffusers_converter, infer_transformer, schedule, times
from graphflow.families.flux.control_config import CONTROL, EXTRA, control_kinds, control_names, infer_control
from graphflow.families.flux.ip_adapter_config import IP_ADAPTER, MARK, infer_ip_adapter, ip_adapter_names
from graphflow.families.flux.sizes import KONTEXT_SIZES
from graphflow.families.flux.stand_ins import STAND_INS
from graphflow.families.flux.style import REDUX, infer_redux
from graphflow.families.flux.style_projector_config import STYLE_PROJECTOR, infer_style_projector, style_prefix
from graphflow.modelfiles.description import Config, Kind, Part
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Match, TensorNames, Variant
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.inferred import Shapes
from graphflow.modelfiles.scripts import FlowCall, FlowScripts, FlowSteering, ScriptTraits


@dataclass(frozen=True, kw_only=True)
class FluxFamily(FlowFamily):
    """Implements :class:`graphflow.modelfiles.family.Family`; it describes what prompts by pictures, too."""

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Any = None) -> Match | None:
        """Recognise a transformer, a ControlNet, a style model or projector, or an IP-Adapter by its tensors."""
        if "redux_down.weight" in shapes:
            return Match(kind="style_model", variant=self.name)
        if MARK in shapes:
            return Match(kind="ip_adapter", variant=self.name)
        if style_prefix(shapes) is not None:
            return Match(kind="controlnet", variant=self.name, rank=self.rank)
        return super().recognise(shapes, metadata, stated=stated)

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file."""
        prefix = style_prefix(draft.shapes)
        if prefix is not None:
            draft.kind, draft.family = match.kind, self.name
            draft.add("style_projector", infer_style_projector(draft.under(prefix), draft.where), prefix)
            return
        infer = {"style_model": infer_redux, "ip_adapter": infer_ip_adapter}.get(match.kind)
        if infer is None:
            super().describe(draft, match, kind)
            return
        draft.kind, draft.family = match.kind, self.name
        draft.add(match.kind, infer(draft.shapes, draft.where), "")

    def tensor_names(self, part: Part) -> TensorNames:
        """Return how the tensors of a part are called."""
        return ip_adapter_names() if part.class_name == IP_ADAPTER else super().tensor_names(part)

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        """Recognise a component by its class."""
        if class_name == REDUX:
            return Match(kind="style_model", variant=self.name, rank=self.rank)
        return super().recognise_part(class_name, config)


FAMILY = FluxFamily(
    name="flux",
    made_by="Flux(?!2)",
    transformer="FluxTransformer2DModel",
    marks=("double_blocks.0.img_attn.norm.key_norm.scale", "single_transformer_blocks.0.norm.linear.weight"),
    control=CONTROL,
    control_marks=("x_embedder.", "double_blocks."),
    infer_control=infer_control,
    control_names=control_names,
    steering=("ControlNets of InstantX, Shakker, x-labs and alimama", "IP-Adapters of x-labs", "Redux", "USO"),
    adapter_marks=("double_blocks", "single_transformer_blocks"),
    words=("flux",),
    rank=2,
    half="bfloat16",
    trained_sizes={"flux_kontext": KONTEXT_SIZES},
    comfyui_loader={2: "flux"},
    footprint=Footprint(numbers=34, text=512, patch=2),
    latent=LatentFormat(channels=16, scale=0.3611, shift=0.1159, tiny="taef1"),
    variants=tuple(
        Variant(name=name, gguf="flux") for name in ("flux_dev", "flux_schnell", "flux_fill", "flux_control")
    ),
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
            "graphflow.families.flow.distilled",
            "graphflow.families.flow.patches",
            "graphflow.families.flux.references",
            "graphflow.families.flux.network",
            "graphflow.families.flux.style_projector",
            "graphflow.families.flux.styling",
            "graphflow.families.flow.residuals",
            "graphflow.families.flux.steering",
        ),
        flow=FlowScripts(
            velocity="flux_velocity",
            times=times,
            encode="encode_with_clip_and_t5",
            layer="layer",
            texts={"text_l": "parts_l"},
            guides=True,
            attends=True,
            channels="flux_channels",
            adapts=True,
            builds={STYLE_PROJECTOR: STYLE_PROJECTOR},
            styles="take_style",
            references=lambda _: {"offset": "on_one_sheet", "index": "numbered", "uno": "diagonal"},
            converter=diffusers_converter,
            steering=FlowSteering(
                nets={CONTROL: ("flux_hint", "flux_steered")},
                built=lambda _, config: "flux_control_net" if config.get(EXTRA) else "",
                marked=lambda config: bool(config.get(EXTRA)),
                pixels=lambda config: bool(config.get("conditioning_embedding_channels")),
                kinds=control_kinds,
            ),
            call=FlowCall(
                told=("guidance_scale", GUIDANCE),
                reads=T5_TOKENS,
                embeds={"embeds": "prompt_embeds", "pooled": "pooled_prompt_embeds"},
            ),
        ),
    ),
    components_in="graphflow.families.flux.components",
    stand_ins=STAND_INS,
)
