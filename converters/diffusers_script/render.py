"""From a script in the making to text: imports, constants, helpers, arguments, stages."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .carried import Carried, Import
from .graph import Given
from .layout import INDENT, Expression, call, comment, docstring, flat, lay_out, literal, quoted
from .script import Line, Script, Stage

DEVICE = '"cuda" if torch.cuda.is_available() else "cpu"'


@dataclass(frozen=True)
class Part:
    """A part of a script that may stand in a notebook's cell of its own.

    Attributes:
        name: ``imports``, ``constants``, ``helpers``, ``arguments``, or the title of a stage.
        code: Its source.
    """

    name: str
    code: str


def render(script: Script) -> str:
    """The text of a script, ending in a newline."""
    head = "\n".join(docstring(about(script)))
    parts = {part.name: part.code for part in frame(script)}
    body = "\n".join(_main(script))
    blocks = [f"{head}\n\n{parts['imports']}\n\n{parts['constants']}"]
    blocks += [parts["helpers"]] if parts.get("helpers") else []
    blocks += [body, 'if __name__ == "__main__":\n    main()']
    return "\n\n\n".join(blocks) + "\n"


def frame(script: Script, *, argparse: bool = True) -> list[Part]:
    """What stands before the stages: imports, constants, helpers; ``argparse`` says where arguments come from."""
    pieces = script.carried()
    used = set(script.imports) | {found for piece in pieces for found in piece.imports}
    used |= {Import("pathlib", "Path"), Import("torch")}
    used.add(Import("argparse") if argparse else Import("types", "SimpleNamespace"))
    dtype = f'torch.{script.half} if DEVICE == "cuda" else torch.float32'
    constants = {**script.constants, "DEVICE": DEVICE, "DTYPE": dtype}
    lines = [line for name, shown in constants.items() for line in lay_out(f"{name} = ", shown)]
    small = [piece.source for piece in pieces if piece.constant]
    helpers = [piece for piece in pieces if not piece.constant]
    return [
        Part("imports", "\n".join(_imports(used))),
        Part("constants", "\n".join([*lines, *small])),
        Part("helpers", _joined(helpers)),
    ]


def _joined(pieces: Iterable[Carried]) -> str:
    return "\n\n\n".join(piece.source for piece in pieces)


def stage_lines(stage: Stage, depth: int) -> Iterator[str]:
    """The lines of a stage, with its comment."""
    if stage.title:
        yield from comment(stage.title, depth=depth)
    for line in stage.lines:
        yield from _line(line, depth)


def _line(line: Line, depth: int) -> Iterator[str]:
    return lay_out(line.prefix, line.expression, line.suffix, depth=depth + line.depth)


def _main(script: Script) -> Iterator[str]:
    yield "@torch.inference_mode()"
    yield "def main():"
    yield f"{INDENT}parser = argparse.ArgumentParser(description=__doc__)"
    yield ""
    yield f"{INDENT}def option(name, default, help):"
    yield f"{INDENT * 2}parser.add_argument(name, type=type(default), default=default, help=help)"
    yield ""
    for argument in arguments(script):
        yield from lay_out("", argument, depth=1)
    yield f"{INDENT}args = parser.parse_args()"
    for stage in script.stages:
        if stage.lines:
            yield ""
            yield from stage_lines(stage, 1)


def arguments(script: Script) -> Iterator[Expression]:
    """The calls that define the command line: the exposed inputs in use, and the folder to write to."""
    for knob, exposed in script.graph.document.inputs.items():
        if knob not in script.knobs:
            continue
        value = _default(script, knob)
        shown = script.defaults.get(knob) or literal(value)
        about = quoted(_help(exposed.description or ""))
        name = script.knobs[knob].rstrip("_")
        flag = quoted("--" + name.replace("_", "-"))
        if isinstance(value, str | int | float) and not isinstance(value, bool) and not keyword.iskeyword(name):
            yield call("option", flag, shown, about)
            continue
        options: dict[str, Expression] = {}
        if isinstance(value, bool):
            options["action"] = "argparse.BooleanOptionalAction"
        elif isinstance(value, int | float):
            options["type"] = type(value).__name__
        options |= {"default": shown, "help": about}
        if keyword.iskeyword(name):
            options["dest"] = quoted(script.knobs[knob])
        yield call("parser.add_argument", flag, **options)
    yield call("option", '"--out"', 'Path("out")', '"folder to write to"')
    if script.places:
        yield call("parser.add_argument", '"--offload"', action='"store_true"', help='"use less device memory"')


def _help(description: str) -> str:
    """The first part of a description, in one line."""
    short = " ".join(re.split(r"[:;]\s", description, maxsplit=1)[0].split())
    return short.replace("%", "%%")


def _default(script: Script, knob: str) -> Any:
    values = (value for node in script.graph.nodes.values() for value in node.values.values())
    return next(given.value for given in values if isinstance(given, Given) and given.knob == knob)


def defaults(script: Script) -> Mapping[str, Expression]:
    """The default of each argument, by attribute."""
    return {
        attribute: script.defaults.get(knob) or literal(_default(script, knob))
        for knob, attribute in script.knobs.items()
    }


def about(script: Script) -> list[str]:
    """Paragraphs on what a script does: its workflow's name and description, and what differs."""
    document = script.graph.document
    name = (document.name or "a workflow").strip()
    title = name[:1].upper() + name[1:]
    paragraphs = [title.rstrip(".") + "."]
    if document.description:
        paragraphs.append(document.description)
    # argparse fills in whatever its description asks for
    return [text.replace("%(", "% (") for text in (*paragraphs, *script.report)]


def _imports(used: Iterable[Import]) -> Iterator[str]:
    """Import lines in the order of isort: the standard library, then the rest."""
    groups: dict[bool, list[Import]] = {True: [], False: []}
    for item in used:
        groups[item.module.partition(".")[0] in sys.stdlib_module_names].append(item)
    blocks = []
    for standard in (True, False):
        plain = sorted(
            {item.module + (f" as {item.alias}" if item.alias else "") for item in groups[standard] if not item.name},
            key=str.lower,
        )
        named: dict[str, list[Import]] = {}
        for item in groups[standard]:
            if item.name:
                named.setdefault(item.module, []).append(item)
        lines = [f"import {module}" for module in plain]
        for module in sorted(named, key=str.lower):
            names = sorted({item.name for item in named[module]}, key=_isort_key)
            one = f"from {module} import {', '.join(names)}"
            lines += [one] if len(one) <= 88 else [f"from {module} import (", *(f"    {name}," for name in names), ")"]
        if lines:
            blocks.append("\n".join(lines))
    yield "\n\n".join(blocks)


def _isort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as isort orders imported names."""
    rank = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return rank, name


__all__ = ["Part", "arguments", "defaults", "flat", "frame", "render", "stage_lines"]
