"""``graphflow cache``: the stored results."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphflow.cli.age import ago
from graphflow.cli.asking import Yes, confirm
from graphflow.cli.failures import print_json
from graphflow.cli.options import AsJson, CacheDir, Packs, make_session
from graphflow.cli.terminal import add_row, console, count, print_table, size, styled, table
from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    from graphflow.store import DiskTier
    from graphflow.store.encoded import Stored

LockFile = Annotated[Path, typer.Argument(metavar="LOCK", show_default=False, help="A lock, WORKFLOW.lock.json.")]

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


@app.command("list")
def list_(
    workflow: Annotated[
        str | None,
        typer.Option("--workflow", metavar="NAME", help="Only results of workflows whose name has this part."),
    ] = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """List the stored results by workflow and node: how many, how much room they take, when they were used last."""
    groups: dict[tuple[str, str, str], list[Stored]] = {}
    for item in _open(cache_dir)[0].contents():
        name, node, type = (str(item.made.get(part) or "") for part in ("workflow", "node", "type"))
        if workflow is None or workflow.casefold() in name.casefold():
            groups.setdefault((name, node, type), []).append(item)
    rows: list[dict[str, Any]] = [
        {
            "workflow": name,
            "node": node,
            "type": type,
            "results": len(items),
            "bytes": sum(item.nbytes for item in items),
            "used": datetime.fromtimestamp(max(item.used for item in items)).isoformat(timespec="seconds"),
            "pinned": sum(item.pinned for item in items),
        }
        for (name, node, type), items in sorted(groups.items())
    ]
    if as_json:
        print_json(rows, indent=2)
        return
    shown = table(
        "workflow", "node", "type", "results", "room", "used last", "pinned", right=["results", "room", "pinned"]
    )
    for row in rows:
        name, room, last = row["workflow"] or "(not told)", size(row["bytes"]), row["used"].replace("T", " ")
        add_row(shown, name, row["node"], row["type"], row["results"], room, last, row["pinned"] or "")
    print_table(console(), shown)


@app.command()
def pin(file: LockFile, packs: Packs = None, cache_dir: CacheDir = None) -> None:
    """Keep the stored results of what a lock names: nothing evicts them, until `cache unpin`."""
    from graphflow.execution.output import keys_behind
    from graphflow.reproduce.results import planned

    session = make_session(packs=packs, cache_dir=cache_dir)
    disk, _ = _open(cache_dir)
    plan = planned(session, file)
    keys = keys_behind(plan.stored_keys(), session.store)
    disk.pin(str(file.resolve()), keys)
    told = f"pinned {count(len(keys), 'result')}" + (
        "" if keys else ": run the workflow first, nothing of it is stored"
    )
    console().print(styled(told))


@app.command()
def unpin(file: LockFile, cache_dir: CacheDir = None) -> None:
    """Let go of what `cache pin` keeps for a lock."""
    disk, _ = _open(cache_dir)
    name = str(file.resolve())
    if not disk.unpin(name):
        known = ", ".join(disk.pinned())
        advice = f"there are pins for {known}" if known else "`graphflow cache pin LOCK` pins"
        raise InvalidInputError("nothing is pinned for it", where=name, advice=advice)
    console().print(styled("let go"))


@app.command()
def clear(cache_dir: CacheDir = None, yes: Yes = False) -> None:
    """Remove every stored result but pinned ones. Pictures that were written stay; the next run computes anew."""
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
    older: Annotated[
        str | None,
        typer.Option("--older", metavar="AGE", help="Also remove what nothing used for so long, e.g. 12h, 30d, 8w."),
    ] = None,
    cache_dir: CacheDir = None,
) -> None:
    """Remove what killed runs left behind and what nothing can use, and keep the rest within a size. Pinned results stay."""
    disk, _ = _open(cache_dir)
    limit = None if to is None else _bytes(to)
    age = None if older is None else ago(older, "--older").total_seconds()
    before = disk.stats().bytes
    files = disk.prune(limit, older=age)
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
