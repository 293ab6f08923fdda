"""The first pass of planning: what each node gets, and the key of what it makes.

Folds constants, decides switches whose selector is known, finds files and lets equal nodes stand for each other. A key
is the SHA-256 of canonical JSON of the node's type and version, its literals, the keys of what is linked, the
fingerprints of the files it reads, and the numerics.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphflow.basics.jsontools import digest, weight
from graphflow.basics.wording import shorten
from graphflow.errors import InvalidInputError, LimitError, Problem, Problems
from graphflow.limits import LIMITS
from graphflow.planning.checked import CheckedNode, Source, unsound
from graphflow.planning.expand import Expanded
from graphflow.planning.files import FileResolver, FileUse
from graphflow.planning.numerics import Numerics
from graphflow.planning.safety import PART
from graphflow.planning.steps import Argument, Constant, element, literals_of, output_key, sources_of
from graphflow.spec.decorator import FileNeed, NodeSpec

P = TypeVar("P")


def make_key(
    spec: NodeSpec, inputs: Mapping[str, Any], files: Mapping[str, str | None], numerics: Mapping[str, Any]
) -> str:
    """Return the key of what a node makes.

    Args:
        spec: Its type.
        inputs: What :func:`key_inputs` says.
        files: What :func:`key_files` says.
        numerics: Device kind, dtypes and versions.

    Raises:
        TypeError: A literal is nothing that JSON can hold.
        ValueError: A literal is no finite number.
    """
    return digest({"type": spec.type, "version": spec.version, "inputs": inputs, "files": files, "numerics": numerics})


def key_inputs(
    spec: NodeSpec,
    arguments: Mapping[str, Constant | P | tuple[Constant | P, ...]],
    key_of: Callable[[P], str | None],
) -> tuple[dict[str, Any], list[P]]:
    """Return the part that the inputs have in a key, and the linked values whose own keys are unknown.

    Args:
        spec: The node's type.
        arguments: What its inputs get: literals, and what ``key_of`` knows.
        key_of: Gives the key of a value.
    """
    inputs: dict[str, Any] = {}
    missing: list[P] = []
    for name, parameter in spec.inputs.items():
        argument = arguments.get(name)
        if argument is None:
            inputs[name] = parameter.default
            continue
        shown: list[Any] = []
        for part in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(part, Constant):
                shown.append({"value": part.value} if parameter.linked else part.value)
                continue
            key = key_of(part)
            if key is not None:
                shown.append({"key": key})
            else:
                missing.append(part)
        inputs[name] = shown if isinstance(argument, tuple) else (shown[0] if shown else None)
    return inputs, missing


def key_files(uses: Iterable[FileUse]) -> dict[str, str | None]:
    """Return the part that files have in a key."""
    return {f"{use.need.kind} {use.need.name}": use.fingerprint for use in uses}


def known(use: FileUse) -> bool:
    """Tell whether it is known what a file holds, or that nothing is there."""
    return use.fingerprint is not None or use.need.optional


def needs_of(spec: NodeSpec, literals: Mapping[str, Any]) -> list[FileNeed]:
    """Return the files that literals name, of all elements where the node runs once for each.

    Raises:
        InvalidInputError: The node refuses a literal.
    """
    over = [name for name in spec.element_inputs if isinstance(literals.get(name), tuple)]
    count = max((len(literals[name]) for name in over), default=0)
    if not spec.map or not count or not all(literals[name] for name in over):
        return spec.files(literals)
    found = (
        need
        for index in range(count)
        for need in spec.files({**literals, **{name: element(literals[name], index) for name in over}})
    )
    return list(dict.fromkeys(found))


@dataclass
class Keying:
    """Keys nodes one by one, in topological order.

    Attributes:
        expanded: The expanded document.
        resolver: Finds files.
        numerics: What enters every key beside the graph.
        known: Values of computed selectors.
        notices: What the user should know.
        problems: What is wrong.
        arguments: By node: what its inputs get.
        keys: By node: the key of its result, or None where it cannot be known yet.
        reasons: By node: what to say of it.
        uses: By node: the files it reads.
        stands_for: For an output: the constant or the other output that it is.
        undecided: Nodes that wait for a computed selector.
        selectors: By switch: its computed selectors.
        trace: By node: what its key was made of.
        folding: Seconds of computing that constants have taken.
        literals: Characters of the constants that nodes have got.
    """

    expanded: Expanded
    resolver: FileResolver
    numerics: Numerics
    known: Mapping[Source, Any]
    notices: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=Problems)
    arguments: dict[str, dict[str, Argument]] = field(default_factory=dict)
    keys: dict[str, str | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    uses: dict[str, tuple[FileUse, ...]] = field(default_factory=dict)
    stands_for: dict[Source, Constant | Source] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)
    selectors: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    trace: dict[str, dict[str, Any]] = field(default_factory=dict)
    folding: float = 0.0
    literals: int = 0
    _by_key: dict[str, str] = field(default_factory=dict)
    _files: dict[tuple[FileNeed, bool], FileUse | InvalidInputError] = field(default_factory=dict)

    def behind(self, source: Source) -> Constant | Source:
        """Follow decided switches, folded constants and duplicates to what really makes a value."""
        return self.stands_for.get(source, source)

    def key(self, node: CheckedNode) -> None:
        """Key one node; those before it are keyed already."""
        arguments = self._arguments(node)
        self.arguments[node.id] = arguments
        if node.spec.chooser is not None:
            self._choose(node, arguments)
            return
        if any(source.node in self.undecided for source in sources_of(arguments)):
            self.undecided.add(node.id)
            self.keys[node.id] = None
            return
        if node.spec.fold and not any(True for _ in sources_of(arguments)):
            self._fold(node, arguments)
            return
        self._key(node, arguments)

    def _arguments(self, node: CheckedNode) -> dict[str, Argument]:
        arguments = self._found(node)
        given = (part for part in arguments.values() for part in (part if isinstance(part, tuple) else (part,)))
        self.literals += sum(weight(part.value) for part in given if isinstance(part, Constant))
        if self.literals > LIMITS.literals:
            raise LimitError(
                f"the nodes up to this one get constants of more than {LIMITS.literals:,} characters",
                where=f"nodes.{node.id}",
                advice="give long texts and lists to fewer nodes",
            )
        return arguments

    def _found(self, node: CheckedNode) -> dict[str, Argument]:
        arguments: dict[str, Argument] = {name: Constant(value) for name, value in node.params.items()}
        for name, sources in node.links.items():
            behind = tuple(self.behind(source) for source in sources)
            if node.spec.inputs[name].many:
                arguments[name] = behind
            else:
                arguments[name] = (
                    self._checked_constant(node, name, behind[0]) if isinstance(behind[0], Constant) else behind[0]
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
                elif argument.node in self.undecided:
                    self.undecided.add(node.id)
                    self.keys[node.id] = None
                    return
                else:
                    computed.append(argument)
            else:
                literals[name] = argument.value if isinstance(argument, Constant) else parameter.default
        if computed:
            self.selectors[node.id] = tuple(computed)
            self.undecided.add(node.id)
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
        if isinstance(chosen, Source) and chosen.node in self.undecided:
            self.undecided.add(node.id)

    def _fold(self, node: CheckedNode, arguments: Mapping[str, Argument]) -> None:
        if self.folding > LIMITS.folding:
            raise LimitError(
                f"constants take more than {LIMITS.folding:g} s to compute",
                where=f"nodes.{node.id}",
                advice="take out searches and texts that nobody needs",
            )
        started = time.thread_time()
        try:
            result = node.spec.function(**literals_of(arguments))
            outputs = node.spec.split(result)
        except InvalidInputError as error:
            self.problems.append(Problem(f"nodes.{node.id}", error.message, error.advice or ""))
            return
        except Exception as error:  # as NodeError has it for nodes that run
            place = f" (at {found})" if (found := node.spec.place_of(error)) else ""
            self.problems.append(
                Problem(f"nodes.{node.id}", f"{node.spec.type} fails: {type(error).__name__}: {error}{place}")
            )
            return
        finally:
            self.folding += time.thread_time() - started
        for output, value in outputs.items():
            self.stands_for[Source(node.id, output)] = Constant(value)
        self.reasons[node.id] = "is " + shorten(result, 60)

    def _key(self, node: CheckedNode, arguments: Mapping[str, Argument]) -> None:
        uses = self.files_of(node, literals_of(arguments))
        inputs, missing = key_inputs(node.spec, arguments, self._value_key)
        unknown = f"the key of {missing[0].node} is unknown" if missing else ""
        files = key_files(uses)
        for use in uses:
            if not known(use):
                unknown = f"the content of {use.need.name!r} is not known before it is fetched"
        numerics = self.numerics.to_json()
        self.trace[node.id] = {"params": inputs, "files": files, "numerics": numerics}
        if unknown:
            self.keys[node.id] = None
            self.reasons[node.id] = unknown
            return
        try:
            key = make_key(node.spec, inputs, files, numerics)
        except (TypeError, ValueError) as error:
            self.problems.append(Problem(f"nodes.{node.id}", f"a parameter cannot be part of a key: {error}"))
            return
        self.keys[node.id] = key
        twin = self._by_key.setdefault(key, node.id)
        if twin != node.id and not node.spec.effect and node.spec.cache:
            for output in node.spec.outputs:
                self.stands_for[Source(node.id, output.name)] = Source(twin, output.name)
            self.reasons[node.id] = f"is the same as {twin}"

    def _value_key(self, source: Source) -> str | None:
        key = self.keys.get(source.node)
        return None if key is None else output_key(key, source.output)

    def files_of(self, node: CheckedNode, literals: Mapping[str, Any]) -> tuple[FileUse, ...]:
        """Resolve the files that a node reads, once."""
        if node.id in self.uses:
            return self.uses[node.id]
        uses: list[FileUse] = []
        try:
            needs = needs_of(node.spec, literals)
        except InvalidInputError as error:
            self.problems.append(Problem(f"nodes.{node.id}.params", error.message, error.advice or ""))
            needs = []
        for need in needs:
            found = self._found_file(need, trusted=self.expanded.trusts(node.id, need.param), where=f"nodes.{node.id}")
            if isinstance(found, InvalidInputError):
                place = f"nodes.{node.id}.params.{need.param}"
                file = f"{found.where}: " if found.where else ""
                self.problems.append(Problem(place, file + found.message, found.advice or ""))
                continue
            if found.notice:
                self.notices.append(f"{node.id}: {found.notice}")
            uses.append(found)
        self.uses[node.id] = tuple(uses)
        return self.uses[node.id]

    def _found_file(self, need: FileNeed, *, trusted: bool, where: str) -> FileUse | InvalidInputError:
        """Return a file, or why there is none; many nodes may name one, and many names may be none."""
        if (need, trusted) not in self._files:
            if len(self._files) >= LIMITS.files:
                raise LimitError(f"the workflow names more than {LIMITS.files:,} files", where=where)
            try:
                self._files[need, trusted] = self.resolver.resolve(need, trusted=trusted)
            except InvalidInputError as error:
                self._files[need, trusted] = error
        return self._files[need, trusted]

    def missing_files(self, nodes: Iterable[CheckedNode], problems: Sequence[Problem]) -> list[Problem]:
        """Return what is wrong with the files that sound nodes of an unsound document name."""
        wrong = unsound(problems)
        for node in nodes:
            if node.id not in wrong:
                self.files_of(node, node.params)
        return self.problems

    def has_checker(self, node: CheckedNode) -> bool:
        """Tell whether a loader's model has a safety checker, or makes nothing but one."""
        if [output.type.name for output in node.spec.outputs] == [PART]:
            return True
        if any(name in node.links for name, parameter in node.spec.inputs.items() if parameter.model_kind):
            return False
        return any(PART in use.parts for use in self.files_of(node, node.params))
