"""What the command line says of ComfyUI files."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from graphflow.cli.failures import print_json
from graphflow.cli.terminal import add_row, console, count, print_table, styled, table
from graphflow.errors import ConversionError, GraphflowError, InvalidInputError, LimitError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    from rich.console import Console

    from graphflow.converters.comfyui import Report
    from graphflow.document.document import Document
    from graphflow.spec.registry import Registry

_SHOWN = 12
_ENDINGS = frozenset({".json", ".png", ".webp", ".jpg", ".jpeg", ".mp4", ".webm"})


def given(name: str) -> str | bytes:
    """Return what ``to_prompt`` reads: a path, or the bytes of standard input.

    Raises:
        InvalidInputError: There is no such file, or it is a folder.
        LimitError: Standard input has too many bytes.
    """
    if name != "-":
        if Path(name).is_dir():
            advice = "name a file; --coverage DIR counts over all files of a folder"
            raise InvalidInputError("this is a folder, not a workflow", where=name, advice=advice)
        if not Path(name).is_file():
            raise InvalidInputError("there is no such file", where=name)
        return name
    data = sys.stdin.buffer.read(LIMITS.media_bytes + 1)
    if len(data) > LIMITS.media_bytes:
        raise LimitError(f"there are more than {LIMITS.media_bytes:,} bytes", where="standard input")
    return data


def read_foreign(stream: BinaryIO, name: str) -> Document | None:
    """Return the native form of a ComfyUI file, or None where it is none, and say what differs.

    Args:
        stream: The file, at its start.
        name: What the command line called it.

    Raises:
        ConversionError: It is a ComfyUI file that cannot be read, or that has nodes that are not supported.
    """
    from graphflow.converters.comfyui import to_native, to_prompt
    from graphflow.converters.comfyui.recognise import recognise

    found = recognise(stream, name)
    if found is None:
        return None
    try:
        flattened = to_prompt(found, now=datetime.now())
    except ConversionError as error:
        where = (error.where or "").replace("the data", name, 1).replace("the bytes", name, 1)
        raise ConversionError(error.message, where=where or name, advice=error.advice) from error
    result = to_native(flattened, name=Path(name).stem)
    document: Document = result.require()
    show_summary(console(error=True), result.report)
    return document


def show_summary(target: Console, report: Report, *, listed: bool = False) -> None:
    """Print how many nodes were said how well, what differs, what is left out, and what is not there to run it.

    Args:
        target: Where to print.
        report: What became of the file.
        listed: Whether each node has been told before.
    """
    from graphflow.converters.comfyui.report import Verdict

    near = list(report.of(Verdict.APPROXIMATE))
    waiting = sum(map(len, report.waiting.values()))
    exact, roughly = (
        sum(not entry.waits for entry in report.of(verdict)) for verdict in (Verdict.EXACT, Verdict.APPROXIMATE)
    )
    text = f"ComfyUI workflow ({report.format}): {count(exact, 'node')} exactly, {roughly} approximately"
    for number, what in ((waiting, "that cannot run yet"), (len(report.unsupported), "not supported")):
        text += f", {number} {what}" if number else ""
    target.print(styled(text, "dim"))
    for family, entries in report.waiting.items():
        types = ", ".join(dict.fromkeys(entry.type for entry in entries))
        target.print(styled(f"cannot run yet, {family} is not built: {types}", "yellow"))
    if listed:
        return
    for entry in near[:_SHOWN]:
        target.print(styled(f"note: {entry.id} {entry.type}: {'; '.join(entry.remarks)}", "yellow"))
    if len(near) > _SHOWN:
        target.print(styled(f"… and {len(near) - _SHOWN:,} more; `graphflow import FILE --report` lists all", "yellow"))
    dead = [f"{entry.id} {entry.type}" for entry in report.of(Verdict.UNSUPPORTED, live=False)]
    if dead:
        more = f" and {len(dead) - _SHOWN} more" if len(dead) > _SHOWN else ""
        target.print(styled(f"left out, no output needs it: {', '.join(dead[:_SHOWN])}{more}", "yellow"))


def show_missing_models(target: Console, report: Report) -> None:
    """Print the models that were not found, with the nearest names there are."""
    missing = [model for model in report.models if not model.path]
    for model in missing[:_SHOWN]:
        near = f" (nearest: {', '.join(model.near)})" if model.near else ""
        target.print(styled(f"missing {model.kind.replace('_', ' ')}: {model.name}{near}", "yellow"))
    if len(missing) > _SHOWN:
        target.print(styled(f"… and {len(missing) - _SHOWN:,} more models", "yellow"))


def show_report(target: Console, report: Report) -> None:
    """Print what became of every node, and the models."""
    rows = table("node", "ComfyUI type", "becomes", "how", "remarks")
    styles = {"exactly": "", "approximately": "yellow", "not supported": "bold red"}
    for entry in report.entries:
        how = entry.verdict.value if entry.live else "left out"
        pack = f"pack {entry.pack}" if entry.pack and entry.verdict.value == "not supported" else ""
        waits = f"cannot run yet: {entry.waits} is not built" if entry.waits and entry.live else ""
        remarks = "; ".join(part for part in (*entry.remarks, waits, pack, entry.provides) if part)
        name = f"{entry.id} “{entry.title}”" if entry.title != entry.type else entry.id
        add_row(
            rows,
            name,
            entry.type,
            ", ".join(entry.native),
            how,
            remarks,
            style=styles[entry.verdict.value] if entry.live else "dim",
        )
    print_table(target, rows)
    if report.models:
        target.print("")
        rows = table("model", "kind", "where")
        for model in report.models:
            near = f"; nearest: {', '.join(model.near)}" if model.near else ""
            add_row(
                rows,
                model.name,
                model.kind,
                model.path or f"{model.problem}{near}",
                style="" if model.path else "yellow",
            )
        print_table(target, rows)
    told = {entry.id: (*entry.remarks, entry.provides) for entry in report.entries}
    for note in report.problems:
        if not any(note.message in text for text in told.get(note.node, ())):
            target.print(styled(f"problem: {note}", "red"))
    for note in report.notes:
        target.print(styled(f"note: {note}", "dim"))
    show_summary(target, report, listed=True)
    missing = sum(not model.path for model in report.models)
    if missing:
        there = "is not there: put it" if missing == 1 else "are not there: put them"
        advice = f"{count(missing, 'model')} {there} into one of these folders, or name theirs with --models FOLDER"
        target.print(styled(advice, "yellow"))


def show_coverage(folder: Path, registry: Registry, as_json: bool) -> None:
    """Print how many files of a folder import whole, and which types are most missing."""
    from graphflow.converters.comfyui import to_native, to_prompt

    files: list[dict[str, Any]] = []
    missing: Counter[str] = Counter()
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS and path.is_file()):
        name = str(path.relative_to(folder))
        try:
            report = to_native(to_prompt(path), registry=registry).report
        except GraphflowError as error:
            files.append({"file": name, "error": str(error)})
            continue
        types = sorted({entry.type for entry in report.unsupported})
        missing.update(types)
        live = sum(entry.live for entry in report.entries)
        waiting = sum(map(len, report.waiting.values()))
        told = {"file": name, "nodes": live, "waiting": waiting, "unsupported": len(report.unsupported)}
        files.append({**told, "types": types})
    whole = sum(file.get("unsupported") == 0 for file in files)
    ready = sum(file.get("unsupported") == 0 and not file["waiting"] for file in files)
    read = sum("error" not in file for file in files)
    if as_json:
        told = {"files": files, "read": read, "whole": whole, "ready": ready, "missing": dict(missing.most_common())}
        print_json(told, indent=2)
        return
    target = console()
    columns = ("nodes", "cannot run yet", "not supported")
    rows = table("file", *columns, "types", right=columns)
    for file in files:
        if "error" in file:
            add_row(rows, file["file"], "", "", "", file["error"], style="red")
        else:
            numbers = (file["nodes"], file["waiting"], file["unsupported"])
            add_row(rows, file["file"], *numbers, ", ".join(file["types"]))
    print_table(target, rows)
    target.print("")
    target.print(
        styled(
            f"{count(len(files), 'file')}, {read} read, {whole} import whole, {ready} of them with no node that waits"
        )
    )
    if missing:
        most = ", ".join(f"{type} {number}" for type, number in missing.most_common(30))
        target.print(styled(f"most missing, by files: {most}"))
