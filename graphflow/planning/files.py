"""What planning asks about files: which one a name means, what it holds, how large it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from graphflow.spec.decorator import FileNeed


@dataclass(frozen=True)
class FileUse:
    """A file that a node will read.

    Attributes:
        need: What the node asked for.
        path: Where it is, or a Hub id; None where it is not there (only for optional needs).
        fingerprint: What it holds; None where that is not known before it is fetched.
        weight_bytes: Bytes of weights by dtype, for the parts that the node reads.
        part_bytes: The same for each part by name; empty where the file has no parts.
        parts: Which parts the model has.
        family: The model family that it belongs to or fits; empty where the file does not tell.
        notice: What the user should know, e.g. that an optional file is missing.
        files: The files behind it whose digests tell what it holds: of a model the name of each in it, and its path.
        mark: What a user's file says of how it came about, see :mod:`graphflow.basics.marks`.
        stands_in: Whether random weights stand in for it.
        footprint: How many numbers its network holds while it computes: beside any picture, and for each pixel of one; None
            where nobody knows.
    """

    need: FileNeed
    path: str | None = None
    fingerprint: str | None = None
    weight_bytes: Mapping[str, int] = field(default_factory=dict)
    part_bytes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    family: str = ""
    notice: str = ""
    files: tuple[tuple[str, str], ...] = ()
    mark: str = ""
    stands_in: bool = False
    footprint: tuple[float, float] | None = None


def add_up(sizes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add bytes by dtype."""
    total: dict[str, int] = {}
    for size in sizes:
        for dtype, number in size.items():
            total[dtype] = total.get(dtype, 0) + number
    return total


class FileResolver(Protocol):
    """Turns names into files. The session has the one that knows the model library."""

    def resolve(self, need: FileNeed, *, trusted: bool) -> FileUse:
        """Find a file.

        Args:
            need: What a node asks for.
            trusted: Whether the name is the user's own (command line, Python) and may be any path.

        Raises:
            InvalidInputError: There is no such file, or it may not be read.
        """
        ...


class NoFiles:
    """A resolver for workflows that read no files."""

    def resolve(self, need: FileNeed, *, trusted: bool) -> FileUse:
        """Say that the file is there, without looking; its key is unknown."""
        return FileUse(need, path=need.name)
