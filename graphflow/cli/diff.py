"""``graphflow diff``: what differs between two workflows or files, and which difference explains the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from graphflow.cli.failures import json_errors, print_json
from graphflow.cli.options import AsJson, Packs, WorkflowName, make_session
from graphflow.cli.source import load
from graphflow.cli.terminal import console, literal, styled
from graphflow.cli.verify import show_causes, unlike_to_json

if TYPE_CHECKING:
    from graphflow.reproduce.compared import Comparison

EPILOG = "Examples: graphflow diff mine.json theirs.json · graphflow diff out/a.png out/b.png"

_STYLES = {"added": "green", "removed": "red", "changed": "yellow", "renamed": "dim"}

Other = Annotated[
    str, typer.Argument(metavar="OTHER", show_default=False, help="What to compare it with: a workflow or a file.")
]


def diff(workflow: WorkflowName, other: Other, packs: Packs = None, as_json: AsJson = False) -> None:
    """Say what differs between two workflows, node by node; of pictures also the pixels, and what explains them.

    Exits 1 where anything differs but names of files.
    """
    from graphflow.reproduce.compared import compare_workflows

    with json_errors(as_json):
        session = make_session(packs=packs)
        found = compare_workflows(session, load(workflow), load(other), Path(workflow), Path(other))
    if as_json:
        print_json(to_json(found), indent=2)
    else:
        show(console(), found)
    if not found.same:
        raise typer.Exit(1)


def show(target: Console, found: Comparison) -> None:
    """Print what differs."""
    for change in found.changes:
        name = f"{change.node} → {change.other}" if change.other else change.node
        reach = "" if change.reaches else ", which does not reach what is written"
        target.print(styled(f"{name} ({change.type}): {change.what}{reach}", _STYLES[change.what]), soft_wrap=True)
        for detail in change.details:
            target.print(styled(f"  {detail.name}: {literal(detail.before)} → {literal(detail.after)}"), soft_wrap=True)
    if found.unlike:
        target.print(styled("circumstances:"))
        show_causes(target, found.unlike, other_pixels=False)
    if found.compared is not None:
        target.print(styled(f"pixels: {found.compared}"), soft_wrap=True)
    target.print(styled(found.conclusion(), "bold"), soft_wrap=True)


def to_json(found: Comparison) -> dict[str, Any]:
    """Return what differs as a JSON object."""
    return {
        "same": found.same,
        "changes": [
            {
                "node": change.node,
                "other": change.other or change.node,
                "type": change.type,
                "what": change.what,
                "reaches": change.reaches,
                "details": [{"name": item.name, "before": item.before, "after": item.after} for item in change.details],
            }
            for change in found.changes
        ],
        "circumstances": [unlike_to_json(item) for item in found.unlike],
        "pixels": None if found.compared is None else found.compared.to_json(),
        "conclusion": found.conclusion(),
    }


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(diff)
