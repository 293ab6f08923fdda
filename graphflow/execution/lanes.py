"""Where tasks run. Lanes belong to the session, so that runs at the same time share its devices."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeAlias

from graphflow.errors import GraphflowError
from graphflow.execution.placing import Holding
from graphflow.execution.worker import Done, Job, Site


class Lane(Protocol):
    """A place with room for some jobs at once; safe to use from several threads.

    Attributes:
        holding: What it has in hand, which decides what it is given where several lanes take the same jobs.
    """

    holding: Holding

    def free(self, busy: int) -> int:
        """Return how many more jobs a run may submit that has ``busy`` of them here."""
        ...

    def submit(self, run: str, job: Job, done: Callable[[Done], None], *, alone: bool = False) -> None:
        """Take a job of a run; jobs begin in the order in which they came.

        Args:
            run: The run's id.
            job: The job. A lane in this process calls it with its :class:`~graphflow.execution.worker.Site`; one elsewhere
                sends its task and does there what :meth:`graphflow.execution.worker.Worker.work` does.
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


Lanes: TypeAlias = Mapping[str, Sequence[Lane]]
"""Lanes by the kind of jobs that they take; a job of a kind may run on each of them."""


class Limit(NamedTuple):
    """Among how many lanes torch's threads are shared, and what sees to it: it is called in each thread with that number."""

    lanes: int
    take: Callable[[int], None]


_INSIDE = threading.local()
"""Of a lane's thread: which kind of jobs it does, and where."""


class ThreadLane:
    """A lane of threads, made when they are needed and kept.

    A run may have as many jobs here as there are threads; what finds them busy with another run's jobs waits.

    Args:
        kind: What jobs it takes.
        threads: How many jobs run at once.
        site: What it has for its jobs.
        holding: What is known of its weights.
        limit: Keeps its threads from computing with all of torch's threads; None leaves that alone.
    """

    def __init__(
        self,
        kind: str,
        threads: int,
        site: Site | None = None,
        holding: Holding | None = None,
        limit: Limit | None = None,
    ) -> None:
        self.holding = holding or Holding()
        self._kind = kind
        self._site = site or Site()
        self._threads = threads
        self._limit = limit
        begin: tuple[Callable[[int], None], tuple[int]] | tuple[None, tuple[()]] = (None, ())
        if limit is not None:
            begin = limit.take, (limit.lanes,)
        self._pool = ThreadPoolExecutor(threads, f"graphflow-{self._site.name or kind}", *begin)
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._busy = 0
        self._waiting: deque[tuple[str, Job, Callable[[Done], None]]] = deque()
        self._closed = False

    def free(self, busy: int) -> int:
        """Return how many more jobs a run may submit that has ``busy`` of them here."""
        return self._threads - busy

    def submit(self, run: str, job: Job, done: Callable[[Done], None], *, alone: bool = False) -> None:
        """Take a job of a run, see :meth:`Lane.submit`."""
        kind, site = getattr(_INSIDE, "at", ("", None))
        if kind == self._kind and site is not None:  # a node that runs a workflow would wait for itself
            done(job(site))
            return
        with self._lock:
            if self._closed:
                raise GraphflowError("the session is closed", advice="make another one")
            if self._busy == self._threads:
                self._waiting.append((run, job, done))
                return
            self._busy += 1
        if alone and self._limit is None:  # a thread of its own would only cost time and warm up memory anew
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

    def _work(self, job: Job, done: Callable[[Done], None]) -> None:
        outer = getattr(_INSIDE, "at", ("", None))
        _INSIDE.at = self._kind, self._site
        result = job(self._site)
        _INSIDE.at = outer
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

    def __init__(self, site: Site | None = None) -> None:
        self.holding = Holding()
        self._site = site or Site()

    def free(self, busy: int) -> int:
        """Return how many more jobs a run may submit that has ``busy`` of them here."""
        return 1 - busy

    def submit(self, run: str, job: Job, done: Callable[[Done], None], *, alone: bool = False) -> None:
        """Do the job."""
        done(job(self._site))

    def cancel(self, run: str) -> int:
        """Return 0: nothing ever waits."""
        return 0

    def close(self) -> None:
        """Do nothing."""
