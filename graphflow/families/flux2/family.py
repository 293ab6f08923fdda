"""What FLUX.2 is known by; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.basics.prompt_syntax import plainly
from graphflow.families.flow.adapter_sizes import layer_sizes
from graphflow.families.flow.encoder_file import EncoderFile
from graphflow.families.flow.family import FlowFamily
from graphflow.families.flow.language_models import MISTRAL3, QWEN3
from graphflow.families.flux2.config import infer_transformer, schedule, script_options, times
from graphflow.families.flux2.names import transformer_names
from graphflow.families.flux2.stand_ins import STAND_INS
from graphflow.families.latent_diffusion.checkpoint import VAE_PREFIXES, fill_checkpoint
from graphflow.families.latent_diffusion.vae_config import PATCH_VAE, STATISTICS
from graphflow.modelfiles.description import Config, Kind
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Match, Variant
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.inferred import Shapes
from graphflow.modelfiles.scripts import FlowScripts, ScriptTraits

_WIDE = {"linear1": 9, "mlp.0": 6, "mlp_0": 6}
"""Rows for each column of layers that have gates, by how their names end."""


@dataclass(frozen=True, kw_only=True)
class Flux2Family(FlowFamily):
    """Implements :class:`graphflow.modelfiles.family.Family`; it describes its own autoencoder, too."""

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Any = None) -> Match | None:
        """Recognise a transformer, Mistral Small 3 or an autoencoder by its tensors."""
        match = super().recognise(shapes, metadata, stated=stated)
        if match is None and any(prefix + STATISTICS in shapes for prefix in VAE_PREFIXES):
            return Match(kind="vae", rank=self.rank)
        return match

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file."""
        if match.kind == "vae":
            fill_checkpoint(draft, kind)
        else:
            super().describe(draft, match, kind)
        if match.kind == "diffusion_model" and QWEN3.prefix(draft.shapes) is not None:
            QWEN3.add(draft, "text_encoder")
            draft.kind = "checkpoint"

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        """Recognise a component by its class."""
        return Match(kind="vae") if class_name == PATCH_VAE else super().recognise_part(class_name, config)

    def fits_adapter(self, kind: Kind, shapes: Shapes, metadata: Mapping[str, str]) -> Match | None:
        """Tell a LoRA of this family by its tensors, the sizes of its layers or its trainer's notes."""
        found = super().fits_adapter(kind, shapes, metadata)
        if found is None and kind == "lora" and any(_is_wide(name, *sizes) for name, sizes in layer_sizes(shapes)):
            return Match(kind=kind, variant=self.name, rank=self.rank)
        return found

    def _text(self, class_name: str) -> EncoderFile | None:
        return QWEN3 if class_name in QWEN3.classes else super()._text(class_name)


def _is_wide(name: str, rows: int, columns: int) -> bool:
    """Tell layers of gated perceptrons, which are wider than those of FLUX.1 that have the same names."""
    return any(name.endswith(layer) and rows == times * columns for layer, times in _WIDE.items())


FAMILY = Flux2Family(
    name="flux2",
    made_by="Flux2",
    transformer="Flux2Transformer2DModel",
    marks=("single_stream_modulation.lin.weight", "single_stream_modulation.linear.weight"),
    adapter_marks=(
        "single_stream_modulation", "double_stream_modulation", "to_qkv_mlp_proj", "ff.linear_", "ff_linear_", "ff_context.linear_",
        "ff_context_linear_",
    ),
    words=("flux2", "flux.2", "flux-2", "flux_2"),
    rank=3,
    half="bfloat16",
    comfyui_loader={1: "flux2"},
    footprint=Footprint(numbers=34, text=512),
    latent=LatentFormat(channels=128, downscale=16),
    variants=(Variant(name="flux2_dev"), Variant(name="flux2_klein", pipeline="Flux2KleinPipeline")),
    infer=infer_transformer,
    names=transformer_names,
    schedule=schedule,
    roles=(EncoderRole(part="text_encoder", classes=MISTRAL3.classes + QWEN3.classes),),
    texts={"text_encoder": MISTRAL3},
    lone=True,
    tasks={"text2img": "Flux2Pipeline"},
    scripts=ScriptTraits(
        network="transformer",
        sources=(
            "graphflow.families.flow.exact_times",
            "graphflow.families.flow.distilled",
            "graphflow.families.flow.language_states",
            "graphflow.families.flow.patches",
            "graphflow.families.flux2.network",
        ),
        flow=FlowScripts(
            velocity="flux2_velocity",
            times=times,
            encode="encode_with_language_model",
            options=script_options,
            reads=plainly,
            guides=True,
            references=lambda _: {"index": ""},
            keeps="with_kept_references",
        ),
    ),
    components_in="graphflow.families.flux2.components",
    stand_ins=STAND_INS,
)  # fmt: skip
