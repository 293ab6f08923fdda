"""Where tasks run. Lanes belong to the session, so that runs at the same time share one device."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from graphflow.errors import GraphflowError

T = TypeVar("T")


class Lane(Protocol):
    """A place with room for some jobs at once; safe to use from several threads."""

    def free(self, busy: int) -> int:
        """Return how many more jobs a run may submit that has ``busy`` of them here."""
        ...

    def submit(self, run: str, job: Callable[[], T], done: Callable[[T], None], *, alone: bool = False) -> None:
        """Take a job of a run; jobs begin in the order in which they came.

        Args:
            run: The run's id.
            job: The job; it raises nothing.
            done: Gets what the job returns; from any thread.
            alone: The caller has nothing else to do until it is done, so it may be done before this returns.

        Raises:
            GraphflowError: The lane is closed.
        """
        ...

    def cancel(self, run: str) -> int:
        """Forget the jobs of a run that have not begun; returns how many there were."""
        ...

    def close(self) -> None:
        """Take no more jobs, wait for those that were taken, and give back what the lane holds."""
        ...


class ThreadLane:
    """A lane of threads, made when they are needed and kept.

    A run may have as many jobs here as there are threads; what finds them busy with another run's jobs waits.

    Args:
        name: What the threads are called.
        threads: How many jobs run at once.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"graphflow-{name}")
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._busy = 0
        self._waiting: deque[tuple[str, Callable[[], Any], Callable[[Any], None]]] = deque()
        self._inside = threading.local()
        self._closed = False

    def free(self, busy: int) -> int:
        """Return how many more jobs a run may submit that has ``busy`` of them here."""
        return self._threads - busy

    def submit(self, run: str, job: Callable[[], T], done: Callable[[T], None], *, alone: bool = False) -> None:
        """Take a job of a run, see :meth:`Lane.submit`."""
        if getattr(self._inside, "job", False):  # a node that runs a workflow would wait for itself
            done(job())
            return
        with self._lock:
            if self._closed:
                raise GraphflowError("the session is closed", advice="make another one")
            if self._busy == self._threads:
                self._waiting.append((run, job, done))
                return
            self._busy += 1
        if alone:  # a thread of its own would only cost time and warm up memory anew
            self._work(job, done)
        else:
            self._pool.submit(self._work, job, done)

    def cancel(self, run: str) -> int:
        """Forget the jobs of a run that have not begun; returns how many there were."""
        with self._lock:
            kept = [entry for entry in self._waiting if entry[0] != run]
            dropped = len(self._waiting) - len(kept)
            self._waiting = deque(kept)
        return dropped

    def close(self) -> None:
        """Take no more jobs, wait for those that were taken, and end the threads."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._busy)
        self._pool.shutdown(wait=True)

    def _work(self, job: Callable[[], T], done: Callable[[T], None]) -> None:
        self._inside.job = True
        result = job()
        self._inside.job = False
        with self._lock:
            if self._waiting:
                _, following, told = self._waiting.popleft()
                self._pool.submit(self._work, following, told)
            else:
                self._busy -= 1
                if self._closed:
                    self._idle.notify_all()
        done(result)


class InlineLane:
    """The caller's own thread, for jobs that are cheaper than handing them over."""

    def free(self, busy: int) -> int:
        """Return how many more jobs a run may submit that has ``busy`` of them here."""
        return 1 - busy

    def submit(self, run: str, job: Callable[[], T], done: Callable[[T], None], *, alone: bool = False) -> None:
        """Do the job."""
        done(job())

    def cancel(self, run: str) -> int:
        """Return 0: nothing ever waits."""
        return 0

    def close(self) -> None:
        """Do nothing."""


def make_lanes(workers: int) -> dict[str, Lane]:
    """Make the lanes of one machine: ``device`` for one job at a time, ``cpu`` for several, ``inline``.

    Args:
        workers: Threads of the ``cpu`` lane.
    """
    return {"device": ThreadLane("device", 1), "cpu": ThreadLane("cpu", workers), "inline": InlineLane()}
