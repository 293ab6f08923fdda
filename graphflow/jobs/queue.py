"""The queue: takes jobs, carries them out one after the other, and remembers them.

State: the database says where each job stands; this process holds, of the jobs that run, what stops them, and of those that
somebody may follow their events. A job's files stand in a folder of its attempt, and count once the database says, in the
same transaction that makes the job ``done``, which attempt gave the result; so no job has two, and none has half of one.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from filelock import FileLock, Timeout

from graphflow.basics.jsontools import digest
from graphflow.basics.memory import give_back
from graphflow.basics.wording import shorten
from graphflow.errors import CancelledError, InvalidInputError, StoreError
from graphflow.events import Event, Written
from graphflow.execution.environment import Cancellation
from graphflow.execution.result import Result
from graphflow.jobs.database import Database
from graphflow.jobs.feed import Feed
from graphflow.jobs.job import Attempt, Job, JobConflictError, JobFile, Order, QueueFullError, State, UnknownJobError
from graphflow.jobs.ordering import expanded, stricter
from graphflow.jobs.performing import perform
from graphflow.jobs.telling import error_json, finite

if TYPE_CHECKING:
    from graphflow.session import Session

Listener: TypeAlias = "Callable[[Job, Event | None], None]"
"""Told of every event of a run with the job that runs, and with None of every change of a job's state."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CRASHES = 3
_FEEDS = 64
_PRUNED_EVERY = 256
_log = logging.getLogger("graphflow.jobs")


@dataclass(frozen=True)
class Bounds:
    """How much a queue takes and keeps.

    Attributes:
        waiting: The most jobs that wait.
        seconds: How long a job that is over is remembered, with its files.
        jobs: How many of them are.
    """

    waiting: int = 20_000
    seconds: float = 30 * 86_400
    jobs: int = 10_000


class Jobs:
    """The jobs of one folder. Safe to use from several threads.

    Args:
        session: Where they are carried out.
        folder: Where they are kept; made if it is missing. One process has it at a time.
        input_folder: Where the names of files in documents resolve.
        workers: How many are carried out at the same time; they share the device, which computes one node at a time.
        bounds: How much it takes and keeps.

    Raises:
        StoreError: The folder cannot be used, or another process has it.
    """

    def __init__(
        self,
        session: Session,
        folder: Path,
        *,
        input_folder: Path | None = None,
        workers: int = 1,
        bounds: Bounds = Bounds(),  # it is frozen
    ) -> None:
        self.session = session
        self.folder = folder
        self._input_folder = input_folder
        self._bounds = bounds
        self._listeners: list[Listener] = []
        self._changed = threading.Condition()
        self._running: dict[str, Cancellation] = {}
        self._feeds: OrderedDict[str, Feed] = OrderedDict()
        self._closing = False
        self._over = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._owned = FileLock(folder / "lock", thread_local=False)  # any thread may close it
            self._owned.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(
                "another process has these jobs",
                where=str(folder),
                advice="stop it, or name another folder with --data",
            ) from error
        except OSError as error:
            text = f"cannot be used: {error.strerror or error}"
            raise StoreError(text, where=str(folder), advice="name another folder with --data") from error
        try:
            self._database = Database(folder / "jobs.sqlite")
            self._recover()
            self._prune()
        except BaseException:
            self._owned.release()
            raise
        self._workers = [
            threading.Thread(target=self._work, name=f"graphflow-job-{number}", daemon=True)
            for number in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what runs at its next step, as interrupted; it goes on when the folder is opened again."""
        with self._changed:
            self._closing = True
            for cancellation in self._running.values():
                cancellation.cancel()
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()
        with self._changed:
            self._database.close()
            self._owned.release()

    # -------------------------------------------------------------------------------------------------- taking

    def submit(
        self,
        order: Order | Callable[[], Order],
        *,
        id: str | None = None,
        key: str | None = None,
        asked: Any = None,
        priority: int = 0,
        paused: bool = False,
        origin: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> tuple[Job, bool]:
        """Queue a job; returns it, and whether it is new.

        Args:
            order: What it is to do, or what makes that, which is not called where the job is there already.
            id: Its id; None draws one.
            key: Idempotency key: the same key with the same ``asked`` gives the job that is there.
            asked: What was asked for, as JSON.
            priority: Higher ones go first.
            paused: Whether it waits until it is resumed.
            origin: Which interface it comes by.
            extra: What that interface keeps with it.

        Raises:
            JobConflictError: The id is taken, or the key was used for something else.
            QueueFullError: As many wait as may wait.
        """
        if id is not None and not _ID.fullmatch(id):
            raise InvalidInputError(
                "is no id of a job", where=shorten(id), advice="take letters, digits, - and _, up to 64"
            )
        asked_digest = None if key is None else digest(asked)
        if key is not None and (found := self._keyed(key, asked_digest)) is not None:
            return found, False
        counts = self._database.counts()
        if counts.get("queued", 0) + counts.get("interrupted", 0) >= self._bounds.waiting:
            raise QueueFullError(f"{self._bounds.waiting:,} jobs wait already", advice="submit it again later")
        order = order() if callable(order) else order
        try:
            job = self._database.add(
                id or secrets.token_hex(16),
                order,
                name=str(order.document.get("name") or "workflow"),
                origin=origin,
                priority=priority,
                paused=paused,
                key=key,
                asked=asked_digest,
                extra=extra or {},
            )
        except sqlite3.IntegrityError:
            if key is not None and (found := self._keyed(key, asked_digest)) is not None:  # another thread was quicker
                return found, False
            raise JobConflictError("there is a job of this id", where=str(id), advice="choose another id") from None
        self._tell(job)
        with self._changed:
            self._changed.notify()
        return job, True

    def _keyed(self, key: str, asked: str | None) -> Job | None:
        found = self._database.keyed(key)
        if found is None:
            return None
        if found[1] != asked:
            raise JobConflictError(
                "the idempotency key was used for another request", where=key, advice="draw a new key for each request"
            )
        return found[0]

    # ------------------------------------------------------------------------------------------------- reading

    def job(self, id: str) -> Job:
        """Return a job.

        Raises:
            UnknownJobError: There is none of this id.
        """
        job = self._database.job(id)
        if job is None:
            raise UnknownJobError("there is no such job", where=id, advice="it may be older than jobs are kept")
        return job

    def jobs(
        self, states: Iterable[State] = (), *, origin: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[Job]:
        """Return jobs, the newest first; see :meth:`graphflow.jobs.database.Database.jobs`."""
        return self._database.jobs(states, origin=origin, limit=limit, before=before)

    def finished(self, states: Iterable[State], *, origin: str) -> dict[str, float | None]:
        """Return when the jobs in some states were over that came by an interface, by id, the newest first."""
        return self._database.finished(states, origin=origin)

    def waiting(self) -> list[Job]:
        """Return the jobs that wait, in the order in which they will run; paused ones last."""
        return self._database.waiting()

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are by state."""
        return self._database.counts()

    def order(self, id: str) -> Order:
        """Return what a job is to do."""
        return self._database.order(self.job(id).id)

    def attempts(self, id: str) -> list[Attempt]:
        """Return a job's attempts, the first one first."""
        return self._database.attempts(self.job(id).id)

    def files(self, id: str) -> list[JobFile]:
        """Return the files of a job's result."""
        return self._database.files(self.job(id).id)

    def file(self, id: str, name: str, *, early: bool = False) -> Path:
        """Return where a file of a job's result stands.

        Args:
            id: The job.
            name: The file's name.
            early: Whether one counts, too, that its attempt wrote which runs; it is gone again if that fails.

        Raises:
            UnknownJobError: The job has no such file, or it is gone.
        """
        job = self.job(id)
        place = self._place(job.id, job.attempt)
        running = early and job.state == "running"
        if running or any(file.name == name for file in self._database.files(id)):
            path = place / name
            if path.is_file() and path.resolve().is_relative_to(place.resolve()):
                return path
        raise UnknownJobError("the job has no such file", where=name)

    def feed(self, id: str) -> Feed:
        """Return the events of a job; of one that was over long ago the last is kept alone."""
        with self._changed:
            job = self.job(id)  # not before, or its end might be told before anybody listens
            feed = self._feeds.get(id)
            if feed is None:
                feed = Feed()
                feed.tell(_state(job), last=job.final)
                if not job.final:
                    self._feeds[id] = feed
        return feed

    def wait(self, id: str, timeout: float | None = None) -> Job:
        """Wait until a job is over, or ``timeout`` seconds; returns it as it stands then."""
        self.feed(id).wait(timeout)
        return self.job(id)

    def listen(self, listener: Listener) -> None:
        """Have a listener told of all that happens, from the thread in which it does. It should return soon."""
        self._listeners.append(listener)

    # ------------------------------------------------------------------------------------------------ changing

    def cancel(self, id: str) -> Job:
        """End a job; one that runs stops at its next step. One that is cancelled already stays so.

        Raises:
            JobConflictError: It is over.
        """
        return self._stop(id, "cancelled", self._database.cancel)

    def pause(self, id: str) -> Job:
        """Have a job wait until it is resumed; one that runs stops at its next step, and goes on from there later.

        Raises:
            JobConflictError: It is over.
        """
        return self._stop(id, "paused", self._database.pause)

    def _stop(self, id: str, outcome: str, waiting: Callable[[str], Job | None]) -> Job:
        with self._changed:
            job = self.job(id)
            changed = waiting(id)
            if changed is None and id in self._running:
                changed = self._database.stop(id, outcome)
                self._running[id].cancel()
        if changed is None:
            if job.state == outcome:
                return job
            raise JobConflictError(f"the job is {job.state}", where=id)
        self._tell(changed)
        return changed

    def resume(self, id: str) -> Job:
        """Have a paused job go on; another one is left as it is.

        Raises:
            JobConflictError: It is over, or on its way to be paused.
        """
        return self._restart(id, self._database.resume(id))

    def retry(self, id: str) -> Job:
        """Queue a job again that failed, was cancelled, or was given up.

        Raises:
            JobConflictError: It is none of these.
        """
        with self._changed:
            feed = self._feeds.get(id)
            if feed is not None and feed.closed:
                del self._feeds[id]
        return self._restart(id, self._database.retry(id))

    def _restart(self, id: str, changed: Job | None) -> Job:
        if changed is None:
            raise JobConflictError(f"the job is {self.job(id).state}", where=id)
        self._tell(changed)
        with self._changed:
            self._changed.notify_all()
        return changed

    def prioritise(self, id: str, priority: int) -> Job:
        """Change a job's priority, which counts while it waits."""
        return self._database.prioritise(id, priority) or self.job(id)

    def remove(self, id: str) -> None:
        """Forget a job that does not run, with its files.

        Raises:
            JobConflictError: It runs.
        """
        with self._changed:
            if self.job(id).state == "running":
                raise JobConflictError("the job is running", where=id, advice="cancel it first")
            self._forget([id])

    # ---------------------------------------------------------------------------------------------- carrying out

    def _place(self, id: str, attempt: int) -> Path:
        return self.folder / "files" / id / str(attempt)

    def _work(self) -> None:
        """Carry out jobs until the queue is closed."""
        while True:
            with self._changed:
                job = None
                while not self._closing and (job := self._insist(self._database.claim)) is None:
                    self._changed.wait()
                if job is None:
                    return
                cancellation = self._running[job.id] = Cancellation()
            self._tell(job)
            try:
                ended = self._insist(self._carried_out(job, cancellation))
            finally:
                with self._changed:
                    self._running.pop(job.id, None)
            if ended is not None:
                self._tell(ended)
            self._over += 1
            if self._over % _PRUNED_EVERY == 0:
                self._insist(self._prune)
                give_back()

    def _carried_out(self, job: Job, cancellation: Cancellation) -> Callable[[], Job]:
        """Carry out a job; returns what writes down how it ended."""
        out = self._place(job.id, job.attempt)
        feed = self.feed(job.id)

        def sink(event: Event) -> None:
            if isinstance(event, Written):  # where the service keeps things is its own business
                event = replace(event, path=Path(event.path).relative_to(out).as_posix())
            feed.take(event)
            self._inform(job, event)

        try:
            order = self._database.order(job.id)
            result = perform(
                self.session,
                expanded(self.session, order),
                out=out,
                targets=order.targets,
                safety=stricter(order.safety, self.session.settings.safety),
                input_folder=self._input_folder,
                metadata=order.metadata,
                previews=order.previews,
                sink=sink,
                cancellation=cancellation,
            )
        except CancelledError:
            shutil.rmtree(out, ignore_errors=True)
            stopping = self.job(job.id).stopping
            return lambda: self._database.end(job.id, stopping or "interrupted")
        except Exception as error:
            if not hasattr(error, "exit_code"):
                _log.exception("job %s", job.id)
            shutil.rmtree(out, ignore_errors=True)
            cause = finite(error_json(error))
            return lambda: self._database.end(job.id, "failed", cause=cause)
        told, files = finite(_told(result)), _files(result, out)
        return lambda: self._database.end(job.id, "done", result=told, files=files)

    def _insist(self, call: Callable[[], Any]) -> Any:
        """Call what writes to the database until it can be written, or the queue is closed."""
        while True:
            try:
                return call()
            except (sqlite3.Error, OSError):
                _log.exception("the jobs in %s cannot be written", self.folder)
                if self._closing:
                    return None
                time.sleep(1)

    def _tell(self, job: Job) -> None:
        """Tell all who listen where a job stands."""
        with self._changed:
            feed = self._feeds.get(job.id)
            if feed is not None:
                feed.tell(_state(job), last=job.final)
                if job.final:
                    self._feeds.move_to_end(job.id)
            closed = [id for id, known in self._feeds.items() if known.closed]
            for id in closed[:-_FEEDS]:
                del self._feeds[id]
        self._inform(job, None)

    def _inform(self, job: Job, event: Event | None) -> None:
        for listener in self._listeners:
            try:
                listener(job, event)
            except Exception:
                _log.exception("a listener failed")

    def _prune(self) -> None:
        """Forget what is older than jobs are kept."""
        self._forget(self._database.outlived(self._bounds.seconds, self._bounds.jobs))

    def _recover(self) -> None:
        """Make good what a process has left that died: attempts that ran, and files that belong to no job."""
        for id, attempt in self._database.recover(_CRASHES):
            shutil.rmtree(self._place(id, attempt), ignore_errors=True)
        for place in (self.folder / "files").glob("*"):
            if self._database.job(place.name) is None:
                shutil.rmtree(place, ignore_errors=True)

    def _forget(self, ids: list[str]) -> None:
        self._database.remove(ids)
        for id in ids:
            self._feeds.pop(id, None)
            shutil.rmtree(self.folder / "files" / id, ignore_errors=True)


def _state(job: Job) -> dict[str, Any]:
    told = {"event": "state", "state": job.state, "attempt": job.attempt, "paused": job.paused}
    return told if job.error is None else {**told, "error": job.error}


def _told(result: Result) -> dict[str, Any]:
    """Return what is remembered of a result; its files stand apart."""
    told = {name: value for name, value in result.to_json().items() if name not in ("event", "files")}
    return {**told, "notices": list(result.notices), "nodes": dict(result.nodes)}


def _files(result: Result, out: Path) -> list[JobFile]:
    return [
        JobFile(node, file.path.relative_to(out).as_posix(), file.path.stat().st_size, file.how)
        for node, files in result.files.items()
        for file in files
    ]
