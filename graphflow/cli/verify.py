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
from graphflow.errors import CancelledError, InvalidInputError
from graphflow.jobs.telling import error_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphflow.planning.unlike import Unlike
    from graphflow.reproduce.results import LockVerdict
    from graphflow.reproduce.verify import Verdict
    from graphflow.session import Session

EPILOG = "Examples: graphflow verify out/*.png · graphflow verify picture.png --models /data/models"

_SHOWN = 16
"""Digits of a digest where all of it is told elsewhere."""

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
    be made again, 2 where one does not tell how it was made.
    """
    from graphflow import workflows
    from graphflow.cli.interruption import interruption
    from graphflow.reproduce.results import is_lock, verify_lock
    from graphflow.reproduce.verify import verify as verify_files

    def make_session(changes: Mapping[str, Any]) -> Session:
        given = {name: value for name, value in changes.items() if not getattr(where, name, None)}
        return replace(where, no_cache=True).session(given)

    target = console()
    with json_errors(as_json), interruption() as interrupted:
        options: dict[str, Any] = {
            "input_folder": input_dir,
            "safety": safety,
            "cancellation": interrupted.cancellation,
        }
        try:
            verdicts = verify_files(
                [path for path in files if not is_lock(path)],
                make_session,
                folders=[Path.cwd(), workflows.folder()],
                told=(lambda verdict: None) if as_json else lambda verdict: show(target, verdict),
                **options,
            )
            locks = [verify_lock(path, make_session, **options) for path in filter(is_lock, files)]
        except (CancelledError, KeyboardInterrupt):
            raise CancelledError("interrupted") from None
    found: list[Verdict | LockVerdict] = [*verdicts, *locks]
    good = [verdict.ok for verdict in found]
    if as_json:
        print_json([*map(to_json, verdicts), *map(lock_to_json, locks)], indent=2)
    else:
        for lock in locks:
            show_lock(target, lock)
        if len(good) > 1:
            target.print(styled(f"{sum(good)} of {count(len(good), 'file')} show the same"))
    if not all(verdict.tells for verdict in found):
        raise typer.Exit(InvalidInputError.exit_code)
    if not all(good):
        raise typer.Exit(1)


def show(target: Console, verdict: Verdict) -> None:
    """Print what verifying one file found."""
    if verdict.compared is None:
        target.print(styled(f"{verdict.path}: cannot be made again", "red"), soft_wrap=True)
        if verdict.error is not None:
            failures.show(verdict.error)
        _show_missing(target, verdict)
        return
    style = "green" if verdict.ok else "red"
    target.print(styled(f"{verdict.path}: {verdict.compared}", style), soft_wrap=True)
    show_causes(target, verdict.unlike, other_pixels=not verdict.ok)
    _show_missing(target, verdict)
    if not verdict.ok and not verdict.unlike:
        target.print(styled(f"  {verdict.hint}"), soft_wrap=True)


def _show_missing(target: Console, verdict: Verdict) -> None:
    for item in verdict.missing:
        target.print(styled(f"  to fetch: {item}"), soft_wrap=True)


def show_lock(target: Console, verdict: LockVerdict) -> None:
    """Print what verifying a lock found."""
    if verdict.error is not None:
        target.print(styled(f"{verdict.path}: cannot be run", "red"), soft_wrap=True)
        failures.show(verdict.error)
        return
    told = [f"{node}: {same} of {total} results the same" for node, (same, total) in (verdict.results or {}).items()]
    what = "; ".join(told) or ("all is as locked" if verdict.ok else "not all is as locked")
    target.print(styled(f"{verdict.path}: {what}", "green" if verdict.ok else "red"), soft_wrap=True)
    for difference in verdict.differences:
        problem = difference.problem()
        target.print(styled(f"  {problem.path}: {problem.message}"), soft_wrap=True)


def lock_to_json(verdict: LockVerdict) -> dict[str, Any]:
    """Return what verifying a lock found as a JSON object."""
    results = verdict.results
    return {
        "file": str(verdict.path),
        "ok": verdict.ok,
        "differs": [{"what": item.place, "locked": item.locked, "here": item.here} for item in verdict.differences],
        "results": None if results is None else {node: {"same": n[0], "all": n[1]} for node, n in results.items()},
        "error": None if verdict.error is None else error_json(verdict.error),
    }


def show_causes(target: Console, unlike: tuple[Unlike, ...], *, other_pixels: bool) -> None:
    """Print in which recorded facts two records differ, most likely cause first."""
    for index, item in enumerate(unlike):
        likely = " (the most likely cause)" if other_pixels and not index else ""
        digests = f": {_digest(item.made)}, here {_digest(item.here)}" if item.is_file else ""
        target.print(styled(f"  {item}{digests}{likely}"), soft_wrap=True)


def _digest(value: str | None) -> str:
    return f"SHA-256 {value[:_SHOWN]}…" if value else "not told"


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Return what verifying one file found as a JSON object."""
    return {
        "file": str(verdict.path),
        "ok": verdict.ok,
        "compared": None if verdict.compared is None else verdict.compared.to_json(),
        "differs": [unlike_to_json(item) for item in verdict.unlike],
        "error": None if verdict.error is None else error_json(verdict.error),
        "to_fetch": list(verdict.missing),
        "hint": verdict.hint if verdict.compared and not verdict.ok and not verdict.unlike else None,
    }


def unlike_to_json(item: Unlike) -> dict[str, str | None]:
    """Return a fact in which two records differ as a JSON object."""
    return {"what": item.what, "made": item.made, "here": item.here}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(verify)
