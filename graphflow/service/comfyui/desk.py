"""What all of ComfyUI's interface shares: the service, the names of files, and what is known of each prompt."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from graphflow.events import Event, NodeCached, NodeFinished, NodeStarted
from graphflow.jobs.job import STATES, Job, State, UnknownJobError
from graphflow.service.app import Service
from graphflow.service.comfyui.names import Names, Place, Type
from graphflow.service.comfyui.table import Table

ORIGIN = "comfyui"
"""What jobs say that came by this interface."""
WAITING: tuple[State, ...] = ("queued", "interrupted")
OVER: tuple[State, ...] = ("done", "failed", "cancelled")
_COUNTER = re.compile(r"_\d{5,}\.\w+\Z")
_ITEM = re.compile(r"-\d+\Z")
EVERY = 1_000_000
"""More jobs than there can be."""


@dataclass(frozen=True)
class Prompted:
    """What is kept with the job of a prompt.

    Attributes:
        number: Where it stands in the queue: lower ones go first.
        prompt: The prompt as it was sent, with values of the types that its inputs have.
        extra_data: What was sent beside it, with ``client_id`` where the client has one.
        outputs: The nodes that it is carried out for.
        origins: By native node: the nodes of the prompt that it stands for.
        temporary: Native nodes whose files count as ``temp``.
        blamed: The node that is told where nobody knows better.
    """

    number: float
    prompt: Mapping[str, Mapping[str, Any]]
    extra_data: Mapping[str, Any]
    outputs: Sequence[str]
    origins: Mapping[str, Sequence[str]]
    temporary: Sequence[str] = ()
    blamed: str | None = None

    @classmethod
    def of(cls, job: Job) -> Prompted:
        """Return what was kept with a job that came by this interface."""
        return cls(**{field.name: job.extra[field.name] for field in fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return dict(vars(self))

    @property
    def client_id(self) -> str | None:
        """Who is told what happens; None is everybody."""
        told = self.extra_data.get("client_id")
        return told if isinstance(told, str) else None

    def node(self, native: str) -> str | None:
        """Return the node of the prompt that a native node stands for; that of ``x~safety`` is that of ``x``."""
        found = self.origins.get(native) or self.origins.get(native.partition("~")[0])
        return found[0] if found else None

    def type(self, node: str | None) -> str | None:
        """Return the type of a node of the prompt."""
        return None if node is None else str(self.prompt.get(node, {}).get("class_type"))

    def nodes_of(self, natives: Sequence[str]) -> list[str]:
        """Return the nodes of the prompt that some native nodes stand for, each once."""
        return list(dict.fromkeys(node for native in natives if (node := self.node(native)) is not None))


class Desk:
    """What all parts of the interface share.

    Args:
        service: What answers.

    Attributes:
        turn: Held while a prompt is numbered and queued, so that numbers are in the order of the queue.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.jobs = service.jobs
        self.names = Names(service.jobs.folder / "comfyui.sqlite")
        service.closing.callback(self.names.close)
        self.names.forget(self.jobs.finished(STATES, origin=ORIGIN))
        self.turn = threading.Lock()
        self._done: dict[str, list[str]] = {}
        self._at: dict[str, str] = {}
        self.jobs.listen(self._note)

    @property
    def features(self) -> dict[str, Any]:
        """What the server says that it can do."""
        return {"supports_preview_metadata": True, "max_upload_size": self.service.options.upload_bytes}

    def table(self) -> Table:
        """Return the node types with the models that there are now."""
        return Table(self.service.session.registry, self.service.session.library, self.names)

    def remaining(self) -> int:
        """Return how many jobs wait or run, whoever sent them."""
        counts = self.jobs.counts()
        return sum(counts.get(state, 0) for state in (*WAITING, "running"))

    def job(self, id: str) -> Job | None:
        """Return the job of a prompt; None where there is none of this id that came by this interface."""
        try:
            job = self.jobs.job(id)
        except UnknownJobError:
            return None
        return job if job.origin == ORIGIN else None

    def finished(self, states: Iterable[State] = OVER) -> dict[str, float | None]:
        """Return when the jobs of prompts in some states were over, by id, the newest first, but for those that are hidden."""
        hidden = self.names.hidden()
        found = self.jobs.finished(states, origin=ORIGIN)
        return {id: when for id, when in found.items() if id not in hidden}

    def load(self, ids: Iterable[str]) -> list[Job]:
        """Return the jobs of some ids, without those that were removed meanwhile."""
        return [job for id in ids if (job := self.job(id)) is not None]

    def cancel(self, id: str) -> None:
        """End a job; one that is over stays as it is."""
        self.service.cancel([self.jobs.job(id)])

    def priority(self, number: float) -> int:
        """Return the priority of a new job that is to wait where its number says.

        Jobs that go before it are raised where it would overtake them. Call it with :attr:`turn`, and submit at once.
        """
        came = list(self.jobs.jobs(WAITING, origin=ORIGIN, limit=EVERY))[::-1]
        jobs: list[tuple[float, int, Job | None]] = [
            (Prompted.of(job).number, turn, job) for turn, job in enumerate(came)
        ]
        jobs.append((number, len(came), None))
        priority = found = min((job.priority for job in came), default=0)
        last = len(jobs)
        for _, turn, job in sorted(jobs, key=lambda one: one[:2], reverse=True):
            priority += turn > last  # of equal priority, the one that came first is carried out first
            last = turn
            if job is None:
                found = priority
            elif job.priority < priority:
                self.jobs.prioritise(job.id, priority)
            else:
                priority = job.priority
        return found

    def files(self, job: Job) -> list[tuple[str, Place]]:
        """Return the files of a job that is done: the native node that wrote each, and what clients call it."""
        rows = self.jobs.files(job.id) if job.state == "done" else []
        return self.named(job, [(file.node, file.name) for file in rows])

    def named(self, job: Job, files: Sequence[tuple[str, str]]) -> list[tuple[str, Place]]:
        """Name files of a job, given for each the native node that wrote it and its name there; all of a node's at once."""
        temporary = set(Prompted.of(job).temporary)
        beginnings = {name: _COUNTER.sub("", name) for _, name in files}
        for node in {node for node, _ in files}:  # several pictures of one node count on, in place of a number of each
            own = [name for writer, name in files if writer == node]
            common = {_ITEM.sub("", beginnings[name]) for name in own}
            if len(own) > 1 and len(common) == 1:
                beginnings |= dict.fromkeys(own, common.pop())
        types: dict[str, Type] = {name: "temp" if node in temporary else "output" for node, name in files}
        named = self.names.call_files(job.id, [(types[name], beginnings[name], name) for name in beginnings])
        return [(node, named[name]) for node, name in files]

    def path(self, place: Place) -> Path | None:
        """Return where the file stands that a client calls so; None where there is none, or it is gone."""
        held = self.names.find(place)
        if held is None:
            return None
        if held.upload is not None:
            found = self.service.uploads.find(held.upload.partition(".")[0])  # which is in use, and kept for that
            return None if found is None else self.service.uploads.folder / found.name
        try:
            return self.jobs.file(held.job or "", held.file or "", early=True)
        except UnknownJobError:
            return None

    def _note(self, job: Job, event: Event | None) -> None:
        """Keep where a job stands, so that its end can say at which node it was, and name its files in the order of ends."""
        if job.origin != ORIGIN:
            return
        if isinstance(event, NodeStarted):
            self._at[job.id] = event.node
        elif isinstance(event, NodeFinished | NodeCached):
            self._done.setdefault(job.id, []).append(event.node)
        elif event is None and job.state != "running":
            at, done = self._at.pop(job.id, ""), self._done.pop(job.id, [])
            if job.state == "done":
                self.files(job)
            elif job.final:
                self.names.note_stop(job.id, at, done)


def native_of(path: str) -> str:
    """Return the native node that the path of a problem names; empty where it names none."""
    parts = path.split(".")
    return parts[1] if parts[0] == "nodes" and len(parts) > 1 else ""


Part = Callable[[Any, Desk], None]
"""Adds its routes to a router."""
