"""Nodes on regular expressions, with a time limit against patterns that would run for ever."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node

from .constants import Text
from .text import within_limits

__all__ = ["regex_extract", "regex_match", "regex_replace"]

TIMEOUT = 1.0
"""Seconds that one search may take."""

Given = Annotated[Text, Field(description="the text")]
Pattern = Annotated[str, Field(max_length=1000, description="a regular expression as Python's re module has them")]
IgnoreCase = Annotated[bool, Field(description="capital and small letters are the same")]
Multiline = Annotated[bool, Field(description="^ and $ match at the ends of lines, too")]
DotAll = Annotated[bool, Field(description="the dot matches line breaks, too")]


@node("regex_match", lane="inline")
def regex_match(
    text: Given, pattern: Pattern, ignore_case: IgnoreCase = False, multiline: Multiline = False, dotall: DotAll = False
) -> bool:
    """Tell whether a regular expression matches anywhere in a text.

    Raises:
        InvalidInputError: The pattern is wrong.
        LimitError: The search takes too long.
    """
    return _Search(pattern, ignore_case, multiline, dotall).run("search", text) is not None


@node("regex_extract", lane="inline")
def regex_extract(
    text: Given,
    pattern: Pattern,
    mode: Annotated[
        Literal["first_match", "all_matches", "first_group", "all_groups"],
        Field(description="the whole match or one group of it; all: of every match, one a line"),
    ] = "first_match",
    group: Annotated[int, Field(ge=0, le=100, description="which group, for first_group and all_groups")] = 1,
    ignore_case: IgnoreCase = False,
    multiline: Multiline = False,
    dotall: DotAll = False,
) -> str:
    """Take out of a text what a regular expression matches; nothing gives an empty text.

    Raises:
        InvalidInputError: The pattern is wrong.
        LimitError: The search takes too long, or the result is too long.
    """
    found = _Search(pattern, ignore_case, multiline, dotall).run("matches", text)
    if mode.endswith(("_group", "_groups")):
        # A pattern without this group gives nothing, as one that does not match.
        texts = [match.group(group) for match in found if len(match.groups()) >= group]
    else:
        texts = [match.group(0) for match in found]
    given = [part for part in texts if part is not None]
    return within_limits("\n".join(given) if mode.startswith("all_") else (given[0] if given else ""))


@node("regex_replace", lane="inline")
def regex_replace(
    text: Given,
    pattern: Pattern,
    replacement: Annotated[
        str, Field(max_length=1000, description=r"what to put in its place; \1 stands for the first group")
    ] = "",
    count: Annotated[int, Field(ge=0, le=LIMITS.text, description="how many to replace; 0 is all")] = 0,
    ignore_case: IgnoreCase = False,
    multiline: Multiline = False,
    dotall: DotAll = False,
) -> str:
    """Replace what a regular expression matches in a text.

    Raises:
        InvalidInputError: The pattern or the replacement is wrong.
        LimitError: The search takes too long, or the result is too long.
    """
    search = _Search(pattern, ignore_case, multiline, dotall)
    return str(search.run("replace", text, replacement, count))


class _Search:
    """One regular expression at work on one text."""

    def __init__(self, pattern: str, ignore_case: bool, multiline: bool, dotall: bool) -> None:
        import regex  # type: ignore[import-untyped]

        flags = regex.VERSION0
        for wanted, flag in ((ignore_case, regex.IGNORECASE), (multiline, regex.MULTILINE), (dotall, regex.DOTALL)):
            flags |= flag if wanted else 0
        try:
            self.compiled = regex.compile(pattern, flags)
        except (regex.error, OverflowError, RecursionError) as error:
            raise InvalidInputError(f"the pattern is wrong: {error}", where="pattern") from error

    def run(
        self, what: Literal["search", "matches", "replace"], text: str, replacement: str = "", count: int = 0
    ) -> Any:
        """Search, list all matches, or replace.

        Raises:
            InvalidInputError: The replacement names a group that is not there.
            LimitError: It takes longer than `TIMEOUT`.
        """
        import regex

        try:
            match what:
                case "search":
                    return self.compiled.search(text, timeout=TIMEOUT)
                case "matches":
                    return list(self.compiled.finditer(text, timeout=TIMEOUT))
                case "replace":
                    return self._replaced(text, replacement, count)
        except TimeoutError as error:
            raise LimitError(
                f"the pattern takes longer than {TIMEOUT:g} s on this text",
                where="pattern",
                advice="avoid repeats inside repeats, such as (a+)+",
            ) from error
        except (regex.error, IndexError) as error:
            raise InvalidInputError(f"the replacement is wrong: {error}", where="replacement") from error

    def _replaced(self, text: str, replacement: str, count: int) -> str:
        """Replace match by match, so that a result that is too long is noticed before it fills the memory."""
        parts: list[str] = []
        length = end = 0
        for number, match in enumerate(self.compiled.finditer(text, timeout=TIMEOUT), start=1):
            parts += [text[end : match.start()], match.expand(replacement)]
            length += len(parts[-2]) + len(parts[-1])
            end = match.end()
            if length > LIMITS.text or number == count:
                break
        return within_limits("".join(parts) + text[end:])
