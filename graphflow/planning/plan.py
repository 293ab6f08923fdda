"""Plans: what will run, what is stored already, and why.

:func:`plan` checks the whole graph, gives every value its key (:mod:`graphflow.planning.keys`), walks back from the targets
and stops at what is stored. It imports no torch and touches no weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from graphflow.basics.jsontools import digest
from graphflow.basics.wording import shorten
from graphflow.document.document import Document
from graphflow.planning.checked import CheckedNode, Source
from graphflow.planning.expand import Expanded
from graphflow.planning.files import FileResolver, FileUse, NoFiles
from graphflow.planning.keys import Keying
from graphflow.planning.lowering import lower
from graphflow.planning.marking import source_type
from graphflow.planning.numerics import Numerics
from graphflow.planning.reach import Reach
from graphflow.planning.record import BUILTIN, STANDING_IN, bare_names, differences, make_facts, renamed, versions_here
from graphflow.planning.safety import Policy
from graphflow.planning.steps import Action, Mark, Plan, Step, output_key, sources_of
from graphflow.spec.registry import Registry


class Shelf(Protocol):
    """What planning asks of the store."""

    def contains(self, key: str) -> bool:
        """Tell whether a value is stored."""
        ...


class EmptyShelf:
    """A store that holds nothing."""

    def contains(self, key: str) -> bool:
        """Return False."""
        return False


def plan(
    expanded: Expanded,
    registry: Registry,
    *,
    shelf: Shelf | None = None,
    resolver: FileResolver | None = None,
    numerics: Numerics | None = None,
    safety: Policy = "auto",
    checker: str | None = None,
    targets: Iterable[str] | None = None,
    known: Mapping[Source, Any] | None = None,
    previous: Mapping[str, Mapping[str, Any]] | None = None,
    marks: Mapping[str, Mark] | None = None,
    metadata: bool = True,
    marking: bool = True,
) -> Plan:
    """Plan a run.

    Args:
        expanded: The expanded document.
        registry: The known node types.
        shelf: Tells what is stored; None is nothing.
        resolver: Finds files; None leaves them unread and their keys unknown.
        numerics: What enters every key beside the graph.
        safety: The safety policy.
        checker: Name of the configured safety checker.
        targets: Node ids or addresses to compute; None is every node with an effect and the document's outputs.
        known: Values of computed selectors, found by an earlier stage of the same run.
        previous: The trace of the last plan of this workflow.
        marks: By key: steps that are computed together with those of other plans.
        metadata: Whether files carry the workflow and a record.
        marking: Whether they say that a model made them.

    Raises:
        WorkflowError: With every problem of the document.
    """
    keying = Keying(
        expanded=expanded,
        resolver=resolver or NoFiles(),
        numerics=numerics or Numerics(),
        known=known or {},
        marks=marks or {},
    )
    lowered = lower(expanded, registry, keying, safety=safety, checker=checker, targets=targets)
    targets_behind = dict.fromkeys(keying.behind(end) for end in lowered.ends)
    sources = tuple(end for end in targets_behind if isinstance(end, Source))
    filters = lowered.guarded.filters
    checks = {node_id: {"policy": safety, "checked": bool(before)} for node_id, before in filters.items()}
    decision = _Decision(
        keying, lowered.nodes, shelf or EmptyShelf(), previous or {}, checks, metadata, marking, registry.versions
    )
    named = {name: lowered.checked.source(address) for name, address in expanded.flat.outputs.items()}
    steps = decision.steps(sources)
    random = sorted({use.need.name for step in steps.values() for use in step.files if use.stands_in})
    records = (step.record.get("record") for step in steps.values() if step.record is not None)
    here: Mapping[str, Any] = next((record for record in records if record is not None), {})
    differ = differences(expanded.document.record, {**here, **versions_here()})
    told = [f"{STANDING_IN} {', '.join(random)}: what comes of them shows nothing"] if random else []
    return Plan(
        steps=steps,
        targets=sources,
        outputs={name: keying.behind(source) for name, source in named.items() if source is not None},
        selectors=tuple(dict.fromkeys(source for found in keying.selectors.values() for source in found)),
        notices=(*lowered.notices, *told, *filter(None, [differ])),
        numerics=keying.numerics,
        trace=keying.trace,
        expanded=expanded,
    )


@dataclass
class _Decision:
    """The second pass: walks back from the targets and stops at what is stored."""

    keying: Keying
    nodes: Mapping[str, CheckedNode]
    shelf: Shelf
    previous: Mapping[str, Mapping[str, Any]]
    checks: Mapping[str, Mapping[str, Any]]
    metadata: bool
    marking: bool
    packs: Mapping[str, str]
    stored_artifacts: set[str] = field(default_factory=set)

    def steps(self, ends: tuple[Source, ...]) -> dict[str, Step]:
        """Walk back from the targets and stop at what is stored."""
        actions: dict[str, Action] = {}
        needed: dict[str, set[str]] = {}
        artifacts: dict[str, tuple[str | None, dict[str, Any]]] = {}
        effects = [source for source in ends if self.nodes[source.node].spec.effect]
        stack = [(source, False) for source in ends if not self.nodes[source.node].spec.effect]
        for source in effects:
            node = self.nodes[source.node]
            if node.id in self.keying.undecided:
                actions[node.id] = "conditional"
                stack.extend((before, True) for before in sources_of(self.keying.arguments[node.id]))
                continue
            actions[node.id] = "write"
            artifacts[node.id] = self._artifact(node)
            key = artifacts[node.id][0]
            if key is not None and self.shelf.contains(key):
                self.keying.reasons[node.id] = "its files are stored"
                self.stored_artifacts.add(node.id)
            else:
                self.keying.reasons[node.id] = "writes a new result"
                stack.extend((before, False) for before in sources_of(self.keying.arguments[node.id]))
        stack.extend((source, False) for sources in self.keying.selectors.values() for source in sources)
        while stack:
            source, conditional = stack.pop()
            before = self._visit(source, conditional, actions, needed)
            stack.extend(before)
        for node_id in (*self.keying.keys, *self.keying.reasons):
            actions.setdefault(node_id, "skipped")
        return {
            node_id: self._step(node_id, actions[node_id], needed, artifacts)
            for node_id in self.nodes
            if node_id in actions
        }

    def _visit(
        self, source: Source, conditional: bool, actions: dict[str, Action], needed: dict[str, set[str]]
    ) -> list[tuple[Source, bool]]:
        """Decide one node; returns what it needs in turn, with whether that is conditional too."""
        node = self.nodes[source.node]
        outputs = needed.setdefault(node.id, set())
        known, action = source.output in outputs, actions.get(node.id)
        outputs.add(source.output)
        arguments = sources_of(self.keying.arguments[node.id])
        if node.id in self.keying.undecided or conditional:
            if action is None:
                actions[node.id] = "conditional"
                return [(before, True) for before in arguments]
            return []
        if known and action in ("run", "cached"):
            return []
        key = self.keying.keys[node.id]
        reusable = node.spec.cache and key is not None and action != "run"
        if reusable and all(self.shelf.contains(output_key(key or "", output)) for output in outputs):
            actions[node.id] = "cached"
            self.keying.reasons[node.id] = "stored"
            return []
        if action == "run":
            return []
        actions[node.id] = "run"
        self.keying.reasons[node.id] = self._why(node)
        return [(before, False) for before in arguments]

    def _step(
        self,
        node_id: str,
        action: Action,
        needed: Mapping[str, set[str]],
        artifacts: Mapping[str, tuple[str | None, dict[str, Any]]],
    ) -> Step:
        node = self.nodes[node_id]
        artifact, record = artifacts.get(node_id, (None, None))
        return Step(
            id=node_id,
            spec=node.spec,
            title=node.title,
            action=action,
            reason=self.keying.reasons.get(node_id, "depends on a switch" if action == "conditional" else "not needed"),
            key=self.keying.keys.get(node_id),
            arguments=self.keying.arguments[node_id],
            files=self.keying.uses.get(node_id, ()),
            needed=tuple(sorted(needed.get(node_id, ()))),
            artifact=artifact,
            artifact_stored=node_id in self.stored_artifacts,
            record=record,
            mark=self.keying.marked.get(node_id),
            descends=self._descends(node_id) if record else (),
        )

    @cached_property
    def _names(self) -> dict[str, str]:
        return bare_names(self.nodes.values(), self.keying.uses, self.keying.expanded)

    @cached_property
    def _workflow(self) -> tuple[Any, str]:
        """The document as files carry it, with its digest; made once for all of them."""
        versions = {node.spec.type: node.spec.version for node in self.nodes.values()}
        workflow = renamed(_with_versions(self.keying.expanded.document, versions).to_json(), self._names)
        return workflow, digest(workflow)

    @cached_property
    def _uses(self) -> tuple[list[FileUse], Reach[int]]:
        """The files that nodes read, under the names that records have for them, and which each node descends from."""
        listed: list[FileUse] = []
        own: dict[str, list[int]] = {}
        for node, found in self.keying.uses.items():
            for use in found:
                own.setdefault(node, []).append(len(listed))
                listed.append(self._called(use))
        return listed, Reach(self.nodes, own)

    @cached_property
    def _types(self) -> Reach[tuple[str, int, bool, str]]:
        """The types of the nodes that each descends from: names, versions, whether they generate, and packs."""
        specs = {node.id: node.spec for node in self.nodes.values()}
        told = {id: [(spec.type, spec.version, spec.generates, spec.pack)] for id, spec in specs.items()}
        return Reach(self.nodes, told)

    def _descends(self, node_id: str) -> tuple[FileUse, ...]:
        """Return the files that what a node makes descends from."""
        listed, reach = self._uses
        return tuple(listed[place] for place in reach.of(node_id))

    @cached_property
    def _batched(self) -> Reach[str]:
        """The nodes before each that are computed together with those of other plans."""
        return Reach(self.nodes, {node: [node] for node in self.keying.marked})

    def _artifact(self, node: CheckedNode) -> tuple[str | None, dict[str, Any]]:
        """Return the key of what an effect writes, and the record that its files carry."""
        uses = self._descends(node.id)
        types = self._types.of(node.id)
        record: dict[str, Any] = {}
        if self.metadata:
            files = {use.need.name: use.fingerprint for use in uses if use.fingerprint}
            random = {use.need.name for use in uses if use.stands_in}
            versions = [(type, version) for type, version, *_ in types]
            packs = {pack: self.packs[pack] for *_, pack in types if pack != BUILTIN and self.packs.get(pack)}
            checks, numerics = self.checks.get(node.id), self.keying.numerics
            record["record"] = make_facts(node.id, versions, packs, files, numerics, checks, random)
            if batched := self._batched.of(node.id):
                record["record"]["batched"] = sorted(batched)
        if self.marking and (mark := source_type(any(generates for _, _, generates, _ in types), uses)):
            record["mark"] = mark
        key = self.keying.keys[node.id]
        workflow, digest_of_it = self._workflow if self.metadata else (None, "")
        artifact = None if key is None else digest([key, digest_of_it, record])
        return artifact, {"workflow": workflow, **record} if self.metadata else record

    def _called(self, use: FileUse) -> FileUse:
        """Return a file under the name that records have for it."""
        name = self._names.get(use.need.name)
        return use if name is None else replace(use, need=replace(use.need, name=name))

    def _why(self, node: CheckedNode) -> str:
        """Say why a node must run, from what its key was made of the last time."""
        if node.id in self.keying.reasons:
            return self.keying.reasons[node.id]
        if not node.spec.cache:
            return "its result is never stored"
        old, new = self.previous.get(node.id), self.keying.trace.get(node.id)
        if old is None or new is None:
            return "no result is stored"
        changes = [
            name
            if isinstance(value, dict | list)
            else f"{name} {shorten(old['params'].get(name), 20)} → {shorten(value, 20)}"
            for name, value in new["params"].items()
            if old["params"].get(name) != value
        ]
        changes += [f"file {name}" for name, mark in new["files"].items() if old["files"].get(name) != mark]
        changes += [
            f"{name} {old['numerics'].get(name)} → {value}"
            for name, value in new["numerics"].items()
            if old["numerics"].get(name) != value
        ]
        if changes:
            return "changed: " + ", ".join(changes)
        return "its result is no longer stored" if node.spec.persist else "its result is kept in memory only"


def _with_versions(document: Document, versions: Mapping[str, int]) -> Document:
    """Return a document that tells the versions of its node types, so that later ones can migrate it."""
    nodes = {
        id: entry if entry.version else entry.model_copy(update={"version": versions.get(entry.type)})
        for id, entry in document.nodes.items()
    }
    inner = {name: _with_versions(part, versions) for name, part in document.workflows.items()}
    return document.model_copy(update={"nodes": nodes, "workflows": inner})
