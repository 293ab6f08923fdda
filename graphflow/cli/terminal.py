"""How things look: consoles, sizes, times, and text from strangers made harmless."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from graphflow.basics.measures import count as count
from graphflow.basics.measures import duration as duration
from graphflow.cli.output import answers

WIDE = 160
"""Columns where the output is no terminal, so that nothing is folded needlessly."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


_PLAIN = {
    "…": "...", "·": "-", "–": "-", "—": "-", "→": "->", "×": "x", "≥": ">=", "≤": "<=", "≠": "!=", "±": "+-", "°": " degrees",
    "‘": "'", "’": "'", "“": '"', "”": '"', "π": "pi",
}  # fmt: skip
"""What stands for our own signs where a terminal has ASCII only."""


def tame_streams() -> None:
    """Let a terminal that lacks a character show one that is like it, or a question mark, not an error."""
    codecs.register_error("graphflow", _alike)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="graphflow")


def _alike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def has_unicode() -> bool:
    """Tell whether standard output takes every character."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def console(*, error: bool = False) -> Console:
    """Return a console for standard output or standard error.

    Colours follow the terminal and ``NO_COLOR``; a width is taken from ``COLUMNS`` or the terminal. Elsewhere no
    sentence is folded: what reads a file or a pipe looks for whole lines.
    """
    stream = sys.stderr if error else answers()
    seen = stream.isatty()
    width = None if seen or os.environ.get("COLUMNS") else WIDE
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=not seen)


def clean(text: object) -> str:
    """Return text without control characters, so that a document cannot steer the terminal."""
    return _CONTROL.sub("\ufffd", str(text))


def styled(text: object, style: str = "") -> Text:
    """Return harmless text in a style."""
    return Text(clean(text), style=style)


def paragraph(target: Console, text: Text, indent: int = 0) -> None:
    """Print text, folded at the width of a terminal and not at all elsewhere."""
    if target.is_terminal:
        target.print(Padding(text, (0, 0, 0, indent)))
    else:
        for line in text.split("\n"):
            target.print(Text(" " * indent) + line if line.plain else line)


def table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    """Return an empty table without a frame; the columns in ``right`` are aligned right."""
    result = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", title=title, title_justify="left"
    )
    for name in columns:
        result.add_column(name, justify="right" if name in set(right) else "left", overflow="fold")
    return result


def print_table(target: Console, rows: Table) -> None:
    """Print a table; outside a terminal without the spaces that fill its lines."""
    if target.is_terminal:
        target.print(rows)
        return
    with target.capture() as captured:
        target.print(rows, soft_wrap=False)
    for line in captured.get().splitlines():
        target.print(Text(line.rstrip()))


def add_row(target: Table, *cells: object, style: str = "") -> None:
    """Add a row of harmless text."""
    target.add_row(*(cell if isinstance(cell, Text) else styled(cell) for cell in cells), style=style)


def size(number: int) -> str:
    """Return a number of bytes as people read it: ``4.27 GB``."""
    value = float(number)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{number} bytes" if unit == "bytes" else f"{value:.3g} {unit}"


def weights(by_dtype: dict[str, int]) -> str:
    """Return bytes of weights by dtype: ``4.27 GB (F16 4.27 GB)``."""
    if not by_dtype:
        return "none"
    parts = ", ".join(
        f"{dtype} {size(number)}" for dtype, number in sorted(by_dtype.items(), key=lambda item: -item[1])
    )
    return f"{size(sum(by_dtype.values()))} ({parts})" if len(by_dtype) > 1 else parts


def literal(value: Any) -> str:
    """Show a literal as JSON has it."""
    import json

    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return repr(value)
