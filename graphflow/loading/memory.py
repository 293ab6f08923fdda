"""Which modules stay in memory: bytes budgets with the least recently used going first. Knows nothing of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

Tier = str
"""`main`, `device`, or the name of another device that has parts of its own."""


class Resident(Protocol):
    """Something that takes up memory."""

    @property
    def bytes(self) -> int:
        """Bytes it takes up."""
        ...

    @property
    def tier(self) -> Tier:
        """Where it is."""
        ...

    @property
    def in_use(self) -> bool:
        """Whether somebody uses it now, so that it must stay where it is."""
        ...


R = TypeVar("R", bound=Resident)


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes of weights that may stay.

    Attributes:
        main: In main memory.
        device: In the accelerator's memory.
        others: In the memory of further devices, by name.
    """

    main: int
    device: int
    others: Mapping[str, int] = field(default_factory=dict)

    def of(self, tier: Tier) -> int:
        """Return the bytes that may stay in one memory."""
        return {"main": self.main, "device": self.device, **self.others}[tier]


class Residents(Generic[R]):
    """Modules in memory, in the order of their last use.

    Args:
        budget: How much may stay. What is in use counts, but is never moved; a single module above the budget may
            stay as long as it is used.
        demote: Moves a module from the device to main memory.
        drop: Forgets a module.
    """

    def __init__(self, budget: Budget, *, demote: Callable[[R], None], drop: Callable[[R], None]) -> None:
        self.budget = budget
        self._demote = demote
        self._drop = drop
        self._items: list[R] = []

    def __iter__(self) -> Iterator[R]:
        """Go through them, least recently used first."""
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def bytes_in(self, tier: Tier) -> int:
        """Bytes in one memory."""
        return sum(item.bytes for item in self._items if item.tier == tier)

    def touch(self, item: R) -> None:
        """Note that a module is used now, or add it."""
        self._items = [other for other in self._items if other is not item] + [item]

    def discard(self, item: R) -> None:
        """Forget a module without asking."""
        if any(other is item for other in self._items):
            self._items = [other for other in self._items if other is not item]
            self._drop(item)

    def make_room(self, tier: Tier, needed: int) -> bool:
        """Move or forget unused modules until `needed` more bytes fit; as far as that is possible.

        Returns:
            Whether anything was moved or forgotten.
        """
        limit = self.budget.of(tier)
        changed = False
        for item in self:
            if self.bytes_in(tier) + needed <= limit:
                break
            if item.tier == tier and not item.in_use:
                self._leave(item)
                changed = True
        return changed

    def free_unused(self) -> int:
        """Forget everything that is not in use; returns how many modules that were."""
        unused = [item for item in self if not item.in_use]
        for item in unused:
            self.discard(item)
        return len(unused)

    def _leave(self, item: R) -> None:
        """Move an item one memory down; forget it where it would not fit there even alone."""
        if item.tier != "main" and item.bytes <= self.budget.main:
            self.make_room("main", item.bytes)
            if self.bytes_in("main") + item.bytes <= self.budget.main:
                self._demote(item)
                return
        self.discard(item)
