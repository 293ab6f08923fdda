"""``graphflow validate``: every problem of a workflow at once."""

from __future__ import annotations

from typing import Annotated

import typer

from graphflow.cli.failures import json_errors, print_json, print_problems
from graphflow.cli.options import (
    AsJson,
    InputDir,
    Inputs,
    ModelDirs,
    Offline,
    Packs,
    SafetyOption,
    Sets,
    WorkflowName,
    make_session,
)
from graphflow.cli.source import input_values, load, overrides
from graphflow.cli.terminal import console, count, styled
from graphflow.errors import GraphflowError, LimitError, Problem, WorkflowError
from graphflow.jobs.telling import problem_json

EPILOG = "Example: graphflow validate my.json -i prompt=test && echo good"


def validate(
    workflow: WorkflowName,
    inputs: Inputs = None,
    sets: Sets = None,
    input_dir: InputDir = None,
    packs: Packs = None,
    safety: SafetyOption = None,
    models: ModelDirs = None,
    offline: Offline = False,
    files: Annotated[
        bool,
        typer.Option(
            "--files/--no-files", metavar="", help="Whether the models and pictures that it names must be here."
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check a workflow and name every problem: its place, the value, the way out. Runs nothing.

    All that is written is checked, also where -i or --set say something else. Exits 0 where nothing is wrong, 2 where it
    has problems.
    """
    with json_errors(as_json):
        session = make_session(packs=packs, models=models, offline=offline)
    try:
        loaded = load(workflow)
        values, single = input_values(inputs), overrides(sets)
        checked = session.validate(loaded.document, values, single)
        notices, problems, nodes = checked.notices, checked.problems, len(checked.nodes)
        if files:
            try:
                plan = session.plan(
                    loaded.document, values, single, safety=safety, folder=loaded.folder, input_folder=input_dir
                )
                notices = [*dict.fromkeys((*plan.notices, *notices))]
            except WorkflowError as error:
                problems = [*dict.fromkeys((*error.problems, *problems))]
        if problems:
            raise WorkflowError(problems)
    except (WorkflowError, LimitError) as error:
        told = (
            error.problems
            if isinstance(error, WorkflowError)
            else (Problem("document", error.message, error.advice or ""),)
        )
        if as_json:
            shown = [problem_json(problem) for problem in told]
            print_json({"valid": False, "problems": shown, "notices": []}, indent=2)
        else:
            print_problems(console(error=True), told, where=error.where or workflow)
        raise typer.Exit(error.exit_code) from error
    except GraphflowError as error:
        if as_json:
            only = Problem(error.where or "document", error.message, error.advice or "")
            print_json({"valid": False, "problems": [problem_json(only)], "notices": []}, indent=2)
        raise
    if as_json:
        print_json({"valid": True, "problems": [], "notices": notices}, indent=2)
        return
    target = console()
    for notice in notices:
        target.print(styled(f"note: {notice}", "yellow"))
    target.print(styled(f"OK: {loaded.name} has {count(nodes, 'node')} and no problem", "green"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(validate)
