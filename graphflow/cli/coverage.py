"""``graphflow import --coverage``: how much of a folder of workflows imports, runs and is exported, by family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.cli.failures import print_json
from graphflow.cli.terminal import add_row, console, count, print_table, styled, table
from graphflow.document.media.containers import ENDINGS
from graphflow.errors import GraphflowError

if TYPE_CHECKING:
    from rich.console import Console

    from graphflow.converters.comfyui.decision import Trial
    from graphflow.session import Session

_SHOWN = 30
_COLUMNS = ("whole", "runs", "exports")
"""What is told of a file with yes or no, and counted."""


@dataclass(frozen=True)
class _File:
    """What became of one file.

    Attributes:
        name: Its path in the folder.
        error: Why it cannot be read; empty where it can.
        family: The family of its models, as far as they tell.
        nodes: How many nodes an output needs.
        waiting: How many of them wait for a family.
        types: Types of those that are not supported.
        runs: Whether it runs, once its models and pictures are there.
        exports: Whether it can be written as a Diffusers script then.
        because: Why it does not run.
    """

    name: str
    error: str = ""
    family: str = ""
    nodes: int = 0
    waiting: int = 0
    types: tuple[str, ...] = ()
    runs: bool = False
    exports: bool = False
    because: str = ""

    @property
    def whole(self) -> bool:
        """Whether every node that an output needs is said in native nodes."""
        return not self.error and not self.types

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        if self.error:
            return {"file": self.name, "error": self.error}
        told = {"file": self.name, "family": self.family, "nodes": self.nodes, "waiting": self.waiting}
        tried = {"whole": self.whole, "runs": self.runs, "exports": self.exports, "because": self.because}
        return {**told, "types": list(self.types), **tried}


def show_coverage(folder: Path, session: Session, as_json: bool) -> None:
    """Print by family how many files of a folder import whole, run and are exported, and which types would gain most.

    Args:
        folder: The folder; those in it count, too.
        session: Gives node types and models; stand-ins are taken for models and pictures that are not there.
        as_json: Whether to print all of it as JSON, file by file.
    """
    from graphflow.converters.comfyui.decision import Trial

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    with Trial(session) as trial:
        files = list(_files(paths, folder, trial))
    missing = Counter(type for file in files for type in file.types)
    alone = Counter(file.types[0] for file in files if len(file.types) == 1)
    read = [file for file in files if not file.error]
    totals = {"read": len(read), **{name: sum(getattr(file, name) for file in read) for name in _COLUMNS}}
    if as_json:
        told = {"missing": dict(missing.most_common()), "alone": dict(alone.most_common())}
        print_json({"files": [file.to_json() for file in files], **totals, **told}, indent=2)
        return
    target = console()
    rows = table("file", "family", "imports", "runs", "exports", "because")
    for file in files:
        marks = ["yes" if getattr(file, name) else "no" for name in _COLUMNS]
        cells = ("", "", "", "", file.error) if file.error else (file.family, *marks, file.because)
        add_row(rows, file.name, *cells, style="red" if file.error else "")
    print_table(target, rows)
    target.print("")
    _show_families(target, read)
    target.print("")
    words = f"{totals['whole']} import whole, {totals['runs']} run, {totals['exports']} are exported"
    target.print(styled(f"{count(len(files), 'file')}, {len(read)} read, {words}"))
    if missing:
        order = sorted(missing, key=lambda type: (-alone[type], -missing[type], type))[:_SHOWN]
        most = ", ".join(f"{type} {alone[type]} of {missing[type]}" for type in order)
        target.print(styled(f"what would gain most, files that lack it alone of all that lack it: {most}"))


def _show_families(target: Console, files: Iterable[_File]) -> None:
    families: dict[str, list[_File]] = {}
    for file in files:
        families.setdefault(file.family, []).append(file)
    heads = ("files", "import whole", "run", "are exported")
    rows = table("family", *heads, right=heads)
    for family, members in sorted(families.items(), key=lambda item: (-len(item[1]), item[0])):
        add_row(rows, family, len(members), *(sum(getattr(file, name) for file in members) for name in _COLUMNS))
    print_table(target, rows)


def _files(paths: Iterable[Path], folder: Path, trial: Trial) -> Iterator[_File]:
    """Try every file; texts without settings in words are no workflows."""
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            found = _tried(path, name, trial)
        except GraphflowError as error:
            if path.suffix.lower() != ".txt":
                yield _File(name, error=str(error))
            continue
        yield found


def _tried(path: Path, name: str, trial: Trial) -> _File:
    from graphflow.converters.comfyui import to_native, to_prompt
    from graphflow.converters.comfyui.decision import decide, exports
    from graphflow.converters.opening import from_infotext

    with path.open("rb") as stream:
        words = from_infotext(stream, path.name)
    if words is not None:
        document, report = words.document, None
    else:
        imported = to_native(to_prompt(path), registry=trial.registry)
        document, report = imported.document, imported.report
    decision = decide(document, trial, report=report, folder=path.parent)
    runs = decision.verdict != "cannot run"
    return _File(
        name,
        family=decision.family,
        nodes=len(document.nodes) if report is None else sum(entry.live for entry in report.entries),
        waiting=0 if report is None else sum(map(len, report.waiting.values())),
        types=() if report is None else tuple(sorted({entry.type for entry in report.unsupported})),
        runs=runs,
        exports=runs and exports(document, trial, folder=path.parent),
        because="; ".join(decision.reasons),
    )
