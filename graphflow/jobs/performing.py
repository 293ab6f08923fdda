"""Carrying a workflow out: the one way of the command line, of the worker and of the service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from graphflow.execution.options import RunOptions
    from graphflow.execution.result import Result
    from graphflow.planning.expand import Expanded
    from graphflow.session import Session


def shown_targets(session: Session, expanded: Expanded) -> list[str] | None:
    """Return what is computed where nobody names targets, see :meth:`graphflow.planning.checked.Checked.shown`."""
    from graphflow.planning.validate import validate

    return validate(expanded.flat, session.registry).shown(expanded.flat)


def perform(session: Session, expanded: Expanded, **options: Unpack[RunOptions]) -> Result:
    """Carry a workflow out.

    Args:
        session: Where.
        expanded: The workflow with its values.
        **options: As in :meth:`graphflow.session.Session.run`; without ``targets`` it computes what :func:`shown_targets`
            says.

    Raises:
        WorkflowError: With every problem of the document.
        NodeError: A node failed.
        CancelledError: It was stopped.
    """
    options["targets"] = options.get("targets") or shown_targets(session, expanded)
    return session.run(expanded, **options)


def note_time(result: Result, out: Path, seconds: float) -> None:
    """Have the index of the output folder know how long a run took."""
    from graphflow.reproduce.index import Index

    written = [file.path for files in result.files.values() for file in files if file.how == "written"]
    Index(out).note(dict.fromkeys(written, seconds), result.run_id)
