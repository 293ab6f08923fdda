"""``graphflow schema``: the JSON Schema of workflow documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphflow.cli.failures import print_json
from graphflow.cli.options import Packs, make_session
from graphflow.cli.terminal import console, count, styled
from graphflow.cli.writing import file_to_write, write_text

EPILOG = """Example: graphflow schema -o graphflow.schema.json, then begin a workflow with "$schema": "./graphflow.schema.json"."""


def schema(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            metavar="FILE",
            help="The file to write; standard output without it, or with -.",
        ),
    ] = None,
    packs: Packs = None,
) -> None:
    """Print the JSON Schema of workflow documents, with one branch per node type.

    Editors that know JSON Schema complete and check a workflow with it while it is typed.
    """
    import json

    from graphflow.document.schema import document_schema

    known = make_session(packs=packs).registry
    made = document_schema(known)
    output = file_to_write(output, force=True)  # a schema is made anew after every update
    if output is None:
        print_json(made, indent=2)
        return
    write_text(output, json.dumps(made, indent=2, ensure_ascii=False) + "\n")
    console().print(styled(f"{output}: the schema of {count(len(known.specs), 'node type')}"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(schema)
