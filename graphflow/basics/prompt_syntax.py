r"""What brackets and `embedding:` mean in a prompt. Nothing here imports torch.

- `(words)` multiplies the weight by 1.1, nested brackets multiply again; `(words:1.3)` sets the weight, whatever stands
  around it; `[words]` is plain text.
- `\(` and `\)` are brackets to read, not to obey. A bracket without its partner makes the text from there on plain.
- `embedding:name` stands for a textual-inversion file; a comma after the name belongs to the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

EMBEDDING = "embedding:"
EMPHASIS = 1.1
"""Factor of one pair of brackets."""

MAX_NESTING = 64
"""Brackets deeper than this are plain text."""

_OPEN, _CLOSE = "\x01", "\x02"  # stand for escaped brackets while the others are read


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a prompt: text, or a call of an embedding.

    Attributes:
        text: The text, or the embedding's name.
        weight: Its weight; 1 is neutral.
        is_embedding: Whether `text` names an embedding.
    """

    text: str
    weight: float = 1.0
    is_embedding: bool = False


def weighted_segments(text: str) -> list[tuple[str, float]]:
    """Split a prompt at its brackets into texts with their weights; see the module's rules."""
    hidden = text.replace(r"\(", _OPEN).replace(r"\)", _CLOSE)
    return [(part.replace(_OPEN, "(").replace(_CLOSE, ")"), weight) for part, weight in _segments(hidden, 1.0) if part]


def unescaped(text: str) -> str:
    r"""Return a text whose brackets are all plain, with `\(` and `\)` as brackets."""
    return text.replace(r"\(", "(").replace(r"\)", ")")


def pieces(text: str, tokens: Collection[str] = ()) -> list[Piece]:
    """Split a prompt into runs of text and calls of embeddings.

    Args:
        text: The prompt.
        tokens: Words that call an embedding without `embedding:`, such as `<cat>`.
    """
    found: list[Piece] = []
    for segment, weight in weighted_segments(text):
        for run in _runs(segment, tokens):
            if run in tokens:
                found.append(Piece(run, weight, is_embedding=True))
            elif run.startswith(EMBEDDING):
                word, space, rest = run.removeprefix(EMBEDDING).partition(" ")
                word = word.strip("\n")
                name = word.rstrip(",")
                found.append(Piece(name, weight, is_embedding=True))
                rest = word[len(name) :] + space + rest
                if rest.strip():
                    found.append(Piece(rest, weight))
            elif run:
                found.append(Piece(run, weight))
    return found


def plain_pieces(text: str) -> list[Piece]:
    """The pieces of a prompt in which brackets mean no weights."""
    return pieces(unescaped(text).replace("(", r"\(").replace(")", r"\)"))


def plainly(text: str) -> str:
    """What a language model is told of such a prompt: all but its embeddings."""
    return "".join(piece.text for piece in plain_pieces(text) if not piece.is_embedding)


def embedding_names(text: str) -> list[str]:
    """The embeddings that a prompt calls by `embedding:name`, in order, each once."""
    return list(dict.fromkeys(piece.text for piece in pieces(text) if piece.is_embedding))


def _runs(segment: str, tokens: Collection[str]) -> Iterator[str]:
    """Cut a segment before each `embedding:` that starts a word, and around each token."""
    for run in re.split(rf"(?:^|(?<=[ \n])|[ \n])(?={re.escape(EMBEDDING)})", segment):
        if tokens and not run.startswith(EMBEDDING):
            alternatives = "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))
            yield from re.split(f"({alternatives})", run)
        else:
            yield run


def _segments(text: str, weight: float, depth: int = 0) -> Iterator[tuple[str, float]]:
    """Plain runs and bracketed groups of one level, the groups read with their own weight."""
    for part in _groups(text):
        if depth == MAX_NESTING or not (len(part) > 1 and part.startswith("(") and part.endswith(")")):
            yield part, weight
            continue
        inner, colon, number = part[1:-1].rpartition(":")
        explicit = _number(number) if colon and inner else None
        if explicit is None:
            yield from _segments(part[1:-1], weight * EMPHASIS, depth + 1)
        else:
            yield from _segments(inner, explicit, depth + 1)


def _groups(text: str) -> Iterator[str]:
    start = depth = 0
    for index, letter in enumerate(text):
        if letter == "(":
            if depth == 0:
                yield text[start:index]
                start = index
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0:
                yield text[start : index + 1]
                start = index + 1
    yield text[start:]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
