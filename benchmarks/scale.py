"""How far one coordinator goes: what it spends on a task, and how many workers it keeps busy.

Tasks do nothing. The first table is the processor time of the scheduler alone and of a whole run in this process, up to
100,000 tasks. In the second, each of 1 to 1,000 workers, lanes of their own, holds its task for a drawn time without
computing, so that one machine stands for many; where fewer tasks end than the workers could do, the coordinator is what
they wait for. ``--write`` writes both into docs/scale.md, with the plot.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import math
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from benchmarks.overhead import LANES, REGISTRY, wide
from graphflow.execution.environment import Environment
from graphflow.execution.lanes import Lanes
from graphflow.execution.placing import Holding
from graphflow.execution.run import execute
from graphflow.execution.scheduler import Entry, Scheduler
from graphflow.execution.worker import Done, Job, Site
from graphflow.planning.expand import expand
from graphflow.planning.plan import plan
from graphflow.planning.steps import Plan
from graphflow.runtime import Runtime
from graphflow.store import MemoryTier, Store

SIZES = (1_000, 10_000, 100_000)
SEED = 7
WORKERS = (1, 10, 100, 1_000)
DURATIONS = (0.1, 1.0)
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
PLOT = PAGE.parent / "images" / "scale.svg"


class Clock:
    """Ends the jobs of simulated workers when their time has come."""

    def __init__(self, mean: float) -> None:
        self._mean = mean
        self._dice = random.Random(SEED)
        self._due: list[tuple[float, int, Job, Callable[[Done], None]]] = []
        self._number = count()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def add(self, job: Job, done: Callable[[Done], None]) -> None:
        """Take a job that has begun."""
        due = time.perf_counter() + self._dice.expovariate(1 / self._mean)
        with self._changed:
            heapq.heappush(self._due, (due, next(self._number), job, done))
            self._changed.notify()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._open:
                    return
                left = self._due[0][0] - time.perf_counter() if self._due else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                *_, job, done = heapq.heappop(self._due)
            done(job(Site()))


class SimulatedLane:
    """A worker that holds a job for a while."""

    def __init__(self, clock: Clock) -> None:
        self.holding = Holding()
        self._clock = clock

    def free(self, busy: int) -> int:
        """Return whether it has no job of the run."""
        return 1 - busy

    def submit(self, run: str, job: Job, done: Callable[[Done], None], *, alone: bool = False) -> None:
        """Take a job."""
        self._clock.add(job, done)

    def cancel(self, run: str) -> int:
        """Return 0: every job has begun."""
        return 0

    def close(self) -> None:
        """Do nothing."""


def many(tasks: int) -> Plan:
    """Return a plan of so many tasks that read one value."""
    made = plan(expand(wide(3).document, REGISTRY), REGISTRY, shelf=Store(MemoryTier(2**20)))
    first, step = made.steps["n0"], made.steps["n1"]
    steps = {
        f"n{index}": replace(step, id=f"n{index}", key=hashlib.sha256(str(index).encode()).hexdigest())
        for index in range(1, tasks + 1)
    }
    return replace(made, steps={"n0": first, **steps}, targets=(), outputs={})


def run(made: Plan, lanes: Lanes) -> float:
    """Run a plan with an empty store; returns the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(
            store=Store(MemoryTier(2**30)),
            out=Path(folder),
            scratch=Path(folder),
            runtime=Runtime(models=None),  # type: ignore[arg-type]
        )
        started = time.perf_counter()
        execute(made, environment, lanes)
        return time.perf_counter() - started


def scheduling(tasks: int, *, chain: bool) -> float:
    """Return the processor milliseconds that the scheduler spends on a task, one after another or side by side."""
    entries = [
        Entry(index, (f"v{index - 1 if chain else 'x'}",), (f"v{index}",), "cpu", rank=0 if chain else index // 10)
        for index in range(tasks)
    ]
    scheduler: Scheduler[int, str] = Scheduler()
    started = time.process_time()
    scheduler.prepare(entries)
    while (step := scheduler.get_ready("cpu")) is not None:
        scheduler.done(step)
    return 1e3 * (time.process_time() - started) / tasks


def costs() -> str:
    """Return the table of what the coordinator spends on a task."""
    lines = [
        "| tasks | scheduler, chain, ms/task | scheduler, side by side, ms/task | whole run, ms/task |",
        "|---|---|---|---|",
    ]
    for tasks in SIZES:
        made = many(tasks)
        started = time.process_time()
        run(made, LANES)
        whole = 1e3 * (time.process_time() - started) / tasks
        lines.append(
            f"| {tasks:,} | {scheduling(tasks, chain=True):.4f} | {scheduling(tasks, chain=False):.4f} | {whole:.3f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def kept_busy(workers: int, mean: float) -> tuple[float, float]:
    """Return how many tasks end in a second, and how many would if nothing but the workers took time."""
    tasks = max(40, min(20_000, int(4 * workers / mean))) + 2 * workers
    made = many(tasks)
    clock = Clock(mean)
    try:
        took = run(made, {**LANES, "cpu": [SimulatedLane(clock) for _ in range(workers)]})
    finally:
        clock.close()
    return tasks / took, tasks / alone(workers, mean, tasks)


def alone(workers: int, mean: float, tasks: int) -> float:
    """Return the seconds that the workers need for the same tasks, each taking the next at once."""
    dice = random.Random(SEED)
    free = [0.0] * workers
    for _ in range(tasks):
        heapq.heapreplace(free, free[0] + dice.expovariate(1 / mean))
    return max(free)


def simulation() -> tuple[str, dict[float, list[tuple[int, float, float]]]]:
    """Return the table of the simulation, and its numbers: workers, tasks a second, those of the workers alone."""
    lines = [
        "| workers | mean of a task, s | workers alone, tasks/s | measured, tasks/s | share |",
        "|---|---|---|---|---|",
    ]
    found: dict[float, list[tuple[int, float, float]]] = {}
    for mean in DURATIONS:
        for workers in WORKERS:
            rate, ideal = kept_busy(workers, mean)
            found.setdefault(mean, []).append((workers, rate, ideal))
            lines.append(f"| {workers:,} | {mean:g} | {ideal:,.0f} | {rate:,.0f} | {rate / ideal:.2f} |")
            print(lines[-1], flush=True)
    return "\n".join(lines), found


def plot(found: dict[float, list[tuple[int, float, float]]]) -> str:
    """Draw tasks a second over workers, both on scales of powers of ten, as SVG."""
    left, top, width, height = 64, 20, 420, 300

    def x(workers: float) -> float:
        return left + width * math.log10(workers) / 3

    def y(rate: float) -> float:
        return top + height * (1 - math.log10(rate) / 4)

    def line(points: list[tuple[float, float]], style: str) -> str:
        return f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}" fill="none" {style}/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 116}" height="{top + height + 50}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for power in range(5):
        at = y(10**power)
        parts.append(line([(left, at), (left + width, at)], 'stroke="#ddd"'))
        parts.append(f'<text x="{left - 8}" y="{at + 4:.0f}" text-anchor="end">{10**power:,}</text>')
    for power in range(4):
        at = x(10**power)
        parts.append(line([(at, top), (at, top + height)], 'stroke="#ddd"'))
        parts.append(f'<text x="{at:.0f}" y="{top + height + 18}" text-anchor="middle">{10**power:,}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">workers</text>')
    middle = top + height / 2
    parts.append(f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">tasks a second</text>')
    for (mean, rows), colour in zip(found.items(), ("#1769aa", "#b23c17"), strict=True):
        parts.append(line([(x(w), y(ideal)) for w, _, ideal in rows], f'stroke="{colour}" stroke-dasharray="4 4"'))
        parts.append(line([(x(w), y(max(rate, 1.0))) for w, rate, _ in rows], f'stroke="{colour}" stroke-width="2"'))
        end = y(rows[-1][1])
        parts.append(f'<text x="{left + width + 8}" y="{end + 4:.0f}" fill="{colour}">tasks of {mean:g} s</text>')
    return "\n".join([*parts, "</svg>", ""])


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/scale.md and its plot")
    options = parser.parse_args([] if arguments is None else arguments)
    first = costs()
    second, found = simulation()
    if options.write:
        text = PAGE.read_text("utf-8")
        for name, table in (("costs", first), ("simulation", second)):
            before, _, rest = text.partition(f"<!-- {name} -->")
            _, end, after = rest.partition(f"<!-- /{name} -->")
            text = f"{before}<!-- {name} -->\n{table}\n{end}{after}"
        PAGE.write_text(text, "utf-8")
        PLOT.write_text(plot(found), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
