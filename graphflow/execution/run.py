"""Runs a plan.

Policy: ready tasks run newest-ready-first, which keeps few values alive; each lane says how many it takes; of several
lanes of a kind :mod:`graphflow.execution.placing` chooses; few elements of a sequence are on their way at once; effects write in the
order of the plan; a value is let go at its last reader; the first failure stops what has not begun,
or where failures are collected, what hangs on it. State: one :class:`_Run` per call, owned by the calling
thread; workers only compute and put their outcome on one queue, which the calling thread reads.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from graphflow import events
from graphflow.errors import CancelledError, GraphflowError, NodeError, SafetyError
from graphflow.execution.circumstances import Circumstances, merged
from graphflow.execution.dispatch import Dispatch
from graphflow.execution.elements import Elements, Pending, Placed, Unrolling, next_number
from graphflow.execution.environment import Environment, Outcome, StaleError
from graphflow.execution.lanes import Lane, Lanes
from graphflow.execution.output import store_parts
from graphflow.execution.scheduler import Entry, Scheduler
from graphflow.execution.task import Task
from graphflow.execution.turns import Turns
from graphflow.execution.window import Window
from graphflow.execution.worker import MISSING, Computed, Done, Effect, Job, Worker, made_of, put_elements, stored
from graphflow.planning.checked import Source
from graphflow.planning.steps import Plan, Step, output_key
from graphflow.planning.together import variant_of
from graphflow.spec.link_types import ANY
from graphflow.store import is_key


def execute(
    plan: Plan,
    environment: Environment,
    lanes: Lanes,
    *,
    done: Iterable[str] = (),
    contains: Callable[[str], bool] | None = None,
) -> Outcome:
    """Run what a plan says.

    Args:
        plan: The plan; conditional steps are left alone.
        environment: Where to run it.
        lanes: Where its tasks run; the session's.
        done: Effects that an earlier stage of the same run has carried out.
        contains: Tells whether a value is stored and whole; None asks the store.

    Raises:
        NodeError: A node failed; files of effects that were done before stay.
        CancelledError: The run was stopped; nothing half-written stays.
        StaleError: A stored value is gone; plan again.
    """
    return _Run(plan, environment, lanes, frozenset(done), contains or environment.store.contains).run()


class _Run:
    def __init__(
        self,
        plan: Plan,
        environment: Environment,
        lanes: Lanes,
        done: frozenset[str],
        contains: Callable[[str], bool],
    ) -> None:
        self.plan = plan
        self.env = environment
        self.contains = contains
        self.outcome = Outcome()
        self.values: dict[str, Any] = {}
        self.made: dict[str, Circumstances] = {}
        self.completed: queue.SimpleQueue[tuple[Lane, Done]] = queue.SimpleQueue()
        self.steps = {
            step.id: step for step in plan.steps.values() if step.action in ("run", "write") and step.id not in done
        }
        self.wanted = {source for source in (*plan.targets, *plan.selectors) if source in environment.keep}
        self.unrolling = Unrolling(plan, self.steps, contains=contains, look=self._look, kept=self.wanted)
        self.scheduler: Scheduler[str, str] = Scheduler()
        self.worker = Worker(
            environment, {step.spec.type: step.spec for step in self.steps.values()}, self._fetch, self._made
        )
        self.lanes = Dispatch(plan, lanes)
        self.window = Window(2 * self.lanes.room + 2)
        self.turns = Turns(self.steps.values())
        self.pending: dict[str, Pending] = {}
        self.open: dict[str, int] = {}
        self.unrolled: dict[str, Placed] = {}
        self.held: dict[str, dict[Source, tuple[str, ...]]] = {}

    def run(self) -> Outcome:
        """Run everything; see :func:`execute`."""
        failure: BaseException | None = None
        try:
            failure = self._place()
            while True:
                if failure is None:
                    self._start()
                    if not self.lanes.running and (held := self.window.lift()):
                        self.scheduler.give_back(held)
                        continue
                elif self.lanes.running:
                    self.lanes.withdraw(self.env.run_id)
                if not self.lanes.running:
                    break
                ended = self._next()
                if ended is None:
                    if self.env.cancellation.cancelled and self.lanes.withdraw(
                        self.env.run_id
                    ):  # another run may keep the lane for long
                        failure = failure or CancelledError()
                    continue
                lane, (task, seconds, result, error) = ended
                self.lanes.end(lane)
                if error is not None:
                    self.scheduler.failed(task.name)
                    failure = failure or self._survive(task.step, self._fail(task, error))
                elif result is not None:
                    failure = self._finish(task, seconds, result) or failure
        finally:
            self.lanes.withdraw(self.env.run_id)
            while self.lanes.running:  # what has begun still reads values and writes files
                self.lanes.end(self.completed.get()[0])
        if failure is not None:
            raise failure
        for source in self.wanted:
            if not self.env.failures or self._is_there(source):
                self.outcome.values[source] = self._whole(source)
        return self.outcome

    def _survive(self, step: str, failure: BaseException) -> BaseException | None:
        """Return what ends the run; None for the failure of a node where failures are collected."""
        if self.env.failures is None or not isinstance(failure, NodeError):
            return failure
        self.env.failures.setdefault(step, failure)
        self.scheduler.give_back(self.turns.end(self._hanging_on(step)))
        return None

    def _hanging_on(self, step: str) -> Iterator[Step]:
        """Yield a step and those that need what it makes."""
        names = {step}
        for other in self.steps.values():
            if other.id in names or any(source.node in names for source in other.sources):
                names.add(other.id)
                yield other

    def _is_there(self, source: Source) -> bool:
        """Tell whether a value could be computed after all."""
        return self.unrolling.is_placed(source) and all(
            address in self.values or (is_key(address) and self.contains(address))
            for address in self.unrolling.addresses(source)
        )

    # ------------------------------------------------------------------------------------- bookkeeping

    def _place(self) -> BaseException | None:
        """Take in the steps that can be tasks by now; returns what went wrong."""
        placed, pending = self.unrolling.place()
        self.pending.update((task.name, task) for task in pending)
        self.scheduler.prepare(map(self._entry, pending))
        self.window.prepare(placed, pending)
        for item in placed:
            if item.over:
                self.unrolled[item.step.id] = item
                self.open[item.step.id] = 0
        for task in pending:
            if task.element is not None:
                self.open[task.placed.step.id] += 1
        self._hold(placed)
        failure: BaseException | None = None
        for item in placed:
            if item.over and not self.open[item.step.id]:
                failure = failure or self._complete(item.step.id)
        return failure

    def _entry(self, task: Pending) -> Entry[str, str]:
        unrolling = self.unrolling
        step = task.placed.step
        rank = self.plan.ranks.get(step.id, 0)
        return Entry(
            task.name,
            unrolling.reads(task),
            unrolling.makes(task),
            _lane(step),
            rank,
            self.lanes.needs(step.id),
        )

    def _hold(self, placed: Iterable[Placed]) -> None:
        """Keep the values that the caller and steps to come want, and let go of what was kept for these steps."""
        fresh = {item.step.id for item in placed}
        for source in self.wanted:
            if source.node in fresh:
                self.scheduler.hold(self.unrolling.addresses(source))
        for step in self.unrolling.waiting:
            held = self.held.setdefault(step.id, {})
            for source in step.sources:
                if source not in held and self.unrolling.is_placed(source):
                    held[source] = self.unrolling.addresses(source)
                    self.scheduler.hold(held[source])
        for item in placed:
            for addresses in self.held.pop(item.step.id, {}).values():
                self._release(self.scheduler.drop(addresses))

    def _start(self) -> None:
        """Hand ready tasks to free lanes, newest first."""
        scheduler = self.scheduler
        alone = not self.lanes.running and scheduler.ready == 1
        for kind in self.lanes.kinds:
            while scheduler.ready and (found := self.lanes.choose(kind, scheduler)):
                task, lane = found
                pending = self.pending[task]
                if not self.turns.admits(pending.placed.step, task):
                    continue
                if pending.element is not None and not self.window.admits(pending):
                    continue
                del self.pending[task]
                needs = self.lanes.needs(pending.placed.step.id)
                job = Job(self.unrolling.task(pending), self.worker, needs)
                self.lanes.begin(lane, needs)
                try:
                    lane.submit(self.env.run_id, job, partial(self._took, lane), alone=alone)
                except GraphflowError:  # it is closed
                    self.lanes.end(lane)
                    raise

    def _took(self, lane: Lane, done: Done) -> None:
        """Take note of how a job has ended; from any thread."""
        self.completed.put((lane, done))

    def _next(self) -> tuple[Lane, Done] | None:
        """Wait for an outcome; Ctrl-C while waiting stops the run at its next step."""
        try:
            return self.completed.get(timeout=0.2)
        except queue.Empty:
            self.lanes.look_again()
            return None
        except KeyboardInterrupt:
            self.env.cancellation.cancel()
            return None

    def _finish(self, task: Task, seconds: float, result: Computed | Effect) -> BaseException | None:
        """Take a result in and find what is ready now; returns what went wrong."""
        step = self.steps[task.step]
        self.lanes.took(step.id, seconds)
        self.outcome.seconds[step.id] = self.outcome.seconds.get(step.id, 0.0) + seconds
        if isinstance(result, Computed):
            self._keep(task, result)
        else:
            self.outcome.files.setdefault(step.id, []).extend(result.files)
            self.outcome.withheld[step.id] = self.outcome.withheld.get(step.id, 0) + result.withheld
            if task.element is not None:
                first = self.values[next_number(step.id, task.element - 1)] if task.element else 0
                self.values[next_number(step.id, task.element)] = first + len(result.files) + result.withheld
        self._release(self.scheduler.done(task.name))
        failure: BaseException | None = None
        if task.element is not None:
            self.open[step.id] -= 1
            self.scheduler.give_back(self.window.done(step.id, task.element))
        if not self.open[step.id] if task.element is not None else step.spec.effect:
            failure = self._complete(step.id)
        if self.unrolling.waiting and task.element is None and self.unrolling.awaits(step.id):
            failure = self._place() or failure
        return failure

    def _keep(self, task: Task, result: Computed) -> None:
        """Keep what somebody is still to read."""
        if result.tier is not None:
            self._say_cached(Source(task.step, ""), result.tier, task.element, task.elements)
        elif task.element is not None:
            self.outcome.cached.pop(task.step, None)  # not all of it was
        for output, value in result.values.items():
            address = self.unrolling.address(task.step, output, task.element)
            if task.element is None and self.unrolling.waiting:
                self.unrolling.learn(Source(task.step, output), value)
            if self.scheduler.is_read(address):
                self.values[address] = value
                self.made[address] = result.made

    def _release(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            if self.values.pop(address, MISSING) is not MISSING and address in self.unrolling.origins:
                origin = self.unrolling.origins[address]
                self.env.tell(
                    events.ValueReleased,
                    run_id=self.env.run_id,
                    node=origin.node,
                    element=origin.element,
                    elements=origin.elements,
                    output=origin.output,
                )

    def _complete(self, step_id: str) -> BaseException | None:
        """Wind up a step all of whose tasks are done; returns what went wrong."""
        step = self.steps[step_id]
        placed = self.unrolled.get(step_id)
        self.scheduler.give_back(self.turns.end([step]))
        if step.spec.effect:
            files, withheld = self.outcome.files.setdefault(step_id, []), self.outcome.withheld.get(step_id, 0)
            if placed is not None and step.artifact is not None and files:
                store_parts(step.artifact, placed.keys, self.env.store)
            if withheld:
                message = f"the safety checker withheld {withheld} of {withheld + len(files)}"
                if not files:
                    refused = SafetyError(message, advice="another seed or prompt may pass")
                    return self._survive(step_id, self._failure(step_id, refused))
                self.env.tell(events.Notice, run_id=self.env.run_id, node=step_id, message=message)
        elif placed is not None and step.key is not None and step.spec.cache:
            for output in step.needed:
                keys = self.unrolling.addresses(Source(step_id, output))
                if None not in placed.keys and all(map(self.contains, keys)):
                    put_elements(
                        self.env.store, output_key(step.key, output), Elements(keys), persist=step.spec.persist
                    )
        return None

    def _fail(self, task: Task, error: BaseException) -> BaseException:
        if isinstance(error, CancelledError | StaleError):
            return error
        if isinstance(error, KeyboardInterrupt):
            return CancelledError()
        return self._failure(task.step, error, task)

    def _failure(self, step_id: str, error: BaseException, task: Task | None = None) -> NodeError:
        step = self.steps[step_id]
        self.env.tell(
            events.NodeFailed,
            run_id=self.env.run_id,
            node=step_id,
            element=None if task is None else task.element,
            elements=None if task is None else task.elements,
            type=step.spec.type,
            error=str(error),
        )
        place = step.spec.place_of(error)
        element = "" if task is None or task.element is None else f"{task.element + 1} of {task.elements}"
        failure = NodeError(
            variant_of(step_id)[1], step.spec.type, error, title=step.title, element=element, place=place
        )
        failure.__cause__ = error
        return failure

    # -------------------------------------------------------------------------------------------- values

    def _whole(self, source: Source) -> Any:
        placed = self.unrolled.get(source.node)
        if placed is None:
            return self._fetch(self.unrolling.addresses(source)[0])
        return tuple(map(self._fetch, self.unrolling.addresses(source)))

    def _fetch(self, address: str) -> Any:
        """Return the value at an address; also called by workers."""
        value = self.values.get(address, MISSING)
        if value is MISSING:
            origin = self.unrolling.origins[address]
            value = self._look(Source(origin.node, origin.output), address)
            keys: tuple[str, ...] = (address,)
            if isinstance(value, Elements):
                keys = value.keys
                value = tuple(self._load(key, of=address) for key in keys)
            self.made[address] = merged(made_of(self.env.store, key) for key in keys)
            self.values[address] = value
        return value

    def _made(self, address: str) -> Circumstances:
        """Return the circumstances of the value at an address, which was fetched; also called by workers."""
        return self.made.get(address, ())

    def _look(self, source: Source, address: str) -> Any:
        """Read a stored value."""
        origin = self.unrolling.origins[address]
        tier = self.env.store.locate(address)
        step = self.plan.steps[source.node]
        whole = (
            address
            if origin.element is None or source.node in self.steps
            else output_key(step.key or "", source.output)
        )
        value = self._load(address, of=whole)
        self._say_cached(source, tier or "disk", origin.element, origin.elements)
        return value

    def _load(self, key: str, *, of: str) -> Any:
        origin = self.unrolling.origins.get(of)
        kind = ANY if origin is None else self.plan.steps[origin.node].spec.output_types[origin.output]
        value = stored(self.env.store, key, kind)
        if value is MISSING:
            raise StaleError(of, of if origin is None else f"{origin.node}.{origin.output}")
        return value

    def _say_cached(self, source: Source, tier: str, element: int | None, elements: int | None) -> None:
        if element is None and source.node in self.outcome.cached:
            return
        if element is None or source.node not in self.outcome.seconds:
            self.outcome.cached.setdefault(source.node, tier)
        self.env.tell(
            events.NodeCached,
            run_id=self.env.run_id,
            node=source.node,
            element=element,
            elements=elements,
            type=self.plan.steps[source.node].spec.type,
            tier=tier,
        )


def _lane(step: Step) -> str:
    """Return where a step runs: files that are stored are brought one after the other, so that their numbers follow ranks."""
    return "inline" if step.artifact_stored else step.spec.lane
