"""What travels between emitters of prompts, not embedded yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .models import Hook, ModelPart


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
        vae: What encodes the picture, for ControlNets that read latents.
        hole: Whether a part of the picture is unknown.
    """

    net: ModelPart
    image: str
    strength: str
    start: str
    end: str
    single: bool = False
    vae: ModelPart | None = None
    hole: bool = False

    @property
    def is_adapter(self) -> bool:
        """Whether it is a T2I-Adapter."""
        return self.net.part == "adapter"

    @property
    def always(self) -> bool:
        """Whether it acts from begin to end."""
        return (self.start, self.end) == ("0.0", "1.0")


TOLD = frozenset(
    {"guidance", "references", "method", "picture", "hole", "biased", "stage_c", "fps", "motion", "noise_augmentation"}
)
"""Settings of a prompt that networks read; the others say where, when and how strongly it acts."""

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
        variable: The variable of what it encodes to, where that is in the script already.
        further: Weighted parts for single encoders, by the option of the script's function.
        single: Whether its text fills no more than one chunk of 75 tokens.
        bytes: How long its text is, as the document has it.
        edits: Changes of its embedding, in order: (helper, arguments).
        settings: Where, when and how strongly it acts: (name, expression) pairs.
        controls: ControlNets.
    """

    encoder: ModelPart
    text: str
    node: str
    parts: str = ""
    single: bool = True
    bytes: int = 0
    edits: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    controls: tuple[Control, ...] = ()
    text_l: str = ""
    parts_l: str = ""
    variable: str = ""
    further: tuple[tuple[str, str], ...] = ()

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
