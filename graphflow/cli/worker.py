"""``graphflow worker``: a process that keeps models loaded, for ``graphflow run --worker``."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Annotated, Any

import typer

from graphflow.cli import handing
from graphflow.cli.failures import print_json
from graphflow.cli.options import AsJson
from graphflow.cli.terminal import console, count, duration, styled
from graphflow.errors import InvalidInputError

EPILOG = "Examples: graphflow worker start · graphflow run txt2img --worker · GRAPHFLOW_WORKER=1 graphflow run txt2img"

_PATIENCE = 120.0

app = typer.Typer(
    name="worker",
    help="Keep a process with everything imported and models loaded, for `graphflow run --worker`.",
    epilog=EPILOG,
    no_args_is_help=True,
)


@app.command()
def start(
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.05, help="It ends when it had nothing to do for so long.")
    ] = 15.0,
) -> None:
    """Start it, with the settings and the environment of this command; where it runs already, that is all."""
    if not handing.POSSIBLE:
        raise InvalidInputError("this system has no sockets that hand over files", where="graphflow worker")
    if _told() is not None:
        console().print("the worker runs already")
        return
    folder = handing.place()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = folder / "worker.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "graphflow.cli.working", str(minutes)],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    until = time.monotonic() + _PATIENCE
    while (told := _told()) is None:
        if process.poll() is not None or time.monotonic() > until:
            problem = log.read_text("utf-8", "replace").strip().rpartition("\n")[2] or "it did not answer"
            raise InvalidInputError(f"the worker did not start: {problem}", where=str(log), advice="the log has more")
        time.sleep(0.05)
    process.returncode = 0  # it outlives this command, and nobody waits for it
    console().print(styled(f"the worker runs as process {told['pid']}, until it is idle for {minutes:g} minutes"))


@app.command()
def stop() -> None:
    """End it; what it runs stops at its next step."""
    told = handing.ask({"do": "stop"})
    if told is None:
        console().print("there is no worker")
        return
    until = time.monotonic() + _PATIENCE
    while _told() is not None and time.monotonic() < until:
        time.sleep(0.05)
    console().print("the worker has ended" if _told() is None else "the worker ends with its current step")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Tell whether it runs. Exits 1 where it does not."""
    told = _told()
    if as_json:
        print_json(told or {"pid": None}, indent=2)
    elif told is None:
        console().print("there is no worker; `graphflow worker start` starts one")
    else:
        age = duration(time.time() - told["started"])
        what = "busy" if told["busy"] else "idle"
        waiting = f", {count(told['waiting'], 'command')} waiting" if told["waiting"] else ""
        old = "" if told["current"] else "; graphflow has changed since, so stop it and start it again"
        console().print(
            styled(f"process {told['pid']} is {what}{waiting}; {count(told['done'], 'command')} in {age}{old}")
        )
    if told is None:
        raise typer.Exit(1)


def _told() -> dict[str, Any] | None:
    return handing.ask({"do": "status"})
