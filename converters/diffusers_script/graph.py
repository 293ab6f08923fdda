"""The graph to export: a workflow expanded, checked, its switches decided, its values folded, filters put in.

It is the graph that a run would plan, with one thing more: each literal knows the exposed input that sets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.document.document import Document, split_address
from graphflow.document.flatten import PREFIX, flatten
from graphflow.nodes.images.files import count_frames
from graphflow.planning.checked import CheckedNode, Source
from graphflow.planning.expand import Expanded, standing
from graphflow.planning.files import FileUse
from graphflow.planning.keys import Keying
from graphflow.planning.lowering import lower
from graphflow.planning.reach import ancestors
from graphflow.planning.safety import Policy
from graphflow.planning.steps import Argument, Constant, literals_of, sources_of

if TYPE_CHECKING:
    from graphflow.session import Session

_MARK = "$input"
_BATCHES = frozenset({"image", "mask", "latent"})
_ONE = frozenset(
    {"load_image", "load_mask", "empty_latent", "solid_image", "gradient_image", "solid_mask", "rectangle_mask"}
)
"""Nodes that make one picture, mask or latent out of nothing."""
_BATCHING = frozenset(
    {
        "batch_images",
        "batch_latents",
        "images_from_batch",
        "pick_images",
        "latents_from_batch",
        "rebatch_images",
        "rebatch_latents",
        "repeat_images",
        "repeat_latents",
        "image_list",
        "image_item",
        "latent_item",
        "load_latent",
        "run_pipeline",
    }
)
"""Nodes that may make several of one."""
_IDENTITIES = {
    "int_value": "value",
    "seed_value": "seed",
    "float_value": "value",
    "bool_value": "value",
    "text_value": "text",
}
"""Value nodes that pass their literal on as it is."""


@dataclass(frozen=True)
class Given:
    """A literal.

    Attributes:
        value: It.
        knob: The exposed input that sets it, or empty.
    """

    value: Any
    knob: str = ""


@dataclass(frozen=True)
class Linked:
    """An output of another node."""

    node: str
    output: str


Value = Given | Linked | tuple[Given | Linked, ...]


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        id: Its id.
        type: Its type.
        title: What the user calls it.
        values: What each input gets, defaults included.
        files: The files that it names, by the parameter that names them.
        effect: Whether it writes.
        outputs: Names of its outputs.
        maps: Whether it runs once for each element of a sequence.
        kinds: Type of each input.
        standard: What inputs are where nothing is said.
        uses: All files that it reads.
        makes: Type of each output.
    """

    id: str
    type: str
    title: str | None
    values: Mapping[str, Value]
    files: Mapping[str, FileUse]
    effect: bool
    outputs: tuple[str, ...]
    maps: bool
    kinds: Mapping[str, str]
    standard: Mapping[str, Any]
    uses: tuple[FileUse, ...]
    makes: Mapping[str, str]

    @cached_property
    def frames(self) -> int:
        """How many pictures it reads from its file; 1 where it reads none, or the first."""
        use, wanted = self.files.get("file"), self.values.get("frames")
        every = isinstance(wanted, Given) and wanted.value == "all"
        return count_frames(use.path) if every and use is not None and use.path else 1


@dataclass
class Graph:
    """The nodes in topological order, and who reads what.

    Attributes:
        document: The expanded document.
        nodes: By id.
        readers: For each output: the nodes that read it.
        notices: What the user should know.
        lost: Exposed inputs that go through a computation, with the node that computes.
        several: Exposed inputs whose parameters differ, so that no argument can say what all of them are.
    """

    document: Document
    nodes: dict[str, Node] = field(default_factory=dict)
    readers: dict[Linked, list[str]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    several: tuple[str, ...] = ()

    def single(self, value: Value) -> bool:
        """Whether what comes along a link is surely one picture, mask or latent, and no batch of more."""
        if not isinstance(value, Linked):
            return False
        node = self.nodes[value.node]
        count = node.values.get("batch_size", Given(1))
        if node.type in _BATCHING or not isinstance(count, Given) or count.knob or count.value != 1:
            return False
        before = [found for name, found in node.values.items() if node.kinds[name] in _BATCHES]
        links = [found for found in before if not isinstance(found, Given)]
        return all(map(self.single, links)) if links else node.type in _ONE and node.frames == 1


class _Unkeyed(Keying):
    """Finds inputs as planning does; keys nothing, and lets no node stand for another: their inputs may differ."""

    def _key(self, node: CheckedNode, arguments: Mapping[str, Argument]) -> None:
        self.files_of(node, literals_of(arguments))
        self.keys[node.id] = None


def read_graph(
    expanded: Expanded,
    session: Session,
    *,
    safety: Policy | None = None,
    folder: Path | None = None,
    input_folder: Path | None = None,
) -> Graph:
    """Make the graph.

    Raises:
        WorkflowError: With every problem of the document, missing models and pictures among them.
    """
    lowering = _Unkeyed(
        expanded=expanded,
        resolver=session.resolver(expanded, folder, input_folder),
        numerics=session.numerics,
        known={},
    )
    lowered = lower(
        expanded,
        session.registry,
        lowering,
        safety=safety or session.settings.safety,
        checker=session.settings.safety_checker,
        writes_only=True,
    )
    document = expanded.document
    several = (name for name in document.inputs if standing(document, session.registry, name).several)
    graph = Graph(document, notices=list(lowered.notices), several=tuple(several))
    _fill(graph, lowering, lowered.nodes, _knobs(expanded.document))
    return graph


def _fill(graph: Graph, lowering: _Unkeyed, nodes: Mapping[str, CheckedNode], knobs: Mapping[Source, str]) -> None:
    needed = _needed(lowering, nodes)
    for node_id, checked in nodes.items():
        if node_id not in needed:
            continue
        values: dict[str, Value] = {}
        for name, parameter in checked.spec.inputs.items():
            argument = lowering.arguments[node_id].get(name)
            if argument is None:
                knob = "" if parameter.default is None else knobs.get(Source(node_id, name), "")
                values[name] = Given(parameter.default, knob)
            elif isinstance(argument, tuple):
                values[name] = tuple(_value(part) for part in argument)
            else:
                values[name] = _value(argument)
                if isinstance(argument, Constant):
                    knob, through = _knob(checked, name, nodes, knobs)
                    values[name] = Given(argument.value, knob)
                    graph.lost.update(dict.fromkeys([] if knob else _behind(through, nodes, knobs), through))
        uses = {use.need.param: use for use in lowering.uses.get(node_id, ())}
        outputs = tuple(output.name for output in checked.spec.outputs)
        graph.nodes[node_id] = Node(
            id=node_id,
            type=checked.spec.type,
            title=checked.title,
            values=values,
            files=uses,
            effect=checked.spec.effect,
            outputs=outputs,
            maps=checked.spec.map,
            kinds={name: parameter.type.name for name, parameter in checked.spec.inputs.items()},
            standard={name: parameter.default for name, parameter in checked.spec.inputs.items()},
            uses=lowering.uses.get(node_id, ()),
            makes={output.name: output.type.name for output in checked.spec.outputs},
        )
        for value in values.values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Linked):
                    graph.readers.setdefault(part, []).append(node_id)


def _needed(lowering: _Unkeyed, nodes: Mapping[str, CheckedNode]) -> set[str]:
    """The nodes that effects read, once switches and folded values are out of the way."""
    stack = [node_id for node_id in lowering.arguments if nodes[node_id].spec.effect]
    found: set[str] = set()
    while stack:
        node_id = stack.pop()
        if node_id not in found:
            found.add(node_id)
            stack.extend(source.node for source in sources_of(lowering.arguments[node_id]))
    return found


def _value(argument: Constant | Source) -> Given | Linked:
    return Given(argument.value) if isinstance(argument, Constant) else Linked(argument.node, argument.output)


def _knob(
    node: CheckedNode, name: str, nodes: Mapping[str, CheckedNode], knobs: Mapping[Source, str]
) -> tuple[str, str]:
    """The exposed input behind a literal, through value nodes that pass it on; else the node that computes it."""
    for _ in range(len(nodes) + 1):
        if name not in node.links:
            return knobs.get(Source(node.id, name), ""), ""
        node = nodes[node.links[name][0].node]
        if node.spec.type not in _IDENTITIES:
            return "", node.id
        name = _IDENTITIES[node.spec.type]
    return "", ""


def _behind(node_id: str, nodes: Mapping[str, CheckedNode], knobs: Mapping[Source, str]) -> Iterable[str]:
    """The exposed inputs that a computation reads."""
    before = ancestors([node_id] if node_id else [], nodes)
    return [knob for source, knob in knobs.items() if source.node in before]


def _knobs(document: Document) -> dict[Source, str]:
    """Which exposed input sets which parameter of the unfolded graph."""
    marked = document.model_copy(deep=True)
    for name, exposed in document.inputs.items():
        for target in exposed.to:
            node_id, parameter = split_address(target)
            if parameter is not None and node_id in marked.nodes:
                marked.nodes[node_id].params[parameter] = {_MARK: name}
    hosts = any(entry.type.startswith(PREFIX) for entry in marked.nodes.values())
    flat = flatten(marked).document if hosts else marked
    return {
        Source(node_id, name): str(value[_MARK])
        for node_id, entry in flat.nodes.items()
        for name, value in entry.params.items()
        if isinstance(value, dict) and set(value) == {_MARK}
    }
