"""What a check is and what it yields: rows that pass or fail, and speeds that are only told."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from tools.gpu_check.machine import Machine

PASSED, FAILED, TOLD = "passed", "FAILED", "measured"
NEEDS_CUDA, NOT_REACHED, NOT_RUN = "needs CUDA", "not reached", "not run yet"


@dataclass(frozen=True)
class Row:
    """One line of the table: what was looked at, what was found, what is allowed, and what follows."""

    what: str
    figure: str = ""
    bound: str = ""
    state: str = NOT_RUN


@dataclass(frozen=True)
class Speed:
    """One comparison with a plain Diffusers pipeline, in one unit."""

    model: str
    what: str
    ours: float
    theirs: float


Found = Row | Speed


@dataclass(frozen=True)
class Check:
    """A named check.

    Attributes:
        name: What ``--only`` calls it.
        about: What it looks at, for the page where it has no rows.
        function: Yields what it finds; what it raises counts as a failure.
        seconds: How long it takes on a fast CUDA device, at most; with less time left it is not begun.
        needs_cuda: Whether it says nothing on the CPU.
    """

    name: str
    about: str
    function: Callable[[Machine], Iterator[Found]]
    seconds: float
    needs_cuda: bool = False


@dataclass
class Report:
    """What was found so far, by check."""

    checks: Sequence[Check]
    found: dict[str, list[Found]] = field(default_factory=dict)

    def rows(self, check: Check) -> list[Row]:
        """The rows of a check; one that says so where it has not run to its end."""
        return [item for item in self.found.get(check.name, [Row(check.about)]) if isinstance(item, Row)]

    def speeds(self) -> list[Speed]:
        """All speeds."""
        return [item for items in self.found.values() for item in items if isinstance(item, Speed)]

    def count(self, state: str) -> int:
        """How many rows are in a state."""
        return sum(row.state == state for check in self.checks for row in self.rows(check))

    @property
    def exit_code(self) -> int:
        """0 where everything that this device can show has passed, else 1."""
        return 1 if self.count(FAILED) or self.count(NOT_REACHED) or self.count(NOT_RUN) else 0


def at_most(what: str, found: float, bound: float, unit: str = "") -> Row:
    """A row that passes up to a bound; NaN fails."""
    return Row(what, f"{found:.2g}{unit}", f"≤ {bound:g}{unit}", PASSED if found <= bound else FAILED)


def holds(what: str, truth: bool, figure: str, bound: str = "") -> Row:
    """A row that passes where something is true."""
    return Row(what, figure, bound, PASSED if truth else FAILED)


def run(checks: Sequence[Check], machine: Machine, changed: Callable[[Report], None]) -> Report:
    """Run checks in their order until the time is over; each time something is known, the report is handed out."""
    report = Report(checks, {check.name: [Row(check.about, state=NOT_REACHED)] for check in checks})
    changed(report)
    for check in checks:
        if check.needs_cuda and machine.device != "cuda":
            report.found[check.name] = [Row(check.about, state=NEEDS_CUDA)]
            print(f"{check.name}: {NEEDS_CUDA}", flush=True)
        elif machine.left() >= check.seconds:
            print(f"{check.name}: {machine.left():.0f} s left", flush=True)
            _run(check, machine, report, changed)
        else:
            print(f"{check.name}: {NOT_REACHED}", flush=True)
        changed(report)
    return report


def _run(check: Check, machine: Machine, report: Report, changed: Callable[[Report], None]) -> None:
    rest = Row(f"{check.about}: the rest", state=NOT_REACHED)
    found: list[Found] = []
    try:
        for item in check.function(machine):
            found.append(item)
            print(f"  {item}", flush=True)
            report.found[check.name] = [*found, rest]
            changed(report)
            if machine.left() <= 0:
                return
        report.found[check.name] = found or [Row(check.about, "it found nothing", state=FAILED)]
    except Exception as error:  # one check must not take the others with it
        traceback.print_exc(file=sys.stdout)
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        report.found[check.name] = [*found, Row(check.about, told, state=FAILED)]
    finally:
        gc.collect()
        if machine.device == "cuda":
            torch.cuda.empty_cache()
