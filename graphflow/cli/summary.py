"""What a run did, when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from graphflow.cli.terminal import add_row, count, duration, print_table, styled, table
from graphflow.execution.result import describe

if TYPE_CHECKING:
    from graphflow.execution.result import Result

_STYLES = {"ran": "cyan", "written": "magenta", "copied": "magenta", "up to date": "green"}


def show(target: Console, result: Result, seconds: float) -> None:
    """Print what ran, what was stored and what was written, with times, and the paths."""
    rows = table("node", "type", "what", "time", right=["time"])
    for node, kind in result.nodes.items():
        what = result.done(node)
        if what is None:
            continue
        time = result.seconds.get(node)
        shown = duration(time) if time is not None and not what.startswith("stored") else ""
        add_row(rows, node, styled(kind, "dim"), styled(what, _STYLES.get(what, "green")), shown)
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
