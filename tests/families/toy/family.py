"""What the toy family is known by; without torch."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from graphflow.modelfiles.description import Config, Guess, Kind, Part, TokenizerSpec
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.family import THIRDS, Change, EncoderRole, Half, LatentFormat, Match, Sizes, Variant
from graphflow.modelfiles.footprint import Footprint
from graphflow.modelfiles.inferred import Inferred, Shapes
from graphflow.modelfiles.scripts import ScriptTraits

_MARK = "model.diffusion_model.joint.attn.qkv.weight"


class ToyNames:
    """The author's file has one tensor for query, key and value, the class has three layers."""

    modules: Mapping[str, str] = {}

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        if ".qkv." in key:
            for letter, third in zip("qkv", THIRDS, strict=True):
                yield key.replace(".qkv.", f".to_{letter}."), third
        else:
            yield key, ""

    def canonical(self, name: str) -> str:
        return name

    def is_spare(self, key: str) -> bool:
        return False

    def originals(self, names: Iterable[str]) -> Mapping[str, str]:
        return {}


class ToyFamily:
    """Implements :class:`graphflow.modelfiles.family.Family`."""

    name = "toy"
    stand_ins = ()
    variants: tuple[Variant, ...] = ()
    latent = LatentFormat(
        channels=5, scale=2.0, shift=0.1, further={"sound": LatentFormat(channels=2, scale=0.5, axes=1)}
    )
    half: Half = "bfloat16"
    trained_sizes: Mapping[str, Sizes] = {}
    footprint: Footprint | None = None
    scripts: ScriptTraits | None = None
    comfyui_loader: Mapping[int, str] = {}
    steering: tuple[str, ...] = ()

    def recognise(self, shapes: Shapes, metadata: Mapping[str, str], *, stated: Guess | None = None) -> Match | None:
        return Match(kind="checkpoint", rank=9) if _MARK in shapes else None

    def describe(self, draft: Draft, match: Match, kind: Kind | None) -> None:
        draft.kind, draft.family = match.kind, self.name
        width = draft.shapes[_MARK][1]
        draft.add("transformer", Inferred("ToyTransformer", facts={"width": width}), "model.diffusion_model.")
        draft.add("text_encoder", Inferred("ToyText", facts={"width": width}), "text.")
        draft.add("vae", Inferred("ToyPixels"), "vae.")

    def recognise_part(self, class_name: str, config: Config) -> Match | None:
        return None

    def fits_adapter(self, kind: Kind, shapes: Shapes, metadata: Mapping[str, str]) -> Match | None:
        return None

    def encoders(self) -> tuple[EncoderRole, ...]:
        return (EncoderRole(part="text_encoder", classes=("ToyText",)),)

    def count_tokens(self, spec: TokenizerSpec, text: str) -> int:
        return len(text.split())

    def tensor_names(self, part: Part) -> ToyNames:
        return ToyNames()

    def lora_prefixes(self) -> Mapping[str, tuple[str, ...]]:
        return {"transformer": ("lora_transformer_",)}

    def lora_names(self, part: Part, names: Collection[str]) -> Iterator[tuple[str, str, Change]]:
        for name in names:
            module = name.removesuffix(".weight")
            yield module.replace(".", "_"), module, ""

    def pipelines(self) -> Mapping[str, str]:
        return {}

    def makes(self, pipeline: str) -> bool:
        return False

    def components(self) -> Any:
        return importlib.import_module(f"{__package__}.components").ToyComponents()


FAMILY = ToyFamily()
