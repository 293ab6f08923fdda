"""What validation gives: nodes whose types, parameters and links are known to fit, and every problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow.document.document import Document, split_address
from graphflow.errors import Problem, Problems, WorkflowError
from graphflow.spec.decorator import NodeSpec
from graphflow.spec.link_types import LinkType
from graphflow.values.types import value_type_names


@dataclass(frozen=True)
class Source:
    """One output of one node."""

    node: str
    output: str

    def __str__(self) -> str:
        return f"{self.node}.{self.output}"


@dataclass(frozen=True)
class CheckedNode:
    """A node whose type is known and whose parameters and links fit.

    Attributes:
        id: Its id.
        spec: Its type.
        params: Literals that the document gives.
        links: Sources by input; several where the input takes many.
        many: Inputs whose links stand in a list.
        title: What the user calls it.
    """

    id: str
    spec: NodeSpec
    params: Mapping[str, Any]
    links: Mapping[str, tuple[Source, ...]]
    many: frozenset[str]
    title: str | None = None

    @property
    def sources(self) -> list[Source]:
        """All sources, in order."""
        return [source for sources in self.links.values() for source in sources]


@dataclass(repr=False)
class Checked:
    """What validation found; false where there is a problem. Printed, it tells the problems.

    Attributes:
        nodes: Nodes that could be checked, in topological order where there is one.
        types: Type of each output, with type variables resolved.
        problems: Everything that is wrong.
        notices: What the user should know although it is no error.
    """

    nodes: dict[str, CheckedNode] = field(default_factory=dict)
    types: dict[Source, LinkType] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=Problems)
    notices: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.problems

    def __repr__(self) -> str:
        number = len(self.nodes)
        lines = [f"Checked: {number} node{'s' if number != 1 else ''}, no problem"]
        if self.problems:
            lines = str(WorkflowError(self.problems)).splitlines()
        return "\n".join([*lines, *(f"  note: {notice}" for notice in self.notices)])

    def targets(self, document: Document) -> list[Source]:
        """Return what a run is for: the nodes with an effect, and the document's outputs."""
        effects = [Source(node.id, node.spec.primary) for node in self.nodes.values() if node.spec.effect]
        named = [source for address in document.outputs.values() if (source := self.source(address)) is not None]
        return list(dict.fromkeys(effects + named))

    def shown(self, document: Document) -> list[str] | None:
        """Return the addresses of what writes, and of the outputs that text can show.

        A tensor among the outputs is of no use beside files, and reading a stored one would cost the import of torch.
        None, which is all outputs, where nothing writes, and where the document has problems to be told.
        """
        effects = [node.id for node in self.nodes.values() if node.spec.effect]
        if self.problems or not effects:
            return None
        unseen = set(value_type_names())
        shown = []
        for address in document.outputs.values():
            source = self.source(address)
            kind = self.types[source] if source is not None else None
            if kind is not None and (kind.item or kind).name not in unseen:
                shown.append(address)
        return [*effects, *shown]

    def source(self, address: str) -> Source | None:
        """Return the output behind an address, or None."""
        node_id, output = split_address(address)
        node = self.nodes.get(node_id)
        if node is None:
            return None
        return Source(node_id, output if output is not None else node.spec.primary)


def unsound(problems: Iterable[Problem]) -> set[str]:
    """Return the ids of the nodes that problems name."""
    return {problem.path.split(".")[1] for problem in problems if problem.path.startswith("nodes.")}
