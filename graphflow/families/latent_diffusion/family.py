"""What the families have in common whose models are a UNet, CLIP text encoders and an AutoencoderKL."""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphflow.families.latent_diffusion.adapter_files import variant_of_adapter
from graphflow.families.latent_diffusion.files import describe_file, recognise_file
from graphflow.families.latent_diffusion.folders import recognise_component
from graphflow.families.latent_diffusion.tensor_names import LatentDiffusionNames, lora_names
from graphflow.families.latent_diffusion.tokenizers import make_tokenizer
from graphflow.modelfiles.description import Config, Guess, Kind, Part, TokenizerSpec
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import Change, EncoderRole, Half, LatentFormat, Match, Sizes, Variant
from graphflow.modelfiles.footprint import OF_UNETS, Footprint
from graphflow.modelfiles.inferred import Shapes
from graphflow.modelfiles.scripts import ScriptTraits
from graphflow.modelfiles.stand_in import StandIn

CHUNK = 77
"""Tokens that CLIP reads at once, start and end included."""

FIRST_ENCODER = EncoderRole(part="text_encoder", classes=("CLIPTextModel",))
SECOND_ENCODER = EncoderRole(part="text_encoder_2", classes=("CLIPTextModelWithProjection",))

_LORA_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "unet": (
        "lora_unet_", "unet_", "base_model_model_", "base_model_model_unet_", "model_diffusion_model_", "diffusion_model_",
        "lycoris_",
    ),
    "text_encoder": (
        "lora_te1_", "lora_te_", "text_encoder_", "base_model_model_text_encoder_", "base_model_model_text_model_",
        "text_encoders_clip_l_transformer_", "lycoris_text_model_",
    ),
    "text_encoder_2": (
        "lora_te2_", "text_encoder_2_", "base_model_model_text_encoder_2_", "text_encoders_clip_g_transformer_",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LatentDiffusionFamily:
    """Implements :class:`graphflow.modelfiles.family.Family`.

    Attributes:
        name: The family's name.
        variants: Its variants.
        latent: Its latents.
        roles: Its text encoders.
        tasks: Diffusers pipeline classes by task.
        scripts: What scripts must know of its pipelines.
        footprint: The memory that its UNets take.
        comfyui_loader: The `type` that ComfyUI's loaders of text encoders have for it, by their number.
        made_by: Matches the names of the Diffusers pipeline classes that are its own, from the beginning.
        components_in: The module with its `COMPONENTS`; it imports torch.
        steering: What steers its models by pictures, in words for people.
        lone: Whether it describes files that several families use: text encoders, autoencoders and image encoders.
        half: Which half precision it computes in.
        trained_sizes: Sizes that its models were trained with, by the name of a preset.
        stand_ins: What stands in for its files where they are not there.
    """

    name: str
    variants: tuple[Variant, ...]
    latent: LatentFormat
    roles: tuple[EncoderRole, ...]
    tasks: Mapping[str, str]
    scripts: ScriptTraits
    comfyui_loader: Mapping[int, str]
    made_by: re.Pattern[str]
    components_in: str
    steering: tuple[str, ...] = ("ControlNets", "T2I-Adapters", "IP-Adapters")
    footprint: Footprint | None = OF_UNETS
    lone: bool = False
    half: Half = "float16"
    trained_sizes: Mapping[str, Sizes] = field(default_factory=dict)
    stand_ins: tuple[StandIn, ...] = ()

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Guess | None = None) -> Match | None:
        """Recognise a weight file by its tensors."""
        return self._mine(recognise_file(shapes, stated))

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        """Recognise a component of a Diffusers folder."""
        return self._mine(recognise_component(class_name, config))

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file."""
        describe_file(draft, match, kind)

    def fits_adapter(self, kind: Kind, shapes: Shapes, metadata: Mapping[str, str]) -> Match | None:
        """Recognise an adapter by its tensors or its trainer's notes."""
        variant = variant_of_adapter(kind, shapes, metadata, self.variants)
        return None if variant is None else Match(kind=kind, variant=variant)

    def encoders(self) -> tuple[EncoderRole, ...]:
        """Return the text encoders."""
        return self.roles

    def count_tokens(self, spec: TokenizerSpec, text: str) -> int:
        """Return how many tokens a text is for a text encoder."""
        return len(make_tokenizer(spec, CHUNK).ids(text))

    def tensor_names(self, part: Part) -> LatentDiffusionNames:
        """Return how the tensors of a part are called."""
        return LatentDiffusionNames(part)

    def lora_prefixes(self) -> Mapping[str, tuple[str, ...]]:
        """Return how names of LoRA layers begin."""
        return _LORA_PREFIXES

    def lora_names(self, part: Part, names: Collection[str]) -> Iterator[tuple[str, str, Change]]:
        """Yield what LoRA files call the layers of a part."""
        return lora_names(part, names)

    def pipelines(self) -> Mapping[str, str]:
        """Return the Diffusers pipeline class of each task."""
        return self.tasks

    def makes(self, pipeline: str) -> bool:
        """Tell whether a Diffusers pipeline class is one of this family."""
        return self.made_by.match(pipeline) is not None

    def components(self) -> Any:
        """Return the networks."""
        return importlib.import_module(self.components_in).COMPONENTS

    def _mine(self, match: Match | None) -> Match | None:
        if match is None or match.variant in {variant.name for variant in self.variants}:
            return match
        return replace(match, rank=0) if self.lone else None
