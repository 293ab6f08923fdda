"""What effect nodes return: files that the engine writes."""

from __future__ import annotations

from dataclasses import dataclass

from graphflow.values.types import value_type

__all__ = ["EncodedFile", "Files"]


@value_type("encoded_file")
@dataclass(frozen=True, kw_only=True)
class EncodedFile:
    """A file that an effect node wants written.

    Attributes:
        stem: Wanted name without counter and suffix; separators lead into folders below the output folder, tokens
            such as ``%date:yyyy%`` are filled in, other unsafe characters become ``_``.
        suffix: With the dot, e.g. ``.png``.
        data: The bytes.
        number: The item's number in its batch.
        sidecar: JSON for a file beside it, ``NAME.json``; nothing where it has room for its texts itself.
    """

    stem: str
    suffix: str
    data: bytes
    number: int = 0
    sidecar: bytes = b""


@value_type("files")
@dataclass(frozen=True, kw_only=True)
class Files:
    """What an effect node returns: the engine writes it, atomically, under the output folder."""

    files: tuple[EncodedFile, ...]
    withheld: int = 0
