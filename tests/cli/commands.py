"""Running the command line, in a process of its own or by the fixtures in this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PACK = Path(__file__).with_name("pack.py")
BROKEN = Path(__file__).parents[1] / "data" / "broken"


CHAIN = {
    "graphflow": 2,
    "name": "chain",
    "inputs": {"seed": {"to": ["draw.seed"]}, "steps": {"to": ["draw.steps"]}, "name": {"to": ["save.name"]}},
    "nodes": {
        "draw": {"type": "pack_draw", "params": {"seed": 7}},
        "add": {"type": "pack_add", "params": {"by": 2.0}, "links": {"x": "draw"}},
        "save": {"type": "pack_save", "links": {"x": "add"}},
    },
    "outputs": {"sum": "add"},
}


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Ran]


def start(
    *arguments: object, before: Sequence[str] = ("-m", "graphflow.cli"), **options: object
) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    line = [sys.executable, *before, *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(line, text=True, encoding="utf-8", **pipes)  # type: ignore[call-overload,no-any-return]


def finish(process: subprocess.Popen[str]) -> Ran:
    """Wait for a command."""
    out, err = process.communicate(timeout=300)
    return Ran(process.returncode, out or "", err or "")
