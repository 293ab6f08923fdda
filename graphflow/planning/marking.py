"""What a file says of how it came about: whether a model made it, by IPTC's digital source types."""

from __future__ import annotations

from collections.abc import Iterable

from graphflow.basics.marks import COMPOSITE, GENERATED, SYNTHETIC
from graphflow.planning.files import FileUse

_SHOWN = frozenset({"image", "video", "audio"})
"""Kinds of a user's files that show something."""


def source_type(generated: bool, uses: Iterable[FileUse]) -> str:
    """Return the source type of what descends from these files; empty where no model made any of it.

    A photo that is only changed, such as resized, has none. A picture that says it was generated goes on saying so.

    Args:
        generated: Whether it descends from a node that generates.
        uses: The files.
    """
    loaded = [use for use in uses if not use.need.model and use.need.kind in _SHOWN]
    marks = {use.mark for use in uses if use.mark in SYNTHETIC}
    if generated:
        return COMPOSITE if loaded else GENERATED
    if not marks:
        return ""
    return marks.pop() if len(marks) == 1 and all(use.mark for use in loaded) else COMPOSITE
