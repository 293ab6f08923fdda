"""A worker's side: what runs in the process that Ray starts."""

from __future__ import annotations

import os
import pickle
import queue
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, cast

from graphflow import events
from graphflow.cluster.employment import Employment, content_of
from graphflow.cluster.wire import Packed, pack, unpack
from graphflow.errors import GraphflowError
from graphflow.execution.circumstances import Circumstances, circumstances
from graphflow.execution.elements import Elements
from graphflow.execution.environment import Cancellation, Environment
from graphflow.execution.task import Task
from graphflow.execution.worker import MISSING, Computed, Site, Worker, stored
from graphflow.planning.record import versions_here
from graphflow.planning.steps import output_key
from graphflow.runtime import ModelProvider, Runtime
from graphflow.spec.link_types import ANY
from graphflow.spec.registry import Registry
from graphflow.store import Store
from graphflow.values import ModelFile

if TYPE_CHECKING:
    from graphflow.library.library import Library
    from graphflow.modelfiles.description import Kind


class Host(Protocol):
    """The part of a session that a worker uses."""

    @property
    def registry(self) -> Registry:
        """The known node types."""
        ...

    @property
    def library(self) -> Library:
        """The models by name."""
        ...

    @property
    def store(self) -> Store:
        """Where values are kept."""
        ...

    @property
    def models(self) -> ModelProvider:
        """Where modules come from."""
        ...


@dataclass(frozen=True, kw_only=True)
class Hello:
    """What a worker tells of itself.

    Attributes:
        place: The machine and the process.
        versions: graphflow and the libraries that it computes with.
        packs: Version of each node pack; that of a file is the SHA-256 of what it holds.
        shared: Whether it reads and writes the driver's store.
        facts: What can change the bits of what it computes.
    """

    place: str
    versions: Mapping[str, str]
    packs: Mapping[str, str]
    shared: bool
    facts: Circumstances


@dataclass(frozen=True, kw_only=True)
class Order:
    """A task with what it needs.

    Attributes:
        task: The task in JSON.
        values: By address, what is not to be read from the shared store.
        made: By address, how values came about.
        files: The model files that must be the driver's.
        previews: Whether anybody looks at previews.
        keep: Whether results that are in the shared store need not come back.
        workflow: What the document is called.
        run_id: The run.
        lane: What events call the worker.
    """

    task: Mapping[str, Any]
    values: Mapping[str, Packed]
    made: Mapping[str, Circumstances]
    files: tuple[ModelFile, ...]
    previews: bool
    keep: bool
    workflow: str
    run_id: str
    lane: str


class Reply(NamedTuple):
    """What came of a task, see :class:`graphflow.execution.worker.Computed`; ``values`` without those that the store has."""

    values: Mapping[str, Packed]
    made: Circumstances
    tier: str | None
    exact: bool


class Unread(NamedTuple):
    """Addresses of values that the worker did not find in the shared store."""

    addresses: tuple[str, ...]


class Unlike(NamedTuple):
    """A model file that is not the driver's; ``here`` is its fingerprint on the worker, or why there is none."""

    file: ModelFile
    here: str


class Failed(NamedTuple):
    """What a node raised; ``place`` is where in its pack."""

    error: BaseException
    place: str | None


Message: TypeAlias = "events.Event | Reply | Unread | Unlike | Failed"


class Actor:
    """A worker.

    Args:
        make: Makes its session; a function of a module, whose name travels.
        employment: What it is told.
    """

    def __init__(self, make: Callable[[Employment], Host], employment: Employment) -> None:
        self._make = make
        self._employment = employment
        self._lock = threading.Lock()
        self._calls: dict[str, Cancellation] = {}

    def hello(self) -> Hello:
        """Make the session, which takes seconds, and tell of it.

        Raises:
            GraphflowError: It cannot be made.
        """
        import torch

        told = self._employment
        torch.set_num_threads(told.threads or max(1, _cores() // told.sharing))
        self._host = host = self._make(told)
        self._store = _ClaimedStore(host.store.memory, host.store.disk)
        self._shared = host.store.disk is not None and told.probe is not None and host.store.disk.contains(told.probe)
        files = {path.stem: content_of(path) for path in told.packs}
        return Hello(
            place=f"{socket.gethostname()}:{os.getpid()}",
            versions=versions_here(),
            packs={**host.registry.versions, **files},
            shared=self._shared,
            facts=circumstances("device", host.models.device, host.models.measures),
        )

    def cancel(self, call: str) -> None:
        """Stop a call at its next step, also one that has yet to begin."""
        with self._lock:
            self._calls.setdefault(call, Cancellation()).cancel()

    def compute(self, call: str, order: Order) -> Iterator[Message]:
        """Compute a task: yield the events on the way, then what came of it."""
        with self._lock:
            cancellation = self._calls.setdefault(call, Cancellation())
        told: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=lambda: told.put(self._compute(order, cancellation, told.put)), daemon=True).start()
        while isinstance(message := told.get(), events.Event):
            yield message
        with self._lock:
            del self._calls[call]
        yield message

    def _compute(self, order: Order, cancellation: Cancellation, tell: events.Sink) -> Message:
        task = Task.from_json(order.task)
        spec = self._host.registry.specs[task.type]
        try:
            for file in order.files:
                if (here := self._fingerprint(file)) != file.fingerprint:
                    return Unlike(file, here)
            values = {
                address: unpack(order.values[address]) if address in order.values else self._stored(address)
                for address in task.reads()
            }
            if unread := tuple(address for address, value in values.items() if value is MISSING):
                return Unread(unread)
            environment = Environment(
                store=self._store,
                out=Path(),  # what writes files stays with the driver
                scratch=Path(),
                runtime=Runtime(models=self._host.models, previews=order.previews),
                run_id=order.run_id,
                sink=tell,
                cancellation=cancellation,
                heavy=True,
                workflow=order.workflow,
            )
            worker = Worker(
                environment, {task.type: spec}, values.__getitem__, lambda address: order.made.get(address, ())
            )
            computed = worker.work(task, Site(order.lane))
            assert isinstance(computed, Computed)
            return self._reply(task, order, computed)
        except BaseException as error:  # whatever it is, it is the driver's to tell
            return Failed(_sendable(error), spec.place_of(error))

    def _fingerprint(self, file: ModelFile) -> str:
        try:
            found = self._host.library.describe(
                file.name, cast("Kind", file.kind), overrides=dict(file.options), trusted=True
            )
        except GraphflowError as error:
            return error.message
        return found.fingerprint or ""

    def _stored(self, key: str) -> Any:
        value = stored(self._store, key, ANY)
        if not isinstance(value, Elements):
            return value
        items = tuple(stored(self._store, item, ANY) for item in value.keys)
        return MISSING if any(item is MISSING for item in items) else items

    def _reply(self, task: Task, order: Order, computed: Computed) -> Reply:
        kept: set[str] = set()
        if order.keep and self._shared and task.key is not None and self._store.disk is not None:
            keys = {output: output_key(task.key, output) for output in computed.values}
            kept = {output for output, key in keys.items() if self._store.disk.contains(key)}
        values = {output: pack(value) for output, value in computed.values.items() if output not in kept}
        return Reply(values, computed.made, computed.tier, computed.exact)


class _ClaimedStore(Store):
    """A store in which the driver holds the claims."""

    @contextmanager
    def claim(self, key: str, **options: Any) -> Iterator[bool]:
        """Hold the claim already."""
        yield True


def _cores() -> int:
    import psutil

    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def _sendable(error: BaseException) -> BaseException:
    """Return an error that can be told to another process, with where it came from for who asks."""
    told = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # of an unusual class
        advice = error.advice if isinstance(error, GraphflowError) else None
        error = GraphflowError(f"{type(error).__name__}: {error}", advice=advice)
    error.add_note(told)
    return error
