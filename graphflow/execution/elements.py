"""From a plan to tasks. A step that runs once per element of a sequence becomes a task for each, keyed by its own inputs.

How long a sequence is stands in the plan or in the store, or is known once the step that makes it has run. Steps wait
for that and for no more, so a chain of such steps becomes tasks at once. Of the elements, only those become tasks that
somebody needs and that are not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphflow.basics.jsontools import digest
from graphflow.execution.task import Input, Item, Literal, Ref, Series, Task, TaskFile
from graphflow.planning.checked import Source
from graphflow.planning.files import FileUse
from graphflow.planning.keys import key_files, key_inputs, known, make_key
from graphflow.planning.steps import Constant, Plan, Step, element, item_key, literals_of, output_key


@dataclass(frozen=True)
class Elements:
    """A stored sequence whose elements are stored as values of their own.

    Attributes:
        keys: Their keys.
    """

    keys: tuple[str, ...]


class Placed(NamedTuple):
    """A step that has become tasks.

    Attributes:
        step: The step.
        over: The inputs that give each element its own value; empty for a step that is one task.
        keys: The elements' keys.
    """

    step: Step
    over: frozenset[str] = frozenset()
    keys: tuple[str | None, ...] = ()


class Pending(NamedTuple):
    """A task to come; it is made when it begins.

    Attributes:
        name: What it is called in its run.
        placed: The step.
        element: Which element of it, from 0; None for a whole step.
        stored: For a node with an effect: whether its files are stored.
    """

    name: str
    placed: Placed
    element: int | None
    stored: bool


class Origin(NamedTuple):
    """Whose value stands at an address.

    Attributes:
        node: Whose.
        output: Which output.
        element: Which element of it, from 0; None for the whole.
        elements: Of how many.
    """

    node: str
    output: str
    element: int | None = None
    elements: int | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """A linked value: how a task gets it, and its key as far as that is known."""

    given: Ref | Item | Series
    key: str | None


_Argument = Constant | _Part | tuple[Constant | _Part, ...]


class Unrolling:
    """Turns the steps of one run into tasks.

    Args:
        plan: The plan.
        steps: The steps to run, in topological order.
        contains: Tells whether a value is stored.
        look: Reads the stored value of a source, given its address.
        kept: Sources whose values the caller wants back.

    Attributes:
        waiting: Steps that are no tasks yet, because it is not known how long a sequence is.
        origins: By address: whose value it is.
    """

    def __init__(
        self,
        plan: Plan,
        steps: Mapping[str, Step],
        *,
        contains: Callable[[str], bool],
        look: Callable[[Source, str], Any],
        kept: Iterable[Source],
    ) -> None:
        self._plan = plan
        self._steps = steps
        self._contains = contains
        self._look = look
        self._kept = {source.node for source in kept}
        self._numerics = plan.numerics.to_json()
        self._maybe = plan.maybe_sequences()
        self._lengths: dict[Source, int | None] = {}
        self._references: dict[tuple[str, str], Ref | Series] = {}
        self._placed: dict[str, Placed] = {}
        self._made: set[str] = set()
        self.waiting = list(steps.values())
        self.origins: dict[str, Origin] = {}

    # ------------------------------------------------------------------------------------ what is known

    def is_placed(self, source: Source) -> bool:
        """Tell whether it is known where the value of a source is or will be."""
        return source.node not in self._steps or source.node in self._placed

    def addresses(self, source: Source) -> tuple[str, ...]:
        """Return the address of a source's value, or those of its elements."""
        reference = self._reference(source.node, source.output)
        return reference.addresses if isinstance(reference, Series) else (reference.address,)

    def address(self, node: str, output: str, index: int | None) -> str:
        """Return the address of an output's value, or of one element of it."""
        reference = self._reference(node, output)
        return reference.address if isinstance(reference, Ref) else reference.addresses[index or 0]

    def awaits(self, step: str) -> bool:
        """Tell whether anything waits to know how long a sequence is that a step makes."""
        return any(source.node == step for other in self.waiting for source in other.sources)

    def learn(self, source: Source, value: Any) -> None:
        """Take note of what a step has made."""
        self._lengths[source] = len(value) if isinstance(value, tuple) else None

    def _length(self, source: Source) -> int | None:
        """Return how long a sequence is; None for what is none.

        Raises:
            LookupError: That is not known yet.
        """
        if source not in self._maybe:
            return None
        placed = self._placed.get(source.node)
        if placed is not None and placed.over:
            return len(placed.keys)
        if source not in self._lengths:
            if source.node in self._steps:
                raise LookupError(str(source))
            value = self._look(source, self.addresses(source)[0])
            if isinstance(value, Elements):
                reference = self._named(source.node, source.output, value.keys)
                self._references[source.node, source.output] = reference
                self._lengths[source] = len(value.keys)
            else:
                self.learn(source, value)
        return self._lengths[source]

    def _reference(self, node: str, output: str) -> Ref | Series:
        reference = self._references.get((node, output))
        if reference is None:
            placed = self._placed.get(node)
            if placed is not None and placed.over:
                addresses = (
                    _address(placed.step, key, output, f"{node}[{index}]") for index, key in enumerate(placed.keys)
                )
                reference = self._named(node, output, tuple(addresses))
            else:
                step = self._plan.steps[node]
                reference = Ref(_address(step, step.key, output, node))
                self.origins[reference.address] = Origin(node, output)
            self._references[node, output] = reference
        return reference

    def _named(self, node: str, output: str, addresses: tuple[str, ...]) -> Series:
        for index, address in enumerate(addresses):
            self.origins.setdefault(address, Origin(node, output, index, len(addresses)))
        return Series(addresses)

    # ---------------------------------------------------------------------------------------- to tasks

    def place(self) -> tuple[list[Placed], list[Pending]]:
        """Turn every step into tasks of which enough is known; returns both, in topological order."""
        fresh: list[Placed] = []
        waiting: list[Step] = []
        for step in self.waiting:
            placed = self._place(step, behind=bool(waiting))
            if placed is None:
                waiting.append(step)
            else:
                self._placed[step.id] = placed
                fresh.append(placed)
        self.waiting = waiting
        return fresh, self._tasks(fresh)

    def _place(self, step: Step, *, behind: bool) -> Placed | None:
        """Return a step as tasks, or None where it has to wait; ``behind`` tells whether an earlier one has to."""
        if step.artifact_stored:
            return Placed(step)
        if behind and not all(self.is_placed(source) for source in step.sources):
            return None
        over: dict[str, int] = {}
        for name in step.spec.element_inputs:
            argument = step.arguments.get(name)
            if isinstance(argument, Constant) and isinstance(argument.value, tuple):
                over[name] = len(argument.value)
            elif isinstance(argument, Source):
                try:
                    length = self._length(argument)
                except LookupError:
                    return None
                if length is not None:
                    over[name] = length
        count = max(over.values()) if over and all(over.values()) else 0
        if not over or (step.spec.effect and count < 2):
            return Placed(step)
        if step.spec.effect:
            numbers = range(count)
            keys = tuple(None if step.artifact is None else digest([step.artifact, "part", index]) for index in numbers)
        else:
            keys = tuple(self._element_key(step, index, frozenset(over)) for index in range(count))
        return Placed(step, frozenset(over), keys)

    def _element_key(self, step: Step, index: int, over: frozenset[str]) -> str | None:
        inputs, missing = key_inputs(step.spec, self._arguments(step, index, over), lambda part: part.key)
        files = _files(step, index, over)
        if missing or not all(known(use) for use in files):
            return None
        return make_key(step.spec, inputs, key_files(files), self._numerics)

    def _tasks(self, fresh: list[Placed]) -> list[Pending]:
        """Walk back from what is read and stop at what is stored."""
        if not any(placed.over for placed in fresh):
            return [Pending(placed.step.id, placed, None, placed.step.artifact_stored) for placed in fresh]
        whole = self._kept | {source.node for step in self.waiting for source in step.sources}
        some: dict[str, set[int]] = {}
        found: list[list[Pending]] = []
        for placed in reversed(fresh):
            step = placed.step
            if not placed.over:
                found.append([Pending(step.id, placed, None, step.artifact_stored)])
                if not step.artifact_stored:
                    whole.update(source.node for source in step.sources)
                continue
            everything = step.spec.effect or step.id in whole
            tasks: list[Pending] = []
            for index in range(len(placed.keys)) if everything else sorted(some.get(step.id, ())):
                key = placed.keys[index]
                stored = key is not None and self._is_stored(step, key)
                if not stored:
                    self._demand(placed, index, whole, some)
                if not stored or step.spec.effect:
                    tasks.append(Pending(f"{step.id}[{index}]", placed, index, stored))
            found.append(tasks)
        return [task for tasks in reversed(found) for task in tasks if self._is_new(task)]

    def _is_stored(self, step: Step, key: str) -> bool:
        if step.spec.effect:
            return self._contains(key)
        return step.spec.cache and all(self._contains(output_key(key, output)) for output in step.needed)

    def _demand(self, placed: Placed, index: int, whole: set[str], some: dict[str, set[int]]) -> None:
        for name, argument in placed.step.arguments.items():
            for source in argument if isinstance(argument, tuple) else (argument,):
                if isinstance(source, Constant):
                    continue
                before = self._placed.get(source.node)
                if name in placed.over and before is not None and before.over:
                    some.setdefault(source.node, set()).add(min(index, len(before.keys) - 1))
                else:
                    whole.add(source.node)

    def _is_new(self, pending: Pending) -> bool:
        """Tell whether no equal element has become a task before."""
        if pending.element is None or (key := pending.placed.keys[pending.element]) is None:
            return True
        fresh = key not in self._made or not pending.placed.step.spec.cache
        self._made.add(key)
        return fresh

    def reads(self, pending: Pending) -> tuple[str, ...]:
        """Return the addresses that a task will read."""
        found: list[str] = []
        step, index, over = pending.placed.step, pending.element, pending.placed.over
        for name, argument in {} if pending.stored else step.arguments.items():
            if name in over:
                if isinstance(argument, Source) and index is not None:
                    found.append(self._element(argument, index).address)
                continue
            for part in argument if isinstance(argument, tuple) else (argument,):
                if isinstance(part, Source):
                    reference = self._reference(part.node, part.output)
                    if isinstance(reference, Ref):
                        found.append(reference.address)
                    else:
                        found.extend(reference.addresses)
        if index and step.spec.effect:  # in order, so that names and numbers are those of an undisturbed run
            found.append(next_number(step.id, index - 1))
        return tuple(found)

    def makes(self, pending: Pending) -> tuple[str, ...]:
        """Return the addresses of what a task will make."""
        step, index = pending.placed.step, pending.element
        if step.spec.effect:
            return () if index is None else (next_number(step.id, index),)
        return tuple([self.address(step.id, output.name, index) for output in step.spec.outputs])

    def task(self, pending: Pending) -> Task:
        """Make a task."""
        step, index, stored = pending.placed.step, pending.element, pending.stored
        over, keys = pending.placed.over, pending.placed.keys
        constants: dict[str, Any] = {}
        inputs: dict[str, Input | tuple[Input, ...]] = {}
        for name, argument in {} if stored else step.arguments.items():
            if isinstance(argument, Constant):
                constants[name] = argument.value if name not in over else element(argument.value, index or 0)
            elif isinstance(argument, Source):
                inputs[name] = (
                    self._reference(argument.node, argument.output)
                    if name not in over
                    else self._element(argument, index or 0)
                )
            else:
                inputs[name] = tuple(
                    Literal(part.value) if isinstance(part, Constant) else self._reference(part.node, part.output)
                    for part in argument
                )
        key = step.artifact if step.spec.effect else step.key
        if index is not None:
            key = keys[index]
            if step.spec.part is not None and index == 0:
                constants[step.spec.part] = 0
            elif step.spec.part is not None:
                inputs[step.spec.part] = Ref(next_number(step.id, index - 1))
        trusts = self._plan.expanded.trusts
        files = _files(step, index, over)
        return Task(
            step=step.id,
            type=step.spec.type,
            version=step.spec.version,
            key=key,
            constants=constants,
            inputs=inputs,
            files=tuple([_task_file(use, trusted=trusts(step.id, use.need.param)) for use in files]),
            record=step.record,
            needed=step.needed,
            stored=stored,
            element=index,
            elements=None if index is None else len(keys),
        )

    def _arguments(self, step: Step, index: int, over: frozenset[str]) -> dict[str, _Argument]:
        """Return what one element gets, with the keys of what is linked."""
        arguments: dict[str, _Argument] = {}
        for name, argument in step.arguments.items():
            if isinstance(argument, tuple):
                arguments[name] = tuple(part if isinstance(part, Constant) else self._part(part) for part in argument)
            elif isinstance(argument, Source):
                arguments[name] = self._part(argument) if name not in over else self._element_part(argument, index)
            else:
                arguments[name] = argument if name not in over else Constant(element(argument.value, index))
        return arguments

    def _part(self, source: Source) -> _Part:
        key = self._plan.steps[source.node].key
        return _Part(
            self._reference(source.node, source.output), None if key is None else output_key(key, source.output)
        )

    def _element(self, source: Source, index: int) -> Ref | Item:
        reference = self._reference(source.node, source.output)
        if isinstance(reference, Ref):
            return Item(reference.address, min(index, (self._lengths[source] or 1) - 1))
        return Ref(element(reference.addresses, index))

    def _element_part(self, source: Source, index: int) -> _Part:
        """Return an element of a sequence, with its key."""
        given = self._element(source, index)
        if isinstance(given, Item):
            whole = self._part(source).key
            return _Part(given, None if whole is None else item_key(whole, given.index))
        placed = self._placed.get(source.node)
        if placed is None:
            return _Part(given, given.address)
        key = element(placed.keys, index)
        return _Part(given, None if key is None else output_key(key, source.output))


def next_number(step: str, index: int) -> str:
    """Return the address of the number that follows the items of an effect's elements up to ``index``."""
    return f"{step}[{index}]#next"


def _address(step: Step, key: str | None, output: str, name: str) -> str:
    return output_key(key, output) if key is not None and step.spec.cache else f"{name}.{output}"


def _task_file(use: FileUse, *, trusted: bool) -> TaskFile:
    model = (use.need.kind, use.fingerprint) if use.need.model else ("", None)
    return TaskFile(use.need.name, use.path, trusted, *model)


def _files(step: Step, index: int | None, over: frozenset[str]) -> tuple[FileUse, ...]:
    """Return the files that a step reads, or one element of it."""
    if index is None or not step.files:
        return step.files
    literals = literals_of(step.arguments)
    single = {name: element(value, index) for name, value in literals.items() if name in over}
    needs = step.spec.files({**literals, **single})
    return tuple(use for use in step.files if use.need in needs)
