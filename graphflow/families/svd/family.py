"""What Stable Video Diffusion is known by (Blattmann et al. 2023, arXiv:2311.15127); without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.families.flow.family import FlowFamily
from graphflow.families.latent_diffusion.checkpoint import VAE_PREFIXES, fill_checkpoint
from graphflow.families.svd.config import SIGMA_MAX, SIGMA_MIN, UNET, VAE, infer_unet, infer_vae, schedule
from graphflow.families.svd.names import svd_names
from graphflow.modelfiles.description import Kind, Part
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Match, TensorNames, Variant
from graphflow.modelfiles.flow_times import LogTimes
from graphflow.modelfiles.footprint import OF_UNETS
from graphflow.modelfiles.inferred import Shapes
from graphflow.modelfiles.scripts import FlowScripts, ScriptTraits

_TEMPORAL = ".time_stack."
_DECODER = "decoder.mid.block_1.time_stack.in_layers.0.weight"


@dataclass(frozen=True, kw_only=True)
class SvdFamily(FlowFamily):
    """Implements :class:`graphflow.modelfiles.family.Family`; its autoencoder decodes frames together."""

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Any = None) -> Match | None:
        """Recognise a UNet, or an autoencoder alone, by its layers over time."""
        found = super().recognise(shapes, metadata, stated=stated)
        if found is None and any(prefix + _DECODER in shapes for prefix in VAE_PREFIXES):
            return Match(kind="vae", rank=self.rank)
        return found

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file: the UNet alone, or with image encoder and autoencoder."""
        if match.kind == "vae":
            fill_checkpoint(draft, kind)
            draft.family = self.name
        else:
            super().describe(draft, match, kind)
        vae = draft.parts.get("vae")
        if vae is not None and any(_TEMPORAL in name for name in draft.under(vae.prefix)):
            draft.add("vae", infer_vae(draft.under(vae.prefix), draft.where), vae.prefix, "ldm")

    def tensor_names(self, part: Part) -> TensorNames:
        """Return how the tensors of a part are called."""
        return svd_names(part) if part.class_name == VAE else super().tensor_names(part)


FAMILY = SvdFamily(
    name="svd",
    made_by="StableVideoDiffusion",
    transformer=UNET,
    marks=("input_blocks.1.1.time_stack.0.norm_in.weight",),
    rank=2,
    footprint=OF_UNETS,
    latent=LatentFormat(channels=4, scale=0.18215),
    variants=(Variant(name="svd"),),
    infer=infer_unet,
    names=svd_names,
    schedule=schedule,
    roles=(EncoderRole(part="image_encoder", kind="picture", classes=("CLIPVisionModelWithProjection",)),),
    components_in="graphflow.families.svd.components",
    scripts=ScriptTraits(
        network="transformer",
        sources=("graphflow.families.svd.evaluating",),
        flow=FlowScripts(
            velocity="svd_velocity",
            levels="LogLevels",
            times=lambda _: LogTimes(SIGMA_MIN, SIGMA_MAX),
            tells="predict_velocity",
            encode="",
            extras=("picture", "fps", "motion", "noise_augmentation"),
            holder="Parts",
            adjusts="set_norms_as_trained",
        ),
    ),
)
