"""Plans: what will run, what is stored already, and why.

:func:`plan` checks the whole graph, gives every value its key, walks back from the targets and stops at what is
stored. It imports no torch and touches no weights. See ``DESIGN`` in the documentation for what enters a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from graphflow.errors import InvalidInputError, Problem, WorkflowError
from graphflow.files import FileResolver, FileUse, NoFiles
from graphflow.jsontools import digest
from graphflow.link_types import LinkType
from graphflow.node import NodeSpec, shorten
from graphflow.numerics import Numerics
from graphflow.record import make_record
from graphflow.registry import Registry
from graphflow.safety import PART, Policy, guard
from graphflow.settling import Settled
from graphflow.validation import Checked, CheckedNode, Source, validate

Action = Literal["run", "cached", "write", "conditional", "skipped"]


@dataclass(frozen=True)
class Constant:
    """A literal that planning settled."""

    value: Any


Argument = Constant | Source | tuple[Constant | Source, ...]


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
        record: For an effect: what its files carry.
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

    @property
    def sources(self) -> list[Source]:
        """The outputs that it reads."""
        return list(_sources(self.arguments))

    @property
    def weight_bytes(self) -> dict[str, int]:
        """Bytes of weights that it names, by dtype."""
        total: dict[str, int] = {}
        for use in self.files:
            for dtype, size in use.weight_bytes.items():
                total[dtype] = total.get(dtype, 0) + size
        return total


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        steps: By node id, in topological order; only what the targets need.
        targets: The outputs asked for, after switches are settled.
        outputs: The document's named outputs, likewise; a constant where planning settled it.
        selectors: Computed selectors that must be known before planning can go on.
        notices: What the user should know.
        numerics: What enters every key.
        trace: For each node: what its key was made of, so that the next plan can say what changed.
        settled: The document behind it.
    """

    steps: Mapping[str, Step]
    targets: tuple[Source, ...]
    outputs: Mapping[str, Constant | Source]
    selectors: tuple[Source, ...]
    notices: tuple[str, ...]
    numerics: Numerics
    trace: Mapping[str, Mapping[str, Any]]
    settled: Settled

    def count(self, *actions: Action) -> int:
        """Count the steps with one of these actions."""
        return sum(step.action in actions for step in self.steps.values())


def output_key(key: str, output: str) -> str:
    """Return the key under which one output of a node is stored."""
    return hashlib.sha256(f"{key}.{output}".encode()).hexdigest()


def plan(
    settled: Settled,
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
) -> Plan:
    """Plan a run.

    Args:
        settled: The settled document.
        registry: The known node types.
        shelf: Tells what is stored; None is nothing.
        resolver: Finds files; None leaves them unread and their keys unknown.
        numerics: What enters every key beside the graph.
        safety: The safety policy.
        checker: Name of the configured safety checker.
        targets: Node ids or addresses to compute; None is every node with an effect and the document's outputs.
        known: Values of computed selectors, found by an earlier stage of the same run.
        previous: The trace of the last plan of this workflow.

    Raises:
        WorkflowError: With every problem of the document.
    """
    checked = validate(settled.flat, registry)
    problems = [*settled.problems, *checked.problems]
    wanted = _targets(targets, checked, settled, problems)
    planner = _Planner(
        settled=settled,
        shelf=shelf or EmptyShelf(),
        resolver=resolver or NoFiles(),
        numerics=numerics or Numerics(),
        known=known or {},
        previous=previous or {},
        notices=list(checked.notices),
    )
    if problems:
        raise WorkflowError([*problems, *planner.missing_files(checked, problems)])
    guarded = guard(
        checked.nodes, checked.types, registry, policy=safety, checker=checker, has_checker=planner.has_checker
    )
    planner.problems.extend(guarded.problems)
    planner.notices.extend(guarded.notices)
    planner.nodes = guarded.nodes
    planner.types = checked.types
    planner.checks = {
        node_id: {"policy": safety, "checked": bool(filters)} for node_id, filters in guarded.filters.items()
    }
    return planner.run(wanted, settled.flat.outputs, checked)


def _targets(
    targets: Iterable[str] | None, checked: Checked, settled: Settled, problems: list[Problem]
) -> tuple[Source, ...]:
    if targets is None:
        return tuple(checked.targets(settled.flat))
    found: list[Source] = []
    for address in targets:
        source = checked.source(address)
        if source is None or source.output not in checked.nodes[source.node].spec.output_types:
            problems.append(Problem(f"target {address!r}", "there is no such node or output"))
        else:
            found.append(source)
    return tuple(found)


@dataclass
class _Planner:
    settled: Settled
    shelf: Shelf
    resolver: FileResolver
    numerics: Numerics
    known: Mapping[Source, Any]
    previous: Mapping[str, Mapping[str, Any]]
    notices: list[str]
    nodes: Mapping[str, CheckedNode] = field(default_factory=dict)
    types: Mapping[Source, LinkType] = field(default_factory=dict)
    checks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    uses: dict[str, tuple[FileUse, ...]] = field(default_factory=dict)
    stands_for: dict[Source, Constant | Source] = field(default_factory=dict)
    arguments: dict[str, dict[str, Argument]] = field(default_factory=dict)
    keys: dict[str, str | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    selectors: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    trace: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored_artifacts: set[str] = field(default_factory=set)

    # -------------------------------------------------------------------------------- first pass: keys

    def run(self, targets: tuple[Source, ...], outputs: Mapping[str, str], checked: Checked) -> Plan:
        """Key the nodes that the targets need, then decide what must run."""
        wanted = self._ancestors(source.node for source in targets)
        for node_id, node in self.nodes.items():
            if node_id in wanted:
                self._settle(node)
        if self.problems:
            raise WorkflowError(self.problems)
        ends = tuple(dict.fromkeys(end for target in targets if isinstance(end := self._behind(target), Source)))
        steps = self._decide(ends)
        named = {
            name: self._behind(source)
            for name, address in outputs.items()
            if (source := checked.source(address)) is not None
        }
        return Plan(
            steps=steps,
            targets=ends,
            outputs=named,
            selectors=tuple(dict.fromkeys(source for sources in self.selectors.values() for source in sources)),
            notices=tuple(dict.fromkeys(self.notices)),
            numerics=self.numerics,
            trace=self.trace,
            settled=self.settled,
        )

    def _ancestors(self, ends: Iterable[str]) -> set[str]:
        found: set[str] = set()
        stack = list(ends)
        while stack:
            node_id = stack.pop()
            if node_id not in found and node_id in self.nodes:
                found.add(node_id)
                stack.extend(source.node for source in self.nodes[node_id].sources)
        return found

    def _behind(self, source: Source) -> Constant | Source:
        """Follow settled switches, folded constants and duplicates to what really makes a value."""
        return self.stands_for.get(source, source)

    def _settle(self, node: CheckedNode) -> None:
        arguments = self._arguments(node)
        self.arguments[node.id] = arguments
        if node.spec.chooser is not None:
            self._choose(node, arguments)
            return
        if any(source.node in self.unsettled for source in _sources(arguments)):
            self.unsettled.add(node.id)
            self.keys[node.id] = None
            return
        if node.spec.fold and not any(True for _ in _sources(arguments)):
            self._fold(node, arguments)
            return
        self._key(node, arguments)

    def _arguments(self, node: CheckedNode) -> dict[str, Argument]:
        arguments: dict[str, Argument] = {name: Constant(value) for name, value in node.params.items()}
        for name, sources in node.links.items():
            settled = tuple(self._behind(source) for source in sources)
            if node.spec.inputs[name].many:
                arguments[name] = settled
            else:
                arguments[name] = (
                    self._checked_constant(node, name, settled[0]) if isinstance(settled[0], Constant) else settled[0]
                )
        return arguments

    def _checked_constant(self, node: CheckedNode, name: str, constant: Constant) -> Constant:
        parameter = node.spec.inputs[name]
        if parameter.linked or node.spec.map:
            return constant
        value, wrong = parameter.check(constant.value)
        if wrong is not None:
            self.problems.append(Problem(f"nodes.{node.id}.links.{name}", wrong))
        return Constant(value)

    def _choose(self, node: CheckedNode, arguments: Mapping[str, Argument]) -> None:
        chooser = node.spec.chooser
        assert chooser is not None
        literals: dict[str, Any] = {}
        computed: list[Source] = []
        for name, parameter in node.spec.inputs.items():
            if parameter.linked:
                continue
            argument = arguments.get(name)
            if isinstance(argument, Source):
                if argument in self.known:
                    literals[name] = self.known[argument]
                elif argument.node in self.unsettled:
                    self.unsettled.add(node.id)
                    self.keys[node.id] = None
                    return
                else:
                    computed.append(argument)
            else:
                literals[name] = argument.value if isinstance(argument, Constant) else parameter.default
        if computed:
            self.selectors[node.id] = tuple(computed)
            self.unsettled.add(node.id)
            self.keys[node.id] = None
            self.reasons[node.id] = "waits for its selector " + ", ".join(map(str, computed))
            return
        try:
            name, index = chooser(literals)
        except InvalidInputError as error:
            self.problems.append(Problem(f"nodes.{node.id}", error.message, error.advice or ""))
            return
        chosen = arguments.get(name)
        if index is not None and isinstance(chosen, tuple):
            if not 0 <= index < len(chosen):
                self.problems.append(
                    Problem(
                        f"nodes.{node.id}",
                        f"the selector chooses number {index} of {len(chosen)} links",
                        "they count from 0",
                    )
                )
                return
            chosen = chosen[index]
        if chosen is None or isinstance(chosen, tuple):
            self.problems.append(
                Problem(f"nodes.{node.id}.links.{name}", f"the selector chooses {name!r}, which has no link")
            )
            return
        self.stands_for[Source(node.id, node.spec.primary)] = chosen
        self.reasons[node.id] = f"chooses {name}" + (f"[{index}]" if index is not None else "")
        if isinstance(chosen, Source) and chosen.node in self.unsettled:
            self.unsettled.add(node.id)

    def _fold(self, node: CheckedNode, arguments: Mapping[str, Argument]) -> None:
        try:
            result = node.spec.function(**_literals(arguments))
        except InvalidInputError as error:
            self.problems.append(Problem(f"nodes.{node.id}", error.message, error.advice or ""))
            return
        except (ArithmeticError, ValueError, TypeError) as error:
            self.problems.append(Problem(f"nodes.{node.id}", f"{node.spec.type} fails: {error}"))
            return
        for output, value in node.spec.split(result).items():
            self.stands_for[Source(node.id, output)] = Constant(value)
        self.reasons[node.id] = "is " + shorten(result, 60)

    def _key(self, node: CheckedNode, arguments: Mapping[str, Argument]) -> None:
        uses = self.files_of(node, _literals(arguments))
        inputs: dict[str, Any] = {}
        unknown = ""
        for name, parameter in node.spec.inputs.items():
            argument = arguments.get(name)
            if argument is None:
                inputs[name] = parameter.default
                continue
            parts = argument if isinstance(argument, tuple) else (argument,)
            shown: list[Any] = []
            for part in parts:
                if isinstance(part, Constant):
                    shown.append({"value": part.value} if parameter.linked else part.value)
                    continue
                key = self.keys.get(part.node)
                if key is None:
                    unknown = unknown or f"the key of {part.node} is unknown"
                else:
                    shown.append({"key": output_key(key, part.output)})
            inputs[name] = shown if isinstance(argument, tuple) else (shown[0] if shown else None)
        files = {use.need.name: use.fingerprint for use in uses}
        for use in uses:
            if use.fingerprint is None and not use.need.optional:
                unknown = f"the content of {use.need.name!r} is not known before it is fetched"
        material = {"type": node.spec.type, "version": node.spec.version, "inputs": inputs, "files": files}
        numerics = self.numerics.to_json()
        self.trace[node.id] = {"params": inputs, "files": files, "numerics": numerics}
        if unknown:
            self.keys[node.id] = None
            self.reasons[node.id] = unknown
            return
        try:
            key = digest({**material, "numerics": numerics})
        except (TypeError, ValueError) as error:
            self.problems.append(Problem(f"nodes.{node.id}", f"a parameter cannot be part of a key: {error}"))
            return
        self.keys[node.id] = key
        twin = self.by_key.setdefault(key, node.id)
        if twin != node.id and not node.spec.effect and node.spec.cache:
            for output in node.spec.outputs:
                self.stands_for[Source(node.id, output.name)] = Source(twin, output.name)
            self.reasons[node.id] = f"is the same as {twin}"

    def files_of(self, node: CheckedNode, literals: Mapping[str, Any]) -> tuple[FileUse, ...]:
        """Resolve the files that a node reads, once."""
        if node.id in self.uses:
            return self.uses[node.id]
        uses: list[FileUse] = []
        try:
            needs = node.spec.files(literals)
        except InvalidInputError as error:
            self.problems.append(Problem(f"nodes.{node.id}.params", error.message, error.advice or ""))
            needs = []
        for need in needs:
            try:
                use = self.resolver.resolve(need, trusted=(node.id, need.param) in self.settled.trusted)
            except InvalidInputError as error:
                place = f"nodes.{node.id}.params.{need.param}"
                self.problems.append(Problem(place, error.message, error.advice or ""))
                continue
            if use.notice:
                self.notices.append(f"{node.id}: {use.notice}")
            uses.append(use)
        self.uses[node.id] = tuple(uses)
        return self.uses[node.id]

    def missing_files(self, checked: Checked, problems: Sequence[Problem]) -> list[Problem]:
        """Return what is wrong with the files that sound nodes of an unsound document name."""
        unsound = {problem.path.split(".")[1] for problem in problems if problem.path.startswith("nodes.")}
        for node in checked.nodes.values():
            if node.id not in unsound:
                self.files_of(node, node.params)
        return self.problems

    def has_checker(self, node: CheckedNode) -> bool:
        """Tell whether a loader's model has a safety checker, or makes nothing but one."""
        if [output.type.name for output in node.spec.outputs] == [PART]:
            return True
        if any(name in node.links for name, parameter in node.spec.inputs.items() if parameter.model_kind):
            return False
        return any(PART in use.parts for use in self.files_of(node, node.params))

    # ---------------------------------------------------------------------------- second pass: what runs

    def _decide(self, ends: tuple[Source, ...]) -> dict[str, Step]:
        """Walk back from the targets and stop at what is stored."""
        actions: dict[str, Action] = {}
        needed: dict[str, set[str]] = {}
        artifacts: dict[str, tuple[str | None, dict[str, Any]]] = {}
        effects = [source for source in ends if self.nodes[source.node].spec.effect]
        stack = [(source, False) for source in ends if source not in effects]
        for source in effects:
            node = self.nodes[source.node]
            if node.id in self.unsettled:
                actions[node.id] = "conditional"
                stack.extend((before, True) for before in _sources(self.arguments[node.id]))
                continue
            actions[node.id] = "write"
            artifacts[node.id] = self._artifact(node)
            key = artifacts[node.id][0]
            if key is not None and self.shelf.contains(key):
                self.reasons[node.id] = "its files are stored"
                self.stored_artifacts.add(node.id)
            else:
                self.reasons[node.id] = "writes a new result"
                stack.extend((before, False) for before in _sources(self.arguments[node.id]))
        stack.extend((source, False) for sources in self.selectors.values() for source in sources)
        while stack:
            source, conditional = stack.pop()
            before = self._visit(source, conditional, actions, needed)
            stack.extend(before)
        for node_id in self.keys:
            actions.setdefault(node_id, "skipped")
        for node_id in self.reasons:
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
        arguments = _sources(self.arguments[node.id])
        if node.id in self.unsettled or conditional:
            if action is None:
                actions[node.id] = "conditional"
                return [(before, True) for before in arguments]
            return []
        if known and action in ("run", "cached"):
            return []
        key = self.keys[node.id]
        reusable = node.spec.cache and key is not None and action != "run"
        if reusable and all(self.shelf.contains(output_key(key or "", output)) for output in outputs):
            actions[node.id] = "cached"
            self.reasons[node.id] = "stored"
            return []
        if action == "run":
            return []
        actions[node.id] = "run"
        self.reasons[node.id] = self._why(node)
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
            reason=self.reasons.get(node_id, "depends on a switch" if action == "conditional" else "not needed"),
            key=self.keys.get(node_id),
            arguments=self.arguments[node_id],
            files=self.uses.get(node_id, ()),
            needed=tuple(sorted(needed.get(node_id, ()))),
            artifact=artifact,
            artifact_stored=node_id in self.stored_artifacts,
            record=record,
        )

    def _artifact(self, node: CheckedNode) -> tuple[str | None, dict[str, Any]]:
        """Return the key of what an effect writes, and the record that its files carry."""
        before = self._ancestors([node.id])
        uses = [use for node_id in before for use in self.uses.get(node_id, ())]
        record = make_record(self.settled.document, uses, self.numerics, self.checks.get(node.id))
        key = self.keys[node.id]
        return (None if key is None else digest([key, record])), record

    def _why(self, node: CheckedNode) -> str:
        """Say why a node must run, from what its key was made of the last time."""
        if node.id in self.reasons:
            return self.reasons[node.id]
        if not node.spec.cache:
            return "its result is never stored"
        old, new = self.previous.get(node.id), self.trace.get(node.id)
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


def _sources(arguments: Mapping[str, Argument]) -> Iterable[Source]:
    for argument in arguments.values():
        for part in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(part, Source):
                yield part


def _literals(arguments: Mapping[str, Argument]) -> dict[str, Any]:
    """Return the arguments that are constants."""
    literals: dict[str, Any] = {}
    for name, argument in arguments.items():
        if isinstance(argument, Constant):
            literals[name] = argument.value
        elif isinstance(argument, tuple) and all(isinstance(part, Constant) for part in argument):
            literals[name] = [part.value for part in argument if isinstance(part, Constant)]
    return literals
