"""``graphflow workflows``: the workflows that come with graphflow, and what one takes and needs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from graphflow.cli.completing import packaged_workflows
from graphflow.cli.failures import print_json
from graphflow.cli.options import AsJson, ModelDirs, make_session
from graphflow.cli.terminal import add_row, console, literal, paragraph, print_table, styled, table
from graphflow.service.catalogue import workflow_json

EPILOG = "Examples: graphflow workflows · graphflow workflows inpaint"


def workflows(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", show_default=False, help="One to explain.", autocompletion=packaged_workflows),
    ] = None,
    models: ModelDirs = None,
    as_json: AsJson = False,
) -> None:
    """List the workflows that come with graphflow, or explain one: inputs, models, and the picture that it makes."""
    from graphflow import workflows as packaged

    session = make_session(models=models)
    rows = [workflow_json(session, found) for found in ([name] if name is not None else packaged.names())]
    if as_json:
        print_json(rows[0] if name is not None else rows, indent=2)
    elif name is not None:
        _explain(rows[0])
    else:
        _list(rows)


def _list(rows: list[dict[str, Any]]) -> None:
    target = console()
    shown = table("workflow", "does", "models that are not here")
    for row in rows:
        missing = ", ".join(model["name"] for model in row["models"] if not model.get("path"))
        add_row(shown, styled(row["name"], "cyan"), row["description"], styled(missing, "yellow"))
    print_table(target, shown)
    target.print(styled("\n`graphflow workflows NAME` explains one, `graphflow run NAME` runs it,", "dim"))
    target.print(styled("`graphflow fetch NAME` downloads the models that are not here.", "dim"))


def _explain(row: dict[str, Any]) -> None:
    target = console()
    target.print(styled(row["name"], "bold cyan"))
    paragraph(target, styled(row["description"]), indent=2)
    inputs = table("input", "value", "what")
    for name, knob in row["inputs"].items():
        add_row(inputs, styled(name, "cyan"), literal(knob["value"]), knob["description"])
    target.print()
    print_table(target, inputs)
    models = table("model", "kind", "where")
    for model in row["models"]:
        place = model.get("path") or f"not here; belongs into {model.get('place') or 'a model folder'}"
        origin = f", published at {model['url']}" if model.get("url") else ""
        add_row(models, styled(model["name"], "cyan"), model["kind"].replace("_", " "), place + origin)
    target.print()
    print_table(target, models)
    target.print(styled(f"\npicture   {row['picture']}\nworkflow  {row['path']}", "dim"), soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(workflows)
