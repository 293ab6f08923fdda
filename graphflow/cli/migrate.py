"""``graphflow migrate``: a workflow of an older format in today's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from graphflow.cli.output import answers
from graphflow.cli.terminal import clean, console, styled
from graphflow.cli.writing import file_to_write, write_text

EPILOG = (
    """Examples: graphflow migrate old.json · graphflow migrate old.json --keep nodes · graphflow migrate picture.png"""
)


def migrate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="A workflow: JSON, a PNG that graphflow saved, or - for standard input.",
        ),
    ],
    keep: Annotated[
        Literal["nodes", "defaults"] | None,
        typer.Option(
            "--keep",
            show_default=False,
            help="What counts where an input's default of format 1 differs from its node: the node's value or link, or the default.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            dir_okay=False,
            metavar="FILE",
            help="The file to write; without it, FILE itself where it ends in .json, else a .json beside it; - is standard output, which FILE - goes to without it.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Write over another file that is there.")] = False,
) -> None:
    """Write a workflow of an older format in today's. Older ones run as they are; this is for editing them further."""
    from graphflow.cli.imported import standard_input
    from graphflow.document import document as workflow
    from graphflow.document.embedded import is_png

    in_place = False
    if file == "-":
        document = workflow.from_bytes(standard_input(), source="standard input", file=file, keep=keep)
    else:
        document = workflow.read(Path(file), keep=keep)
        in_place = out is None and Path(file).suffix == ".json" and not is_png(Path(file).read_bytes())
        out = out or Path(file).with_suffix(".json")
    out = file_to_write(out, force=force or in_place)
    text = json.dumps(document.to_json(), ensure_ascii=False, indent=2) + "\n"
    if out is None:
        answers().write(text)
        return
    if in_place and json.loads(out.read_bytes()) == document.to_json():
        console(error=True).print(styled(f"{clean(file)} is of format {document.graphflow} already"))
        return
    write_text(out, text)
    console(error=True).print(styled(f"wrote {clean(str(out))}, format {document.graphflow}", "green"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(migrate)
