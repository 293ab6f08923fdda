"""``graphflow run``: plan a workflow, carry the plan out, and say what it did."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphflow.cli import summary, sweep
from graphflow.cli.failures import json_errors, print_json
from graphflow.cli.lock import require_locked
from graphflow.cli.options import Varied, What, Where
from graphflow.cli.source import input_values, load, named, overrides
from graphflow.cli.spread import spread
from graphflow.cli.terminal import console, styled
from graphflow.cli.watching import Show
from graphflow.errors import InvalidInputError
from graphflow.events import RunFinished, RunStarted

if TYPE_CHECKING:
    from graphflow.document.opening import Opened
    from graphflow.events import Event
    from graphflow.execution.result import Result
    from graphflow.planning.expand import Text
    from graphflow.session import Session

EPILOG = """Examples: graphflow run txt2img -i prompt="a red circle" -i seed=7 · graphflow run my.json --set sample.steps=30 --out pictures · graphflow run picture.png --json"""

Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        file_okay=False,
        metavar="DIR",
        help="The folder to write to; made when it is needed. Nothing is ever overwritten.",
    ),
]


PreviewDir = Annotated[
    Path | None,
    typer.Option(
        "--preview",
        file_okay=False,
        metavar="DIR",
        help="Keep a small picture of what is being sampled there, DIR/NODE.jpg, new at every step. Nobody checks these pictures, so there are none with --safety require.",
    ),
]


@spread
def run(
    what: What,
    out: Out = Path("out"),
    preview: PreviewDir = None,
    varied: Varied = Varied(),  # noqa: B008  # it is frozen
    no_metadata: Annotated[
        bool,
        typer.Option(
            "--no-metadata",
            metavar="",
            help="Have files carry no workflow and no record; that a model made them, they say still.",
        ),
    ] = False,
    locked: Annotated[
        bool,
        typer.Option(
            "--locked",
            metavar="",
            help="Refuse to run where a model file, a version or anything else is not as WORKFLOW.lock.json says.",
        ),
    ] = False,
    where: Where = Where(),  # noqa: B008  # it is frozen
    worker: Annotated[
        bool,
        typer.Option(
            "--worker",
            metavar="",
            help="Have the worker run it, where one runs (`graphflow worker start`); GRAPHFLOW_WORKER=1 does the same.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", metavar="", help="Print events for programs on standard output, one JSON object a line."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", metavar="", help="Print nothing but the paths of the files.")
    ] = False,
) -> None:
    """Run a workflow and write what it makes. What was computed before is not computed again."""
    del worker  # whoever comes here has no worker, or is it: graphflow.cli.handing
    with json_errors(as_json) as fields:
        session, loaded = where.session(), load(what.workflow, report=what.report)
        if locked:
            with named(loaded):
                expanded = session.expand(loaded.document, input_values(what.inputs), overrides(what.sets))
                require_locked(session, loaded, expanded, what)
        given: dict[str, Any] = {
            "out": out,
            "preview": preview,
            "targets": what.targets,
            "safety": what.safety,
            "input_folder": what.input_dir,
            "metadata": not no_metadata,
            "show": Show(as_json, quiet, lambda event: fields.update(run_id=event.run_id)),
        }
        values = input_values(what.inputs), overrides(what.sets)
        if varied:
            sweep.carry_out(session, loaded, varied, *values, **given)
        elif varied.batch is not None:
            raise InvalidInputError("nothing is varied", where="--batch", advice="say what with --vary or --rows")
        else:
            carry_out(session, loaded, *values, **given)


def carry_out(
    session: Session,
    loaded: Opened,
    inputs: Mapping[str, Text],
    single: Mapping[str, Text],
    *,
    targets: Sequence[str] | None = None,
    preview: Path | None = None,
    show: Show | None = None,
    **options: Any,
) -> Result:
    """Run a workflow with a display, and print what it did.

    Args:
        session: The session.
        loaded: The workflow.
        inputs: Values for exposed inputs.
        single: Values for single parameters.
        targets: Addresses to compute; None is what :func:`graphflow.jobs.performing.perform` says.
        preview: Folder for pictures of what is being sampled.
        show: How the run is shown; None is a display for people.
        **options: Further options of :meth:`graphflow.session.Session.run`.
    """
    from graphflow.cli.progress import Display
    from graphflow.jobs.performing import note_time, perform

    show = show or Show()
    started = time.perf_counter()

    def told(event: Event) -> None:
        if not show.as_json and _is_time_for_seeds(event, show.quiet):
            for address, seed in expanded.seeds.items():
                console(error=True).print(styled(summary.drawn(address, seed)))

    with show.watching(session, loaded, Display, told, preview=preview, safety=options.get("safety")) as watched:
        expanded = session.expand(loaded.document, inputs, single)
        result = perform(session, expanded, targets=targets, folder=loaded.folder, **watched, **options)
    if options.get("out") is not None:
        note_time(result, options["out"], time.perf_counter() - started)
    if show.as_json:
        print_json(result.to_json())
    elif show.quiet:
        show.paths(result.paths)
    else:
        summary.show(console(), result, time.perf_counter() - started)
    return result


def _is_time_for_seeds(event: Event, quiet: bool) -> bool:
    """Tell whether seeds that were drawn are told now, because no summary will."""
    return isinstance(event, RunStarted) if quiet else isinstance(event, RunFinished) and event.status != "ok"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(run)
