"""``graphflow cache``: the stored results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from graphflow.cli.asking import Yes, confirm
from graphflow.cli.failures import print_json
from graphflow.cli.options import AsJson, CacheDir, make_session
from graphflow.cli.terminal import console, count, size, styled
from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from graphflow.store import DiskTier

app = typer.Typer(name="cache", help="Look at the stored results, check them, or remove them.", no_args_is_help=True)


def _open(cache_dir: Path | None) -> tuple[DiskTier, Path]:
    session = make_session(cache_dir=cache_dir)
    disk = session.store.disk
    if disk is None:
        raise InvalidInputError(
            "nothing is stored on disk: cache_bytes is 0", advice="set GRAPHFLOW_CACHE_BYTES or cache_bytes"
        )
    return disk, session.store_folder


@app.command()
def info(cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Show where results are stored, how many there are, and how much room they take."""
    disk, folder = _open(cache_dir)
    stats = disk.stats()
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "entries": stats.entries,
                "objects": stats.objects,
                "bytes": stats.bytes,
                "max_bytes": stats.max_bytes,
            },
            indent=2,
        )
        return
    target = console()
    share = f" of {size(stats.max_bytes)}" + (
        f" ({100 * stats.bytes / stats.max_bytes:.0f} %)" if stats.max_bytes else ""
    )
    target.print(styled(str(folder)), soft_wrap=True)
    target.print(
        styled(
            f"{count(stats.entries, 'result')} in {count(stats.entries + stats.objects, 'file')}, {size(stats.bytes)}{share}"
        )
    )


@app.command()
def clear(cache_dir: CacheDir = None, yes: Yes = False) -> None:
    """Remove every stored result. Pictures that were written stay; the next run computes anew."""
    disk, folder = _open(cache_dir)
    stats = disk.stats()
    before = stats.bytes
    if stats.entries:
        confirm(f"Remove {count(stats.entries, 'result')}, {size(before)}, from {folder}?", yes)
    files = disk.clear()
    console().print(styled(f"removed {count(files, 'file')}, {size(before - disk.stats().bytes)}"))


@app.command()
def prune(
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="SIZE",
            help='How much may stay, e.g. "5 GB"; the least recently used go first. Default: the cap of the settings.',
        ),
    ] = None,
    cache_dir: CacheDir = None,
) -> None:
    """Remove what killed runs left behind and what nothing can use, and keep the rest within a size."""
    disk, _ = _open(cache_dir)
    limit = None if to is None else _bytes(to)
    before = disk.stats().bytes
    files = disk.prune(limit)
    after = disk.stats().bytes
    console().print(styled(f"removed {count(files, 'file')}, {size(max(0, before - after))}; {size(after)} stay"))


@app.command()
def verify(cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Read and check every stored file; damaged and exchanged ones are removed. Exits 1 where there were any."""
    report = _open(cache_dir)[0].verify()
    if as_json:
        print_json(
            {
                "files": report.files,
                "bytes": report.bytes,
                "damaged": report.damaged,
                "exchanged": report.exchanged,
                "incomplete": report.incomplete,
            },
            indent=2,
        )
    else:
        target = console()
        target.print(styled(f"checked {count(report.files, 'file')}, {size(report.bytes)}"))
        found = {"damaged": report.damaged, "a copy of another": report.exchanged, "incomplete": report.incomplete}
        for what, names in found.items():
            for name in names:
                target.print(styled(f"{what}, removed: {name}", "yellow"))
        if not any(found.values()):
            target.print(styled("all good", "green"))
    if report.damaged or report.exchanged or report.incomplete:
        raise typer.Exit(1)


def _bytes(text: str) -> int:
    from pydantic import TypeAdapter, ValidationError

    from graphflow.settings import Size

    try:
        number: int = TypeAdapter(Size).validate_python(text)
    except ValidationError as error:
        raise InvalidInputError(
            f"{text!r} is no size", where="--to", advice='write e.g. "5 GB" or "512 MiB"'
        ) from error
    return number
