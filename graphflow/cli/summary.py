"""What a run did, when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from graphflow.cli.terminal import add_row, clean, count, duration, print_table, styled, table

if TYPE_CHECKING:
    from graphflow.execution.result import Result

_STYLES = {"ran": "cyan", "written": "magenta", "copied": "magenta", "up to date": "green"}


def show(target: Console, result: Result, seeds: Mapping[str, int], seconds: float) -> None:
    """Print what ran, what was stored and what was written, with times, and the paths."""
    rows = table("node", "type", "what", "time", right=["time"])
    for step in result.plan.steps.values():
        what = done(result, step.id)
        if what is None:
            continue
        time = result.seconds.get(step.id)
        shown = duration(time) if time is not None and not what.startswith("stored") else ""
        add_row(rows, step.id, styled(step.spec.type, "dim"), styled(what, _STYLES.get(what, "green")), shown)
    print_table(target, rows)
    target.print(styled(f"\n{totals(result)} in {duration(seconds)}"))
    for address, seed in seeds.items():
        target.print(styled(f"seed drawn for {address}: {seed}"))
    for node, number in result.withheld.items():
        if number:
            target.print(styled(f"{node}: the safety checker withheld {count(number, 'item')}", "yellow"))
    for name, value in values(result).items():
        target.print(styled(f"{name} = {describe(value)}"))
    for path in result.paths:
        target.print(styled(shown_path(path), "bold"), soft_wrap=True)


def values(result: Result) -> dict[str, Any]:
    """Return the named outputs, and by address what was asked for with ``--target``."""
    named = {str(end) for end in result.plan.outputs.values()}
    asked = {address: value for address, value in result.values.items() if address not in named}
    return {**result.outputs, **asked}


def done(result: Result, node: str) -> str | None:
    """Say what happened to a node; None where nothing did."""
    files = result.files.get(node)
    if files is not None:
        hows = {file.how for file in files}
        return hows.pop() if len(hows) == 1 else "written"
    if node in result.cached:
        return f"stored ({result.cached[node]})"
    return "ran" if node in result.seconds else None


def totals(result: Result) -> str:
    """Return one line: how many nodes ran, were stored, and how many files there are."""
    what = [done(result, step.id) for step in result.plan.steps.values()]
    ran = sum(item == "ran" for item in what)
    stored = sum(item is not None and item.startswith("stored") for item in what)
    hows = [file.how for files in result.files.values() for file in files]
    parts = [f"{count(ran, 'node')} ran" if ran else "nothing had to run"]
    if stored:
        parts.append(f"{stored} taken from the store")
    for how in ("written", "copied", "up to date"):
        if number := hows.count(how):
            parts.append(f"{count(number, 'file')} {how}" + (" from the store" if how == "copied" else ""))
    return ", ".join(parts)


def shown_path(path: Path) -> str:
    """Return a path as short as it can be: relative where it lies below the working directory."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def describe(value: Any) -> str:
    """Show a value in one line: literals as they are, tensors by shape."""
    from graphflow.basics.wording import shorten
    from graphflow.values.types import is_tensor, type_name

    if is_tensor(value):
        return "tensor " + " × ".join(map(str, value.shape))
    name = type_name(type(value))
    if name is None:
        return clean(shorten(value, 200))
    shapes = [f"{key} {' × '.join(map(str, part.shape))}" for key, part in vars(value).items() if is_tensor(part)]
    return f"{name}" + (f" ({', '.join(shapes)})" if shapes else "")


def to_json(result: Result, seeds: Mapping[str, int]) -> dict[str, Any]:
    """Return the last event of a run: what it gave."""
    return {
        "event": "result",
        "run_id": result.run_id,
        "files": [
            {"node": node, "path": str(file.path), "how": file.how}
            for node, files in result.files.items()
            for file in files
        ],
        "outputs": {name: value if _plain(value) else describe(value) for name, value in values(result).items()},
        "seconds": dict(result.seconds),
        "cached": dict(result.cached),
        "withheld": {node: number for node, number in result.withheld.items() if number},
        "seeds": dict(seeds),
    }


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)
