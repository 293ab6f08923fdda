"""The composition root: settings, node types, models, store and numerics put together.

A :class:`Session` is what the command line and Python callers hold. Nothing in it is process-wide; two sessions with
different settings may live side by side.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow import atomic, events, numerics, registry
from graphflow.builder import Workflow
from graphflow.errors import CancelledError, GraphflowError
from graphflow.execution import Cancellation, Environment, Outcome, StaleError, execute
from graphflow.importing import collector_paused
from graphflow.jsontools import digest
from graphflow.output import WrittenFile
from graphflow.planning import plan
from graphflow.resolving import SessionResolver
from graphflow.runtime import ModelProvider, Runtime
from graphflow.safety import Policy
from graphflow.settings import Settings, load_settings
from graphflow.settling import Settled, settle
from graphflow.steps import Constant, Plan
from graphflow.store import DiskTier, MemoryTier, Store
from graphflow.validation import Checked, Source, validate
from graphflow.workflow import Document

if TYPE_CHECKING:
    from graphflow.models.library import Library
_TRACED_NODES = 5_000
_STAGES = 1_000
_REPLANS = 20


@dataclass(frozen=True)
class Result:
    """What a run gave.

    Attributes:
        outputs: The document's named outputs.
        values: Further values that were asked for with ``targets``, by address.
        files: Files that effect nodes wrote or found up to date, by node.
        seconds: Time of each node that ran.
        cached: Tier of each node whose value came from the store.
        withheld: By effect node: how many items the safety filter took out.
        plan: The last plan.
    """

    outputs: Mapping[str, Any]
    values: Mapping[str, Any]
    files: Mapping[str, list[WrittenFile]]
    seconds: Mapping[str, float]
    cached: Mapping[str, str]
    withheld: Mapping[str, int]
    plan: Plan

    @property
    def paths(self) -> list[Path]:
        """All files, in the order of the effect nodes."""
        return [file.path for files in self.files.values() for file in files]


@dataclass
class _Shelf:
    """The store as planning sees it, without entries that turned out damaged."""

    store: Store
    broken: set[str] = field(default_factory=set)

    def contains(self, key: str) -> bool:
        return key not in self.broken and self.store.contains(key)


class Session:
    """Everything that a run needs.

    Args:
        settings: The settings; None reads the settings file and the environment.
        nodes: Python files with more node types.
        functions: More node functions, for Python callers.
        known: Node types to start from; None is every installed pack.
        store: Where values are kept; None makes one as the settings say.
        models: Where modules come from; None loads files, as the settings say.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        nodes: Iterable[Path] = (),
        functions: Iterable[Callable[..., Any]] = (),
        known: registry.Registry | None = None,
        store: Store | None = None,
        models: ModelProvider | None = None,
    ) -> None:
        self.settings = settings if settings is not None else load_settings()
        self._nodes = tuple(nodes)
        self._functions = tuple(functions)
        self._known = known
        self._store = store
        self._models = models

    # --------------------------------------------------------------------------------------------- parts

    @cached_property
    def registry(self) -> registry.Registry:
        """The known node types."""
        known = registry.installed() if self._known is None else self._known
        for path in self._nodes:
            known = known.with_nodes(registry.from_file(path), pack=path.stem)
        return known.with_nodes(self._functions, pack="caller") if self._functions else known

    @cached_property
    def library(self) -> Library:
        """The models by name."""
        from graphflow.models.library import Library

        return Library(self.settings)

    @cached_property
    def models(self) -> ModelProvider:
        """Where modules come from; the first use imports torch."""
        if self._models is not None:
            return self._models
        with collector_paused():
            if self.settings.device == "auto":
                numerics.write_probe(self.probe_file)
            from graphflow.models.manager import ModelManager

        return ModelManager.from_settings(self.library, self.settings)

    @cached_property
    def store(self) -> Store:
        """Where values are kept."""
        if self._store is not None:
            return self._store
        budget = self.settings.memory_bytes
        memory = MemoryTier(budget // 4 if budget is not None else 2 * 2**30)
        disk = DiskTier(self.store_folder, max_bytes=self.settings.cache_bytes) if self.settings.cache_bytes else None
        return Store(memory, disk)

    @cached_property
    def numerics(self) -> numerics.Numerics:
        """What enters every key beside the graph."""
        return numerics.settle(self.settings.device, self.settings.dtype, probe=self.probe_file)

    @property
    def store_folder(self) -> Path:
        """Folder of the disk tier."""
        return self.settings.cache_dir / "store"

    @property
    def probe_file(self) -> Path:
        """Where the last run wrote which device there is."""
        return self.settings.cache_dir / "probe.json"

    def runtime(self) -> Runtime:
        """What a node function sees that is called outside any run."""
        return Runtime(models=_LazyModels(self))

    # -------------------------------------------------------------------------------- validate, plan, run

    def settle(
        self,
        workflow: Workflow | Document,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Settled:
        """Set inputs and single parameters, draw random seeds, unfold inner workflows."""
        document = workflow.document if isinstance(workflow, Workflow) else workflow
        return settle(document, self.registry, inputs=inputs, overrides=overrides)

    def validate(
        self,
        workflow: Workflow | Document,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Checked:
        """Check a workflow; the result lists every problem."""
        settled = self.settle(workflow, inputs, overrides)
        checked = validate(settled.flat, self.registry)
        checked.problems[:0] = settled.problems
        return checked

    def plan(
        self,
        workflow: Workflow | Document | Settled,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        targets: Iterable[str] | None = None,
        safety: Policy | None = None,
        folder: Path | None = None,
        input_folder: Path | None = None,
    ) -> Plan:
        """Plan a run, without torch.

        Args:
            workflow: The workflow, settled or not.
            inputs: Values for exposed inputs.
            overrides: Values for ``node.parameter``.
            targets: Addresses to compute; None is everything that writes and the named outputs.
            safety: The safety policy; None is that of the settings.
            folder: The document's folder, in which its file names resolve.
            input_folder: Another folder in which they resolve.

        Raises:
            WorkflowError: With every problem.
        """
        settled = workflow if isinstance(workflow, Settled) else self.settle(workflow, inputs, overrides)
        return self._plan(settled, _Shelf(self.store), {}, targets, safety, folder, input_folder)

    def _plan(
        self,
        settled: Settled,
        shelf: _Shelf,
        known: Mapping[Source, Any],
        targets: Iterable[str] | None,
        safety: Policy | None,
        folder: Path | None,
        input_folder: Path | None,
    ) -> Plan:
        return plan(
            settled,
            self.registry,
            shelf=shelf,
            resolver=SessionResolver(lambda: self.library, folder, input_folder),
            numerics=self.numerics,
            safety=safety or self.settings.safety,
            checker=self.settings.safety_checker,
            targets=targets,
            known=known,
            previous=self._read_trace(settled),
        )

    def run(
        self,
        workflow: Workflow | Document | Settled,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        out: Path | str = "out",
        targets: Iterable[str] | None = None,
        safety: Policy | None = None,
        folder: Path | None = None,
        input_folder: Path | None = None,
        sink: events.Sink = events.ignore,
        cancellation: Cancellation | None = None,
        previews: bool = False,
    ) -> Result:
        """Plan a workflow and carry the plan out.

        Args:
            workflow: The workflow, settled or not.
            inputs: Values for exposed inputs.
            overrides: Values for ``node.parameter``.
            out: Folder that effects write to; made when something is written.
            targets: Addresses to compute, also returned in ``Result.values``.
            safety: The safety policy; None is that of the settings.
            folder: The document's folder, in which its file names resolve.
            input_folder: Another folder in which they resolve.
            sink: Takes the events.
            cancellation: Stops the run from another thread.
            previews: Whether the sink wants pictures while sampling goes on.

        Raises:
            WorkflowError: With every problem of the document.
            NodeError: A node failed.
            CancelledError: The run was stopped.
        """
        started = time.perf_counter()
        settled = workflow if isinstance(workflow, Settled) else self.settle(workflow, inputs, overrides)
        targets = None if targets is None else list(targets)
        cancellation = cancellation or Cancellation()
        status = "failed"
        try:
            outcome, last = self._stages(
                settled, Path(out), targets, safety, folder, input_folder, sink, cancellation, previews
            )
            status = "ok"
        except CancelledError:
            status = "cancelled"
            raise
        finally:
            sink(events.RunFinished(status=status, seconds=time.perf_counter() - started))
        self._write_trace(settled, last)
        values = {str(source): value for source, value in outcome.values.items()}
        outputs = {
            name: end.value if isinstance(end, Constant) else outcome.values[end]
            for name, end in last.outputs.items()
            if isinstance(end, Constant) or end in outcome.values
        }
        files = {node_id: outcome.files[node_id] for node_id in last.steps if node_id in outcome.files}
        return Result(outputs, values, files, outcome.seconds, outcome.cached, outcome.withheld, last)

    def _stages(
        self,
        settled: Settled,
        out: Path,
        targets: list[str] | None,
        safety: Policy | None,
        folder: Path | None,
        input_folder: Path | None,
        sink: events.Sink,
        cancellation: Cancellation,
        previews: bool,
    ) -> tuple[Outcome, Plan]:
        """Plan and execute until nothing is conditional any more; plan again where a stored value turns out damaged."""
        shelf, known = _Shelf(self.store), dict[Source, Any]()
        total = Outcome()
        replans = 0
        announced = False
        for _ in range(_STAGES):
            current = self._plan(settled, shelf, known, targets, safety, folder, input_folder)
            if not announced:
                sink(
                    events.RunStarted(
                        run=current.count("run"), cached=current.count("cached"), write=current.count("write")
                    )
                )
                for notice in current.notices:
                    sink(events.Notice(node="", message=notice))
                announced = True
            keep = {
                source
                for source in (*current.targets, *current.selectors)
                if current.steps[source.node].action in ("run", "cached")
            }
            environment = self._environment(out, sink, cancellation, frozenset(keep), previews, current)
            try:
                outcome = execute(current, environment, done=total.files)
            except StaleError as error:
                shelf.broken.add(error.key)  # where the folder does not let go of it
                self.store.evict(error.key)
                replans += 1
                if replans > _REPLANS:
                    raise GraphflowError(
                        "the store keeps losing values while they are needed",
                        advice="give it more room with GRAPHFLOW_CACHE_BYTES",
                    ) from error
                continue
            total.values.update(outcome.values)
            total.files.update(outcome.files)
            total.seconds.update(outcome.seconds)
            total.cached.update(outcome.cached)
            total.withheld.update(outcome.withheld)
            if not current.selectors:
                return total, current
            known.update({source: outcome.values[source] for source in current.selectors})
        raise GraphflowError(f"the workflow has more than {_STAGES} computed selectors one after another")

    def _environment(
        self,
        out: Path,
        sink: events.Sink,
        cancellation: Cancellation,
        keep: frozenset[Source],
        previews: bool,
        current: Plan,
    ) -> Environment:
        heavy = any(step.spec.lane == "device" for step in current.steps.values() if step.action in ("run", "write"))
        return Environment(
            store=self.store,
            out=out,
            scratch=self.settings.cache_dir / "scratch",
            runtime=Runtime(models=_LazyModels(self), previews=previews),
            sink=sink,
            cancellation=cancellation,
            workers=max(2, (os.cpu_count() or 2) // 2),
            keep=keep,
            attempt=self.models.retrying if heavy else _once,
            inference=self.models.inference if heavy else contextlib.nullcontext,
        )

    # --------------------------------------------------------------------------------- what ran last time

    def _trace_file(self, settled: Settled) -> Path:
        name = digest([settled.document.name, sorted(settled.flat.nodes)])
        return self.settings.cache_dir / "traces" / f"{name[:32]}.json"

    def _read_trace(self, settled: Settled) -> Mapping[str, Mapping[str, Any]]:
        if len(settled.flat.nodes) > _TRACED_NODES:
            return {}
        try:
            data = json.loads(self._trace_file(settled).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def _write_trace(self, settled: Settled, last: Plan) -> None:
        if len(settled.flat.nodes) > _TRACED_NODES:
            return
        with contextlib.suppress(OSError):  # only explanations are lost
            atomic.write_bytes(self._trace_file(settled), json.dumps(last.trace, default=repr).encode())


def _once(call: Callable[[], Any]) -> Any:
    return call()


class _LazyModels:
    """The session's model manager, made when a node first asks for it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session.models, name)


@cache
def _default_session() -> Session:
    return Session()


def default_runtime() -> Runtime:
    """Return what a node function sees that is called outside any run."""
    return _default_session().runtime()


def run(
    workflow: Workflow | Document | str | os.PathLike[str], inputs: Mapping[str, Any] | None = None, **options: Any
) -> Result:
    """Run a workflow with a session of its own settings.

    Args:
        workflow: A workflow, or the path of a JSON file or PNG that holds one.
        inputs: Values for exposed inputs.
        **options: See :meth:`Session.run`; ``session`` reuses one.

    Raises:
        WorkflowError: With every problem of the document.
        NodeError: A node failed.
    """
    session = options.pop("session", None) or Session()
    if isinstance(workflow, str | os.PathLike):
        options.setdefault("folder", Path(workflow).parent)
        workflow = Workflow.load(workflow)
    result: Result = session.run(workflow, inputs, **options)
    return result
