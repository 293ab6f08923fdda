"""``graphflow find``: which files were made with a model, a prompt, a seed, a picture."""

from __future__ import annotations

import hashlib
import io
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphflow.basics.wording import shorten
from graphflow.cli.age import ago
from graphflow.cli.failures import json_errors, print_json
from graphflow.cli.options import AsJson
from graphflow.cli.summary import shown_path
from graphflow.cli.terminal import add_row, console, count, duration, print_table, styled, table
from graphflow.cli.writing import file_to_write
from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    from graphflow.reproduce.index import Found

EPILOG = 'Examples: graphflow find --prompt "red circle" · graphflow find --dir pictures --lora outline --since 7d --sheet found.png'


def find(
    folder: Annotated[
        Path, typer.Option("--dir", file_okay=False, metavar="DIR", help="The output folder, with the folders in it.")
    ] = Path("out"),
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Part of a model's name.")] = None,
    lora: Annotated[str | None, typer.Option("--lora", metavar="NAME", help="Part of a LoRA's name.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="Part of a prompt.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="A seed.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="A date, such as 2026-11-30, or how long ago: 12h, 7d, 2w."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", exists=True, dir_okay=False, metavar="FILE", help="A picture or model that they were made from."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="The most files, the newest first.")] = 100,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", dir_okay=False, metavar="FILE", help="Also write a contact sheet: a PNG.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", metavar="", help="Read every file anew before answering.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find files of an output folder by how they were made; all that is given must hold. Newest first.

    The index lies beside the folder, .NAME.graphflow.sqlite, and is made from the files at any time.
    """
    from graphflow.reproduce.index import Index, Wanted

    with json_errors(as_json):
        if sheet is not None and sheet.suffix.lower() != ".png":
            raise InvalidInputError("the contact sheet is a PNG", where=f"--sheet {sheet}", advice="name a .png file")
        sheet = file_to_write(sheet, force=False)
        wanted = Wanted(
            model=model,
            lora=lora,
            prompt=prompt,
            seed=seed,
            since=None if since is None else _time(since),
            source=None if source is None else _sha256(source),
            limit=limit,
        )
        index = Index(folder)
        index.update(anew=rebuild)
        found = index.find(wanted)
        if sheet is not None:
            _write_sheet(found, sheet)
    if as_json:
        print_json([to_json(item) for item in found], indent=2)
        return
    target = console()
    rows = table("file", "written", "took", "workflow", "seed", "models", "prompt")
    for item in found:
        took = "" if item.seconds is None else duration(item.seconds)
        seeds, prompts = ", ".join(map(str, item.seeds)), " | ".join(filter(None, item.prompts))
        written = f"{item.written:%Y-%m-%d %H:%M}"
        add_row(
            rows,
            shown_path(item.path),
            written,
            took,
            item.workflow,
            seeds,
            ", ".join(item.models),
            shorten(prompts, 60),
        )
    if found:
        print_table(target, rows)
    more = ", perhaps more: --limit" if len(found) == limit else ""
    target.print(styled(f"{count(len(found), 'file')}{more}"))


def to_json(item: Found) -> dict[str, Any]:
    """Return a file as a JSON object."""
    return {
        "file": str(item.path),
        "written": item.written.isoformat(timespec="seconds"),
        "seconds": item.seconds,
        "workflow": item.workflow,
        "seeds": list(item.seeds),
        "models": list(item.models),
        "prompts": list(item.prompts),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.now() - ago(text, "--since")
    except (InvalidInputError, OverflowError) as error:
        raise InvalidInputError(
            f"{text!r} is no date", where="--since", advice="write 2026-11-30, 2026-11-30T18:00, or 12h, 7d, 2w"
        ) from error


def _write_sheet(found: list[Found], path: Path) -> None:
    from graphflow.basics import atomic
    from graphflow.reproduce.sheet import contact_sheet

    stream = io.BytesIO()
    captions = [(item.path, f"{item.path.name}\n{', '.join(map(str, item.seeds))}") for item in found]
    contact_sheet(captions).save(stream, "PNG")
    atomic.write_bytes(path, stream.getvalue())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(find)
