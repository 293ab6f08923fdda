"""A description of a weight file while it is being made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from graphflow.modelfiles.description import Config, Kind, Layout, Part, TokenizerSpec
from graphflow.modelfiles.given import Answers
from graphflow.modelfiles.header import bytes_by_dtype
from graphflow.modelfiles.inferred import Inferred, Shapes
from graphflow.modelfiles.shards import Weights


@dataclass(slots=True)
class Draft:
    """A description while it is made; the other fields are those of a `Description`.

    Attributes:
        weights: The file's headers.
        shapes: Shapes of all tensors by name.
        answers: Collects values with their sources.
        where: The file, for errors.
        maker: The family that describes it now.
    """

    weights: Weights
    shapes: Shapes
    answers: Answers
    where: str
    maker: str = ""
    kind: Kind = "unknown"
    layout: Layout = "diffusers"
    family: str | None = None
    variant: str = ""
    task: str = "generate"
    parts: dict[str, Part] = field(default_factory=dict)
    scheduler: Config = field(default_factory=dict)
    tokenizers: list[TokenizerSpec] = field(default_factory=list)
    details: Config = field(default_factory=dict)

    def under(self, prefix: str) -> Shapes:
        """The tensors below a prefix, without it."""
        if not prefix:
            return self.shapes
        return {name[len(prefix) :]: shape for name, shape in self.shapes.items() if name.startswith(prefix)}

    def add(
        self, name: str, inferred: Inferred, prefix: str, keys: Literal["diffusers", "ldm", "openclip"] = "diffusers"
    ) -> Part:
        """Settle the config of a part and keep it."""
        tensors = [tensor for key, tensor in self.weights.tensors.items() if key.startswith(prefix)]
        part = Part(
            name=name,
            class_name=inferred.class_name,
            config=self.answers.part(name, inferred),
            files=self.weights.files,
            prefix=prefix,
            keys=keys,
            bytes_by_dtype=bytes_by_dtype(tensors),
            tensors=len(tensors),
            maker=self.maker,
        )
        self.parts[name] = part
        if keys != "diffusers":
            self.layout = "original"
        return part
