"""What travels between emitters of models: checkpoints, their parts, and changes of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from graphflow.modelfiles.description import Description, Part
from graphflow.modelfiles.families import variant_named


@dataclass(frozen=True, order=True)
class Net:
    """How a part that lies in a file of its own is loaded.

    Attributes:
        key: What tells it from others.
        function: The script's helper for it, or a method of a class.
        module: Where the class is imported from; empty for a helper.
        path: Expression of its path.
        options: Expressions of further arguments.
        hint: What its variable is called.
        made: The class that the helper gets first; empty where it knows its own.
        names: What the tensors of the file are called in that class, see the script's ``read_table``.
        converter: Diffusers' function that reads the names of the model's authors; empty where the script does.
    """

    key: str
    function: str
    module: str
    path: str
    options: tuple[tuple[str, str], ...]
    hint: str
    made: str = ""
    names: str = ""
    converter: str = ""


@dataclass(frozen=True, eq=False)
class Base:
    """A checkpoint as a pipeline.

    Attributes:
        key: What tells it from others.
        family: The name of its family; empty where nothing tells it.
        description: What is known of it.
        path: Expression of its path.
        options: Changes to its scheduler's config that the loader asks for.
        node: The loader's id.
        alone: Parts that lie in files of their own, by the argument of a pipeline that takes them.
        host: Key of the checkpoint that has the other parts, where some are alone; without one all are.
        encoders: What is known of such text encoders, by the same names.
        apart: Whether all its parts are loaded one by one, and put together.
        tokenizers: The tokenizers of such text encoders: argument of the pipeline, what loads it, and the expression of
            where it is.
    """

    key: str
    family: str
    description: Description
    path: str
    options: tuple[tuple[str, Any], ...] = ()
    node: str = ""
    alone: tuple[tuple[str, Net], ...] = ()
    host: str = ""
    encoders: tuple[tuple[str, Part], ...] = ()
    apart: bool = False
    tokenizers: tuple[tuple[str, str, str], ...] = ()

    @property
    def checkpoint(self) -> str:
        """Key of the checkpoint that has its safety checker and autoencoder."""
        return self.host or self.key

    @property
    def is_whole(self) -> bool:
        """Whether it is a checkpoint, if with some parts in place of its own."""
        return self.description.kind == "checkpoint"

    @property
    def refiner(self) -> bool:
        """Whether it goes on with what another model began, as SDXL's refiner does."""
        variant = variant_named(self.description.variant)
        return variant is not None and variant.refines


NOTHING = "0.0"
"""Expression of a strength that changes nothing."""


@dataclass(frozen=True)
class Patch:
    """A LoRA.

    Attributes:
        path: Expression of its path.
        strength: Expression of how much the UNet changes.
        text_strength: Of how much the text encoders change.
        has_text: Whether it has anything for the text encoders.
        rounded: Dtype that the text encoder's weights are rounded to, or empty.
        renamed: Whether its layers have other names than the pipeline's.
    """

    path: str
    strength: str = NOTHING
    text_strength: str = NOTHING
    has_text: bool = False
    rounded: str = ""
    renamed: bool = False


@dataclass(frozen=True)
class Change:
    """A change of weights that the script makes itself, once they are loaded.

    Attributes:
        helper: The script's function for it.
        part: ``unet`` or ``text_encoder``.
        arguments: Expressions of its arguments, by name.
        other: Another model whose weights it reads.
        alone: Whether it changes just this part, whatever other text encoders there are.
        rounded: Dtype that the text encoder's weights are rounded to, or empty.
    """

    helper: str
    part: str
    arguments: tuple[tuple[str, Any], ...] = ()
    other: ModelPart | None = None
    rounded: str = ""
    alone: bool = False

    @property
    def has_text(self) -> bool:
        """Whether it changes text encoders."""
        return self.part.startswith("text_encoder")


Patches = tuple[Patch | Change, ...]
"""Changes of weights, in order."""


def merged(model: Patches, text: Patches) -> Patches:
    """The changes of a model and of a text encoder as those of one pipeline; the model's where their orders differ."""
    found = dict(_numbered(model))
    for key, patch in _numbered(text):
        known = found.get(key)
        if isinstance(patch, Patch) and isinstance(known, Patch):
            patch = replace(known, text_strength=patch.text_strength, rounded=patch.rounded)
        found[key] = patch
    both = tuple(found.values())
    return both if text_patches(both) == text_patches(text) else model


def _numbered(patches: Patches) -> Iterator[tuple[tuple[str, int], Patch | Change]]:
    """Changes by what they are: the same LoRA may be there several times."""
    seen: Counter[str] = Counter()
    for patch in patches:
        name = patch.path if isinstance(patch, Patch) else repr(patch)
        yield (name, seen[name]), patch
        seen[name] += 1


def text_patches(patches: Patches) -> tuple[Any, ...]:
    """What of a pipeline's changes acts on its text encoders."""
    found: list[Any] = []
    for patch in patches:
        if isinstance(patch, Change):
            found += [repr(patch)] if patch.has_text else []
        elif patch.text_strength != NOTHING:
            found.append((patch.path, patch.text_strength))
    return tuple(found)


@dataclass(frozen=True)
class Hook:
    """A change of how a model runs.

    Attributes:
        helper: The script's function for it.
        arguments: Expressions of its arguments, by name.
        stage: ``unet`` where it changes the network for good, ``denoiser`` where it changes one denoiser, ``guidance``
            where it changes that one's guidance, ``mask`` where it is how that one keeps what is not to change,
            ``references`` where it is how a flow model sees these.
    """

    helper: str
    arguments: tuple[tuple[str, str], ...]
    stage: str


@dataclass(frozen=True)
class PicturePrompt:
    """Pictures that a model takes after, by an IP-Adapter; the rest are expressions.

    Attributes:
        path: Of the IP-Adapter.
        encoder: The image encoder.
        image: Variable of the pictures.
        size: Edge of the squares that the encoder sees, in pixels.
        strength: How strongly it acts.
        start: Share of the sampling at which it begins.
        end: Share of the sampling at which it ends.
        mask: Expression of where each picture acts, (1, B, H, W), or empty.
    """

    path: str
    encoder: ModelPart
    image: str
    size: str
    strength: str
    start: str
    end: str
    mask: str = ""


@dataclass(frozen=True)
class ModelPart:
    """A part of a checkpoint: ``unet``, ``text_encoder``, ``vae`` or ``safety_checker``.

    Attributes:
        base: The checkpoint.
        part: Which.
        patches: Changes of its weights.
        hooks: Changes of how it runs.
        layer: Of a text encoder: the hidden layer, None is the family's own.
        mode: Of a union ControlNet: the number of the kind of pictures that it gets.
        pictures: What IP-Adapters have a model take after.
        network: What is known of the network where its file is not the checkpoint's.
        times: Expressions of the arguments of its noise levels, where they are not the family's.
        length: Of text encoders with T5: options of how far prompts are filled up.
        controls: ControlNets that steer a flow model whatever it is told.
    """

    base: Base
    part: str
    patches: Patches = ()
    hooks: tuple[Hook, ...] = ()
    layer: int | None = None
    mode: int | None = None
    pictures: tuple[PicturePrompt, ...] = ()
    network: Description | None = None
    times: tuple[str, ...] | None = None
    length: tuple[tuple[str, str], ...] = ()
    controls: tuple[Any, ...] = ()
