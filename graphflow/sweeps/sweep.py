"""Runs a workflow once for each variant: planned together in windows, each picture written as it is finished."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from graphflow.basics.arguments import require
from graphflow.basics.measures import count
from graphflow.document.document import split_address
from graphflow.document.opening import Openable, Opened, opened
from graphflow.errors import InvalidInputError, NodeError, Problem, WorkflowError
from graphflow.execution.options import Batch, RunOptions, Targets
from graphflow.execution.output import place
from graphflow.execution.result import Result
from graphflow.execution.stages import Shelf
from graphflow.planning.expand import Expanded, Text, draw_seed, parameter_behind
from graphflow.planning.record import bare_name
from graphflow.planning.validate import validate
from graphflow.planning.weights import changes_weights
from graphflow.session import Session
from graphflow.sweeps.axes import Axis, Row, Variants, combined, make_axis, read_rows, rows_axis
from graphflow.sweeps.estimate import Estimate
from graphflow.sweeps.grid import draw_grid
from graphflow.sweeps.results import Swept, Variant
from graphflow.sweeps.tables import to_csv, to_json

WINDOW = 1_000
"""Variants that are planned at once."""


class Sweep:
    """A workflow with what is varied.

    Args:
        workflow: The workflow.
        axes: What is varied, each value with each of the other axes.
        session: Where to run it.
        inputs: Values of exposed inputs that all variants share.
        overrides: Values of ``node.parameter`` that all variants share.

    Raises:
        InvalidInputError: The workflow cannot be opened, or axes do not fit together.
        WorkflowError: With every problem of the document and of each single value.
    """

    def __init__(
        self,
        workflow: Openable | Opened,
        axes: Iterable[Axis],
        session: Session,
        inputs: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self.opened = workflow if isinstance(workflow, Opened) else opened(workflow)
        self._session = session
        self._inputs, self._overrides = dict(inputs or {}), dict(overrides or {})
        self._drawn: list[int] = []
        self.variants = Variants(map(self._settled, axes))
        self._refuse_overlaps()
        self._check()

    # ------------------------------------------------------------------------------------------ variants

    def expanded(self, number: int) -> Expanded:
        """Return a variant's document; random seeds that are not varied are the same in all of them."""
        return self._expanded(self.variants[number])

    def _expanded(self, row: Row) -> Expanded:
        known = self.opened.document.inputs
        # What is no address is told as an input that is not there.
        inputs = {name: value for name, value in row.items() if name in known or "." not in name}
        overrides = {name: value for name, value in row.items() if name not in inputs}
        drawn = iter(self._drawn)

        def draw() -> int:
            if (seed := next(drawn, None)) is None:
                self._drawn.append(seed := draw_seed())
            return seed

        return self._session.expand(
            self.opened, {**self._inputs, **inputs}, {**self._overrides, **overrides}, draw=draw
        )

    def _settled(self, axis: Axis) -> Axis:
        """Return an axis whose random seeds are numbers, so that each place on it means one."""
        seeds = {name for name in axis.names if any(_is_random(row.get(name)) for row in axis.rows)}
        registry, document = self._session.registry, self.opened.document
        for name in tuple(seeds):
            parts = [split_address(target) for target in self.targets(name)]
            behind = [parameter_behind(document, registry, node, parameter or "") for node, parameter in parts]
            if not all(part is not None and part.seed for part in behind):
                seeds.discard(name)
        if not seeds:
            return axis
        rows = (
            {name: draw_seed() if name in seeds and _is_random(value) else value for name, value in row.items()}
            for row in axis.rows
        )
        return replace(axis, rows=tuple(rows))

    def targets(self, name: str) -> list[str]:
        """Return the addresses of the parameters that a name turns."""
        exposed = self.opened.document.inputs.get(name)
        return [name] if exposed is None else list(exposed.to)

    def _refuse_overlaps(self) -> None:
        given: dict[str, str] = {}
        names = [name for axis in self.variants.axes for name in axis.names]
        for name in (*self._inputs, *self._overrides, *names):
            for target in self.targets(name):
                if target in given:
                    other = given[target]
                    raise InvalidInputError(
                        f"{name} and {other} set the same parameter" if name != other else "is given twice",
                        where=name,
                        advice="a name that is varied is given nowhere else",
                    )
                given[target] = name

    def _check(self) -> None:
        """Check each value of each axis with the first values of the others: what is wrong is told before anything runs."""
        first: Row = self.variants[0]
        whole = self._problems({})
        problems = {problem: None for problem in self._problems(first) if problem in whole}
        for axis in self.variants.axes:
            others = {name: value for name, value in first.items() if name not in axis.names}
            before = self._problems(others)
            for row, told in zip(axis.rows, axis.told, strict=True):
                fresh = (problem for problem in self._problems({**others, **row}) if problem not in before)
                problems |= {replace(problem, path=f"{told}: {problem.path}"): None for problem in fresh}
        if problems:
            raise WorkflowError(problems, source=self.opened.name)

    def _problems(self, row: Row) -> dict[Problem, None]:
        """Return what is wrong with the document that has these values, in order."""
        expanded = self._expanded(row)
        return dict.fromkeys([*expanded.problems, *validate(expanded.flat, self._session.registry).problems])

    @property
    def seeds(self) -> Mapping[str, int]:
        """The numbers drawn for random seeds that all variants share, by address."""
        return self.expanded(0).seeds

    def windows(self) -> Iterator[dict[int, Expanded]]:
        """Yield variants that are planned together, by number: those that compute with the same weights come together."""
        document, registry = self.opened.document, self._session.registry
        heavy = [
            name
            for axis in self.variants.axes
            for name in axis.names
            if any(changes_weights(document, registry, target) for target in self.targets(name))
        ]
        weights: dict[str, list[int]] = {}
        for number in range(len(self.variants)):
            row = self.variants[number]
            weights.setdefault(repr([row.get(name) for name in heavy]), []).append(number)
        for numbers in weights.values():
            for start in range(0, len(numbers), WINDOW):
                yield {number: self.expanded(number) for number in numbers[start : start + WINDOW]}

    # --------------------------------------------------------------------------------------- estimate, run

    def estimate(self, *, targets: Targets = None, **options: Any) -> Estimate:
        """Plan everything and run nothing.

        Args:
            targets: Addresses to compute; None is what writes, and the outputs that text can show.
            **options: Further options of :meth:`graphflow.session.Session.gathering`.

        Raises:
            WorkflowError: With every problem of the first document that has one.
        """
        result = Estimate(len(self.variants))
        for window in self.windows():
            wanted = targets or self._shown(window)
            gathering = self._session.gathering(window, targets=wanted, **{"folder": self.opened.folder, **options})
            result.add(gathering.merged(Shelf(self._session.store), {}))
            result.alone.update(gathering.alone)
        return result

    def run(
        self,
        *,
        out: Path | str = "out",
        targets: Targets = None,
        **options: Any,
    ) -> Swept:
        """Run all variants; what failed is told in the result, and the others go on.

        Beside the pictures, a grid of them and a table are written, as CSV and JSON.

        Args:
            out: The folder; the same sweep into the same folder goes on where it was interrupted.
            targets: Addresses to compute; None is what writes, and the outputs that text can show.
            **options: Further options of :meth:`graphflow.session.Session.run_together`.

        Raises:
            WorkflowError: With every problem of a document.
            CancelledError: The run was stopped.
        """
        found: dict[int, Variant] = {}
        hows: Counter[str] = Counter()
        for window in self.windows():
            results = self._session.run_together(
                window, out=out, targets=targets or self._shown(window), **{"folder": self.opened.folder, **options}
            )
            for number, result in results.items():
                found[number] = self._variant(number, window[number], result)
                if isinstance(result, Result):
                    hows.update(file.how for files in result.files.values() for file in files)
        variants = tuple(found[number] for number in sorted(found))
        summary, notices = self._summarise(Path(out), variants)
        parts = [f"{count(number, 'file')} {how}" for how, number in sorted(hows.items(), reverse=True)]
        failed = sum(variant.error is not None for variant in variants)
        totals = ", ".join([*parts, *([f"{failed:,} failed"] if failed else [])]) or "no files"
        return Swept(variants, summary, self.seeds, totals, notices)

    def _summarise(self, out: Path, variants: Sequence[Variant]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        """Write the grid and the tables; returns their paths, and what is to be told."""
        axes = [
            replace(axis, rows=tuple({name: self._bare(name, row[name]) for name in row} for row in axis.rows))
            for axis in self.variants.axes
        ]
        grid, notice = draw_grid(Variants(axes), variants, out)
        stem = f"{Path(self.opened.name).stem}-sweep"
        files = {".png": grid, ".csv": to_csv(variants, out), ".json": to_json(variants, out)}
        written = [
            place(out, stem, suffix, data, hashlib.sha256(data).hexdigest(), fresh="written").path
            for suffix, data in files.items()
            if data is not None
        ]
        return tuple(written), tuple(filter(None, [notice]))

    def _shown(self, window: Mapping[int, Expanded]) -> list[str] | None:
        expanded = next(iter(window.values()))
        return validate(expanded.flat, self._session.registry).shown(expanded.flat)

    def _variant(self, number: int, expanded: Expanded, result: Result | NodeError) -> Variant:
        values = {name: self._value(name, expanded) for name in self.variants[number]}
        if isinstance(result, NodeError):
            return Variant(number, values, error=result)
        files = [file for files in result.files.values() for file in files]
        return Variant(
            number,
            values,
            paths=tuple(file.path for file in files),
            written=tuple(file.path for file in files if file.how == "written"),
            seconds=sum(result.seconds.values()),
            outputs=result.given,
            withheld=sum(result.withheld.values()),
        )

    def _value(self, name: str, expanded: Expanded) -> Any:
        node, parameter = split_address(self.targets(name)[0])
        return self._bare(name, expanded.document.nodes[node].params.get(parameter or ""))

    def _bare(self, name: str, value: Any) -> Any:
        """Return a value as others may see it: of a file, its bare name."""
        told = value.text if isinstance(value, Text) else value
        node, parameter = split_address(self.targets(name)[0])
        behind = parameter_behind(self.opened.document, self._session.registry, node, parameter or "")
        if behind is None or not isinstance(told, str) or not (behind.model_kind or behind.file_kind):
            return value
        return bare_name(told, model=behind.model_kind is not None)


def sweep(
    workflow: Openable,
    vary: Mapping[str, str | Iterable[Any]] | None = None,
    *,
    rows: Path | str | Iterable[Row] | None = None,
    zip: bool = False,
    batch: Batch = 1,
    inputs: Mapping[str, Any] | None = None,
    session: Session | None = None,
    **options: Unpack[RunOptions],
) -> Swept:
    """Run a workflow once for each combination of values.

    Args:
        workflow: A workflow, or what names one, see :func:`graphflow.run`.
        vary: Lists of values by name of an exposed input or ``node.parameter``; a text is read as ``--vary`` reads it:
            ``"1..8"``, ``"3,5,7"``, ``"@prompts.txt"``. Each value is run with each of the others.
        rows: A run a row: a ``.csv`` or ``.jsonl`` file, or mappings of values by name.
        zip: Take the values of all names side by side instead, the first of each with the first of the others.
        batch: How many calls of a sampler that differ in seed and prompt only may be one, ``"auto"`` as many as make it faster;
            the pictures may differ from single ones by rounding.
        inputs: Values for exposed inputs that all runs share.
        session: Where to run it; None makes one from the settings, for this sweep alone.
        **options: As in :meth:`graphflow.session.Session.run`.

    Raises:
        InvalidInputError: The workflow cannot be opened, or an argument is of a wrong type.
        WorkflowError: With every problem of the document and of the values.
        CancelledError: The run was stopped.
    """
    require(vary, (Mapping, type(None)), "vary", "lists of values by name")
    require(session, (Session, type(None)), "session", "a graphflow.Session")
    overrides = options.pop("overrides", None)
    axes = [make_axis(name, values, place=f"vary {name}") for name, values in (vary or {}).items()]
    if rows is not None:
        table = read_rows(Path(rows)) if isinstance(rows, str | Path) else rows_axis(rows, place="rows")
        axes.insert(0, table)
    with nullcontext(session) if session is not None else Session() as used:
        made = Sweep(workflow, combined(axes, zip=zip), used, inputs, overrides)
        return made.run(batch=batch, **options)


def _is_random(value: Any) -> bool:
    return (value.text if isinstance(value, Text) else value) == "random"
