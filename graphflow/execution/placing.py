"""Which of the tasks that may begin goes to which of several lanes of a kind.

The rule: a task goes to the free lane on which least has yet to be loaded for it. Where a busy lane has more of its
weights, it waits for that one, unless waiting takes longer than loading: what that lane still has in hand, and the
tasks like this one that wait, shared by the lanes that have their weights. What takes how long is known once a task of
its kind has run; until then a pass through weights is taken to need a tenth of the time in which they are loaded, so
a sampler of ten steps and more is worth a second copy, and a single text is not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from graphflow.planning.needs import Needs, Weights

LOADING = 1e9
"""Bytes of weights that are loaded in a second, taken for all machines."""
PASS = 0.1
"""Seconds of a pass through weights, as a share of those in which they are loaded, before anything was measured."""


class Holding:
    """What a lane has in hand, of whatever run: the weights that its tasks had loaded, and the work that is left.

    Safe to use from several threads.

    Args:
        fits: Tells whether weights of so many bytes stay there together.
        clock: Gives the time in seconds.
    """

    def __init__(
        self, fits: Callable[[int], bool] = lambda nbytes: True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fits = fits
        self._clock = clock
        self._weights: dict[str, int] = {}  # least recently used first
        self._lock = threading.Lock()
        self._until = 0.0
        self._jobs = 0

    def spot(self, weights: Weights, *, free: bool) -> Spot:
        """Return what a task that needs these weights finds; ``free`` tells whether the lane takes it now."""
        with self._lock:
            missing = sum(nbytes for name, nbytes in weights if name not in self._weights)
            left = max(0.0, self._until - self._clock()) if self._jobs else 0.0
            return Spot(missing, self._jobs, left, free)

    def take(self, weights: Weights, seconds: float) -> None:
        """Take note that a task begins; the weights that were not used for longest go where they do not fit."""
        with self._lock:
            self._until = (max(self._until, self._clock()) if self._jobs else self._clock()) + seconds
            self._jobs += 1
            for name, nbytes in weights:
                self._weights.pop(name, None)
                self._weights[name] = nbytes
            names = {name for name, _ in weights}
            for name in [name for name in self._weights if name not in names]:
                if self._fits(sum(self._weights.values())):
                    break
                del self._weights[name]

    def forget(self) -> None:
        """Take note that nothing is loaded any more."""
        with self._lock:
            self._weights.clear()

    def give_back(self, jobs: int = 1) -> None:
        """Take note that tasks have ended."""
        with self._lock:
            self._jobs -= jobs


class Group(NamedTuple):
    """Tasks that may begin and are alike.

    Attributes:
        needs: What each of them needs.
        size: How many they are.
    """

    needs: Needs
    size: int


class Spot(NamedTuple):
    """A lane, as a task finds it.

    Attributes:
        missing: Bytes of its weights that have yet to be loaded there.
        jobs: How many tasks the lane has in hand.
        left: Seconds until it has done them, as far as can be told.
        free: Whether it takes the task now.
    """

    missing: int = 0
    jobs: int = 0
    left: float = 0.0
    free: bool = True


class Times:
    """How long tasks take by what they need: the least that was seen, in which nothing was loaded."""

    def __init__(self) -> None:
        self._seen: dict[Needs, float] = {}

    def note(self, needs: Needs, seconds: float) -> None:
        """Take note of a task that has run."""
        self._seen[needs] = min(seconds, self._seen.get(needs, seconds))

    def __call__(self, needs: Needs) -> float:
        """Return the seconds that a task takes without loading."""
        seen = self._seen.get(needs)
        return seen if seen is not None else PASS * needs.passes * loading(sum(size for _, size in needs.weights))


def loading(nbytes: int) -> float:
    """Return the seconds in which weights are loaded."""
    return nbytes / LOADING


def choose(
    groups: Iterable[Group], look: Callable[[Needs], Sequence[Spot]], times: Callable[[Needs], float]
) -> tuple[Needs, int] | None:
    """Choose what begins where.

    Args:
        groups: The tasks that may begin, what comes first at first.
        look: Gives the lanes, as a task with such needs finds them.
        times: Gives the seconds that such a task takes.

    Returns:
        What the chosen tasks need and the index of the lane; None where each task had better wait.
    """
    for needs, size in groups:
        spots = look(needs)
        free = [index for index, spot in enumerate(spots) if spot.free]
        if not free:
            return None
        best = min(free, key=lambda index: (spots[index].left + loading(spots[index].missing), spots[index].jobs))
        missing = spots[best].missing
        having = [spot for spot in spots if not spot.free and spot.missing < missing]
        if not having:
            return needs, best
        waiting = min(spot.left for spot in having) + size * times(needs) / len(having)
        if waiting > loading(missing - min(spot.missing for spot in having)):
            return needs, best
    return None
