"""A family whose files are recognised and described, and which has no components here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.checkpoint import fill_checkpoint
from graphflow.families.latent_diffusion.tensor_names import LatentDiffusionNames
from graphflow.modelfiles.control_marks import control_prefix
from graphflow.modelfiles.description import Config, Guess, Kind, Part, TokenizerSpec
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import Change, EncoderRole, Half, LatentFormat, Match, Sizes, TensorNames, Variant
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.inferred import Inferred, Shapes
from graphflow.modelfiles.scripts import ScriptTraits
from graphflow.modelfiles.stand_in import StandIn

_PREFIXES = ("model.diffusion_model.", "transformer.", "")


@dataclass(frozen=True, kw_only=True)
class RecognisedFamily:
    """Implements :class:`graphflow.modelfiles.family.Family` for a family without components.

    Attributes:
        name: The family's name.
        made_by: Matches the names of its Diffusers pipeline and component classes, from the beginning.
        transformer: The Diffusers class of its transformer; empty where its files are not recognised.
        marks: Tensors by which a transformer is known.
        control: The Diffusers class of its ControlNets; empty where they are not recognised.
        control_marks: Beginnings of names that only ControlNets of this family have.
        adapter_marks: Parts of names that only LoRAs of this family have.
        words: Words by which training programs name it.
        rank: How special the marks are: a family whose files have those of another, too, has the higher one.
        half: Which half precision it computes in.
        trained_sizes: Sizes that its models were trained with, by the name of a preset.
        comfyui_loader: The `type` that ComfyUI's loaders of text encoders have for it, by their number; what only passes
            through them needs none.
        steering: What steers its models by pictures, in words for people.
        latent: Its latents; sixteen channels, as most of them have, where nothing here computes with them.
        variants: Its variants, where they are told apart.
        footprint: The memory that its network takes; None where nobody knows it.
        scripts: What scripts must know of its pipelines; None where none is written for it.
        stand_ins: What stands in for its files where they are not there.
    """

    name: str
    made_by: str
    transformer: str = ""
    marks: tuple[str, ...] = ()
    control: str = ""
    control_marks: tuple[str, ...] = ()
    adapter_marks: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    rank: int = 1
    half: Half = "float16"
    trained_sizes: Mapping[str, Sizes] = field(default_factory=dict)
    comfyui_loader: Mapping[int, str] = field(default_factory=dict)
    steering: tuple[str, ...] = ()
    latent: LatentFormat = field(default_factory=partial(LatentFormat, channels=16))
    variants: tuple[Variant, ...] = ()
    footprint: Footprint | None = None
    scripts: ScriptTraits | None = None
    stand_ins: tuple[StandIn, ...] = ()

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Guess | None = None) -> Match | None:
        """Recognise a transformer or ControlNet by its tensors."""
        prefix = control_prefix(shapes)
        if prefix is not None:
            names = [name[len(prefix) :] for name in shapes if name.startswith(prefix)]
            mine = bool(self.control) and any(name.startswith(self.control_marks) for name in names)
            return Match(kind="controlnet", variant=self.name, rank=self.rank) if mine else None
        if self._prefix(shapes) is None:
            return None
        return Match(kind="diffusion_model", variant=self.name, rank=self.rank)

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Name the transformer or ControlNet; its sizes are not told."""
        if match.kind == "controlnet":
            draft.kind, draft.family = match.kind, self.name
            draft.add("controlnet", Inferred(self.control, self.name), control_prefix(draft.shapes) or "")
            return
        fill_checkpoint(draft, kind, (Inferred(self.transformer, self.name), self._prefix(draft.shapes) or ""))
        draft.answers.warnings.append(
            f"{self.name}: a single file does not tell this family's sizes; its config comes from a Diffusers folder"
        )

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        """Recognise a component by its class."""
        if class_name == self.control:
            return Match(kind="controlnet", variant=self.name, rank=self.rank)
        mine = class_name == self.transformer or ("Transformer" in class_name and self.makes(class_name))
        return Match(kind="diffusion_model", variant=self.name, rank=self.rank) if mine else None

    def fits_adapter(self, kind: Kind, shapes: Shapes, metadata: Mapping[str, str]) -> Match | None:
        """Tell a LoRA of this family by its tensors or its trainer's notes."""
        if kind != "lora":
            return None
        notes = ("ss_base_model_version", "modelspec.architecture", "ss_sd_model_name")
        said = " ".join(metadata.get(key, "") for key in notes).lower()
        named = any(word in said for word in self.words)
        mine = named or any(mark in name for name in shapes for mark in self.adapter_marks)
        return Match(kind=kind, variant=self.name, rank=self.rank) if mine else None

    def encoders(self) -> tuple[EncoderRole, ...]:
        """Return none: nothing encodes for it here."""
        return ()

    def count_tokens(self, spec: TokenizerSpec, text: str) -> int:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise self._without_components()

    def tensor_names(self, part: Part) -> TensorNames:
        """Return the names of the parts that it shares with other families."""
        return LatentDiffusionNames(part)

    def lora_prefixes(self) -> Mapping[str, tuple[str, ...]]:
        """Return none."""
        return {}

    def lora_names(self, part: Part, names: Collection[str]) -> Iterator[tuple[str, str, Change]]:
        """Yield nothing."""
        return iter(())

    def pipelines(self) -> Mapping[str, str]:
        """Return none: no script is written for it."""
        return {}

    def makes(self, pipeline: str) -> bool:
        """Tell whether a Diffusers pipeline class is one of this family."""
        return re.match(self.made_by, pipeline) is not None

    def components(self) -> Any:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise self._without_components()

    def _without_components(self) -> ModelFormatError:
        return ModelFormatError(
            f"models of the family {self.name!r} have no components here",
            advice="run the whole pipeline with run_pipeline",
        )

    def _prefix(self, shapes: Shapes) -> str | None:
        return next((start for start in _PREFIXES if any(start + mark in shapes for mark in self.marks)), None)
