"""What travels between emitters: not values, but how the script will get them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from graphflow.models.description import Description


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
    """

    key: str
    function: str
    module: str
    path: str
    options: tuple[tuple[str, str], ...]
    hint: str


@dataclass(frozen=True, eq=False)
class Base:
    """A checkpoint as a pipeline.

    Attributes:
        key: What tells it from others.
        family: ``sd`` or ``sdxl``.
        description: What is known of it.
        path: Expression of its path.
        options: Changes to its scheduler's config that the loader asks for.
        node: The loader's id.
        alone: Parts that lie in files of their own, by the argument of a pipeline that takes them.
        host: Key of the checkpoint that has the other parts, where some are alone; without one all are.
        tokenizers: Expressions of where the tokenizers of such text encoders are.
    """

    key: str
    family: str
    description: Description
    path: str
    options: tuple[tuple[str, Any], ...] = ()
    node: str = ""
    alone: tuple[tuple[str, Net], ...] = ()
    host: str = ""
    tokenizers: tuple[str, ...] = ()

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
        """Whether it is SDXL's refiner."""
        return self.description.variant == "sdxl_refiner"


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
    """

    path: str
    strength: str = NOTHING
    text_strength: str = NOTHING
    has_text: bool = False
    rounded: str = ""


@dataclass(frozen=True)
class Change:
    """A change of weights that the script makes itself, once they are loaded.

    Attributes:
        helper: The script's function for it.
        part: ``unet`` or ``text_encoder``.
        arguments: Expressions of its arguments, by name.
        other: Another model whose weights it reads.
        rounded: Dtype that the text encoder's weights are rounded to, or empty.
    """

    helper: str
    part: str
    arguments: tuple[tuple[str, Any], ...] = ()
    other: ModelPart | None = None
    rounded: str = ""

    @property
    def has_text(self) -> bool:
        """Whether it changes text encoders."""
        return self.part == "text_encoder"


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
            where it changes that one's guidance, ``mask`` where it is how that one keeps what is not to change.
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
    """

    base: Base
    part: str
    patches: Patches = ()
    hooks: tuple[Hook, ...] = ()
    layer: int | None = None
    mode: int | None = None
    pictures: tuple[PicturePrompt, ...] = ()


@dataclass(frozen=True)
class Control:
    """A ControlNet or T2I-Adapter with its picture; the rest are expressions.

    Attributes:
        net: It.
        image: Variable of its picture.
        strength: How strongly it steers.
        start: Share of the sampling at which it begins.
        end: Share of the sampling at which it ends.
        single: Whether there is surely but one picture.
    """

    net: ModelPart
    image: str
    strength: str
    start: str
    end: str
    single: bool = False

    @property
    def is_adapter(self) -> bool:
        """Whether it is a T2I-Adapter."""
        return self.net.part == "adapter"

    @property
    def always(self) -> bool:
        """Whether it acts from begin to end."""
        return (self.start, self.end) == ("0.0", "1.0")


KEEP_LENGTH = frozenset({"zeroed", "averaged"})
"""Changes of an embedding that leave its length."""


@dataclass(frozen=True)
class Entry:
    """One prompt's worth of conditioning.

    Attributes:
        encoder: The text encoder.
        text: Expression of the prompt; empty where only ``parts`` says it.
        node: The node that encoded it.
        parts: Expression of the prompt in weighted parts.
        text_l: Expression of the prompt for SDXL's small encoder where that differs, else empty.
        parts_l: The same in weighted parts.
        single: Whether its text fills no more than one chunk of 75 tokens.
        edits: Changes of its embedding, in order: (helper, arguments).
        settings: Where, when and how strongly it acts: (name, expression) pairs.
        controls: ControlNets.
    """

    encoder: ModelPart
    text: str
    node: str
    parts: str = ""
    single: bool = True
    edits: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    controls: tuple[Control, ...] = ()
    text_l: str = ""
    parts_l: str = ""

    @property
    def plain(self) -> bool:
        """Whether a pipeline reads it as graphflow does: no weights, one chunk, the usual layer."""
        texts = bool(self.text) and bool(self.text_l) == bool(self.parts_l)
        return texts and self.single and self.encoder.layer is None and not self.edits

    @property
    def one_chunk(self) -> bool:
        """Whether its embedding is surely as long as one chunk."""
        return self.single and all(helper in KEEP_LENGTH for helper, _ in self.edits)


@dataclass(frozen=True)
class Conditioning:
    """Entries that act together."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class EmptyLatent:
    """Latents of zeros; sizes are expressions in pixels, ``mask`` and ``places`` are as in :class:`Latents`."""

    width: str
    height: str
    batch: str
    channels: str
    node: str
    mask: str = ""
    places: str = ""


@dataclass(frozen=True)
class Latents:
    """Latents in a variable, scaled as the model of ``base`` reads them.

    Attributes:
        variable: The variable.
        scaled_for: The part whose scale they have; None where they are as autoencoders make them.
        mask: Variable of a noise mask, or empty.
        carries: Class of the scheduler in whose scale leftover noise is in them; empty where there is none, or as in a loop.
        places: Expression of the place of each item in the batch whose noise it takes; empty where it is its own.
    """

    variable: str
    scaled_for: ModelPart | None = None
    mask: str = ""
    places: str = ""
    carries: str = ""


@dataclass(frozen=True)
class Pixels:
    """Pictures in a variable: a tensor (B, C, H, W) in [0, 1]; ``flags`` names the checker's verdicts."""

    variable: str
    flags: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures of 8 bits, as a pipeline gives them.

    Attributes:
        expression: Their expression.
        flags: The expression of the checker's verdicts, or empty.
        checker: The checker that the pipeline has.
    """

    expression: str
    flags: str
    checker: ModelPart


@dataclass(frozen=True)
class Masks:
    """Masks in a variable: a tensor (B, H, W) in [0, 1]."""

    variable: str


@dataclass(frozen=True)
class Upscaler:
    """A network that makes pictures larger, in a variable."""

    variable: str


@dataclass(frozen=True)
class Scalar:
    """A number or text that the script computes."""

    expression: str


@dataclass(frozen=True)
class Noise:
    """Random numbers: seed, whether the latent gets some, and whether a batch is one draw."""

    seed: str
    add: bool
    batch: bool


@dataclass(frozen=True)
class Solver:
    """A sampler: its function and the options that it gets."""

    name: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Levels:
    """Noise levels in a variable."""

    variable: str


@dataclass(frozen=True)
class Guidance:
    """A model under its conditionings.

    Attributes:
        model: The model.
        positive: What to follow.
        negative: What to avoid.
        scale: How strongly; not read where there is a guider.
        guider: The formula of guidance where it is not the usual one.
        others: The further conditionings that it compares with, by name.
    """

    model: ModelPart
    positive: Conditioning
    negative: Conditioning | None
    scale: Any = None
    guider: Hook | None = None
    others: tuple[tuple[str, Conditioning], ...] = ()


@dataclass(frozen=True)
class Sampling:
    """Sampling that is not written yet: whoever reads it decides whether it ends in latents or in pictures.

    Attributes:
        node: The node's id.
        model: The model.
        positive: What to follow.
        negative: What to avoid.
        latent: Where to start.
        values: The node's literals.
        shared: Whether several nodes read it.
        single: Whether it surely makes but one picture.
        channels: Variable of what an inpainting or editing UNet reads beside noisy latents, (B, 5 or 4, h, w), or empty.
        guider: The formula of guidance where it is not the usual one.
        others: The further conditionings that it compares with, by name.
    """

    node: str
    model: ModelPart
    positive: Conditioning
    negative: Conditioning | None
    latent: Any
    values: dict[str, Any] = field(hash=False)
    shared: bool = False
    single: bool = False
    channels: str = ""
    guider: Hook | None = None
    others: tuple[tuple[str, Conditioning], ...] = ()

    @property
    def sides(self) -> list[Conditioning]:
        """What to follow, what to avoid where there is something, and what guidance compares with beside."""
        return [self.positive, *([self.negative] if self.negative else []), *dict(self.others).values()]

    @property
    def nodes(self) -> list[str]:
        """The nodes that it stands for."""
        start = [self.latent.node] if isinstance(self.latent, EmptyLatent) else []
        return [*(entry.node for side in self.sides for entry in side.entries), *start, self.node]


@dataclass(frozen=True)
class Decoding:
    """Pictures of a sampling that is not written yet.

    Attributes:
        sampling: The sampling.
        vae: The autoencoder.
        node: The decoder's id.
        checked: The node that checks them, or empty.
        shared: Whether several nodes read them.
    """

    sampling: Sampling
    vae: ModelPart
    node: str
    checked: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Sequence:
    """One handle for each element of a sequence."""

    items: tuple[Any, ...]
