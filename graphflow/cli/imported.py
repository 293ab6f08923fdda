"""What the command line says of ComfyUI files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graphflow.cli.failures import print_json
from graphflow.cli.terminal import add_row, console, count, literal, print_table, styled, table
from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    from rich.console import Console

    from graphflow.converters.comfyui import Report
    from graphflow.converters.comfyui.report import Decision, ModelNeed
    from graphflow.document.document import Document
    from graphflow.session import Session

_SHOWN = 12


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
    return standard_input()


def standard_input() -> bytes:
    """Return all bytes of standard input.

    Raises:
        LimitError: There are too many.
    """
    data = sys.stdin.buffer.read(LIMITS.media_bytes + 1)
    if len(data) > LIMITS.media_bytes:
        raise LimitError(f"there are more than {LIMITS.media_bytes:,} bytes", where="standard input")
    return data


def show_import(report: Report, *, whole: bool = False) -> None:
    """Say on standard error what a ComfyUI file became: in one line, or of every node."""
    (show_report if whole else show_line)(console(error=True), report)


def show_summary(target: Console, report: Report, *, remarks: bool = True) -> None:
    """Print how many nodes were said how well, what differs, what is left out, and what is not there to run it.

    Args:
        target: Where to print.
        report: What became of the file.
        remarks: Whether to print the remarks, too.
    """
    target.print(styled(_counted(report), "dim"))
    for family, entries in report.waiting.items():
        types = ", ".join(dict.fromkeys(entry.type for entry in entries))
        target.print(styled(f"cannot run yet, {family} is not built: {types}", "yellow"))
    if not remarks:
        return
    for remark in report.remarks[:_SHOWN]:
        target.print(styled(f"note: {remark}", "yellow"))
    more = len(report.remarks) - _SHOWN
    if more > 0:
        target.print(styled(f"… and {more:,} more; `graphflow import FILE --report` lists all", "yellow"))


def show_line(target: Console, report: Report) -> None:
    """Print the same in one line, with the beginning of the remarks."""
    line = styled(_counted(report), "dim")
    if report.remarks:
        first = "; ".join(remark if len(remark) <= 100 else f"{remark[:99]}…" for remark in report.remarks[:2])
        more = " …" if len(report.remarks) > 2 else ""
        line += styled(f"; {count(len(report.remarks), 'remark')} (import --report tells all): {first}{more}", "yellow")
    target.print(line, soft_wrap=True)


def _counted(report: Report) -> str:
    from graphflow.converters.comfyui.report import Verdict

    waiting = sum(map(len, report.waiting.values()))
    exact, roughly = (
        sum(not entry.waits for entry in report.of(verdict)) for verdict in (Verdict.EXACT, Verdict.APPROXIMATE)
    )
    text = f"ComfyUI workflow ({report.format}): {count(exact, 'node')} exactly, {roughly} approximately"
    for number, what in ((waiting, "that cannot run yet"), (len(report.unsupported), "not supported")):
        text += f", {number} {what}" if number else ""
    return text


def show_missing_models(target: Console, report: Report) -> None:
    """Print the models that were not found, with the nearest names there are."""
    missing = [model for model in report.models if not model.path]
    for model in missing[:_SHOWN]:
        near = f" (nearest: {', '.join(model.near)})" if model.near else ""
        target.print(styled(f"missing {model.kind.replace('_', ' ')}: {model.name}{near}", "yellow"))
        if model.place:
            origin = f", from {model.url}" if model.url else ""
            target.print(styled(f"  belongs into {model.place}{origin}", "dim"), soft_wrap=True)
    if len(missing) > _SHOWN:
        target.print(styled(f"… and {len(missing) - _SHOWN:,} more models", "yellow"))
    if any(model.url for model in missing):
        target.print(styled("`graphflow fetch FILE` downloads those of which the workflow says where they are", "dim"))


_STYLES = {"approximately": "yellow", "waits": "yellow", "not supported": "bold red", "left out": "dim"}


def show_decision(target: Console, decision: Decision | None) -> None:
    """Print whether a workflow runs here, where somebody tried, and an empty line."""
    if decision is not None:
        styles = {"runs": "bold green", "runs with these files": "bold yellow", "cannot run": "bold red"}
        target.print(styled(decision, styles[decision.verdict]), soft_wrap=True)
        target.print("")


def show_models(target: Console, models: Sequence[ModelNeed]) -> None:
    """Print a table of models: where they are, or where they were looked for."""
    if not models:
        return
    target.print("")
    rows = table("model", "kind", "where")
    for model in models:
        near = f"; nearest: {', '.join(model.near)}" if model.near else ""
        missing = f"{model.problem}{near}" + (f"; published at {model.url}" if model.url else "")
        add_row(rows, model.name, model.kind, model.path or missing, style="" if model.path else "yellow")
    print_table(target, rows)


def show_report(target: Console, report: Report) -> None:
    """Print whether it runs here, where that is known, what became of every node, and the models."""
    from graphflow.converters.comfyui.report import Verdict

    show_decision(target, report.decision)
    rows = table("node", "ComfyUI type", "becomes", "how", "remarks")
    for entry in report.entries:
        pack = f"pack {entry.pack}" if entry.pack and entry.verdict is Verdict.UNSUPPORTED else ""
        waits = f"{entry.waits} is not built" if entry.waits and entry.live else ""
        to_do = f"to do: {entry.to_do}" if entry.to_do else ""
        remarks = "; ".join(part for part in (*entry.remarks, waits, pack, entry.provides, to_do) if part)
        name = f"{entry.id} “{entry.title}”" if entry.title != entry.type else entry.id
        style = next((style for how, style in _STYLES.items() if entry.how.startswith(how)), "")
        add_row(rows, name, entry.type, ", ".join(entry.native), entry.how, remarks, style=style)
    print_table(target, rows)
    show_models(target, report.models)
    told = {entry.id: (*entry.remarks, entry.provides) for entry in report.entries}
    for note in report.problems:
        if not any(note.message in text for text in told.get(note.node, ())):
            target.print(styled(f"problem: {note}", "red"))
    for note in report.notes:
        target.print(styled(f"note: {note}", "dim"))
    show_summary(target, report, remarks=False)
    missing = sum(not model.path for model in report.models)
    if missing:
        there = "is not there: put it" if missing == 1 else "are not there: put them"
        advice = f"{count(missing, 'model')} {there} into one of these folders, or name theirs with --models FOLDER"
        if any(model.url for model in report.models):
            advice += "; `graphflow fetch FILE` downloads those that are published somewhere"
        target.print(styled(advice, "yellow"))


def show_words(document: Document, session: Session, folder: Path, as_json: bool) -> None:
    """Print whether a workflow made of settings in words runs here, its nodes, its models, and what is otherwise."""
    from graphflow.converters.comfyui.decision import Trial, decide
    from graphflow.converters.comfyui.models import model_needs

    decision = decide(document, Trial(session), folder=folder)
    models = model_needs(document, session.registry, session.library)
    if as_json:
        nodes = [{"id": id, "native": [node.type]} for id, node in document.nodes.items()]
        told = {"format": "settings in words", "decision": decision.to_json(), "nodes": nodes}
        print_json({**told, "models": [model.to_json() for model in models], "notes": list(document.notices)}, indent=2)
        return
    target = console()
    show_decision(target, decision)
    rows = table("node", "type", "settings")
    for id, node in document.nodes.items():
        add_row(rows, id, node.type, ", ".join(f"{name}={literal(value)}" for name, value in node.params.items()))
    print_table(target, rows)
    show_models(target, models)
    for remark in document.notices:
        target.print(styled(f"note: {remark}", "yellow"), soft_wrap=True)
