"""The driver's side: the workers of a session, who gets what, and what happens where one is lost."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from graphflow import events
from graphflow.cluster import connection
from graphflow.cluster.actor import Actor, Failed, Hello, Host, Message, Order, Reply, Unlike, Unread
from graphflow.cluster.employment import Employment
from graphflow.cluster.wire import Packed, model_files, pack, unpack
from graphflow.errors import GraphflowError, InvalidInputError
from graphflow.execution.circumstances import Circumstances, facts
from graphflow.execution.environment import Environment
from graphflow.execution.task import Task
from graphflow.execution.worker import MISSING, Computed, Worker, stored
from graphflow.planning.record import versions_here
from graphflow.planning.steps import output_key
from graphflow.spec.decorator import NodeSpec
from graphflow.store import is_key
from graphflow.values import ModelFile

ATTEMPTS = 3
"""How many workers a task may lose before it has failed."""
_POLL = 0.05
_PATIENCE = 30.0
"""Seconds without any worker after which a run says that it waits."""
_SHOWN = 120
_COMPARED = ("torch", "diffusers", "transformers")
"""Libraries whose versions must be the driver's, to the minor number."""


class LostError(Exception):
    """A worker is gone."""


class Member:
    """A worker as the driver knows it: its process, which may be another one after a death.

    Attributes:
        name: What events call it.
        busy: Held by who has a task for it.
        unlike: Model files that are other ones there, and what was found.
        hello: What it told of itself; None while it starts.
        refused: Why it is not used; empty where it is.
    """

    def __init__(self, name: str, start: Callable[[], Any]) -> None:
        self.name = name
        self.busy = threading.Lock()
        self.unlike: dict[str, str] = {}
        self.hello: Hello | None = None
        self.refused = ""
        self._start = start
        self._failures = 0
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Have a new process in the place of one that is gone."""
        with self._lock:
            self.hello = None
            self.unlike.clear()
            self._actor = self._start()
            self._greeting = self._actor.hello.remote()

    def look(self) -> None:
        """Take note of what it has told since it was started."""
        import ray

        with self._lock:
            if self.hello is not None or self.refused or not ray.wait([self._greeting], timeout=0)[0]:
                return
            try:
                self.hello = ray.get(self._greeting)
                self._failures = 0
                self.refused = _other_versions(self.hello.versions)
                return
            except ray.exceptions.RayTaskError as error:
                self.refused = f"it cannot begin: {connection.first_line(error.cause or error)}"
                return
            except ray.exceptions.RayError as error:
                self._failures += 1
                if self._failures >= ATTEMPTS:
                    self.refused = f"it died {self._failures} times while it started: {cause_of(error)}"
                    return
        self.restart()

    def call(self, order: Order, environment: Environment) -> Message:
        """Have it compute; its events are passed on meanwhile.

        Raises:
            LostError: It is gone.
        """
        import ray

        call = secrets.token_hex(8)
        stopped = False
        try:
            stream = self._actor.compute.options(num_returns="streaming").remote(call, order)
            while True:
                try:
                    if not stopped and environment.cancellation.cancelled:
                        stopped = True
                        self._actor.cancel.remote(call)
                    if not ray.wait([stream], timeout=_POLL)[0]:
                        continue
                    message: Message = ray.get(next(stream))
                    if not isinstance(message, events.Event):
                        return message
                    environment.pass_on(message)
                except (ray.exceptions.RayError, StopIteration):
                    raise
                except BaseException:  # Ctrl-C, or what the sink raises: not before the node has ended
                    if not stopped:
                        stopped = True
                        self._actor.cancel.remote(call)
                    for rest in stream:
                        ray.get(rest)
                    raise
        except ray.exceptions.RayTaskError as error:
            raise GraphflowError(connection.first_line(error), where=self.name) from error
        except (ray.exceptions.RayError, StopIteration) as error:
            raise LostError(cause_of(error)) from error

    def stop(self) -> None:
        """End its process."""
        import ray

        ray.kill(self._actor)


class Crew:
    """The workers of a session.

    Args:
        place: The cluster, see :func:`graphflow.cluster.connection.connect`.
        count: How many workers; None: one for each GPU, or for each machine where none is wanted.
        employment: What they are told, but for ``sharing`` and ``threads``.
        make: Makes a worker's session; a function of a module, whose name travels.
        packs: Version of each node pack of the driver; that of a file is the SHA-256 of what it holds.
        nbytes: Bytes of memory that each of them reserves.

    Raises:
        InvalidInputError: There is no such cluster, or it has no room for a worker.
    """

    def __init__(
        self,
        place: str,
        count: int | None,
        employment: Employment,
        make: Callable[[Employment], Host],
        packs: Mapping[str, str],
        nbytes: int,
    ) -> None:
        self._packs = packs
        self._said: set[str] = set()
        connection.connect(place)
        try:
            self.members = _employ(place, count, employment, make, nbytes)
        except BaseException:
            connection.disconnect()
            raise

    def close(self) -> None:
        """End the workers, and the cluster where it is this process's own."""
        for member in self.members:
            member.stop()
        connection.disconnect()

    @contextmanager
    def lend(
        self, first: Member, task: Task, spec: NodeSpec, files: Sequence[ModelFile], env: Environment
    ) -> Iterator[Member]:
        """Have a worker for a task: a certain one if it will do and is free, else another one.

        Raises:
            InvalidInputError: No worker will do.
            CancelledError: The run was stopped.
        """
        started = time.monotonic()
        while (member := self._free(first, spec, files)) is None:
            env.cancellation.check()
            if time.monotonic() - started > _PATIENCE and all(member.hello is None for member in self.members):
                self._say_once(env, task, "no worker has started yet; perhaps the cluster has no room for one now")
            time.sleep(_POLL)
        try:
            self._say_once(env, task, self._rounding())
            yield member
        finally:
            member.busy.release()

    def _free(self, first: Member, spec: NodeSpec, files: Sequence[ModelFile]) -> Member | None:
        refusals: dict[str, str] = {}
        able: list[Member] = []
        for member in self.members:
            member.look()
            refusals[member.name] = self._refusal(member, spec, files)
            if not refusals[member.name]:
                able.append(member)
        if not able:
            told = "; ".join(f"{name}: {refusal}" for name, refusal in refusals.items())
            raise InvalidInputError(
                f"no worker of the cluster can run it: {told}",
                where=spec.type,
                advice="install the same versions there and put the same files, see docs/deploy.md; or run it without --cluster",
            )
        for member in sorted(able, key=lambda member: member is not first):
            if member.hello is not None and member.busy.acquire(blocking=False):
                return member
        return None

    def _refusal(self, member: Member, spec: NodeSpec, files: Sequence[ModelFile]) -> str:
        """Say why a worker cannot run a task; empty where it can, or has yet to tell."""
        if member.refused or member.hello is None:
            return member.refused
        there, here = member.hello.packs.get(spec.pack), self._packs.get(spec.pack)
        if here is None or there != here:
            return f"it has {there or 'no version'} of the node pack {spec.pack}, not {here or 'that of this program'}"
        unlike = (
            f"{file.name} is {member.unlike[name]}, not {file.fingerprint}"
            for file in files
            if (name := _name(file)) in member.unlike
        )
        return next(unlike, "")

    def _rounding(self) -> str:
        """Say in what the workers differ, so that their results may differ by rounding; empty where in nothing."""
        told = [member.hello.facts for member in self.members if member.hello is not None]
        mixed = facts(tuple({fact for facts_of_one in told for fact in facts_of_one})).get("mixed", {})
        unlike = "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in mixed.items())
        return f"the workers differ, so what they compute may by rounding: {unlike}" if unlike else ""

    def _say_once(self, env: Environment, task: Task, message: str) -> None:
        if message and message not in self._said:
            self._said.add(message)
            env.tell(events.Notice, run_id=env.run_id, node=task.step, message=message)


class OnWorker:
    """Has the tasks of one lane computed on a worker; an :class:`~graphflow.execution.worker.Elsewhere`.

    Args:
        crew: The workers.
        member: The one that is asked first, since it has the models of the lane's tasks.
        forget: Called where it has lost what it had loaded.
    """

    def __init__(self, crew: Crew, member: Member, forget: Callable[[], None]) -> None:
        self._crew = crew
        self._member = member
        self._forget = forget

    def compute(self, worker: Worker, task: Task) -> Computed:
        """Have a task computed; what its values were made of is read here.

        Raises:
            GraphflowError: No worker can run it, or several have died of it.
            CancelledError: The run was stopped.
            Exception: What the node raises.
        """
        env, spec = worker.environment, worker.specs[task.type]
        values = {address: worker.fetch(address) for address in task.reads()}
        files = _files(task, values)
        parcel = _Parcel(worker, task, values, files)
        lost: list[str] = []
        while True:
            with self._crew.lend(self._member, task, spec, files, env) as member:
                try:
                    message = member.call(parcel.order(member), env)
                    match message:
                        case Unread(addresses):
                            parcel.send(addresses)
                        case Unlike(file, here):
                            member.unlike[_name(file)] = here
                            told = f"{file.name} there is {here or 'of no known content'}, here {file.fingerprint}"
                            _notice(env, task, f"{member.name} ({_place(member)}) is not used: {told}")
                        case Failed(error, place):
                            if place is not None:
                                error.place_in_pack = place  # type: ignore[attr-defined]
                            raise error
                        case Reply():
                            computed = self._received(worker, task, spec, message)
                            if computed is not None:
                                return computed
                            parcel.keep = False
                except LostError as error:
                    lost.append(f"{member.name} ({_place(member)}): {error}")
                    if member is self._member:
                        self._forget()
                    member.restart()
                    if len(lost) >= ATTEMPTS:
                        raise GraphflowError(
                            f"{len(lost)} workers died while they computed it: {'; '.join(lost)}",
                            advice="the most frequent reason is memory: give the workers more, or use fewer of them",
                        ) from error
                    _notice(env, task, f"a worker died, another one tries again: {lost[-1]}")

    def _received(self, worker: Worker, task: Task, spec: NodeSpec, reply: Reply) -> Computed | None:
        """Return what was computed; None where the store does not show it yet."""
        values = {output: unpack(packed) for output, packed in reply.values.items()}
        for output in spec.output_types:
            if output not in values and task.key is not None:
                values[output] = stored(
                    worker.environment.store, output_key(task.key, output), spec.output_types[output]
                )
        if any(value is MISSING for value in values.values()):
            return None
        return Computed(values, reply.made, reply.tier, reply.exact)


class _Parcel:
    """A task on its way to a worker."""

    def __init__(self, worker: Worker, task: Task, values: Mapping[str, Any], files: Sequence[ModelFile]) -> None:
        self._env = worker.environment
        self._task = task
        self._files = files
        self._values = values
        self._made: dict[str, Circumstances] = {address: worker.made(address) for address in values}
        self._packed: dict[str, Packed] = {}
        disk = self._env.store.disk
        self._read = {address for address in values if disk is not None and is_key(address) and disk.contains(address)}
        self.keep = True

    def send(self, addresses: Sequence[str]) -> None:
        """Have values travel that a worker did not find in the store."""
        self._read.difference_update(addresses)

    def order(self, member: Member) -> Order:
        """Return what a worker is given."""
        assert member.hello is not None
        read = self._read if member.hello.shared else set[str]()
        for address in self._values.keys() - read - self._packed.keys():
            self._packed[address] = pack(self._values[address])
        return Order(
            task=self._task.to_json(),
            values={address: packed for address, packed in self._packed.items() if address not in read},
            made=self._made,
            files=tuple(self._files),
            previews=self._env.runtime.previews,
            keep=self.keep,
            workflow=self._env.workflow,
            run_id=self._env.run_id,
            lane=member.name,
        )


def _files(task: Task, values: Mapping[str, Any]) -> list[ModelFile]:
    """Return the model files that must be the same on a worker, each once."""
    found = {_name(file): file for value in values.values() for file in model_files(value) if file.fingerprint}
    for use in task.files:
        if use.fingerprint:
            file = ModelFile(name=use.name, kind=use.kind, part="", family="", fingerprint=use.fingerprint)
            found.setdefault(_name(file), file)
    return list(found.values())


def _name(file: ModelFile) -> str:
    return f"{file.kind} {file.name} {file.fingerprint} {sorted(file.options.items())}"


def _other_versions(there: Mapping[str, Any]) -> str:
    here = versions_here()
    pairs = {"graphflow": (there["graphflow"], here["graphflow"])}
    pairs |= {name: (there["versions"][name], here["versions"][name]) for name in _COMPARED}
    unlike = [
        f"{name} {theirs}, not {ours}" for name, (theirs, ours) in pairs.items() if _minor(theirs) != _minor(ours)
    ]
    return f"it has {', '.join(unlike)}" if unlike else ""


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _employ(
    place: str, count: int | None, employment: Employment, make: Callable[[Employment], Host], nbytes: int
) -> list[Member]:
    """Start the workers.

    Raises:
        InvalidInputError: The cluster has no machine for one.
    """
    import ray

    local = place == connection.LOCAL
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    on_gpus = employment.device == "cuda"
    most = int(max((node.get("memory", 0) for node in nodes), default=0))
    if on_gpus and not gpus:
        raise InvalidInputError(
            "no machine of the cluster has a GPU", where=f"--cluster {place}", advice="compute with --device cpu"
        )
    if nbytes > most:
        raise InvalidInputError(
            f"the models have {nbytes / 1e9:.1f} GB, and no machine of the cluster has more than {most / 1e9:.1f} GB of memory to give",
            where=f"--cluster {place}",
            advice="add a machine with more, or use smaller or quantised models",
        )
    count = count or (gpus if on_gpus else len(nodes))
    sharing = -(-count // len(nodes))
    threads = None
    if local:
        import torch

        threads = max(1, torch.get_num_threads() // count)
    employment = replace(employment, sharing=sharing, threads=threads)
    options = {
        "num_cpus": 0 if local else 1,
        "num_gpus": int(on_gpus),
        "memory": nbytes,
        "max_concurrency": 4,
        "scheduling_strategy": "SPREAD",
    }
    kind = ray.remote(Actor).options(**options)
    return [Member(f"ray:{number}", lambda: kind.remote(make, employment)) for number in range(count)]


def cause_of(error: BaseException) -> str:
    """Return why a worker is gone, in a few words."""
    text = " ".join(str(error).split())
    if "Worker unexpectedly exits" in text:
        return "its process crashed or was ended from outside"
    for mark in ("Worker exit detail: ", "The actor is dead because "):
        if mark in text:
            return text.partition(mark)[2].partition(". ")[0][:_SHOWN]
    return text[:_SHOWN] or type(error).__name__


def _place(member: Member) -> str:
    return member.hello.place if member.hello is not None else "not known where"


def _notice(env: Environment, task: Task, message: str) -> None:
    env.tell(
        events.Notice,
        run_id=env.run_id,
        node=task.step,
        element=task.element,
        elements=task.elements,
        message=message,
    )
