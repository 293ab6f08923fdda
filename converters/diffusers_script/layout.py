"""Lines of Python as a formatter would leave them: at most 88 columns, one argument a line where they do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

WIDTH = 88
INDENT = "    "


@dataclass(frozen=True)
class Items:
    """Something in brackets: a call, a list, a dict.

    Attributes:
        opening: What stands before the items, with the bracket: ``pipe(``.
        items: Each with its prefix (``steps=``, ``"key": `` or nothing).
        closing: The bracket, and what follows it.
    """

    opening: str
    items: tuple[tuple[str, Expression], ...]
    closing: str

    @property
    def is_plain_call(self) -> bool:
        """Whether formatters would break it at its own brackets, none behind them, and not one item a line."""
        return self.opening.endswith("(") and not set(self.closing) & set("([")

    def then(self, text: str) -> Items:
        """The same with something behind it, e.g. ``.images``."""
        return replace(self, closing=self.closing + text)


Expression = str | Items
"""Source text of an expression, or one that may be broken over lines."""


def call(function: str, *positional: Expression, **named: Expression) -> Items:
    """A call."""
    items = [("", part) for part in positional] + [(f"{name}=", part) for name, part in named.items()]
    return Items(f"{function}(", tuple(items), ")")


def listed(parts: Iterable[Expression]) -> Items:
    """A list."""
    return Items("[", tuple(("", part) for part in parts), "]")


def mapped(parts: Mapping[str, Expression]) -> Items:
    """A dict with text keys."""
    return Items("{", tuple((f"{quoted(name)}: ", part) for name, part in parts.items()), "}")


def flat(expression: Expression) -> str:
    """The expression in one line."""
    if isinstance(expression, str):
        return expression
    inner = ", ".join(prefix + flat(part) for prefix, part in expression.items)
    return f"{expression.opening}{inner}{expression.closing}"


def lay_out(prefix: str, expression: Expression, suffix: str = "", *, depth: int = 0) -> Iterator[str]:
    """Yield the lines of ``prefix expression suffix`` at a depth of indentation.

    The arguments of a call stay in one line where that is long enough for them; else a trailing comma after the last keeps
    formatters from joining them again.
    """
    space = INDENT * depth
    one = f"{space}{prefix}{flat(expression)}{suffix}"
    if len(one) <= WIDTH or (isinstance(expression, Items) and not expression.items):
        yield one
    elif isinstance(expression, Items):
        yield f"{space}{prefix}{expression.opening}"
        inner = ", ".join(name + flat(part) for name, part in expression.items)
        if len(space) + len(INDENT) + len(inner) <= WIDTH and expression.is_plain_call:
            yield f"{space}{INDENT}{inner}"
        else:
            for name, part in expression.items:
                yield from lay_out(name, part, ",", depth=depth + 1)
        yield f"{space}{expression.closing}{suffix}"
    elif prefix.endswith(" = ") and not suffix and len(space) + len(INDENT) + len(expression) <= WIDTH:
        yield f"{space}{prefix}("
        yield f"{space}{INDENT}{expression}"
        yield f"{space})"
    else:
        yield one


def quoted(text: str) -> str:
    """A text as a Python literal in the quotes that escape less, in printable ASCII or letters of any script.

    What is no printable character is escaped, so no text can end the literal or hide in it.
    """
    shown = []
    quote = "'" if text.count('"') > text.count("'") else '"'
    for character in text:
        if character in ("\\", quote):
            shown.append("\\" + character)
        elif character.isprintable():
            shown.append(character)
        else:
            shown.append(repr(character)[1:-1])
    return f"{quote}{''.join(shown)}{quote}"


def literal(value: object) -> Expression:
    """A JSON value as a Python literal.

    Raises:
        TypeError: It is no JSON value.
    """
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else f'float("{value}")'
    if isinstance(value, list | tuple):
        return listed(literal(part) for part in value)
    if isinstance(value, Mapping):
        return mapped({str(name): literal(part) for name, part in value.items()})
    raise TypeError(f"{value!r} is no JSON value")


def comment(text: str, *, depth: int = 0) -> Iterator[str]:
    """Yield a comment of any text, broken between words."""
    yield from _wrapped(text, INDENT * depth + "# ")


def docstring(paragraphs: Iterable[str]) -> Iterator[str]:
    """Yield a docstring of any text: backslashes and quotes are escaped, lines broken between words."""
    safe = ["".join(_harmless(part)) for part in paragraphs if part.strip()]
    lines: list[str] = []
    for index, part in enumerate(safe):
        if index:
            lines.append("")
        lines += _wrapped(part, "", WIDTH - 3 if index == 0 else WIDTH)
    if len(lines) == 1 and len(lines[0]) + 6 <= WIDTH:
        yield f'"""{lines[0]}"""'
        return
    yield f'"""{lines[0]}'
    yield from lines[1:]
    yield '"""'


def _harmless(text: str) -> Iterator[str]:
    for character in " ".join(text.split()):
        if character in '\\"':
            yield "'" if character == '"' else "/"
        elif character.isprintable():
            yield character


def _wrapped(text: str, prefix: str, width: int = WIDTH) -> list[str]:
    """Break a text between words; what is not printable becomes a space."""
    words = "".join(character if character.isprintable() else " " for character in text).split()
    lines: list[str] = []
    line = ""
    for word in words:
        if line and len(prefix) + len(line) + 1 + len(word) > width:
            lines.append(prefix + line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, prefix + line] if line else lines
