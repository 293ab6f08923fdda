"""Runs a plan.

Policy: ready nodes run newest-ready-first, which keeps few values alive; each lane has its own threads (``device``
one, ``cpu`` several, ``inline`` none; a lone node needs none either); a value is let go at its last reader; the first failure stops what has not
begun. State: one :class:`_Run` per call, owned by the calling thread; workers only compute and put their outcome on one
queue, which the calling thread reads.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from graphflow import events, runtime
from graphflow.errors import CancelledError, NodeError, SafetyError
from graphflow.execution.calling import call_node
from graphflow.execution.environment import Environment, Outcome, StaleError
from graphflow.execution.output import WrittenFile, write_fresh, write_stored
from graphflow.planning.checked import Source
from graphflow.planning.steps import Argument, Constant, Plan, Step, output_key
from graphflow.store import Encoded
from graphflow.values import Files
from graphflow.values.types import decode, encode, nbytes

_MISSING = object()


def execute(plan: Plan, environment: Environment, *, done: Iterable[str] = ()) -> Outcome:
    """Run what a plan says.

    Args:
        plan: The plan; conditional steps are left alone.
        environment: Where to run it.
        done: Effects that an earlier stage of the same run has carried out.

    Raises:
        NodeError: A node failed; files of effects that were done before stay.
        CancelledError: The run was stopped; nothing half-written stays.
        StaleError: A stored value is gone; plan again.
    """
    return _Run(plan, environment, frozenset(done)).run()


class _Run:
    def __init__(self, plan: Plan, environment: Environment, done: frozenset[str]) -> None:
        self.plan = plan
        self.env = environment
        self.outcome = Outcome()
        self.values: dict[Source, Any] = {}
        self.completed: queue.SimpleQueue[tuple[Step, float, Any, BaseException | None]] = queue.SimpleQueue()
        self.steps = {
            step.id: step for step in plan.steps.values() if step.action in ("run", "write") and step.id not in done
        }
        self.readers: dict[Source, int] = {}
        self.waiting: dict[str, int] = {}
        self.dependents: dict[str, list[Step]] = {}
        self.wanted = {source for source in (*plan.targets, *plan.selectors) if source in environment.keep}

        self.ready: dict[str, list[Step]] = {"device": [], "cpu": [], "inline": []}

    def run(self) -> Outcome:
        """Run everything; see :func:`execute`."""
        self._prepare()
        pools = {
            "device": ThreadPoolExecutor(1, thread_name_prefix="graphflow-device"),
            "cpu": ThreadPoolExecutor(self.env.workers, thread_name_prefix="graphflow-cpu"),
        }
        free = {"device": 1, "cpu": self.env.workers, "inline": 1}
        running = 0
        failure: BaseException | None = None
        try:
            while True:
                if failure is None:
                    running += self._start(running, free, pools)
                if not running:
                    break
                step, seconds, result, error = self._next()
                running -= 1
                free[step.spec.lane] += 1
                if error is None:
                    self._finish(step, seconds, result)
                elif failure is None:
                    failure = self._fail(step, error)
        finally:
            for pool in pools.values():
                pool.shutdown(wait=True, cancel_futures=True)
        if failure is not None:
            raise failure
        for source in self.wanted:
            self.outcome.values[source] = self._value(source)
        return self.outcome

    # ------------------------------------------------------------------------------------- bookkeeping

    def _prepare(self) -> None:
        """Count readers and open inputs, and find what is ready."""
        for step in self.steps.values():
            if step.artifact_stored:
                self.waiting[step.id] = 0
                continue
            before = set(step.sources)
            for source in before:
                self.readers[source] = self.readers.get(source, 0) + 1
            producers = {source.node for source in before if source.node in self.steps}
            self.waiting[step.id] = len(producers)
            for node_id in producers:
                self.dependents.setdefault(node_id, []).append(step)
        for source in self.wanted:
            self.readers[source] = self.readers.get(source, 0) + 1
        # The first in the document starts first; from then on the newest ready.
        for step in reversed(self.steps.values()):
            if self.waiting[step.id] == 0:
                self.ready[step.spec.lane].append(step)

    def _start(self, running: int, free: dict[str, int], pools: Mapping[str, ThreadPoolExecutor]) -> int:
        """Hand ready steps to free lanes, newest first; returns how many were started."""
        lanes = [lane for lane, steps in self.ready.items() if steps]
        if not running and len(lanes) == 1 and len(self.ready[lanes[0]]) == 1:
            # Nothing can run beside it, so a thread of its own would only cost time and warm up memory anew.
            free[lanes[0]] -= 1
            self._work(self.ready[lanes[0]].pop())
            return 1
        started = 0
        for lane, pool in pools.items():
            while free[lane] and self.ready[lane]:
                free[lane] -= 1
                started += 1
                pool.submit(self._work, self.ready[lane].pop())
        if self.ready["inline"]:
            free["inline"] -= 1
            started += 1
            self._work(self.ready["inline"].pop())
        return started

    def _next(self) -> tuple[Step, float, Any, BaseException | None]:
        """Wait for an outcome; Ctrl-C while waiting stops the run at its next step."""
        while True:
            try:
                return self.completed.get(timeout=0.2)
            except queue.Empty:
                continue
            except KeyboardInterrupt:
                self.env.cancellation.cancel()

    def _finish(self, step: Step, seconds: float, result: Any) -> None:
        """Take a result in and find what is ready now."""
        self.outcome.seconds[step.id] = seconds
        if step.action == "run":
            for output, value in result.items():
                source = Source(step.id, output)
                if self.readers.get(source, 0):
                    self.values[source] = value
        if not step.artifact_stored:
            self._read(step)
        for dependent in self.dependents.get(step.id, ()):
            self.waiting[dependent.id] -= 1
            if self.waiting[dependent.id] == 0:
                self.ready[dependent.spec.lane].append(dependent)

    def _read(self, step: Step) -> None:
        """Count a step's inputs as read and let go of those that nobody else reads."""
        for source in set(step.sources):
            left = self.readers.get(source, 0) - 1
            self.readers[source] = left
            if left == 0 and self.values.pop(source, _MISSING) is not _MISSING:
                self.env.sink(events.ValueReleased(node=source.node, output=source.output))

    def _fail(self, step: Step, error: BaseException) -> BaseException:
        if isinstance(error, CancelledError | StaleError):
            return error
        if isinstance(error, KeyboardInterrupt):
            return CancelledError()
        self.env.sink(events.NodeFailed(node=step.id, type=step.spec.type, error=str(error)))
        failure = NodeError(step.id, step.spec.type, error, title=step.title)
        failure.__cause__ = error
        return failure

    # ------------------------------------------------------------------------------------ in the workers

    def _work(self, step: Step) -> None:
        """Compute one step and report it; runs in a worker thread."""
        started = time.perf_counter()
        try:
            self.env.cancellation.check()
            result = self._write(step) if step.action == "write" else self._compute(step)
            error: BaseException | None = None
        except BaseException as raised:  # it goes to the calling thread, whatever it is
            result, error = None, raised
        self.completed.put((step, time.perf_counter() - started, result, error))

    def _compute(self, step: Step) -> dict[str, Any]:
        if step.key is None or not step.spec.cache:
            return self._call(step)[0]
        if not step.spec.persist:
            return self._compute_and_put(step)
        with self.env.store.claim(step.key, poll=self.env.cancellation.check):
            keys = {output: output_key(step.key, output) for output in step.needed}
            tiers = [self.env.store.locate(key) for key in keys.values()]
            found = {output: self._stored(key) for output, key in keys.items()}
            if found and all(value is not _MISSING for value in found.values()):
                self._say_cached(step, "disk" if "disk" in tiers else "memory")
                return found
            return self._compute_and_put(step)

    def _compute_and_put(self, step: Step) -> dict[str, Any]:
        assert step.key is not None
        result, exact = self._call(step)
        if exact:
            for output, value in result.items():
                self._put(output_key(step.key, output), value, persist=step.spec.persist)
        return result

    def _put(self, key: str, value: Any, *, persist: bool) -> None:
        self.env.store.put(key, value, nbytes=nbytes(value), persist=persist, encode=_encoded)

    def _call(self, step: Step) -> tuple[dict[str, Any], bool]:
        """Run a node's function; returns its outputs and whether they may be stored."""
        exact = True

        def inexact(message: str) -> None:
            nonlocal exact
            exact = False
            self.env.sink(events.Notice(node=step.id, message=f"{message}; this result is not stored"))

        self.env.sink(events.NodeStarted(node=step.id, type=step.spec.type))
        started = time.perf_counter()
        arguments = self._arguments(step)
        with runtime.using(self._runtime(step, inexact)), self.env.inference():
            if step.spec.lane == "device":
                result = self.env.attempt(lambda: call_node(step.spec, arguments))
            else:
                result = call_node(step.spec, arguments)
        self.env.sink(events.NodeFinished(node=step.id, type=step.spec.type, seconds=time.perf_counter() - started))
        return result, exact

    def _runtime(self, step: Step, inexact: Callable[[str], None]) -> runtime.Runtime:
        def report(done: int, total: int, preview: Any = None) -> None:
            self.env.cancellation.check()
            self.env.sink(events.NodeProgress(node=step.id, step=done, total=total, preview=preview))

        return replace(
            self.env.runtime,
            report=report,
            check_cancelled=self.env.cancellation.check,
            notice=lambda message: self.env.sink(events.Notice(node=step.id, message=message)),
            inexact=inexact,
            record=dict(step.record or {}),
            files={use.need.name: use.path for use in step.files if use.path is not None},
            trusted=frozenset(
                use.need.name for use in step.files if (step.id, use.need.param) in self.plan.settled.trusted
            ),
        )

    def _write(self, step: Step) -> dict[str, Any]:
        if step.artifact_stored:
            assert step.artifact is not None
            stored = write_stored(self.env.out, step.artifact, self.env.store, self.env.scratch)
            if stored is None:
                raise StaleError(step.artifact, step.id)
            self._written(step, *stored)
            return {}
        result, _ = self._call(step)
        files = next(iter(result.values()))
        assert isinstance(files, Files)
        self.env.cancellation.check()
        self._written(step, write_fresh(self.env.out, files, step.artifact, self.env.store), files.withheld)
        return {}

    def _written(self, step: Step, files: list[WrittenFile], withheld: int) -> None:
        self.outcome.files[step.id] = files
        self.outcome.withheld[step.id] = withheld
        for file in files:
            self.env.sink(events.Written(node=step.id, path=str(file.path), how=file.how))
        if withheld:
            message = f"the safety checker withheld {withheld} of {withheld + len(files)}"
            if not files:
                raise SafetyError(message, advice="another seed or prompt may pass")
            self.env.sink(events.Notice(node=step.id, message=message))

    # -------------------------------------------------------------------------------------------- values

    def _arguments(self, step: Step) -> dict[str, Any]:
        return {name: self._argument(argument) for name, argument in step.arguments.items()}

    def _argument(self, argument: Argument) -> Any:
        if isinstance(argument, tuple):
            return [self._argument(part) for part in argument]
        return argument.value if isinstance(argument, Constant) else self._value(argument)

    def _value(self, source: Source) -> Any:
        value = self.values.get(source, _MISSING)
        if value is not _MISSING:
            return value
        step = self.plan.steps[source.node]
        key = output_key(step.key or "", source.output)
        tier = self.env.store.locate(key)
        value = self._stored(key)
        if value is _MISSING:
            raise StaleError(key, str(source))
        self.values[source] = value
        self._say_cached(step, tier or "disk")
        return value

    def _say_cached(self, step: Step, tier: str) -> None:
        if step.id not in self.outcome.cached:
            self.outcome.cached[step.id] = tier
            self.env.sink(events.NodeCached(node=step.id, type=step.spec.type, tier=tier))

    def _stored(self, key: str) -> Any:
        return self.env.store.get(key, lambda encoded: decode(encoded.data, encoded.tensors), _MISSING)


def _encoded(value: object) -> Encoded:
    data, tensors = encode(value)
    return Encoded("value", data, tensors)
