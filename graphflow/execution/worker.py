"""Turns a task into stored values, or into files. What runs on a lane."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

from graphflow import events, runtime
from graphflow.errors import StoreError
from graphflow.execution.circumstances import Circumstances, circumstances, from_json, merged, take_threads, to_json
from graphflow.execution.elements import Elements
from graphflow.execution.environment import Environment, StaleError
from graphflow.execution.output import WrittenFile, write_fresh, write_stored
from graphflow.execution.resuming import resumed, taping
from graphflow.execution.task import Input, Item, Literal, Ref, Series, Task
from graphflow.planning.needs import Needs
from graphflow.planning.steps import output_key
from graphflow.planning.together import variant_of
from graphflow.spec.decorator import NodeSpec
from graphflow.spec.link_types import LinkType
from graphflow.store import Encoded, Store, is_key
from graphflow.store.tapes import Tape
from graphflow.values import Files
from graphflow.values.types import decode, encode, holds_tensor, nbytes, type_name, value_type_names

MISSING = object()

_VALUE, _ELEMENTS = "value", "elements"


class Computed(NamedTuple):
    """What a task has made.

    Attributes:
        values: By output.
        made: Their circumstances, see :mod:`graphflow.execution.circumstances`.
        tier: Where it was stored by somebody else in the meantime; None where it was computed.
        exact: Whether it may be stored; a measure that saves memory may have changed it beyond rounding.
    """

    values: Mapping[str, Any]
    made: Circumstances = ()
    tier: str | None = None
    exact: bool = True


@dataclass(frozen=True)
class Effect:
    """What a task with an effect did.

    Attributes:
        files: The files that stand in the output folder.
        withheld: How many items the safety filter had taken out.
    """

    files: list[WrittenFile]
    withheld: int


class Elsewhere(Protocol):
    """Has tasks computed in another process."""

    def compute(self, worker: Worker, task: Task) -> Computed:
        """Have a task without an effect computed.

        Args:
            worker: What would compute it here: gives the values that it reads, and what its run has.
            task: The task.

        Raises:
            CancelledError: The run was stopped.
            Exception: What the node raises.
        """
        ...


class Site(NamedTuple):
    """What a lane has for the tasks that run there.

    Attributes:
        name: What events call it, e.g. ``cuda:1``; empty where there is one of its kind.
        models: Where its modules come from; None: from where the session's do.
        elsewhere: Who computes there, where that is not this process; what writes files is done here nevertheless.
    """

    name: str = ""
    models: runtime.ModelProvider | None = None
    elsewhere: Elsewhere | None = None


class Worker:
    """Computes tasks, from any thread.

    Attributes:
        environment: Where the run takes place.
        specs: The node types by name.
        fetch: Gives the value at an address; raises StaleError where it is stored no more.
        made: Gives its circumstances, once it was fetched.
    """

    def __init__(
        self,
        environment: Environment,
        specs: Mapping[str, NodeSpec],
        fetch: Callable[[str], Any],
        made: Callable[[str], Circumstances] = lambda address: (),
    ) -> None:
        self.environment = environment
        self.specs = specs
        self.fetch = fetch
        self.made = made

    def work(self, task: Task, site: Site = Site()) -> Computed | Effect:  # noqa: B008  # it is frozen
        """Compute a task, store its outputs or write its files.

        Args:
            task: The task.
            site: What the lane has on which it runs.

        Raises:
            CancelledError: The run was stopped.
            StaleError: A stored value is gone.
            Exception: What the node raises.
        """
        self.environment.cancellation.check()
        return self._write(task, site) if self.specs[task.type].effect else self._compute(task, site)

    def _compute(self, task: Task, site: Site) -> Computed:
        spec = self.specs[task.type]
        if task.key is None or not spec.cache:
            return self._computed(task, site)
        if not spec.persist:
            return self._compute_and_put(task, task.key, spec, site)
        store = self.environment.store
        with store.claim(task.key, poll=self.environment.cancellation.check):
            keys = {output: output_key(task.key, output) for output in task.needed}
            tiers = [store.locate(key) for key in keys.values()]
            found = {output: stored(store, key, spec.output_types[output]) for output, key in keys.items()}
            if found and all(value is not MISSING for value in found.values()):
                made = merged(made_of(store, key) for key in keys.values())
                return Computed(found, made, "disk" if "disk" in tiers else "memory")
            return self._compute_and_put(task, task.key, spec, site)

    def _compute_and_put(self, task: Task, key: str, spec: NodeSpec, site: Site) -> Computed:
        store = self.environment.store
        with nullcontext() if site.elsewhere is not None else taping(store, key, spec) as tape:
            computed = self._computed(task, site, tape)
            told = self._told(task) | {"circumstances": to_json(computed.made)}
            for output, value in computed.values.items() if computed.exact else ():
                place = output_key(key, output)
                if site.elsewhere is not None and store.contains(
                    place
                ):  # a worker that shares the store has put it there
                    continue
                store.put(place, value, nbytes=nbytes(value), persist=spec.persist, encode=_encoded, made=told)
        return computed

    def _computed(self, task: Task, site: Site, tape: Tape | None = None) -> Computed:
        if site.elsewhere is not None:
            return site.elsewhere.compute(self, task)
        values, made, exact = self._call(task, site, tape)
        return Computed(values, made, exact=exact)

    def _told(self, task: Task) -> dict[str, Any]:
        return {"workflow": self.environment.workflow, "node": variant_of(task.step)[1], "type": task.type}

    def _call(self, task: Task, site: Site, tape: Tape | None = None) -> tuple[dict[str, Any], Circumstances, bool]:
        """Call a node's function; returns its outputs, their circumstances, and whether they may be stored."""
        spec = self.specs[task.type]
        exact = True

        def inexact(message: str) -> None:
            nonlocal exact
            exact = False
            if tape is not None:
                tape.remove()
            self._tell(task, events.Notice, site, message=f"{message}; this result is not stored")

        def call() -> Any:
            return spec.function(**arguments) if tape is None else resumed(partial(spec.function, **arguments), tape)

        take_threads()
        self._tell(task, events.NodeStarted, site, type=task.type)
        started = time.perf_counter()
        arguments = self._arguments(task, spec)
        before = merged(map(self.made, task.reads()))
        models = site.models or self.environment.runtime.models
        device = spec.lane == "device"
        inference = models.inference() if self.environment.heavy else nullcontext()
        with runtime.using(self._runtime(task, site, before, inexact, tape)), inference:
            result = models.retrying(call) if device else call()
        self._tell(task, events.NodeFinished, site, type=task.type, seconds=time.perf_counter() - started)
        outputs = spec.split(result)
        computed = not spec.effect and any(map(holds_tensor, outputs.values()))
        if computed:
            here = (models.device, models.measures) if device else ()
            before = merged((before, circumstances(spec.lane, *here)))
        return outputs, before, exact

    def _tell(self, task: Task, kind: Callable[..., events.NodeEvent], site: Site, **fields: Any) -> None:
        env = self.environment
        at = {"element": task.element, "elements": task.elements, "lane": site.name}
        env.tell(kind, run_id=env.run_id, node=task.step, **at, **fields)

    def _runtime(
        self, task: Task, site: Site, made: Circumstances, inexact: Callable[[str], None], tape: Tape | None
    ) -> runtime.Runtime:
        def report(done: int, total: int, preview: Any = None) -> None:
            self.environment.cancellation.check()
            shown = preview if self.environment.runtime.previews else None
            self._tell(task, events.NodeProgress, site, step=done, total=total, preview=shown)

        return runtime.Runtime(
            models=site.models or self.environment.runtime.models,
            previews=self.environment.runtime.previews,
            report=report,
            check_cancelled=self.environment.cancellation.check,
            notice=lambda message: self._tell(task, events.Notice, site, message=message),
            inexact=inexact,
            tape=tape,
            record=dict(task.record or {}),
            complete=lambda record: self.environment.complete(
                task.step, record, made, self.environment.cancellation.check
            ),
            files={file.name: file.path for file in task.files if file.path is not None},
            trusted=frozenset([file.name for file in task.files if file.trusted]),
        )

    def _write(self, task: Task, site: Site) -> Effect:
        env = self.environment
        unknown: dict[str, None] = {}

        def name(stem: str, element: int | None) -> str:
            filled, left = env.names(task.step, stem, element)
            unknown.update(dict.fromkeys(left))
            return filled

        if task.stored:
            assert task.key is not None
            brought = write_stored(env.out, task.key, env.store, env.scratch, element=task.element, name=name)
            if brought is None:
                raise StaleError(task.key, task.step)
            effect = Effect(*brought)
        elif empty := self._empty(task):
            self._tell(task, events.Notice, site, message=f"nothing is written: the sequence of {empty} is empty")
            effect = Effect([], 0)
        else:
            result, _, _ = self._call(task, site)
            files = next(iter(result.values()))
            assert isinstance(files, Files)
            env.cancellation.check()
            written = write_fresh(
                env.out, files, task.key, env.store, element=task.element, name=name, made=self._told(task)
            )
            effect = Effect(written, files.withheld)
        for token in unknown:
            self._tell(task, events.Notice, site, message=f"{token} names nothing and stays in the file name")
        for file in effect.files:
            self._tell(task, events.Written, site, path=str(file.path), how=file.how)
        return effect

    def _arguments(self, task: Task, spec: NodeSpec) -> dict[str, Any]:
        arguments = dict(task.constants)
        for name, given in task.inputs.items():
            arguments[name] = [self._value(part) for part in given] if isinstance(given, tuple) else self._value(given)
        return arguments

    def _empty(self, task: Task) -> str:
        """Return the input of a node with an effect that gets a sequence of nothing; an empty text where none does."""
        taken = {name: given for name, given in task.inputs.items() if not isinstance(given, tuple)}
        found = (
            name for name in self.specs[task.type].element_inputs if name in taken and self._value(taken[name]) == ()
        )
        return next(found, "")

    def _value(self, given: Input) -> Any:
        match given:
            case Ref(address):
                return self.fetch(address)
            case Item(address, index):
                return self.fetch(address)[index]
            case Series(addresses):
                return tuple(self.fetch(address) for address in addresses)
            case Literal(value):
                return value


class Done(NamedTuple):
    """How a job has ended.

    Attributes:
        task: Its task.
        seconds: How long it took.
        result: What came of it; None where it failed.
        error: What it raised, or None.
    """

    task: Task
    seconds: float
    result: Computed | Effect | None
    error: BaseException | None


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A task on its way to a lane, with what its run has for it; called with a lane's site, it is done. It raises nothing.

    Attributes:
        task: The task.
        worker: What computes it here, and has what a lane elsewhere needs to have it computed there.
        needs: What it has to have loaded.
    """

    task: Task
    worker: Worker
    needs: Needs

    def __call__(self, site: Site) -> Done:
        """Compute the task."""
        started = time.perf_counter()
        result: Computed | Effect | None = None
        error: BaseException | None = None
        try:
            result = self.worker.work(self.task, site)
        except BaseException as raised:  # it goes to the calling thread, whatever it is
            error = raised
        return Done(self.task, time.perf_counter() - started, result, error)


def stored(store: Store, key: str, kind: LinkType) -> Any:
    """Return a stored value, :class:`Elements` for a sequence whose elements are stored one by one, or MISSING.

    Args:
        store: The store; what is in it but no value of that type is removed.
        key: Its key.
        kind: The type of the output that it is.
    """

    def decoded(encoded: Encoded) -> object:
        value = _decoded(encoded)
        if not _is(value, kind):
            raise StoreError(f"it is no {kind}")
        return value

    return store.get(key, decoded, MISSING)


def _is(value: Any, kind: LinkType) -> bool:
    """Tell whether a value is of a link's type, as far as value types go."""
    if kind.name in ("any", "json") or value is None or isinstance(value, Elements):
        return True
    if isinstance(value, tuple):
        return all(_is(item, kind.item or kind) for item in value)
    if kind.item is not None:
        return _is(value, kind.item)
    return any(type_name(base) == kind.name for base in type(value).__mro__) or (
        type_name(type(value)) is None and kind.name not in value_type_names()
    )


def made_of(store: Store, key: str) -> Circumstances:
    """Return the circumstances of a stored value; none where they were not stored."""
    told = store.made(key)
    return from_json(told.get("circumstances")) if isinstance(told, dict) else ()


def put_elements(store: Store, key: str, elements: Elements, *, persist: bool) -> None:
    """Store which values are the elements of a sequence."""
    store.put(key, elements, nbytes=64 * len(elements.keys), persist=persist, encode=_encoded)


def _encoded(value: object) -> Encoded:
    if isinstance(value, Elements):
        return Encoded(_ELEMENTS, list(value.keys), {})
    data, tensors = encode(value)
    return Encoded(_VALUE, data, tensors)


def _decoded(encoded: Encoded) -> object:
    if encoded.kind == _VALUE:
        return decode(encoded.data, encoded.tensors)
    if encoded.kind != _ELEMENTS or not isinstance(encoded.data, list) or not all(map(is_key, encoded.data)):
        raise StoreError("it is neither a value nor a list of elements")
    return Elements(tuple(map(str, encoded.data)))
