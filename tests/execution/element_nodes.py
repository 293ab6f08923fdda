"""Nodes for sequences, without torch; also a node pack, for runs in processes of their own."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import FirstNumber, Seed, node
from graphflow.values import EncodedFile, Files
from graphflow.values.types import value_type

CALLS: list[tuple[str, Any]] = []
"""(node type, what it got), in the order of the calls; tests clear it."""

ALIVE: list[weakref.ref[Sheet]] = []
PEAK: list[int] = []


@value_type("test_sheet")
@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture of one line of text, or of several; some may have been taken out."""

    lines: tuple[str, ...]
    withheld: int = 0
    numbers: tuple[int, ...] | None = None
    weight: bytes = b""


class Checked(NamedTuple):
    """What passed, and what was flagged."""

    sheet: Sheet
    flags: list[bool]


@node("el_words", fold=True)
def words(text: str) -> Sequence[str]:
    """Split a text; known while planning."""
    return tuple(text.split())


@node("el_split")
def split(text: str, tail: str = "") -> Sequence[str]:
    """Split a text; known when it has run."""
    return tuple((text + tail).split())


@node("el_count")
def count(first: int, many: int) -> Sequence[int]:
    """Count; known when it has run."""
    CALLS.append(("count", many))
    return tuple(range(first, first + many))


@node("el_encode", lane="device", map=True)
def encode(text: str) -> str:
    """Make a text large."""
    CALLS.append(("encode", text))
    return text.upper()


@node("el_paint", lane="device", map=True)
def paint(
    text: str, seed: Seed = 0, copies: Annotated[int, Field(ge=1, le=9)] = 1, wait: float = 0.0, weight: int = 0
) -> Sheet:
    """Write a text on a sheet, in steps."""
    CALLS.append(("paint", text))
    for step in range(3):
        runtime.current().report(step + 1, 3, None)
        time.sleep(wait / 3)
    if text == "BAD":
        raise InvalidInputError("this cannot be painted")
    sheet = Sheet(tuple(f"{text}-{seed}-{copy}" for copy in range(copies)), weight=bytes(weight))
    ALIVE.append(weakref.ref(sheet))
    PEAK.append(sum(reference() is not None for reference in ALIVE))
    return sheet


@node("el_frame", map=True)
def frame(sheet: Sheet, mark: str = "*") -> Sheet:
    """Put something around each line."""
    CALLS.append(("frame", sheet.lines))
    return Sheet(tuple(f"{mark}{line}{mark}" for line in sheet.lines), weight=sheet.weight)


@node("el_check", lane="device", map=True)
def check(sheet: Sheet) -> Checked:
    """Take out lines with an X."""
    CALLS.append(("check", sheet.lines))
    flags = ["X" in line for line in sheet.lines]
    kept = tuple(index for index, flag in enumerate(flags) if not flag)
    passed = Sheet(tuple(sheet.lines[index] for index in kept), sum(flags), kept, sheet.weight)
    return Checked(passed, flags)


@node("el_join")
def join(sheets: Sequence[Sheet]) -> str:
    """Read all sheets at once."""
    return "|".join(line for sheet in sheets for line in sheet.lines)


@node("el_save", effect=True)
def save(sheets: Sequence[Sheet], name: str = "sheet", wait: float = 0.0, first: FirstNumber = None) -> Files:
    """Write each line to a file, as pictures are saved."""
    parts = (sheets,) if isinstance(sheets, Sheet) else tuple(sheets)
    CALLS.append(("save", tuple(part.lines for part in parts)))
    # A run that is to be killed stands still at one place until that happens.
    time.sleep(600 if os.environ.get("EL_HOLD") == str(first) else wait)
    several = first is not None or sum(len(part.lines) + part.withheld for part in parts) > 1
    files: list[EncodedFile] = []
    offset = first or 0
    for part in parts:
        numbers = part.numbers if part.numbers is not None else range(len(part.lines))
        for number, line in zip(numbers, part.lines, strict=True):
            stem = f"{name}-{offset + number}" if several else name
            files.append(EncodedFile(stem=stem, suffix=".txt", data=line.encode(), number=offset + number))
        offset += len(part.lines) + part.withheld
    return Files(files=tuple(files), withheld=sum(part.withheld for part in parts))


@node("el_save_one", effect=True, map=True)
def save_one(text: str) -> Files:
    """Write one text to a file."""
    CALLS.append(("save_one", text))
    return Files(files=(EncodedFile(stem="text", suffix=".txt", data=text.encode()),))


NODES: list[Any] = [check, count, encode, frame, join, paint, save, save_one, split, words]
PACK = Path(__file__)
