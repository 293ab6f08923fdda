"""The composition root: settings, node types, models, store and numerics put together.

A :class:`Session` is what the command line and Python callers hold. Nothing in it is process-wide; two sessions with
different settings may live side by side.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from graphflow import events
from graphflow.basics.arguments import require
from graphflow.basics.device_names import ALL
from graphflow.basics.importing import collector_paused
from graphflow.basics.once import once
from graphflow.cluster.employment import Employment, settings_of
from graphflow.document.opening import Openable, Opened, opened
from graphflow.document.published import published
from graphflow.errors import CancelledError, InvalidInputError, NodeError, WorkflowError
from graphflow.events import RunStarted, Sink, ignore
from graphflow.execution.devices import SessionLanes
from graphflow.execution.environment import Cancellation, Environment, Outcome
from graphflow.execution.filenames import FileNames, Names
from graphflow.execution.gathering import Gathering
from graphflow.execution.lanes import Lanes
from graphflow.execution.options import Batch, EventsOptions, RunOptions, Targets, addresses, check_options
from graphflow.execution.output import require_folder
from graphflow.execution.recording import Digesting, Recorder
from graphflow.execution.result import Result
from graphflow.execution.stages import Shelf, run_stages
from graphflow.planning import numerics
from graphflow.planning.checked import Checked, Source
from graphflow.planning.expand import Expanded, draw_seed, expand
from graphflow.planning.files import FileResolver
from graphflow.planning.plan import plan
from graphflow.planning.resolve import SessionResolver
from graphflow.planning.safety import Policy
from graphflow.planning.stand_ins import StandIns
from graphflow.planning.steps import Mark, Plan
from graphflow.planning.traces import Traces
from graphflow.planning.validate import validate
from graphflow.planning.waiting import waiting_problems
from graphflow.planning.weights import loaded_bytes
from graphflow.planning.written import check_covered
from graphflow.runtime import ModelProvider, Runtime
from graphflow.settings import Settings, change_settings, load_settings
from graphflow.spec import registry
from graphflow.spec.registry import Registry
from graphflow.store import DiskTier, MemoryTier, MirroredTier, Store

if TYPE_CHECKING:
    from graphflow.cluster.lanes import ClusterLanes
    from graphflow.execution.awaiting import Events  # it imports asyncio
    from graphflow.library.library import Library


class Session:
    """Everything that a run needs. Safe to use from several threads, also for several runs at once.

    Such runs share the devices: each computes one node at a time. ``with Session() as session`` ends the session's
    threads; otherwise they end when nobody has the session any more.

    Args:
        settings: The settings; None reads the settings file and the environment.
        devices: What computes at the same time, e.g. ``"cuda:0,cuda:1"`` or ``"all"``; None is what the settings say.
        nodes: A Python file with more node types, or several.
        functions: More node functions, for Python callers.
        known: Node types to start from; None is every installed pack.
        store: Where values are kept; None makes one as the settings say.
        models: Where modules come from; None loads files, as the settings say.

    Raises:
        InvalidInputError: An argument is of a wrong type.
        SettingsError: The settings file or the environment is wrong.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        devices: str | None = None,
        nodes: Path | str | Iterable[Path | str] = (),
        functions: Iterable[Callable[..., Any]] = (),
        known: Registry | None = None,
        store: Store | None = None,
        models: ModelProvider | None = None,
    ) -> None:
        for name, value, kind in (
            ("settings", settings, Settings),
            ("known", known, Registry),
            ("store", store, Store),
        ):
            if value is not None:
                require(value, kind, f"Session({name}=…)", f"a {kind.__module__}.{kind.__name__}", _WAYS_OUT.get(name))
        require(functions, Iterable, "Session(functions=…)", "a list of node functions")
        require(
            nodes, (str, os.PathLike, Iterable), "Session(nodes=…)", "the path of a Python file, or a list of paths"
        )
        self.settings = settings if settings is not None else load_settings()
        if devices is not None:
            self.settings = change_settings(self.settings, {"devices": devices}, {"devices": "Session(devices=…)"})
        self._nodes = tuple(map(Path, (nodes,) if isinstance(nodes, str | os.PathLike) else nodes))
        self._functions = tuple(functions)
        self._known = known
        self._store = store
        self._models = models
        self._traces = Traces(self.settings.cache_dir / "traces")
        self._lanes = SessionLanes(lambda: self.devices, lambda index: self._models or self._managers[index])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the nodes that run, and end the threads and workers; what is run from now on is refused."""
        self._lanes.close()
        if "_cluster" in vars(self):
            self._cluster.close()

    # --------------------------------------------------------------------------------------------- parts

    @once
    def registry(self) -> Registry:
        """The known node types."""
        known = registry.installed() if self._known is None else self._known
        for path in self._nodes:
            known = known.with_nodes(registry.from_file(path), pack=path.stem)
        return known.with_nodes(self._functions, pack="caller") if self._functions else known

    @once
    def library(self) -> Library:
        """The models by name."""
        from graphflow.library.library import Library

        return Library(self.settings)

    @once
    def models(self) -> ModelProvider:
        """Where modules come from, of several devices those of the first; the first use imports torch."""
        return self._models or self._managers[0]

    @once
    def _managers(self) -> Sequence[ModelProvider]:
        """Where modules come from, by device."""
        with collector_paused():
            if self.settings.computes_on == "auto":
                numerics.write_probe(self.probe_file)
            from graphflow.loading.manager import ModelManager

        return ModelManager.for_devices(self.library, self.settings)

    @once
    def _cluster(self) -> ClusterLanes:
        """Where nodes for a device run in its stead, where the settings name a cluster."""
        from graphflow.cluster.lanes import ClusterLanes

        return ClusterLanes(
            self.settings,
            self.numerics,
            self.store,
            self.registry.versions,
            self._nodes,
            lambda: self.library.standing_in,
            worker_session,
        )

    @property
    def devices(self) -> Sequence[str]:
        """The devices that compute at the same time; torch is asked for them only where all are wanted."""
        names = self.settings.device_names
        if names != (ALL,):
            return names
        return [models.device for models in ([self._models] if self._models is not None else self._managers)]

    @once
    def store(self) -> Store:
        """Where values are kept."""
        if self._store is not None:
            return self._store
        budget = self.settings.memory_bytes
        memory = MemoryTier(budget // 4 if budget is not None else 2 * 2**30)
        if not self.settings.cache_bytes:
            return Store(memory)
        if self.settings.object_store is not None:
            return Store(memory, MirroredTier(self.store_folder, self.settings.cache_bytes, self.settings.object_store))
        return Store(memory, DiskTier(self.store_folder, max_bytes=self.settings.cache_bytes))

    @once
    def numerics(self) -> numerics.Numerics:
        """What enters every key beside the graph."""
        settings = self.settings
        return numerics.choose(settings.computes_on, settings.dtype, parts=settings.part_devices, probe=self.probe_file)

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

    def expand(
        self,
        workflow: Openable,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        draw: Callable[[], int] | None = None,
    ) -> Expanded:
        """Open a workflow, set inputs and single parameters, draw random seeds, unfold inner workflows.

        Args:
            workflow: A workflow, or what names one: a path, a packaged name, parsed JSON.
            inputs: Values for exposed inputs.
            overrides: Values for ``node.parameter``.
            draw: Where random seeds come from; None is the system.

        Raises:
            InvalidInputError: It cannot be opened, or an argument is of a wrong type.
            WorkflowError: With every problem of its shape.
        """
        check_options(inputs=inputs, overrides=overrides)
        return self._unfolded(opened(workflow), inputs, overrides, draw)

    def _unfolded(
        self,
        given: Opened,
        inputs: Mapping[str, Any] | None,
        overrides: Mapping[str, Any] | None,
        draw: Callable[[], int] | None = None,
    ) -> Expanded:
        expanded = expand(
            given.document, self.registry, inputs=inputs, overrides=overrides, own=given.own, draw=draw or draw_seed
        )
        return replace(expanded, folder=given.folder, notices=given.notices)

    def validate(
        self,
        workflow: Openable,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Checked:
        """Check a workflow, without its files; the result lists every problem, and is false where there is one.

        What is written is checked, too, where a given value counts.
        """
        check_options(inputs=inputs, overrides=overrides)
        given = opened(workflow)
        document, expanded = given.document, self._unfolded(given, inputs, overrides)
        checked = validate(expanded.flat, self.registry)
        checked.notices[:0] = expanded.notices
        checked.problems[:0] = expanded.problems
        covered = [target for name in inputs or () if name in document.inputs for target in document.inputs[name].to]
        with contextlib.suppress(WorkflowError):  # more problems than are told at once
            check_covered(document, self.registry, [*covered, *(overrides or ())], checked)
            checked.problems.extend(waiting_problems(checked.targets(expanded.flat), checked.nodes, checked.problems))
        return checked

    def plan(
        self,
        workflow: Openable | Expanded,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        targets: Targets = None,
        safety: Policy | None = None,
        folder: Path | str | None = None,
        input_folder: Path | str | None = None,
        metadata: bool = True,
    ) -> Plan:
        """Plan a run, without torch.

        Args:
            workflow: A workflow, or what names one: a path, a packaged name, parsed JSON; expanded or not.
            inputs: Values for exposed inputs.
            overrides: Values for ``node.parameter``.
            targets: Addresses to compute; None is everything that writes and the named outputs.
            safety: The safety policy; None is that of the settings.
            folder: The document's folder, in which its file names resolve; None is that of its file.
            input_folder: Another folder in which they resolve.
            metadata: Whether files carry the workflow and the record of how they were made.

        Raises:
            InvalidInputError: The workflow cannot be opened, or an argument is of a wrong type.
            WorkflowError: With every problem.
        """
        expanded = self._expanded(workflow, inputs, overrides)
        return self._plan(expanded, Shelf(self.store), {}, addresses(targets), safety, folder, input_folder, metadata)

    def _expanded(
        self,
        workflow: Openable | Expanded,
        inputs: Mapping[str, Any] | None,
        overrides: Mapping[str, Any] | None,
    ) -> Expanded:
        if not isinstance(workflow, Expanded):
            return self.expand(workflow, inputs, overrides)
        if inputs or overrides:
            raise InvalidInputError(
                "an expanded workflow takes no more values", where="inputs", advice="give them to Session.expand"
            )
        return workflow

    def _plan(
        self,
        expanded: Expanded,
        shelf: Shelf,
        known: Mapping[Source, Any],
        targets: list[str] | None,
        safety: Policy | None,
        folder: Path | str | None,
        input_folder: Path | str | None,
        metadata: bool,
        marks: Mapping[str, Mark] | None = None,
    ) -> Plan:
        check_options(folder=folder, input_folder=input_folder)
        own, given = (None if part is None else Path(part) for part in (folder or expanded.folder, input_folder))
        return plan(
            expanded,
            self.registry,
            shelf=shelf,
            resolver=self.resolver(expanded, own, given),
            numerics=self.numerics,
            safety=safety or self.settings.safety,
            checker=self.settings.safety_checker,
            targets=targets,
            known=known,
            previous=self._traces.read(expanded),
            marks=marks,
            metadata=metadata,
            marking=self.settings.marking == "on",
        )

    def resolver(self, expanded: Expanded, folder: Path | None, input_folder: Path | None) -> FileResolver:
        """What finds the files of a document.

        Args:
            expanded: The document.
            folder: Its folder, in which names of files resolve.
            input_folder: Another one.
        """
        sources = published(expanded.document)
        stand_ins = None
        if self.settings.stand_in:
            stand_ins = StandIns(expanded.flat, self.registry, lambda: self.library, sources)
        return SessionResolver(lambda: self.library, folder, input_folder, sources, stand_ins)

    def run(
        self,
        workflow: Openable | Expanded,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        out: Path | str = "out",
        targets: Targets = None,
        safety: Policy | None = None,
        folder: Path | str | None = None,
        input_folder: Path | str | None = None,
        metadata: bool = True,
        sink: Sink = ignore,
        cancellation: Cancellation | None = None,
        previews: bool = False,
    ) -> Result:
        """Plan a workflow and carry the plan out.

        Args:
            workflow: A workflow, or what names one: a path, a packaged name, parsed JSON; expanded or not.
            inputs: Values for exposed inputs.
            overrides: Values for ``node.parameter``.
            out: Folder that effects write to; made when something is written.
            targets: Addresses to compute, also returned in ``Result.values``.
            safety: The safety policy; None is that of the settings.
            folder: The document's folder, in which its file names resolve; None is that of its file.
            input_folder: Another folder in which they resolve.
            metadata: Whether files carry the workflow and the record of how they were made.
            sink: Takes the events, also from other threads; what it raises ends the run.
            cancellation: Its ``cancel()`` stops the run at the next step, from another thread or from the sink.
            previews: Whether the sink wants pictures while sampling goes on; nothing can check them, so there are none
                where the policy is ``require``.

        Raises:
            InvalidInputError: The workflow cannot be opened, or an argument is of a wrong type.
            WorkflowError: With every problem of the document.
            NodeError: A node failed.
            CancelledError: The run was stopped.
        """
        check_options(out=out, sink=sink, cancellation=cancellation)
        wanted = addresses(targets)
        expanded = self._expanded(workflow, inputs, overrides)
        outcome, last, run_id, notices = self._carry_out(
            lambda shelf, known: self._plan(expanded, shelf, known, wanted, safety, folder, input_folder, metadata),
            FileNames,
            sink,
            out=Path(out),
            cancellation=cancellation or Cancellation(),
            previews=previews and (safety or self.settings.safety) != "require",  # nobody has checked them
        )
        self._traces.write(expanded, last.trace)
        return Result.of(last, outcome, run_id, notices)

    def gathering(
        self,
        variants: Mapping[int, Expanded],
        *,
        targets: Targets = None,
        safety: Policy | None = None,
        folder: Path | str | None = None,
        input_folder: Path | str | None = None,
        metadata: bool = True,
        batch: Batch = 1,
    ) -> Gathering:
        """Return what plans several variants as one; see :meth:`run_together`."""
        if batch != "auto" and (not isinstance(batch, int) or batch < 1):
            raise InvalidInputError(f"must be 'auto' or a number from 1 on, got {batch!r}", where="batch")
        wanted = addresses(targets)
        return Gathering(
            variants,
            lambda expanded, shelf, known, marks: self._plan(
                expanded, shelf, known, wanted, safety, folder, input_folder, metadata, marks
            ),
            self._fits,
            None if batch == "auto" else batch,
        )

    def run_together(
        self,
        variants: Mapping[int, Expanded],
        *,
        out: Path | str = "out",
        targets: Targets = None,
        safety: Policy | None = None,
        folder: Path | str | None = None,
        input_folder: Path | str | None = None,
        metadata: bool = True,
        sink: Sink = ignore,
        cancellation: Cancellation | None = None,
        previews: bool = False,
        batch: Batch = 1,
    ) -> dict[int, Result | NodeError]:
        """Plan several variants as one and carry the plan out: what they have in common is computed once.

        Where a node fails, the variants that need it have failed; the others go on.

        Args:
            variants: Expanded workflows by number, which the events of their nodes name.
            out: As in :meth:`run`.
            targets: As in :meth:`run`, for each of them.
            safety: As in :meth:`run`.
            folder: As in :meth:`run`.
            input_folder: As in :meth:`run`.
            metadata: As in :meth:`run`.
            sink: As in :meth:`run`.
            cancellation: As in :meth:`run`.
            previews: As in :meth:`run`.
            batch: How many calls of a sampler that differ in seed and prompt only may be one; ``auto`` is as many as
                make it faster. The results may differ from single calls by rounding, and have keys of their own.

        Returns:
            By number: what a variant gave, or why it gave nothing.

        Raises:
            WorkflowError: With every problem of the first document that has one.
            CancelledError: The run was stopped.
        """
        check_options(out=out, sink=sink, cancellation=cancellation)
        gathering = self.gathering(
            variants,
            targets=targets,
            safety=safety,
            folder=folder,
            input_folder=input_folder,
            metadata=metadata,
            batch=batch,
        )
        outcome, _, run_id, _ = self._carry_out(
            gathering.plan,
            gathering.names,
            lambda event: sink(replace(event, variants=len(variants)) if isinstance(event, RunStarted) else event),
            out=Path(out),
            cancellation=cancellation or Cancellation(),
            previews=previews and (safety or self.settings.safety) != "require",
            failures=gathering.failures,
        )
        return gathering.results(outcome, run_id)

    def _fits(self, plan: Plan) -> bool:
        """Tell whether all weights that a plan loads stay in memory together."""
        total = loaded_bytes(plan)
        if self.settings.cluster is not None:
            return not total  # the memory of others is not known
        return not total or self.models.fits(sum(total.values()))

    def _carry_out(
        self,
        make_plan: Callable[[Shelf, Mapping[Source, Any]], Plan],
        make_names: Callable[[Plan, datetime], Names],
        sink: Sink,
        **options: Any,
    ) -> tuple[Outcome, Plan, str, list[str]]:
        """Plan and execute; returns what was done, the last plan, the run's id, and what nodes had to tell."""
        started, now = time.perf_counter(), datetime.now()
        run_id = secrets.token_hex(4)
        notices: list[str] = []
        status = "failed"
        begun = False
        digesting = Digesting(lambda path, check: self.library.digests.sha256(path, check))

        def told(event: events.Event) -> None:
            nonlocal begun
            begun = True
            sink(event)

        def environment(current: Plan) -> tuple[Environment, Lanes]:
            names = make_names(current, now)
            complete = Recorder(current.steps, digesting)
            return self._environment(
                current, run_id=run_id, sink=sink, notices=notices, names=names, complete=complete, **options
            )

        try:
            outcome, last = run_stages(make_plan, environment, self.store, told, run_id)
            status = "ok"
        except CancelledError:
            status = "cancelled"
            raise
        finally:
            digesting.close()
            if not begun:  # planning failed
                sink(RunStarted(run_id=run_id, run=0, cached=0, write=0))
            sink(events.RunFinished(run_id=run_id, status=status, seconds=time.perf_counter() - started))
        return outcome, last, run_id, notices

    async def arun(
        self, workflow: Openable | Expanded, inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Result:
        """Run a workflow from an event loop, in a thread of its own; see :meth:`run`.

        Cancelling the task stops the run at its next step; the task ends when the run has.
        """
        from graphflow.execution.awaiting import in_thread

        cancellation = options["cancellation"] = options.get("cancellation") or Cancellation()
        return await in_thread(lambda: self.run(workflow, inputs, **options), cancellation)

    def events(
        self, workflow: Openable | Expanded, inputs: Mapping[str, Any] | None = None, **options: Unpack[EventsOptions]
    ) -> Events:
        """Run a workflow from an event loop and iterate over its events; see :meth:`run`.

        Afterwards ``result`` of what is returned is the run's. An error of the run is raised after its last event.
        """
        from graphflow.execution.awaiting import Events

        cancellation = options.get("cancellation") or Cancellation()

        def run(sink: Sink) -> Result:
            given: RunOptions = {**options, "sink": sink, "cancellation": cancellation}
            return self.run(workflow, inputs, **given)

        return Events(run, cancellation)

    def _environment(self, plan: Plan, *, previews: bool, out: Path, **options: Any) -> tuple[Environment, Lanes]:
        if plan.count("write"):
            require_folder(out)
        steps = [step for step in plan.steps.values() if step.action in ("run", "write") and step.spec.lane == "device"]
        away = self.settings.cluster is not None and any(not step.spec.effect for step in steps)
        heavy = any(step.spec.effect or not away for step in steps)
        environment = Environment(
            store=self.store,
            out=out,
            scratch=self.settings.cache_dir / "scratch",
            # where there is no such device, that is told before anything runs
            runtime=Runtime(models=self.models if heavy else _LazyModels(self), previews=previews),
            keep=frozenset(
                source
                for source in (*plan.targets, *plan.selectors)
                if plan.steps[source.node].action in ("run", "cached")
            ),
            heavy=heavy,
            workflow=plan.expanded.document.name or "",
            **options,
        )
        lanes = self._lanes.get(heavy=heavy and not away)
        if away:
            lanes = {**lanes, "device": self._cluster.get(sum(loaded_bytes(plan).values()))}
        return environment, lanes


def worker_session(told: Employment) -> Session:
    """Make the session of a worker of a cluster."""
    settings = settings_of(told)
    store = None if told.probe is not None else Store(MemoryTier((settings.memory_bytes or 8 * 2**30) // 4))
    return Session(settings, nodes=tuple(told.packs), store=store)


_WAYS_OUT = {"settings": 'write graphflow.Settings(device="cpu"), or leave it out'}


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
    workflow: Openable,
    inputs: Mapping[str, Any] | None = None,
    *,
    session: Session | None = None,
    **options: Unpack[RunOptions],
) -> Result:
    """Run a workflow.

    Args:
        workflow: A workflow, or what names one: the path of a JSON file or picture (native or ComfyUI's), a packaged name
            such as ``txt2img``, or parsed JSON.
        inputs: Values for exposed inputs.
        session: Where to run it; None makes one from the settings, for this run alone.
        **options: ``out``, ``overrides``, ``targets``, ``safety``, ``folder``, ``input_folder``, ``metadata``, ``sink``,
            ``cancellation`` and ``previews``, as in :meth:`Session.run`.

    Raises:
        InvalidInputError: The workflow cannot be opened, or an argument is of a wrong type.
        WorkflowError: With every problem of the document.
        NodeError: A node failed.
        CancelledError: The run was stopped.
    """
    if session is not None:
        require(session, Session, "session", "a graphflow.Session")
        return session.run(workflow, inputs, **options)
    with Session() as own:
        return own.run(workflow, inputs, **options)
