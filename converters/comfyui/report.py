"""What became of each node of a ComfyUI file, and what an import still needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from .notes import Note


class Verdict(Enum):
    """How well a node is said in native nodes."""

    EXACT = "exactly"
    APPROXIMATE = "approximately"
    UNSUPPORTED = "not supported"


@dataclass(frozen=True)
class Entry:
    """One node.

    Attributes:
        id: Its id in the flat prompt.
        type: Its ComfyUI type.
        title: What the user calls it.
        verdict: How well it is said.
        live: Whether an output needs it.
        native: The native node types that it became; empty where it is a part of another node.
        remarks: What differs, what is done as ComfyUI does although the file says otherwise, or why it is not supported.
        pack: The custom pack that has the type, where known.
        provides: What a node of this type would have to do, where it is not supported.
        waits: What has to be built before the node runs, e.g. a family; empty where it runs.
        recorded: Whether ComfyUI's own numbers for nodes of this type are a test; else its rule follows descriptions.
        to_do: The way out, where it does not run.
    """

    id: str
    type: str
    title: str
    verdict: Verdict
    live: bool
    native: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    pack: str = ""
    provides: str = ""
    waits: str = ""
    recorded: bool = False
    to_do: str = ""

    @property
    def how(self) -> str:
        """How it fares, in words: left out, not supported, waits, approximately or exactly, and whether ComfyUI said so."""
        if not self.live:
            return "left out"
        if self.waits and self.verdict is not Verdict.UNSUPPORTED:
            return "waits"
        described = self.native and not self.recorded and self.verdict is not Verdict.UNSUPPORTED
        return f"{self.verdict.value}, by description" if described else self.verdict.value

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, without empty parts."""
        data = {
            "id": self.id,
            "type": self.type,
            "title": self.title if self.title != self.type else "",
            "verdict": self.verdict.value,
            "live": self.live,
            "native": list(self.native),
            "remarks": list(self.remarks),
            "pack": self.pack,
            "provides": self.provides,
            "waits": self.waits,
            "how": self.how,
            "to_do": self.to_do,
        }
        return {key: value for key, value in data.items() if value not in ("", [])}


@dataclass(frozen=True)
class ModelNeed:
    """A model that the workflow names.

    Attributes:
        name: The name.
        kind: What it has to be.
        nodes: Native nodes that name it.
        path: Where it is; empty where it was not found.
        problem: Where it was looked for, where it was not found.
        near: The nearest names there are.
        place: The file that it belongs into, where it was not found.
        url: Where it is published, as far as the workflow says.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    path: str = ""
    problem: str = ""
    near: tuple[str, ...] = ()
    place: str = ""
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, without empty parts."""
        data = {
            "name": self.name,
            "kind": self.kind,
            "nodes": list(self.nodes),
            "path": self.path,
            "problem": self.problem,
            "near": list(self.near),
            "place": self.place,
            "url": self.url,
        }
        return {key: value for key, value in data.items() if value not in ("", [])}


@dataclass(frozen=True)
class Decision:
    """Whether a workflow runs here.

    Attributes:
        verdict: What the first line of a report begins with.
        reasons: Why it cannot run.
        files: What it needs and is not here: the kind, and the name.
        family: The family of its models, as far as files and names tell.
    """

    verdict: Literal["runs", "runs with these files", "cannot run"]
    reasons: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    family: str = ""

    def __str__(self) -> str:
        if self.verdict == "cannot run":
            return f"cannot run, because {_listed(self.reasons, '; ')}"
        if self.files:
            return f"{self.verdict}: {_listed(self.files, ', ')}"
        return "runs: all that it needs is here"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, without empty parts."""
        data = {
            "says": str(self),
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "files": list(self.files),
            "family": self.family,
        }
        return {key: value for key, value in data.items() if value}


@dataclass(frozen=True)
class Report:
    """What became of a file.

    Attributes:
        entries: Every node of the flat prompt.
        format: The file's format.
        container: What it came in.
        notes: What was changed or guessed, harmlessly.
        problems: Where the flat prompt may be wrong: at nodes that run, and at those that it does not have.
        models: The models that it names.
        decision: Whether it runs here; None where nobody tried.
    """

    entries: tuple[Entry, ...]
    format: str = "api"
    container: str = "data"
    notes: tuple[Note, ...] = ()
    problems: tuple[Note, ...] = ()
    models: tuple[ModelNeed, ...] = field(default=())
    decision: Decision | None = None

    def of(self, verdict: Verdict, *, live: bool = True) -> Iterator[Entry]:
        """Yield the entries with a verdict."""
        return (entry for entry in self.entries if entry.verdict is verdict and entry.live == live)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know before looking at the result: remarks on nodes that run, and problems beside them."""
        told = [
            entry for entry in self.entries if entry.live and entry.remarks and entry.verdict is not Verdict.UNSUPPORTED
        ]
        lines = [f"{entry.id} {entry.type}: {'; '.join(entry.remarks)}" for entry in told]
        known = {(entry.id, remark) for entry in self.entries for remark in entry.remarks}
        lines += [str(problem) for problem in self.problems if (problem.node, problem.message) not in known]
        dead = [f"{entry.id} {entry.type}" for entry in self.of(Verdict.UNSUPPORTED, live=False)]
        return (*lines, *([f"left out, no output needs it: {', '.join(dead[:12])}"] if dead else []))

    @property
    def unsupported(self) -> tuple[Entry, ...]:
        """Nodes on a path to an output that have no native form."""
        return tuple(self.of(Verdict.UNSUPPORTED))

    @property
    def waiting(self) -> dict[str, tuple[Entry, ...]]:
        """Nodes that are in the document but cannot run yet, by what has to be built."""
        found: dict[str, tuple[Entry, ...]] = {}
        for entry in self.entries:
            if entry.live and entry.waits and entry.verdict is not Verdict.UNSUPPORTED:
                found[entry.waits] = (*found.get(entry.waits, ()), entry)
        return found

    @property
    def complete(self) -> bool:
        """Whether every node on a path to an output is said in native nodes, those that wait included."""
        return not self.unsupported

    @property
    def ready(self) -> bool:
        """Whether it is complete and no node waits; whether its models are of a family that runs, their files tell."""
        return self.complete and not self.waiting

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "format": self.format,
            "container": self.container,
            "complete": self.complete,
            "ready": self.ready,
            "waits": list(self.waiting),
            **({"decision": self.decision.to_json()} if self.decision is not None else {}),
            "nodes": [entry.to_json() for entry in self.entries],
            "models": [model.to_json() for model in self.models],
            "notes": [str(note) for note in self.notes],
            "problems": [str(note) for note in self.problems],
        }


_NAMED = 8
"""Reasons or files in the line that decides."""


def _listed(texts: tuple[str, ...], between: str) -> str:
    more = f"{between}and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return between.join(texts[:_NAMED]) + more
