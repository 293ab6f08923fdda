"""What Stable Cascade is known by (Pernias et al. 2023, arXiv:2306.00637); without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.families.flow.family import FlowFamily
from graphflow.families.stable_cascade.config import (
    STAGE_A,
    STAGE_C,
    UNET,
    autoencoder_of,
    infer_autoencoder,
    infer_unet,
    schedule,
    times,
)
from graphflow.families.stable_cascade.names import cascade_names
from graphflow.modelfiles.description import Kind, Part
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import EncoderRole, LatentFormat, Match, TensorNames, Variant
from graphflow.modelfiles.inferred import Shapes
from graphflow.modelfiles.scripts import FlowScripts, ScriptTraits

STAGE_B_LATENT = LatentFormat(channels=4, scale=1 / 0.43, downscale=4)
"""Latents of the second diffusion model, which the autoencoder decodes."""
_VAE = "vae."


@dataclass(frozen=True, kw_only=True)
class StableCascadeFamily(FlowFamily):
    """Implements :class:`graphflow.modelfiles.family.Family`; its autoencoders are of classes of their own."""

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Any = None) -> Match | None:
        """Recognise a diffusion model or an autoencoder by its tensors."""
        if autoencoder_of(shapes):
            return Match(kind="vae", rank=self.rank)
        return super().recognise(shapes, metadata, stated=stated)

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file: a stage alone, with its autoencoder, or the autoencoder alone."""
        if match.kind == "vae":
            draft.kind, draft.family = match.kind, self.name
            draft.add("vae", infer_autoencoder(draft.shapes, draft.where), "", "ldm")
            return
        super().describe(draft, match, kind)
        inside = draft.under(_VAE)
        if kind != "image_encoder" and autoencoder_of(inside):
            draft.add("vae", infer_autoencoder(inside, draft.where), _VAE, "ldm")
            draft.kind = "checkpoint"

    def tensor_names(self, part: Part) -> TensorNames:
        """Return how the tensors of a part are called."""
        return cascade_names(part) if part.class_name in (STAGE_A, STAGE_C) else super().tensor_names(part)


FAMILY = StableCascadeFamily(
    name="stable_cascade",
    made_by="StableCascade",
    transformer=UNET,
    marks=("clf.1.weight",),
    words=("stable-cascade", "stable_cascade"),
    half="bfloat16",
    comfyui_loader={1: "stable_cascade"},
    latent=LatentFormat(channels=16, downscale=42),
    variants=(Variant(name="stage_c"), Variant(name="stage_b", latent=STAGE_B_LATENT)),
    infer=infer_unet,
    names=cascade_names,
    schedule=schedule,
    roles=(EncoderRole(part="text_encoder", classes=("CLIPTextModelWithProjection",), named=True),),
    components_in="graphflow.families.stable_cascade.components",
    scripts=ScriptTraits(
        network="transformer",
        sources=("graphflow.families.stable_cascade.evaluating", "graphflow.families.stable_cascade.network"),
        flow=FlowScripts(
            velocity="cascade_noise",
            levels="CosineLevels",
            times=times,
            tells="predict_noise",
            encode="encode_until_the_end",
            layer="layer",
            extras=("stage_c",),
            holder="Parts",
            builds={UNET: "CascadeUnet", STAGE_C: STAGE_C},
        ),
    ),
)
