"""What ComfyUI's front end does to texts before it sends them: comments, ``{a|b}`` choices, ``%…%`` in file names."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from graphflow.errors import ConversionError
from graphflow.execution.filenames import NOT_IN_NAMES, TOKEN, format_date

from .fields import quote

NESTING = 100
"""Levels of choices inside choices."""

_COMMENT_START = re.compile(r"//[^\n\r]*|/\*")

DYNAMIC_TEXTS: Mapping[str, frozenset[str]] = {
    "CLIPTextEncode": frozenset({"text"}),
    "CLIPTextEncodeControlnet": frozenset({"text"}),
    "CLIPTextEncodeFlux": frozenset({"clip_l", "t5xxl"}),
    "CLIPTextEncodeHiDream": frozenset({"clip_l", "clip_g", "t5xxl", "llama"}),
    "CLIPTextEncodeHunyuanDiT": frozenset({"bert", "mt5xl"}),
    "CLIPTextEncodeLumina2": frozenset({"user_prompt"}),
    "CLIPTextEncodePixArtAlpha": frozenset({"text"}),
    "CLIPTextEncodeSD3": frozenset({"clip_l", "clip_g", "t5xxl"}),
    "CLIPTextEncodeSDXL": frozenset({"text_g", "text_l"}),
    "CLIPTextEncodeSDXLRefiner": frozenset({"text"}),
    "DPRandomGenerator": frozenset({"text"}),
    "GLIGENTextBoxApply": frozenset({"text"}),
    "TextEncodeAceStepAudio": frozenset({"tags", "lyrics"}),
    "TextEncodeAceStepAudio1.5": frozenset({"tags", "lyrics"}),
    "TextEncodeHunyuanVideo_ImageToVideo": frozenset({"prompt"}),
    "TextEncodeQwenImage21": frozenset({"prompt", "negative_prompt"}),
    "TextEncodeQwenImageEdit": frozenset({"prompt"}),
    "TextEncodeQwenImageEditPlus": frozenset({"prompt"}),
}
"""Inputs whose texts the front end, or a node of dynamic prompts, processes. Other nodes must ask for it, so their texts stay as they are."""


@dataclass(frozen=True, slots=True)
class Choices:
    """How ``{a|b}`` is decided; the front end throws dice, an import must repeat.

    Attributes:
        seed: With a number, each text draws from its own generator made from this number, the node and the input.
            With None the first option is taken.
        picks: Decisions by ``node.input`` address, as option numbers from 0 in the order the choices appear; they
            come before the seed.
    """

    seed: int | None = None
    picks: Mapping[str, tuple[int, ...]] | None = None

    def chooser(self, address: str) -> Callable[[int], int]:
        """Return the function that picks one of n options for the text at this address.

        Raises:
            ConversionError: A given pick names an option that does not exist (raised by the function).
        """
        given = iter((self.picks or {}).get(address, ()))
        material = f"{self.seed}\x00{address}".encode("utf-8", "surrogatepass")
        dice = random.Random(int.from_bytes(hashlib.sha256(material).digest()[:8], "big"))

        def choose(options: int) -> int:
            drawn = dice.randrange(options) if self.seed is not None else 0
            pick = next(given, drawn)
            if not 0 <= pick < options:
                raise ConversionError(
                    f"choice {pick} does not exist, there are {options} options",
                    where=quote(address, 200),
                    advice="count options from 0",
                )
            return pick

        return choose


@dataclass(frozen=True)
class FilledName:
    """The file name of a save node in which ``%Node.widget%`` was filled in.

    Attributes:
        text: The name as it was.
        tokens: By token: node id and widget in the flat prompt, and the text that stands for it.
    """

    text: str
    tokens: Mapping[str, tuple[str, str, str]]


def expand(text: str, choose: Callable[[int], int]) -> tuple[str, tuple[str, ...]]:
    """Strip comments and decide choices.

    ``{a|b}`` becomes one of its options, choices may nest, a backslash keeps the brace or bar behind it, and braces
    around a single option vanish, as in the front end. A choice that is not closed ends with the text.

    Args:
        text: The text of a prompt widget.
        choose: Gets the number of options, returns the one to take.

    Returns:
        The text and the options taken, in order.
    """
    stripped = strip_comments(text)
    if not any(char in stripped for char in "{}\\"):
        return stripped, ()
    taken: list[str] = []
    # One frame per open brace: the options read so far, each as a list of parts.
    frames: list[list[list[str]]] = [[[]]]
    position = 0
    while position < len(stripped):
        char = stripped[position]
        if char == "\\" and position + 1 < len(stripped):
            position += 1
            kept = stripped[position]
            frames[-1][-1].append(kept if kept in "{}|" else char + kept)
        elif char == "{" and len(frames) <= NESTING:
            frames.append([[]])
        elif char == "|" and len(frames) > 1:
            frames[-1].append([])
        elif char == "}" and len(frames) > 1:
            _close(frames, choose, taken)
        else:
            frames[-1][-1].append(char)
        position += 1
    while len(frames) > 1:
        _close(frames, choose, taken)
    return "".join(frames[0][0]), tuple(taken)


def _close(frames: list[list[list[str]]], choose: Callable[[int], int], taken: list[str]) -> None:
    """Put the chosen option of the innermost choice into what is around it."""
    options = ["".join(parts) for parts in frames.pop()]
    option = options[choose(len(options))] if len(options) > 1 else options[0]
    if len(options) > 1:
        taken.append(option)
    frames[-1][-1].append(option)


def strip_comments(text: str) -> str:
    """Remove ``//`` to the end of the line and ``/* … */``; an unfinished ``/*`` stays."""
    kept: list[str] = []
    position = 0
    last_end = text.rfind("*/")
    while match := _COMMENT_START.search(text, position):
        end = match.end()
        if match[0] == "/*":
            if last_end < end:
                kept.append(text[position:end])
                position = end
                continue
            end = text.index("*/", end) + 2
        kept.append(text[position : match.start()])
        position = end
    return "".join((*kept, text[position:]))


def file_name(text: str, lookup: Callable[[str, str], str | None], now: datetime | None) -> tuple[str, tuple[str, ...]]:
    """Fill in ``%date:FORMAT%`` and ``%Node.widget%`` in the file name of a save node.

    Args:
        text: The file name prefix.
        lookup: Gets a node's name and a widget's name, returns the value as text or None.
        now: The time to write; with None dates stay for whoever writes the file.

    Returns:
        The name and the tokens that were left in place.
    """
    left: list[str] = []

    def fill(match: re.Match[str]) -> str:
        token = match[1]
        if token.startswith("date:"):
            return match[0] if now is None else format_date(token.removeprefix("date:"), now)
        if token.count(".") == 1:
            node, widget = token.split(".")
            value = lookup(node, widget)
            if value is not None:
                return NOT_IN_NAMES.sub("_", value)
        left.append(match[0])
        return match[0]

    return TOKEN.sub(fill, text), tuple(left)
