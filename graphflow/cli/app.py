"""The program: its commands, its global options, and what happens when something goes wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from graphflow.cli import (
    cache,
    completing,
    demo,
    diff,
    doctor,
    export,
    failures,
    fetch,
    find,
    import_,
    lock,
    migrate,
    models,
    nodes,
    plan,
    run,
    schema,
    serve,
    show,
    validate,
    verify,
    worker,
    workflows,
)
from graphflow.cli.output import alone
from graphflow.cli.terminal import tame_streams

TRACEBACK_OPTION = "--traceback"
TRACEBACK_VARIABLE = "GRAPHFLOW_TRACEBACK"

EPILOG = """Exit codes: 0 done, 1 a node failed, 2 invalid input, 130 interrupted.

Examples: graphflow demo · graphflow run txt2img -i prompt="a red circle" -i seed=7 · graphflow plan my.json"""

app = typer.Typer(
    name="graphflow",
    help="Run workflow graphs of diffusion models: JSON in, pictures out, nothing computed twice.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    run,
    plan,
    validate,
    show,
    verify,
    diff,
    find,
    import_,
    lock,
    export,
    migrate,
    workflows,
    fetch,
    nodes,
    schema,
    serve,
    demo,
):
    command.register(app)
app.add_typer(models.app)
app.add_typer(cache.app)
app.add_typer(worker.app)
doctor.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from graphflow.planning.numerics import version_of

        typer.echo(f"graphflow {version_of('graphflow-diffusers') or '(not installed)'}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option(
            TRACEBACK_OPTION,
            metavar="",
            help=f"Show Python's traceback with an error; may stand anywhere on the line. {TRACEBACK_VARIABLE}=1 does the same.",
        ),
    ] = False,
) -> None:
    """Hold the global options; what they do is done before or in callbacks."""


def _give_output(command: Any) -> None:
    """Let each command run with standard output for itself; help stays outside."""
    if command.callback is not None:
        command.callback = alone(command.callback)
    for inner in getattr(command, "commands", {}).values():
        _give_output(inner)


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; errors are shown, never raised."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    traceback = TRACEBACK_OPTION in given or os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0")
    given = [argument for argument in given if argument != TRACEBACK_OPTION]
    tame_streams()
    program = typer.main.get_command(app)
    _give_output(program)
    try:
        with completing.bash_words(os.environ):
            program(given, prog_name="graphflow")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:
        return failures.show(error, traceback=traceback)
    return 0
