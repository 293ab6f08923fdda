"""What emitters write into: stages of statements, and what a script needs around them."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from graphflow.errors import Problem

from .carried import Carried, Import, carry, library, mentions
from .graph import Given, Graph
from .handles import Scalar
from .layout import Expression, flat, literal
from .models import ModelPart

Style = Literal["exact", "pipeline"]

RESERVED = frozenset({"args", "parser", "option", "main", "torch", "number", "picture"})
"""Names that the frame of a script uses, and its loops over pictures."""

FRAME_CONSTANTS = frozenset({"DEVICE", "DTYPE"})


@dataclass(frozen=True)
class Line:
    """One statement of a stage, ``prefix expression suffix``."""

    prefix: str
    expression: Expression = ""
    suffix: str = ""
    depth: int = 0


@dataclass
class Stage:
    """Statements that belong together.

    Attributes:
        title: The comment above them.
        lines: The statements.
    """

    title: str
    lines: list[Line] = field(default_factory=list)


@dataclass
class Facts:
    """What one pass over the graph tells the next.

    Attributes:
        pinned: Exposed inputs that decide what is written, so the script cannot leave them open; with the reason.
        kinds: For each loaded pipeline: which pipeline classes of it are called.
        checked: Pipelines whose own safety checker is used.
        vaes: For each checkpoint: the autoencoders in use with it, its own among them.
        parts: For each checkpoint: the first model that is sampled from, so that its pipeline is loaded for other uses too.
        helpers: Names that variables cannot have: at first those of all helpers, then of those that the script carries.
    """

    pinned: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, set[Any]] = field(default_factory=dict)
    checked: set[str] = field(default_factory=set)
    vaes: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: dict[str, ModelPart] = field(default_factory=dict)
    helpers: list[str] = field(default_factory=lambda: sorted(library()))


class UnsupportedError(Exception):
    """An emitter cannot write a node as it is set.

    Attributes:
        node: Which; empty where it is the one whose emitter runs.
    """

    node = ""


@dataclass
class Script:
    """A script in the making.

    Attributes:
        graph: What it is made from.
        style: Whether inexact pipeline calls are preferred to exact loops.
        facts: What the pass before found; this pass adds to it.
        stages: What was written.
        imports: What it imports.
        pieces: Helpers that it carries.
        constants: Names at its top.
        report: What the user should know.
        problems: What cannot be written.
        knobs: Exposed inputs in use, with their attribute of ``args``.
        defaults: Their defaults where these are no literals.
        written: What stands in the script already, by what it is.
        places: Whether it puts a pipeline on the device, or offloads it.
        half: Dtype in which it computes on a GPU.
    """

    graph: Graph
    style: Style
    facts: Facts
    stages: list[Stage] = field(default_factory=list)
    imports: set[Import] = field(default_factory=set)
    pieces: set[str] = field(default_factory=set)
    constants: dict[str, Expression] = field(default_factory=dict)
    report: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    knobs: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    written: dict[Any, Any] = field(default_factory=dict)
    places: bool = False
    half: str = "float16"
    _names: set[str] = field(default_factory=set)

    # ------------------------------------------------------------------------------------------- writing

    def stage(self, title: str) -> None:
        """Begin a stage; statements follow. An empty one is dropped."""
        if self.stages and not self.stages[-1].lines:
            self.stages.pop()
        self.stages.append(Stage(title))

    def add(self, prefix: str, expression: Expression = "", suffix: str = "", *, depth: int = 0) -> None:
        """Add a statement to the current stage."""
        self.stages[-1].lines.append(Line(prefix, expression, suffix, depth))

    def assign(self, hint: str, expression: Expression) -> str:
        """Add an assignment to a new variable and return its name."""
        name = self.name(hint)
        self.add(f"{name} = ", expression)
        return name

    def place(self, pipe: str) -> None:
        """Put a pipeline on the device, or with ``--offload`` only the part of it that computes."""
        self.places = True
        self.add("if args.offload:")
        self.add("", f"{pipe}.enable_model_cpu_offload()", depth=1)
        self.add("else:")
        self.add("", f"{pipe}.to(DEVICE)", depth=1)

    def need(self, *pieces: str) -> None:
        """Have the script carry helpers."""
        self.pieces.update(pieces)

    def carried(self) -> list[Carried]:
        """What it carries: helpers with all that they need."""
        return carry(self.pieces, mentions(self._text()))

    def forget_unread(self) -> None:
        """Leave out the arguments that nothing reads, such as a negative prompt where there is no guidance."""
        read = mentions(self._text())
        self.knobs = {knob: attribute for knob, attribute in self.knobs.items() if attribute in read}

    def _text(self) -> str:
        lines = (line for stage in self.stages for line in stage.lines)
        return "\n".join(f"{line.prefix}{flat(line.expression)}{line.suffix}" for line in lines)

    def use(self, module: str, *names: str) -> None:
        """Import names from a module, or the module itself."""
        self.imports.update(Import(module, name) for name in names or ("",))

    def name(self, hint: str) -> str:
        """A variable name that is not taken, like ``hint``."""
        plain = self._plain(hint).lower()
        taken = self._names | RESERVED | set(self.facts.helpers)
        wanted, number = plain, 1
        while wanted in taken or keyword.iskeyword(wanted) or hasattr(builtins, wanted):
            number += 1
            wanted = f"{plain}_{number}"
        self._names.add(wanted)
        return wanted

    def _plain(self, hint: str) -> str:
        """A hint as an identifier; a node whose id is a number is called as its type."""
        if hint[:1].isdigit() and hint in self.graph.nodes:
            hint = self.graph.nodes[hint].type
        plain = re.sub(r"\W", "_", hint, flags=re.ASCII).strip("_") or "value"
        return f"value_{plain}" if plain[0].isdigit() else plain

    def constant(self, hint: str, shown: Expression) -> str:
        """The name of a constant at the top, like ``hint``; equal ones are one."""
        taken = FRAME_CONSTANTS | {name for name, piece in library().items() if piece.constant}
        plain = self._plain(hint).upper()
        wanted, number = plain, 1
        while wanted in taken or self.constants.get(wanted, shown) != shown:
            number += 1
            wanted = f"{plain}_{number}"
        self.constants[wanted] = shown
        return wanted

    def say(self, note: str) -> None:
        """Tell the user something, once."""
        if note not in self.report:
            self.report.append(note)

    # ------------------------------------------------------------------------------------------ literals

    def value(self, given: Any, *, default: Any = None, shown: Expression | None = None) -> str:
        """The expression of a literal: the argument of the command line that sets it, or the literal itself.

        Args:
            given: The literal.
            default: What the argument has by default where that is not the literal's value, e.g. a path.
            shown: The literal's expression where it is no plain literal.
        """
        if isinstance(given, Scalar):
            return given.expression
        if not isinstance(given, Given):
            raise UnsupportedError("its input is computed, which a script cannot follow")
        if given.knob and given.knob not in self.facts.pinned:
            attribute = argument_names(self.graph.document.inputs)[given.knob]
            self.knobs[given.knob] = attribute
            if default is not None:
                self.defaults[given.knob] = default
            return f"args.{attribute}"
        return flat(shown if shown is not None else literal(default if default is not None else given.value))

    def fixed(self, given: Any, why: str = "it decides which code is written") -> Any:
        """A literal's value, where the script's shape depends on it: no argument can set it then."""
        if not isinstance(given, Given):
            raise UnsupportedError("its input is computed, which a script cannot follow")
        if given.knob:
            self.facts.pinned.setdefault(given.knob, why)
        return given.value

    def is_open(self, given: Any) -> bool:
        """Whether an argument of the command line sets a literal."""
        return isinstance(given, Given) and bool(given.knob) and given.knob not in self.facts.pinned


def argument_names(knobs: Iterable[str]) -> dict[str, str]:
    """The attribute of ``args`` for each exposed input; no two, nor those of the frame, share an option."""
    found: dict[str, str] = {}
    taken = {"out", "offload", "help", "h"}
    for knob in knobs:
        plain = knob.strip("_") or "value"
        option, number = plain, 1
        while option in taken:
            number += 1
            option = f"{plain}_{number}"
        taken.add(option)
        found[knob] = f"{option}_" if keyword.iskeyword(option) else option
    return found


def ids(nodes: Iterable[str]) -> str:
    """Node ids for a comment, each once."""
    return ", ".join(dict.fromkeys(nodes))


def static(values: Mapping[str, Any], name: str) -> Any:
    """A literal's value without pinning it, or None where it is computed."""
    given = values.get(name)
    return given.value if isinstance(given, Given) else None
