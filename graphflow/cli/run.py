"""``graphflow run``: plan a workflow, carry the plan out, and say what it did."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphflow.cli import summary
from graphflow.cli.failures import json_errors, print_json
from graphflow.cli.lock import require_locked
from graphflow.cli.options import What, Where
from graphflow.cli.output import answers
from graphflow.cli.source import input_values, load, named, overrides, shown_targets
from graphflow.cli.spread import spread
from graphflow.cli.terminal import clean, console, styled
from graphflow.errors import CancelledError
from graphflow.events import RunFinished, RunStarted

if TYPE_CHECKING:
    from graphflow.document.opening import Opened
    from graphflow.events import Event, Sink
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
    with json_errors(as_json) as fields:
        session, loaded = where.session(), load(what.workflow, report=what.report)
        if locked:
            with named(loaded):
                expanded = session.expand(loaded.document, input_values(what.inputs), overrides(what.sets))
                require_locked(session, loaded, expanded, what)
        carry_out(
            session,
            loaded,
            input_values(what.inputs),
            overrides(what.sets),
            out=out,
            preview=preview,
            targets=what.targets,
            safety=what.safety,
            input_folder=what.input_dir,
            metadata=not no_metadata,
            as_json=as_json,
            quiet=quiet,
            listen=lambda event: fields.update(run_id=event.run_id),
        )


def carry_out(
    session: Session,
    loaded: Opened,
    inputs: Mapping[str, Text],
    single: Mapping[str, Text],
    *,
    targets: Sequence[str] | None = None,
    preview: Path | None = None,
    as_json: bool = False,
    quiet: bool = False,
    listen: Sink | None = None,
    **options: Any,
) -> Result:
    """Run a workflow with a display, and print what it did.

    Args:
        session: The session.
        loaded: The workflow.
        inputs: Values for exposed inputs.
        single: Values for single parameters.
        targets: Addresses to compute; None is what :func:`shown_targets` says.
        preview: Folder for pictures of what is being sampled.
        as_json: Print events as JSON lines instead.
        quiet: Print nothing but paths.
        listen: Also gets the events.
        **options: Further options of :meth:`graphflow.session.Session.run`.
    """
    from graphflow.cli.interruption import interruption
    from graphflow.cli.previews import PreviewFiles
    from graphflow.cli.progress import Display
    from graphflow.events import Notice

    started = time.perf_counter()
    with ExitStack() as stack:
        interrupted = stack.enter_context(interruption())
        stack.enter_context(named(loaded))
        sink: Sink = _Lines(interrupted.cancellation.cancel) if as_json else _nothing
        if not as_json and not quiet:
            sink = stack.enter_context(Display(console(error=True), interrupted.cancellation))
        pictures = _nothing if preview is None else PreviewFiles(preview)
        if preview is not None and (options.get("safety") or session.settings.safety) == "require":
            sink(
                Notice(
                    run_id="", node="", message="no previews: the safety policy is 'require', and nobody checks them"
                )
            )

        def each(event: Event) -> None:
            if listen is not None:
                listen(event)
            if not as_json and _is_time_for_seeds(event, quiet):
                for address, seed in expanded.seeds.items():
                    console(error=True).print(styled(summary.drawn(address, seed)))
            interrupted.notice(event)
            pictures(event)
            sink(event)

        expanded = session.expand(loaded.document, inputs, single)
        try:
            result = session.run(
                expanded,
                targets=targets or shown_targets(session, expanded),
                folder=loaded.folder,
                sink=each,
                cancellation=interrupted.cancellation,
                previews=preview is not None,
                **options,
            )
        except (CancelledError, KeyboardInterrupt):
            kept = (
                "" if session.store.disk is None else "; what is finished is stored, so the next run goes on from there"
            )
            raise CancelledError(f"interrupted{kept}") from None
    _tell_index(result, options.get("out"), time.perf_counter() - started)
    if as_json:
        print_json(summary.to_json(result))
    elif quiet:
        for path in result.paths:
            answers().write(f"{clean(path)}\n")
    else:
        summary.show(console(), result, time.perf_counter() - started)
    return result


def _tell_index(result: Result, out: Path | None, seconds: float) -> None:
    """Have the index of the output folder know how long the run took."""
    written = [file.path for files in result.files.values() for file in files if file.how == "written"]
    if out is not None and written:
        from graphflow.reproduce.index import Index

        Index(out).note(written, seconds, result.run_id)


def _is_time_for_seeds(event: Event, quiet: bool) -> bool:
    """Tell whether seeds that were drawn are told now, because no summary will."""
    return isinstance(event, RunStarted) if quiet else isinstance(event, RunFinished) and event.status != "ok"


def _nothing(event: Event) -> None:
    """Show nothing."""


class _Lines:
    """A sink that prints JSON lines; where nobody reads them any more, the run is stopped."""

    def __init__(self, stop: Any) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._broken = False

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._broken:
                return
            try:
                print_json(event.to_json())
            except BrokenPipeError:
                self._broken = True
                self._stop()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(run)
