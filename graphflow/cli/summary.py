"""What a run did, when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from graphflow.cli.terminal import add_row, count, duration, print_table, styled, table
from graphflow.execution.result import describe

if TYPE_CHECKING:
    from graphflow.execution.result import Result

_STYLES = {"ran": "cyan", "written": "magenta", "copied": "magenta", "up to date": "green"}


def show(target: Console, result: Result, seconds: float) -> None:
    """Print what ran, what was stored and what was written, with times, and the paths."""
    rows = table("node", "type", "what", "time", right=["time"])
    for step in result.plan.steps.values():
        what = result.done(step.id)
        if what is None:
            continue
        time = result.seconds.get(step.id)
        shown = duration(time) if time is not None and not what.startswith("stored") else ""
        add_row(rows, step.id, styled(step.spec.type, "dim"), styled(what, _STYLES.get(what, "green")), shown)
    print_table(target, rows)
    target.print(styled(f"\n{result.totals()} in {duration(seconds)}"))
    for address, seed in result.seeds.items():
        target.print(styled(drawn(address, seed)))
    for node, number in result.withheld.items():
        if number:
            target.print(styled(f"{node}: the safety checker withheld {count(number, 'item')}", "yellow"))
    for name, value in result.given.items():
        target.print(styled(f"{name} = {describe(value)}"))
    for path in result.paths:
        target.print(styled(shown_path(path), "bold"), soft_wrap=True)


def drawn(address: str, seed: int) -> str:
    """Tell a seed that was drawn, so that the run can be repeated."""
    return f"seed drawn for {address}: {seed}"


def shown_path(path: Path) -> str:
    """Return a path as short as it can be: relative where it lies below the working directory."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def to_json(result: Result) -> dict[str, Any]:
    """Return the last event of a run: what it gave."""
    return {
        "event": "result",
        "run_id": result.run_id,
        "files": [
            {"node": node, "path": str(file.path), "how": file.how}
            for node, files in result.files.items()
            for file in files
        ],
        "outputs": {name: value if _plain(value) else describe(value) for name, value in result.given.items()},
        "seconds": dict(result.seconds),
        "cached": dict(result.cached),
        "withheld": {node: number for node, number in result.withheld.items() if number},
        "seeds": dict(result.seeds),
    }


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)
