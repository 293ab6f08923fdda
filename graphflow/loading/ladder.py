"""What to do when memory runs out: one measure after another, saying each, and running the work again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from graphflow import runtime
from graphflow.errors import OutOfMemoryError, is_out_of_memory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rung:
    """One measure against running out of memory.

    Attributes:
        name: What it does, as it is told to the user.
        climb: Takes the measure; returns False where it changes nothing, so that the next one is tried at once.
    """

    name: str
    climb: Callable[[], bool]


class Ladder:
    """Measures in their order. What was climbed stays: the next node does not have to fail first.

    Args:
        rungs: The measures, mildest first. The first may help again after it has helped before; each other one is
            taken once.
    """

    def __init__(self, rungs: Sequence[Rung]) -> None:
        self._rungs = tuple(rungs)
        self._taken: set[str] = set()

    @property
    def taken(self) -> tuple[str, ...]:
        """Names of the measures taken so far, in the ladder's order."""
        return tuple(rung.name for rung in self._rungs if rung.name in self._taken)

    def run(self, function: Callable[[], T]) -> T:
        """Call a function, and again after each measure while it runs out of memory.

        Args:
            function: Work that can be started anew: it keeps nothing from a failed attempt.

        Raises:
            OutOfMemoryError: Memory runs out and no measure is left.
        """
        freed = False
        while True:
            try:
                return function()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                shortage = str(error).partition("\n")[0]
            # Only here is the failed attempt's traceback gone, and with it the tensors that it held.
            rung = self._climb(skip_first=freed)
            if rung is None:
                raise OutOfMemoryError(
                    f"memory runs out, and no measure is left ({shortage})",
                    advice="use a smaller size or batch, half precision (dtype = float16), or a device with more memory",
                )
            freed = rung is self._rungs[0]
            runtime.current().notice(f"memory ran out; {rung.name}, then once more")

    def _climb(self, *, skip_first: bool) -> Rung | None:
        for index, rung in enumerate(self._rungs):
            if (skip_first if index == 0 else rung.name in self._taken) or not rung.climb():
                continue
            self._taken.add(rung.name)
            return rung
        return None
