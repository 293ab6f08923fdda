"""Random graphs of every node type that the shapes model can feed, made from the nodes' own schemas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from graphflow.spec.decorator import InputSpec, NodeSpec
from graphflow.spec.link_types import LinkType, fits
from graphflow.spec.registry import Registry

SMALL = {
    "width": (8, 64),
    "height": (8, 64),
    "steps": (1, 2),
    "batch_size": (1, 2),
    "amount": (1, 3),
    "count": (1, 3),
    "times": (1, 3),
    "scale": (0.25, 1.25),
    "tile": (0, 64),
    "strength": (0, 1),
    "index": (0, 0),
}
"""Ranges of sizes that keep a graph within a second and a gigabyte; these are always given, other numbers stay near their
defaults."""

MODELS = {"checkpoint": "shapes"}
"""Names for parameters that want a model."""

PROMPTS = ("a red circle", "a (green:1.3) star on a black background", "", "((blue)) square BREAK \\(x\\)")


@dataclass(frozen=True, repr=False)
class Kit:
    """What graphs are made of; its repr stays short, since hypothesis prints it.

    Attributes:
        registry: The node types to draw from.
        files: Names for parameters that want a user's file, by kind.
    """

    registry: Registry
    files: dict[str, str]

    @cached_property
    def types(self) -> list[NodeSpec]:
        """The node types that can be run here: nothing is written, and every file that they must name is at hand."""

        def nameable(spec: InputSpec) -> bool:
            known = MODELS if spec.model_kind else self.files
            kind = spec.model_kind or spec.file_kind
            return kind is None or kind in known or not spec.required

        return [
            spec
            for _, spec in sorted(self.registry.specs.items())
            if not spec.effect
            and spec.outputs
            and spec.waits is None
            and spec.type != "run_pipeline"
            and all(map(nameable, spec.inputs.values()))
        ]


@dataclass
class Graph:
    """A document in the making.

    Attributes:
        kit: What it is made of.
        nodes: The document's nodes.
        refs: Addresses to link to, with their types.
    """

    kit: Kit
    nodes: dict[str, Any] = field(default_factory=dict)
    refs: list[tuple[str, LinkType]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The graph with every value that nobody reads as an output."""
        read = {link for node in self.nodes.values() for links in node["links"].values() for link in as_list(links)}
        loose = [address for address, _ in self.refs if address not in read]
        return {
            "graphflow": 2,
            "nodes": self.nodes,
            "outputs": {f"out_{index}": address for index, address in enumerate(loose)},
        }


def as_list(links: Any) -> list[str]:
    """Return a link or a list of them as a list."""
    return list(links) if isinstance(links, list) else [links]


@st.composite
def graphs(draw: st.DrawFn, kit: Kit, largest: int = 8) -> dict[str, Any]:
    """Valid documents of up to ``largest`` nodes beside those that feed them."""
    graph = Graph(kit)
    for _ in range(draw(st.integers(2, largest))):
        add(draw, graph, one_of(draw, kit.types), depth=4)
    if not graph.nodes:
        add(draw, graph, kit.registry.specs["load_checkpoint"], depth=1)
    return graph.document()


def one_of(draw: st.DrawFn, specs: list[NodeSpec]) -> NodeSpec:
    """Draw a node type by its place: hypothesis would print whole specs."""
    return specs[draw(st.integers(0, len(specs) - 1))]


def add(draw: st.DrawFn, graph: Graph, spec: NodeSpec, *, depth: int) -> str | None:
    """Add one node with whatever it needs; returns its id, or None where nothing can feed it."""
    params: dict[str, Any] = {}
    links: dict[str, Any] = {}
    for name, wanted in spec.inputs.items():
        if wanted.linked:
            if not wanted.required and draw(st.booleans()):
                continue
            found = link(draw, graph, wanted.type, depth=depth)
            if found is None:
                if wanted.required:
                    return None
                continue
            links[name] = [found] if wanted.many else found
        elif wanted.required or wanted.model_kind or wanted.file_kind or name in SMALL or draw(st.booleans()):
            value = draw(literals(wanted, graph.kit.files))
            if wanted.check(value)[1] is None:
                params[name] = value
            elif wanted.required:
                return None
    node_id = f"{spec.type}_{len(graph.nodes)}"
    graph.nodes[node_id] = {"type": spec.type, "params": params, "links": links}
    for output in spec.outputs:
        kind = output.type if output.type.variable is None else LinkType("unknown")
        graph.refs.append((node_id if output.name == spec.primary else f"{node_id}.{output.name}", kind))
    return node_id


def link(draw: st.DrawFn, graph: Graph, wanted: LinkType, *, depth: int) -> str | None:
    """The address of a value of a type: one that is there, or a new node's."""
    known = [address for address, kind in graph.refs if kind.name != "unknown" and fits(kind, wanted)]
    if known and (depth <= 0 or draw(st.integers(0, 3))):
        return draw(st.sampled_from(known))
    makers = [spec for spec in graph.kit.types if any(made(kind, wanted) for kind in spec.output_types.values())]
    if depth <= 1:
        makers = [spec for spec in makers if not any(i.linked and i.required for i in spec.inputs.values())] or makers
    if not makers or depth < -4:
        return None
    maker = one_of(draw, makers)
    before = len(graph.refs)
    if add(draw, graph, maker, depth=depth - 1) is None:
        return draw(st.sampled_from(known)) if known else None
    fresh = [address for address, kind in graph.refs[before:] if kind.name != "unknown" and fits(kind, wanted)]
    return fresh[-1] if fresh else None


def made(kind: LinkType, wanted: LinkType) -> bool:
    """Whether an output is made for an input of a type; what fits anything is not."""
    return kind.variable is None and kind.name != "any" and fits(kind, wanted)


def literals(spec: InputSpec, files: dict[str, str]) -> st.SearchStrategy[Any]:
    """Values of a parameter that validation takes, small enough to run."""
    if spec.model_kind:
        return st.just(MODELS.get(spec.model_kind, spec.default))
    if spec.file_kind:
        return st.just(files.get(spec.file_kind, spec.default))
    if spec.choices:
        return st.sampled_from(spec.choices)
    low, high, step = bounds(spec)
    if spec.type.name == "bool":
        return st.booleans()
    if spec.type.name == "int":
        low, high = int(low), int(high)
        return st.integers(-(-low // step), max(-(-low // step), high // step)).map(lambda n: n * step)
    if spec.type.name == "float":
        return st.floats(low, high, allow_nan=False)
    if spec.type.name == "str":
        return st.sampled_from(PROMPTS)
    return st.just(spec.default)


def bounds(spec: InputSpec) -> tuple[float, float, int]:
    """Lowest and highest value of a number, and the step between values."""
    low, high, step = -4.0, 4.0, 1
    if isinstance(spec.default, int | float) and not isinstance(spec.default, bool):
        low, high = spec.default - 4.0, spec.default + 4.0
    floor, ceiling = None, None
    for item in metadata(spec.annotation):
        if isinstance(item, annotated_types.Ge):
            floor = float(item.ge)  # type: ignore[arg-type]
        elif isinstance(item, annotated_types.Gt):
            floor = float(item.gt) + 0.125  # type: ignore[arg-type]
        elif isinstance(item, annotated_types.Le):
            ceiling = float(item.le)  # type: ignore[arg-type]
        elif isinstance(item, annotated_types.Lt):
            ceiling = float(item.lt) - 0.125  # type: ignore[arg-type]
        elif isinstance(item, annotated_types.MultipleOf) and isinstance(item.multiple_of, int):
            step = item.multiple_of
    if spec.name in SMALL:
        low, high = SMALL[spec.name]
    low = low if floor is None else max(low, floor)
    high = high if ceiling is None else min(high, ceiling)
    return low, max(low, high), step


def metadata(annotation: Any) -> Iterator[Any]:
    """The constraints of an annotation and of the members of a union."""
    if hasattr(annotation, "__metadata__"):
        for item in annotation.__metadata__:
            if isinstance(item, FieldInfo):
                yield from item.metadata
        yield from metadata(get_args(annotation)[0])
    elif get_origin(annotation) is not None:
        for member in get_args(annotation):
            yield from metadata(member)
