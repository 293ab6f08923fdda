"""Writes the tables of node types in docs/export.md, between its markers. Run with --check to see whether they are up to date."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from graphflow.converters.diffusers_script import SUPPORTED
from graphflow.converters.diffusers_script.reasons import reason
from graphflow.spec.registry import installed

TARGET = Path(__file__).resolve().parent.parent / "docs" / "export.md"
BEGIN, END = "<!-- node types, by tools/make_export_table.py -->", "<!-- end of node types -->"


def table() -> str:
    """The tables, of what is exported and of what is not, with the reasons."""
    exported: dict[str, list[str]] = defaultdict(list)
    refused: dict[str, list[str]] = defaultdict(list)
    for name, spec in installed().specs.items():
        if name in SUPPORTED:
            exported[spec.category].append(name)
        else:
            refused[reason(name)].append(name)
    running = sum(spec.waits is None for spec in installed().specs.values())
    total = sum(map(len, exported.values()))
    lines = [
        f"{total} of {running} node types that run have a place in scripts:",
        "",
        "| Topic | Types |",
        "|---|---|",
    ]
    lines += [f"| {category} | {', '.join(sorted(exported[category]))} |" for category in sorted(exported)]
    lines += [
        "",
        "The others are refused, each with its reason. Values that do not depend on a run (numbers, texts, switches) are",
        "settled before, so their nodes are refused only where they compute with pictures or with what is drawn.",
        "",
    ]
    lines += ["| Why not | Types |", "|---|---|"]
    lines += [f"| {why} | {', '.join(sorted(refused[why]))} |" for why in sorted(refused)]
    return "\n".join(lines)


def with_table(text: str) -> str:
    """The document with the tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    found = TARGET.read_text("utf-8")
    if "--check" in sys.argv:
        sys.exit(
            None if with_table(found) == found else "docs/export.md is out of date: run tools/make_export_table.py"
        )
    TARGET.write_text(with_table(found), "utf-8")
