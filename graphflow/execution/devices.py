"""The lanes of a session: one for each device that it computes on, made when something first computes there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from graphflow.basics.device_names import kind_of, told_apart
from graphflow.basics.once import once
from graphflow.execution.lanes import InlineLane, Lane, Lanes, Limit, ThreadLane
from graphflow.execution.placing import Holding
from graphflow.execution.worker import Site
from graphflow.runtime import ModelProvider


class SessionLanes:
    """Makes the lanes of a session and closes them. Safe to use from several threads.

    Args:
        devices: The devices, one for each lane; empty where that is one, the session's own.
        models: Gives for each of them where its modules come from.
    """

    def __init__(self, devices: Callable[[], Sequence[str]], models: Callable[[int], ModelProvider]) -> None:
        self._names = devices
        self._models = models
        self._closed = False
        self._made: list[Lane] = []
        self._lock = threading.RLock()

    def get(self, *, heavy: bool) -> Lanes:
        """Return the lanes; those of devices only where something is computed on one."""
        return {"device": self._devices if heavy else (), **self._others}

    def close(self) -> None:
        """Wait for the jobs that run and end the threads; no lane takes a job from now on."""
        with self._lock:
            self._closed = True
            made = tuple(self._made)
        for lane in made:
            lane.close()

    @once
    def _devices(self) -> Sequence[Lane]:
        names = self._names()
        if len(names) < 2:
            return self._known([ThreadLane("device", 1)])
        shown = told_apart(names)
        return self._known([self._lane(name, _Later(self._models, index)) for index, name in enumerate(shown)])

    def _lane(self, name: str, models: ModelProvider) -> Lane:
        holding = Holding(lambda nbytes: models.fits(nbytes))
        return ThreadLane("device", 1, Site(name, models), holding, limit=self._limit)

    @once
    def _others(self) -> dict[str, Sequence[Lane]]:
        workers = max(2, (os.cpu_count() or 2) // 2)
        return {"cpu": self._known([ThreadLane("cpu", workers, limit=self._limit)]), "inline": [InlineLane()]}

    @once
    def _limit(self) -> Limit | None:
        """Several lanes on the CPU share its cores."""
        names = self._names()
        if len(names) < 2 or kind_of(names[0]) != "cpu":
            return None
        return Limit(len(names), _share_threads)

    def _known(self, lanes: list[Lane]) -> Sequence[Lane]:
        with self._lock:
            self._made += lanes
            if self._closed:
                for lane in lanes:
                    lane.close()
        return lanes


class _Later:
    """A model manager that is made when a node first asks for it."""

    def __init__(self, models: Callable[[int], ModelProvider], index: int) -> None:
        self._get = models
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._get(self._index), name)


def _share_threads(lanes: int) -> None:
    """Have the calling thread compute with its share of torch's threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // lanes))
    # That also says what threads of others begin with; a thread that ends says what they began with before.
    other = threading.Thread(target=torch.set_num_threads, args=(before,))
    other.start()
    other.join()
