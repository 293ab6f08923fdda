"""The planning pass that puts a safety filter before everything that is saved.

What is written is what is checked: the filter is the last thing before a node with an effect, on each link that carries
pictures descending from a node that generates, whatever filters the document has of its own (``save~safety``). The
checker is that of the nearest checkpoint upstream, else the configured one; under ``require`` every checker at hand
looks, since a document chooses which is nearest. What a filter cannot look at is refused under ``require``. The filters
are shown, keyed and cached like any node, and never written back to the document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from typing import Literal, get_args

from graphflow.errors import InvalidInputError, LimitError, Problem, Problems
from graphflow.limits import LIMITS
from graphflow.planning.checked import CheckedNode, Source
from graphflow.planning.reach import Reach, ancestors
from graphflow.spec.decorator import NodeSpec
from graphflow.spec.link_types import LinkType
from graphflow.spec.registry import Registry
from graphflow.spec.spec import InputSpec
from graphflow.values import Recipe
from graphflow.values.types import type_name

Policy = Literal["auto", "require", "off"]
PART = "safety_checker"
"""Name of a checkpoint's part, and of the output and value type, that holds a checker."""

_UNSEEN = frozenset({"int", "float", "str", "bool", "json", "audio"})
"""Types that show no picture, beside recipes of models. All others count as pictures, those of packs as well."""

_LATENTS = "latent"
"""The kind of file that holds what a run has sampled."""


@dataclass
class Guarded:
    """The graph with filters.

    Attributes:
        nodes: All nodes; filters stand before the nodes that they guard.
        filters: For each effect node that shows pictures: the filters put before it, or () where any of them is not
            checked.
        problems: Under ``require``: what cannot be checked.
        notices: Under ``auto``: what is not checked.
    """

    nodes: dict[str, CheckedNode]
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=Problems)
    notices: list[str] = field(default_factory=list)


def guard(
    nodes: Mapping[str, CheckedNode],
    types: Mapping[Source, LinkType],
    registry: Registry,
    *,
    policy: Policy,
    checker: str | None,
    has_checker: Callable[[CheckedNode], bool],
) -> Guarded:
    """Insert the filters.

    Args:
        nodes: The checked graph, in topological order.
        types: Type of each output.
        registry: Where the filter and the loader of the configured checker come from.
        policy: ``auto`` checks where a checker is at hand, ``require`` refuses without one, ``off`` inserts nothing.
        checker: Name of the configured checker model, or None.
        has_checker: Tells whether a node with a ``safety_checker`` output really has one.

    Raises:
        InvalidInputError: There is no such policy.
    """
    if policy not in get_args(Policy):  # a misspelt one must not check less than was meant
        raise InvalidInputError(
            f"there is no safety policy {policy!r}", where="safety", advice=f"use one of {', '.join(get_args(Policy))}"
        )
    if policy == "off":
        return Guarded(dict(nodes))
    pass_ = _Pass(nodes, types, registry, policy, checker, has_checker)
    for node in nodes.values():
        pass_.result.nodes[node.id] = pass_.guarded(node) if node.spec.effect else node
    return pass_.result


class _Pass:
    """The pass over one graph; the arguments are those of :func:`guard`."""

    def __init__(
        self,
        nodes: Mapping[str, CheckedNode],
        types: Mapping[Source, LinkType],
        registry: Registry,
        policy: Policy,
        checker: str | None,
        has_checker: Callable[[CheckedNode], bool],
    ) -> None:
        self.result = Guarded({})
        self._nodes = nodes
        self._types = types
        self._registry = registry
        self._strict = policy == "require"
        self._checker = checker
        self._has_checker = has_checker
        self._unseen = _UNSEEN.union(type_name(recipe) or "" for recipe in Recipe.__subclasses__())
        self._generated: set[str] = set()
        for node in nodes.values():
            if self._generates(node.spec) or any(before.node in self._generated for before in node.sources):
                self._generated.add(node.id)

    def _generates(self, spec: NodeSpec) -> bool:
        """Tell whether nobody has seen before what a node makes; a file of latents was sampled in some run."""
        return spec.generates or (
            self._strict and any(parameter.file_kind == _LATENTS for parameter in spec.inputs.values())
        )

    def guarded(self, node: CheckedNode) -> CheckedNode:
        """Put filters before a node with an effect."""
        filters: list[str] = []
        unchecked: dict[str, str] = {}
        links = {
            name: tuple(self._filtered(node, node.spec.inputs[name], source, filters, unchecked) for source in sources)
            for name, sources in node.links.items()
        }
        if filters or unchecked:
            self.result.filters[node.id] = () if unchecked else tuple(filters)
        for message, way_out in unchecked.items():
            if self._strict:
                problem = Problem(f"nodes.{node.id}", f"{message}, and the policy is 'require'", way_out)
                self.result.problems.append(problem)
            else:
                self.result.notices.append(f"{node.id}: {message}, so that is not checked ({way_out})")
        return replace(node, links=links) if filters else node

    def _filtered(
        self, node: CheckedNode, taking: InputSpec, source: Source, filters: list[str], unchecked: dict[str, str]
    ) -> Source:
        """Return what an input gets instead of a source."""
        kind = _element(self._types.get(source, LinkType("any")))
        if kind == "any":  # nobody knows what it is, so it is what the input takes
            kind = _element(taking.type)
        if taking.described or source.node not in self._generated or kind in self._unseen:
            return source
        checking = _filter_for(kind, self._registry)
        if checking is None:
            what = "what nobody knows the type of" if kind == "any" else kind
            unchecked[f"no filter can check the {what} that it writes"] = "save the decoded pictures instead"
            return source
        checkers = self._checkers(node.id, source)
        if not checkers:
            unchecked["no safety checker is at hand for what this node writes"] = (
                "set GRAPHFLOW_SAFETY_CHECKER or safety_checker in the settings to a safety checker model, "
                "or use a checkpoint that has one"
            )
        spec, pictures, looking = checking
        for checker in checkers:
            filter_id = self._new_id(f"{node.id}~safety")
            links = {pictures: (source,), looking: (checker,)}
            if len(self.result.nodes) >= LIMITS.nodes:
                raise LimitError(f"the workflow has more than {LIMITS.nodes:,} nodes with the safety filters")
            self.result.nodes[filter_id] = CheckedNode(filter_id, spec, {}, links, frozenset(), None)
            filters.append(filter_id)
            source = Source(filter_id, spec.primary)
        return source

    def _checkers(self, node_id: str, source: Source) -> list[Source]:
        """Return who checks a picture."""
        found = list(self._before.of(source.node)) if self._strict else self._nearest.get(source.node, (0, []))[1]
        if self._checker is not None and (self._strict or not found):
            found = [*found, self._configured(node_id, self._checker)]
        return found

    @cached_property
    def _own(self) -> dict[str, list[Source]]:
        """The checkers that each node makes."""
        shown = {
            source.node for node in self._nodes.values() if node.spec.effect for source in node.sources
        } & self._generated
        own: dict[str, list[Source]] = {}
        for node_id in ancestors(shown, self._nodes):
            node = self._nodes[node_id]
            outputs = [Source(node_id, output.name) for output in node.spec.outputs if output.type.name == PART]
            if outputs and self._has_checker(node):
                own[node_id] = outputs
        return own

    @cached_property
    def _before(self) -> Reach[Source]:
        """All checkers at or before each node."""
        return Reach(self._nodes, self._own)

    @cached_property
    def _nearest(self) -> dict[str, tuple[int, list[Source]]]:
        """The nearest checker at or before each node, with how many links away it is; of several the first link's."""
        found: dict[str, tuple[int, list[Source]]] = {}
        for node in self._nodes.values():
            if node.id in self._own:
                found[node.id] = (0, self._own[node.id][:1])
            elif known := [found[before.node] for before in node.sources if before.node in found]:
                links, nearest = min(known, key=itemgetter(0))
                found[node.id] = (links + 1, nearest)
        return found

    def _configured(self, node_id: str, checker: str) -> Source:
        """Add a node that loads the configured checker."""
        for spec in self._registry.specs.values():
            naming = next((name for name, parameter in spec.inputs.items() if parameter.model_kind == PART), None)
            if naming is not None and spec.output_types.get(spec.primary, LinkType("any")).name == PART:
                loader_id = self._new_id(f"{node_id}~checker")
                loader = CheckedNode(loader_id, spec, {naming: checker}, {}, frozenset(), None)
                self.result.nodes[loader_id] = loader
                return Source(loader_id, spec.primary)
        raise LookupError("the registry has no node that loads a safety checker")

    def _new_id(self, wanted: str) -> str:
        """Return an id that no node of the document and none of this pass has."""
        found, number = wanted, 1
        while found in self._nodes or found in self.result.nodes:
            number += 1
            found = f"{wanted}-{number}"
        return found


def _element(kind: LinkType) -> str:
    return kind.item.name if kind.item is not None else kind.name


def _filter_for(kind: str, registry: Registry) -> tuple[NodeSpec, str, str] | None:
    """Return the filter node for a type, its input for the pictures and its input for the checker."""
    for spec in registry.specs.values():
        if not spec.checks:
            continue
        pictures = next((name for name, parameter in spec.inputs.items() if parameter.type.name == kind), None)
        checker = next((name for name, parameter in spec.inputs.items() if parameter.type.name == PART), None)
        if pictures is not None and checker is not None:
            return spec, pictures, checker
    return None
