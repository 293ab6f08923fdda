"""How large a stranger's workflow may be. Each limit is far above honest use and far below harm."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The limits, in plain units.

    Attributes:
        document_bytes: Bytes of a document, and of all texts in a picture together.
        document_containers: Objects and lists in a document.
        document_values: Commas, and pairs of quotation marks, in a document, which bound its numbers and texts.
        document_depth: Levels of nested objects and lists.
        nodes: Nodes after workflows inside workflows are unfolded, those that stand for a workflow and the filters of the
            safety policy included; also those of all inner workflows as they are written.
        imported: Nodes of a file of another program that run.
        values: Parameters, links, inputs and outputs after the same.
        problems: Problems of one document that are told at once; to look for all takes time.
        folding: Seconds of computing that constants may take while planning.
        literals: Characters of the constants that nodes get, counted for each node that gets them; an item of a list
            counts as 16.
        files: Names of files and models.
        nesting: Levels of workflows inside workflows.
        text: Characters of one prompt or other text.
        edge: Pixels along one edge of a picture.
        pixels: Pixels of one picture.
        batch: Items of one batch.
        steps: Sampling steps.
        frames: Frames of one video.
        variants: Variants of one sweep.
        media_bytes: Bytes of a picture file that is read.
        loaded_bytes: Bytes that what is read from one file takes as float32, all frames, channels or tensors together.
        held_bytes: Bytes of float32 of one batch that a node makes or joins.
    """

    document_bytes: int = 8 * 2**20
    document_containers: int = 120_000
    document_values: int = 160_000
    document_depth: int = 100
    nodes: int = 10_000
    values: int = 160_000
    imported: int = 5_000
    problems: int = 100
    folding: float = 0.5
    literals: int = 16 * 2**20
    files: int = 1_000
    nesting: int = 32
    text: int = 100_000
    edge: int = 32_768
    pixels: int = 268_435_456
    batch: int = 4_096
    steps: int = 10_000
    frames: int = 10_000
    variants: int = 100_000
    media_bytes: int = 2**30
    loaded_bytes: int = 2**32
    held_bytes: int = 2**34


LIMITS = Limits()
