"""What families of flow transformers have in common that run by components."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphflow.errors import ModelFormatError
from graphflow.families.flow.encoder_file import EncoderFile
from graphflow.families.flow.names import TableNames
from graphflow.families.flow.piece_tokenizer import make_piece_tokenizer
from graphflow.families.latent_diffusion.checkpoint import fill_checkpoint
from graphflow.families.latent_diffusion.family import CHUNK
from graphflow.families.latent_diffusion.tensor_names import LatentDiffusionNames, lora_names
from graphflow.families.latent_diffusion.tokenizers import make_tokenizer
from graphflow.families.recognised.base import RecognisedFamily
from graphflow.modelfiles.control_marks import control_prefix
from graphflow.modelfiles.description import Config, Kind, Part, TokenizerSpec
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import Change, EncoderRole, Match, TensorNames
from graphflow.modelfiles.inferred import Inferred, Shapes

_TRANSFORMER_PREFIXES = (
    "lora_unet_", "lora_transformer_", "transformer_", "diffusion_model_", "base_model_model_",
    "base_model_model_transformer_", "base_model_model_diffusion_model_", "lycoris_", "model_diffusion_model_",
)  # fmt: skip
_TEXT_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "CLIPTextModel": ("lora_te_", "text_encoders_clip_l_transformer_", "clip_l_"),
    "CLIPTextModelWithProjection": ("text_encoders_clip_g_transformer_", "clip_g_"),
    "T5EncoderModel": ("lora_te3_", "text_encoders_t5xxl_transformer_", "t5_"),
}
"""What names of LoRA layers of an encoder begin with beside its number, by its first class."""


def _as_it_is(part: Part) -> TableNames:
    return TableNames((), {}, original=False)


@dataclass(frozen=True, kw_only=True)
class FlowFamily(RecognisedFamily):
    """Implements :class:`graphflow.modelfiles.family.Family`.

    Attributes:
        infer: Config of a transformer from its tensors, without prefix, and the file's name for errors.
        names: How the transformer's tensors are called.
        schedule: The Diffusers scheduler's config of a variant.
        roles: Its encoders.
        tasks: Diffusers pipeline classes by task.
        components_in: The module with its `COMPONENTS`; it imports torch.
        infer_control: Config of a ControlNet from its tensors, as `infer`.
        control_names: How a ControlNet's tensors are called.
        texts: Its language models, by what the part is called in a whole model.
        lone: Whether it describes those that lie in files of their own, for every family that reads them.
    """

    infer: Callable[[Shapes, str], Inferred]
    names: Callable[[Part], TableNames]
    schedule: Callable[[str], Config]
    roles: tuple[EncoderRole, ...]
    components_in: str
    tasks: Mapping[str, str] = field(default_factory=dict)
    infer_control: Callable[[Shapes, str], Inferred] | None = None
    control_names: Callable[[Part], TableNames] = _as_it_is
    texts: Mapping[str, EncoderFile] = field(default_factory=dict)
    lone: bool = False

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Any = None) -> Match | None:
        """Recognise a transformer by its tensors, and its variant by its sizes."""
        match = super().recognise(shapes, metadata, stated=stated)
        if match is None and self.lone and any(text.prefix(shapes) is not None for text in self.texts.values()):
            return Match(kind="text_encoder", rank=0)
        if match is None or match.kind == "controlnet":
            return match
        prefix = self._prefix(shapes) or ""
        below = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
        try:
            inferred = self.infer(below, "")
        except ModelFormatError:
            return match  # what is wrong with it is said when it is described
        return replace(match, variant=inferred.variant, task=inferred.task)

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        """Fill in the description of a file: a transformer alone, or with encoders and autoencoder."""
        if match.kind == "controlnet":
            draft.kind, draft.family = match.kind, self.name
            prefix = control_prefix(draft.shapes) or ""
            assert self.infer_control is not None, "a family that recognises ControlNets describes them"
            inferred = self.infer_control(draft.under(prefix), draft.where)
            draft.add("controlnet", inferred, prefix)
            draft.details["union"] = bool(inferred.facts.get("num_mode"))
            return
        if match.kind == "text_encoder":
            text = next(text for text in self.texts.values() if text.prefix(draft.shapes) is not None)
            draft.kind, draft.variant = match.kind, text.add(draft, "text_encoder").variant
            return
        prefix = self._prefix(draft.shapes) or ""
        inferred = self.infer(draft.under(prefix), draft.where)
        fill_checkpoint(draft, kind, (inferred, prefix))
        for name, text in self.texts.items():
            if text.prefix(draft.shapes):
                text.add(draft, name)
                draft.kind = "checkpoint"
        draft.task, draft.scheduler = inferred.task, self.schedule(inferred.variant)

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        """Recognise a component by its class; a language model of any family, too, where it describes those."""
        if self.lone and self._text(class_name) is not None:
            return Match(kind="text_encoder")
        return super().recognise_part(class_name, config)

    def count_tokens(self, spec: TokenizerSpec, text: str) -> int:
        """Return how many tokens a text is for a text encoder."""
        by_pieces = spec.name or spec.part in self.texts
        return len((make_piece_tokenizer(spec) if by_pieces else make_tokenizer(spec, CHUNK)).ids(text))

    def encoders(self) -> tuple[EncoderRole, ...]:
        """Return its encoders."""
        return self.roles

    def tensor_names(self, part: Part) -> TensorNames:
        """Return how the tensors of a part are called."""
        if part.class_name == self.transformer:
            return self.names(part)
        if part.class_name == self.control:
            return self.control_names(part)
        text = self._text(part.class_name)
        return LatentDiffusionNames(part) if text is None else text.names

    def lora_prefixes(self) -> Mapping[str, tuple[str, ...]]:
        """Return how names of LoRA layers begin."""
        prefixes: dict[str, tuple[str, ...]] = {"transformer": _TRANSFORMER_PREFIXES}
        for number, role in enumerate(self.roles, start=1):
            prefixes[role.part] = (f"lora_te{number}_", f"{role.part}_", *_TEXT_PREFIXES.get(role.classes[0], ()))
        return prefixes

    def lora_names(self, part: Part, names: Collection[str]) -> Iterator[tuple[str, str, Change]]:
        """Yield what LoRA files call the layers of a part."""
        if part.class_name == self.transformer:
            yield from self.names(part).lora_names(names)
        else:
            yield from lora_names(part, names)

    def pipelines(self) -> Mapping[str, str]:
        """Return the Diffusers pipeline class of each task."""
        return self.tasks

    def components(self) -> Any:
        """Return the networks."""
        return importlib.import_module(self.components_in).COMPONENTS

    def _text(self, class_name: str) -> EncoderFile | None:
        return next((text for text in self.texts.values() if class_name in text.classes), None)
