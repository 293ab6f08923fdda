"""What the makers of script pieces share: they format a file's text, and write it or check that it is up to date."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIECES = ROOT / "converters/diffusers_script/pieces"


def formatted(text: str, target: Path, *options: str) -> str:
    """Return Python text as ruff fixes and formats it.

    Args:
        text: The text.
        target: The file it is for, whose folder has ruff's settings.
        options: Further options of ``ruff check``.
    """
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in (["check", "--fix-only", "--quiet", *options], ["format", "--quiet"]):
        done = subprocess.run(
            [ruff, *command, "--stdin-filename", str(target), "-"],
            input=text,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        )
        text = done.stdout
    return text


def write_or_check(target: Path, make: Callable[[], str]) -> None:
    """Write a file, or with ``--check`` on the command line exit with a message where it is out of date."""
    made = make()
    if "--check" in sys.argv:
        sys.exit(None if target.read_text("utf-8") == made else f"{target.name} is out of date")
    target.write_text(made, "utf-8")


def without_annotations(node: ast.FunctionDef) -> None:
    """Take the annotations off a function's arguments and result."""
    for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
        argument.annotation = None
    node.returns = None


def first_paragraph(text: str) -> str:
    """Return the first paragraph of a docstring, in one line."""
    return " ".join(re.split(r"\n\s*\n", text)[0].split())
