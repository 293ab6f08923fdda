"""What a sweep gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphflow.basics.measures import count
from graphflow.errors import NodeError


@dataclass(frozen=True)
class Variant:
    """What came of one variant.

    Attributes:
        number: Its number, from 0, in the order of the axes.
        values: What was varied, as its document has it.
        paths: Its files, in the order of the nodes that write.
        written: Those of them that were written now.
        seconds: How long its nodes took that ran; those that others share with it count, too.
        outputs: Its named outputs; where it has files, without those that are pictures or other tensors.
        withheld: How many items the safety filter took out.
        error: Why there is nothing, or None.
    """

    number: int
    values: Mapping[str, Any]
    paths: tuple[Path, ...] = ()
    written: tuple[Path, ...] = ()
    seconds: float = 0.0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    withheld: int = 0
    error: NodeError | None = None


@dataclass(frozen=True, repr=False)
class Swept:
    """What a sweep gave. Printed, it tells what it has.

    Attributes:
        variants: What came of each variant, in the order of the axes.
        summary: The grid of the pictures and the tables.
        seeds: The numbers drawn for random seeds that all variants share, by address.
        totals: One line: how many nodes ran, were stored, and how many files there are.
        notices: What the user should know.
    """

    variants: tuple[Variant, ...]
    summary: tuple[Path, ...]
    seeds: Mapping[str, int]
    totals: str
    notices: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files of all variants, in their order."""
        return [path for variant in self.variants for path in variant.paths]

    @property
    def failed(self) -> list[Variant]:
        """The variants that failed."""
        return [variant for variant in self.variants if variant.error is not None]

    def __repr__(self) -> str:
        lines = [
            f"Swept: {count(len(self.variants), 'variant')}, {self.totals}",
            *(f"failed: {dict(variant.values)}: {variant.error}" for variant in self.failed),
            *(f"note: {notice}" for notice in self.notices),
            *map(str, self.summary),
        ]
        return "\n  ".join(lines)
