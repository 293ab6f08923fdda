"""How large a stranger's workflow may be. Each limit is far above honest use and far below harm."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The limits, in plain units.

    Attributes:
        document_bytes: Bytes of a document, and of all texts in a picture together.
        document_containers: Objects and lists in a document.
        document_values: Commas and quotation marks in a document, which bound its texts and numbers.
        document_depth: Levels of nested objects and lists.
        nodes: Nodes after workflows inside workflows are unfolded, those that stand for a workflow included.
        folding: Seconds of computing that constants may take while planning.
        nesting: Levels of workflows inside workflows.
        text: Characters of one prompt or other text.
        edge: Pixels along one edge of a picture.
        pixels: Pixels of one picture.
        batch: Items of one batch.
        steps: Sampling steps.
        frames: Frames of one video.
        variants: Variants of one sweep.
        media_bytes: Bytes of a picture file that is read.
    """

    document_bytes: int = 12 * 2**20
    document_containers: int = 250_000
    document_values: int = 500_000
    document_depth: int = 100
    nodes: int = 25_000
    folding: float = 1.0
    nesting: int = 32
    text: int = 100_000
    edge: int = 32_768
    pixels: int = 268_435_456
    batch: int = 4_096
    steps: int = 10_000
    frames: int = 10_000
    variants: int = 100_000
    media_bytes: int = 2**30


LIMITS = Limits()
