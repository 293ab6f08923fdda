"""``graphflow plan``: what a run would do, and why, without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console

from graphflow.cli.failures import json_errors, print_json
from graphflow.cli.options import AsJson, What, Where
from graphflow.cli.source import input_values, load, named, overrides
from graphflow.cli.spread import spread
from graphflow.cli.terminal import add_row, console, print_table, size, styled, table, weights
from graphflow.jobs.performing import shown_targets
from graphflow.planning.memory import evaluation_bytes
from graphflow.planning.weights import loaded_bytes, needed_files
from graphflow.service.catalogue import plan_json

if TYPE_CHECKING:
    from graphflow.planning.steps import Action, Plan

EPILOG = (
    "Examples: graphflow plan txt2img · graphflow plan my.json -i seed=8 · graphflow plan my.json --json | jq .steps"
)

STYLES: dict[Action, str] = {
    "run": "cyan",
    "cached": "green",
    "write": "magenta",
    "conditional": "yellow",
    "skipped": "dim",
}


@spread
def plan(what: What, where: Where, as_json: AsJson = False) -> None:
    """Show what a run would do: what runs and why, what is stored, which files and weights it needs. Runs nothing."""
    with json_errors(as_json):
        session = where.session()
        loaded = load(what.workflow, report=what.report)
        with named(loaded):
            expanded = session.expand(loaded.document, input_values(what.inputs), overrides(what.sets))
            made = session.plan(
                expanded,
                targets=what.targets or shown_targets(session, expanded),
                safety=what.safety,
                folder=loaded.folder,
                input_folder=what.input_dir,
            )
    if as_json:
        print_json(plan_json(made), indent=2)
    else:
        show(console(), made)


def show(target: Console, made: Plan) -> None:
    """Print a plan as a table, the files that it needs, and totals."""
    rows = table("node", "type", "action", "why")
    for step in made.steps.values():
        name = f"{step.id} ({step.title})" if step.title else step.id
        add_row(
            rows,
            styled(name),
            styled(step.spec.type, "dim"),
            styled(step.action, STYLES[step.action]),
            styled(step.reason),
        )
    print_table(target, rows)
    files = needed_files(made)
    if files:
        rows = table("file", "kind", "weights to load", "for")
        for use, loaded, nodes in files:
            add_row(rows, use.need.name, use.need.kind.replace("_", " "), weights(loaded), ", ".join(nodes))
        target.print()
        print_table(target, rows)
    target.print()
    target.print(styled(totals(made)))
    for notice in made.notices:
        target.print(styled(f"note: {notice}", "yellow"))


def totals(made: Plan) -> str:
    """Return one line: how many nodes run, are stored, write, and the bytes of weights."""
    total = loaded_bytes(made)
    named = f"; weights to load: {weights(total)}" if total else ""
    beside = max(evaluation_bytes(made).values(), default=0)
    named += f"; an evaluation of a picture takes about {size(beside)} beside them" if beside else ""
    numerics = f"; on {made.numerics.device} in {made.numerics.compute}"
    return f"{made.totals()}{named}{numerics}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(plan)
