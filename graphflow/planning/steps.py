"""What a plan is made of: steps, their arguments, the keys of their results. Plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeVar

from graphflow.basics import markup
from graphflow.basics.measures import count
from graphflow.document.drawing import draw
from graphflow.planning.checked import Source
from graphflow.planning.expand import Expanded
from graphflow.planning.files import FileUse
from graphflow.planning.numerics import Numerics
from graphflow.spec.decorator import NodeSpec

T = TypeVar("T")

Action = Literal["run", "cached", "write", "conditional", "skipped"]

ACTIONS: Mapping[Action, str] = {
    "run": "to run",
    "cached": "stored",
    "write": "to write",
    "conditional": "conditional",
    "skipped": "skipped",
}
"""What the actions of a plan's steps are called."""

_HEADER = ("node", "type", "action", "why")
_COLOURS: Mapping[Action, str] = {
    "run": "#22aaff44",
    "cached": "#22bb5544",
    "write": "#cc55cc44",
    "conditional": "#ddaa0044",
}


@dataclass(frozen=True)
class Constant:
    """A literal that planning expanded."""

    value: Any


Argument = Constant | Source | tuple[Constant | Source, ...]


@dataclass(frozen=True)
class Step:
    """One node of a plan.

    Attributes:
        id: The node's id.
        spec: Its type.
        title: What the user calls it.
        action: ``run``, ``cached`` (its value is stored), ``write`` (an effect), ``conditional`` (depends on a switch
            whose selector is computed), ``skipped`` (evaluated while planning, the same as another node, or not needed).
        reason: Why.
        key: Key of its result, or None where a file's content is not known before it is fetched.
        arguments: What each input gets.
        files: What it reads.
        needed: Which outputs somebody reads.
        artifact: For an effect: key of the files that it writes, or None.
        artifact_stored: For an effect: whether those files are stored, so that its inputs are not needed.
        record: For an effect: what its files carry, as far as planning knows it.
        descends: For an effect: the files that what it writes descends from.
    """

    id: str
    spec: NodeSpec
    title: str | None
    action: Action
    reason: str
    key: str | None
    arguments: Mapping[str, Argument]
    files: tuple[FileUse, ...] = ()
    needed: tuple[str, ...] = ()
    artifact: str | None = None
    artifact_stored: bool = False
    record: Mapping[str, Any] | None = None
    descends: tuple[FileUse, ...] = ()

    @property
    def sources(self) -> list[Source]:
        """The outputs that it reads."""
        return list(sources_of(self.arguments))


@dataclass(frozen=True, repr=False)
class Plan:
    """What a run will do. Printed, it is a table; in a notebook, a picture of the graph too.

    Attributes:
        steps: By node id, in topological order; only what the targets need.
        targets: The outputs asked for, after switches are expanded.
        outputs: The document's named outputs, likewise; a constant where planning settled it.
        selectors: Computed selectors that must be known before planning can go on.
        notices: What the user should know.
        numerics: What enters every key.
        trace: For each node: what its key was made of, so that the next plan can say what changed.
        expanded: The document behind it.
        ranks: By step: of those that may begin on a lane, the lowest does first; 0 where nothing is said.
    """

    steps: Mapping[str, Step]
    targets: tuple[Source, ...]
    outputs: Mapping[str, Constant | Source]
    selectors: tuple[Source, ...]
    notices: tuple[str, ...]
    numerics: Numerics
    trace: Mapping[str, Mapping[str, Any]]
    expanded: Expanded
    ranks: Mapping[str, int] = field(default_factory=dict)

    def count(self, *actions: Action) -> int:
        """Count the steps with one of these actions."""
        return sum(step.action in actions for step in self.steps.values())

    def stored_keys(self) -> set[str]:
        """Return the keys under which its results and what it writes are stored, once they are."""
        values = {
            output_key(step.key, output.name)
            for step in self.steps.values()
            if step.key is not None
            for output in step.spec.outputs
        }
        return values | {step.artifact for step in self.steps.values() if step.artifact is not None}

    def totals(self) -> str:
        """Return one line: how many nodes run, are stored, write."""
        parts = [f"{number} {text}" for action, text in ACTIONS.items() if (number := self.count(action))]
        return f"{count(len(self.steps), 'node')}: {', '.join(parts)}"

    def __repr__(self) -> str:
        lines = [
            markup.columns([_HEADER, *self._rows()]),
            "",
            self.totals(),
            *(f"note: {notice}" for notice in self.notices),
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        marks = {
            step.id: (_COLOURS.get(step.action, "none"), f"{step.action}: {step.reason}")
            for step in self.steps.values()
        }
        notes = [self.totals(), *(f"note: {notice}" for notice in self.notices)]
        graph = draw(self.expanded.flat, marks)
        return graph + markup.table(_HEADER, self._rows()) + "".join(map(markup.paragraph, notes))

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [(step.id, step.spec.type, step.action, step.reason) for step in self.steps.values()]


@lru_cache(maxsize=2**14)  # planning, placing and storing ask for the same ones
def output_key(key: str, output: str) -> str:
    """Return the key under which one output of a node is stored."""
    return hashlib.sha256(f"{key}.{output}".encode()).hexdigest()


def item_key(key: str, index: int) -> str:
    """Return the key of one element of a stored sequence."""
    return hashlib.sha256(f"{key}[{index}]".encode()).hexdigest()


def element(items: Sequence[T], index: int) -> T:
    """Return what a node that runs once per element gets at ``index``; shorter sequences repeat their last."""
    return items[min(index, len(items) - 1)]


def sources_of(arguments: Mapping[str, Argument]) -> Iterator[Source]:
    """Yield the sources among arguments."""
    for argument in arguments.values():
        for part in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(part, Source):
                yield part


def literals_of(arguments: Mapping[str, Argument]) -> dict[str, Any]:
    """Return the arguments that are constants."""
    literals: dict[str, Any] = {}
    for name, argument in arguments.items():
        if isinstance(argument, Constant):
            literals[name] = argument.value
        elif isinstance(argument, tuple) and all(isinstance(part, Constant) for part in argument):
            literals[name] = [part.value for part in argument if isinstance(part, Constant)]
    return literals
