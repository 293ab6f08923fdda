"""The lanes of a session whose device nodes run on a cluster: one for each worker."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from graphflow.cluster.actor import Host
from graphflow.cluster.crew import Crew, OnWorker
from graphflow.cluster.employment import Employment, content_of
from graphflow.errors import InvalidInputError
from graphflow.execution.lanes import Lane, ThreadLane
from graphflow.execution.placing import Holding
from graphflow.execution.worker import Site
from graphflow.planning.numerics import Numerics
from graphflow.settings import Settings
from graphflow.store import Encoded, Store


class ClusterLanes:
    """Starts the workers when something is first to compute on a device. Safe to use from several threads.

    Args:
        settings: The session's settings; ``cluster`` says where.
        numerics: What enters its keys.
        store: Its store.
        versions: Version of each of its node packs.
        packs: Those of them that are files.
        make: Makes a worker's session; a function of a module, whose name travels.

    Raises:
        InvalidInputError: A setting does not go with a cluster.
    """

    def __init__(
        self,
        settings: Settings,
        numerics: Numerics,
        store: Store,
        versions: Mapping[str, str],
        packs: Sequence[Path],
        make: Callable[[Employment], Host],
    ) -> None:
        if settings.devices:
            raise InvalidInputError(
                "each worker of a cluster has a device of its own",
                where="--cluster",
                advice="leave out --devices; local*2 takes two workers",
            )
        if settings.stand_in:
            raise InvalidInputError(
                "stand-ins are made in this process, and workers have none",
                where="--cluster",
                advice="leave out --stand-in or --cluster",
            )
        self._place, _, number = (settings.cluster or "").partition("*")
        self._count = int(number) if number else None
        self._store = store
        self._probe = secrets.token_hex(32)
        shares = store.disk is not None and store.disk.put(self._probe, Encoded("probe", None, {}))
        files = {path.absolute(): content_of(path) for path in packs}
        self._versions = {**versions, **{path.stem: content for path, content in files.items()}}
        self._employment = Employment(
            settings=settings,
            local=self._place == "local",
            device=numerics.device,
            dtype=numerics.compute,
            sharing=1,
            threads=None,
            packs=files,
            probe=self._probe if shares else None,
        )
        self._make = make
        self._crew: Crew | None = None
        self._lanes: list[Lane] = []
        self._lock = threading.Lock()
        self._closed = False

    def get(self, nbytes: int) -> Sequence[Lane]:
        """Return the lanes; the first call starts the workers, each of which reserves so much memory.

        Raises:
            InvalidInputError: There is no such cluster, or it has no room for a worker.
        """
        with self._lock:
            if self._crew is None:
                self._crew = crew = Crew(self._place, self._count, self._employment, self._make, self._versions, nbytes)
                for member in crew.members:
                    holding = Holding()
                    site = Site(member.name, elsewhere=OnWorker(crew, member, holding.forget))
                    self._lanes.append(ThreadLane("device", 1, site, holding))
            if self._closed:
                self._end()
        return self._lanes

    def close(self) -> None:
        """Wait for the tasks that run and end the workers."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        for lane in self._lanes:
            lane.close()
        if self._crew is not None:
            self._crew.close()
            self._crew = None
            if self._store.disk is not None:
                self._store.disk.evict(self._probe)
