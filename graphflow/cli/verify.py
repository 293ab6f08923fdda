"""``graphflow verify``: make files again and say whether they are the same, and if not, why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from graphflow.cli import failures
from graphflow.cli.failures import json_errors, print_json
from graphflow.cli.options import AsJson, InputDir, SafetyOption, Where
from graphflow.cli.spread import spread
from graphflow.cli.terminal import console, count, styled
from graphflow.errors import CancelledError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphflow.planning.unlike import Unlike
    from graphflow.reproduce.verify import Verdict
    from graphflow.session import Session

EPILOG = "Examples: graphflow verify out/*.png · graphflow verify picture.png --models /data/models"

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE…", show_default=False, help="Files that a run wrote; or locks, WORKFLOW.lock.json."),
]


@spread
def verify(
    files: Files, where: Where, input_dir: InputDir = None, safety: SafetyOption = None, as_json: AsJson = False
) -> None:
    """Make files again, without stored results, and say whether they are the same, or what differs and why.

    Runs in the recorded number of threads, where the machine has them. Exits 1 where a file shows something else or cannot
    be made again.
    """
    from graphflow.cli.interruption import interruption
    from graphflow.reproduce.verify import verify as verify_files

    def make_session(changes: Mapping[str, Any]) -> Session:
        given = {name: value for name, value in changes.items() if not getattr(where, name, None)}
        return replace(where, no_cache=True).session(given)

    target = console()
    with json_errors(as_json), interruption() as interrupted:
        try:
            found = verify_files(
                files,
                make_session,
                input_folder=input_dir,
                safety=safety,
                told=(lambda verdict: None) if as_json else lambda verdict: show(target, verdict),
                cancellation=interrupted.cancellation,
            )
        except (CancelledError, KeyboardInterrupt):
            raise CancelledError("interrupted") from None
    if as_json:
        print_json([to_json(verdict) for verdict in found], indent=2)
    elif len(found) > 1:
        good = sum(verdict.ok for verdict in found)
        target.print(styled(f"{good} of {count(len(found), 'file')} show the same"))
    if not all(verdict.ok for verdict in found):
        raise typer.Exit(1)


def show(target: Console, verdict: Verdict) -> None:
    """Print what verifying one file found."""
    if verdict.compared is None:
        target.print(styled(f"{verdict.path}: cannot be made again", "red"), soft_wrap=True)
        if verdict.error is not None:
            failures.show(verdict.error)
        for item in verdict.missing:
            target.print(styled(f"  to fetch: {item}"), soft_wrap=True)
        return
    style = "green" if verdict.ok else "red"
    target.print(styled(f"{verdict.path}: {verdict.compared}", style), soft_wrap=True)
    show_causes(target, verdict.unlike, other_pixels=not verdict.ok)
    if not verdict.ok and not verdict.unlike:
        target.print(styled(f"  {verdict.hint}"), soft_wrap=True)


def show_causes(target: Console, unlike: tuple[Unlike, ...], *, other_pixels: bool) -> None:
    """Print in which recorded facts two records differ, most likely cause first."""
    for index, item in enumerate(unlike):
        likely = " (the most likely cause)" if other_pixels and not index else ""
        digests = f": SHA-256 {item.made or 'not told'}, here {item.here or 'not told'}" if item.is_file else ""
        target.print(styled(f"  {item}{digests}{likely}"), soft_wrap=True)


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Return what verifying one file found as a JSON object."""
    return {
        "file": str(verdict.path),
        "ok": verdict.ok,
        "compared": None if verdict.compared is None else verdict.compared.to_json(),
        "differs": [unlike_to_json(item) for item in verdict.unlike],
        "error": None if verdict.error is None else failures.to_json(verdict.error),
        "to_fetch": list(verdict.missing),
        "hint": verdict.hint if verdict.compared and not verdict.ok and not verdict.unlike else None,
    }


def unlike_to_json(item: Unlike) -> dict[str, str | None]:
    """Return a fact in which two records differ as a JSON object."""
    return {"what": item.what, "made": item.made, "here": item.here}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(verify)
