"""``graphflow run`` with ``--vary`` or ``--rows``: a run of each variant, planned together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.cli import summary
from graphflow.cli.failures import print_json
from graphflow.cli.source import named
from graphflow.cli.terminal import console, count, duration, size, styled
from graphflow.cli.watching import Show
from graphflow.errors import GraphflowError
from graphflow.events import ignore

if TYPE_CHECKING:
    from graphflow.cli.options import Varied
    from graphflow.document.opening import Opened
    from graphflow.planning.expand import Text
    from graphflow.session import Session
    from graphflow.sweeps.estimate import Estimate
    from graphflow.sweeps.results import Swept
    from graphflow.sweeps.sweep import Sweep


def carry_out(
    session: Session,
    loaded: Opened,
    varied: Varied,
    inputs: Mapping[str, Text],
    single: Mapping[str, Text],
    *,
    targets: Sequence[str] | None,
    preview: Path | None,
    show: Show,
    out: Path,
    **options: Any,
) -> None:
    """Run a workflow for each variant with a display, and print what came of it; see :func:`graphflow.cli.run.carry_out`.

    Raises:
        GraphflowError: Variants failed; the others are there.
    """
    from graphflow.cli.progress import SweepDisplay
    from graphflow.reproduce.index import Index
    from graphflow.sweeps.axes import combined, parse_axis, read_rows
    from graphflow.sweeps.sweep import Sweep

    started, at_once = time.perf_counter(), varied.at_once
    axes = [] if varied.rows is None else [read_rows(varied.rows)]
    axes += map(parse_axis, varied.vary or ())
    with named(loaded):
        sweep = Sweep(loaded, combined(axes, zip=varied.zip), session, inputs, single)
        if varied.dry_run:
            _show_estimate(sweep, sweep.estimate(targets=targets, batch=at_once, **options), show)
            return
    display = partial(SweepDisplay, variants=len(sweep.variants))
    with show.watching(session, loaded, display, ignore, preview=preview, safety=options.get("safety")) as watched:
        result = sweep.run(out=out, targets=targets, batch=at_once, **watched, **options)
    Index(out).note({path: variant.seconds for variant in result.variants for path in variant.written})
    if show.as_json:
        print_json({"event": "result", **to_json(result, out)})
    elif show.quiet:
        show.paths(result.paths)
    else:
        _show(result, time.perf_counter() - started)
    if result.failed:
        first = result.failed[0]
        values = ", ".join(f"{name} = {value}" for name, value in first.values.items())
        raise GraphflowError(
            f"{len(result.failed):,} of {count(len(result.variants), 'variant')} failed, first that with {values}: {first.error}",
            advice="the same command runs what failed once more",
        )


def to_json(result: Swept, out: Path) -> dict[str, Any]:
    """Return what a sweep gave as a JSON object."""
    from graphflow.sweeps.tables import to_row

    return {
        "variants": [to_row(variant, out) for variant in result.variants],
        "summary": [str(path) for path in result.summary],
        "seeds": dict(result.seeds),
    }


def _show(result: Swept, seconds: float) -> None:
    target = console()
    target.print(styled(f"{count(len(result.variants), 'variant')}: {result.totals} in {duration(seconds)}"))
    for address, seed in result.seeds.items():
        target.print(styled(summary.drawn(address, seed)))
    withheld = sum(variant.withheld for variant in result.variants)
    if withheld:
        target.print(styled(f"the safety checker withheld {count(withheld, 'item')}", "yellow"))
    for notice in result.notices:
        target.print(styled(f"note: {notice}", "yellow"))
    for path in (*result.paths, *result.summary):
        target.print(styled(summary.shown_path(path), "bold"), soft_wrap=True)


def _show_estimate(sweep: Sweep, found: Estimate, show: Show) -> None:
    if show.as_json:
        names = ("variants", "run", "cached", "write", "stored", "sampling_steps", "weights", "notices")
        batches = [
            {"node": node, "variants": number, "times": times}
            for node, numbers in found.batches.items()
            for number, times in numbers.items()
        ]
        print_json({"event": "estimate", **{name: getattr(found, name) for name in names}, "batches": batches})
        return
    target = console()
    axes = " × ".join(f"{len(axis.rows):,} {' and '.join(axis.names)}" for axis in sweep.variants.axes)
    target.print(styled(count(found.variants, "variant") + (f" ({axes})" if axes else "")))
    target.print(
        styled(
            f"{count(found.run, 'node')} to run with {count(found.sampling_steps, 'sampling step')}, {found.cached:,} stored"
        )
    )
    stored = f", {found.stored:,} of them of stored files, for which nothing runs" if found.stored else ""
    for node, numbers in found.batches.items():
        at_once = ", ".join(f"{times:,} × {count(number, 'variant')}" for number, times in numbers.items())
        target.print(styled(f"{node} computes at once: {at_once}"))
    target.print(styled(count(found.write, "write") + stored))
    total = sum(found.weights.values())
    target.print(styled(f"{count(len(found.weights), 'model')} to load, {size(total)} of weights"))
    for name, number in found.weights.items():
        target.print(styled(f"  {name}: {size(number)}"))
    for notice in found.notices:
        target.print(styled(f"note: {notice}", "yellow"))
