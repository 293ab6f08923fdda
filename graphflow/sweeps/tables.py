"""Which variant is which: a table of the values, files and outputs of a sweep."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from graphflow.execution.result import describe
from graphflow.sweeps.results import Variant


def to_row(variant: Variant, folder: Path) -> dict[str, Any]:
    """Return a variant as a JSON object; file names are relative to the folder."""
    return {
        "variant": variant.number,
        "values": dict(variant.values),
        "files": [_relative(path, folder) for path in variant.paths],
        "outputs": {name: _shown(value) for name, value in variant.outputs.items()},
        **({"withheld": variant.withheld} if variant.withheld else {}),
        **({"error": str(variant.error)} if variant.error is not None else {}),
    }


def to_json(variants: Iterable[Variant], folder: Path) -> bytes:
    """Write variants as JSON, one a line."""
    rows = (to_row(variant, folder) for variant in variants)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False, default=repr) for row in rows)
    return f"[\n{lines}\n]\n".encode()


def to_csv(variants: Sequence[Variant], folder: Path) -> bytes:
    """Write variants as CSV: a column for each name that is varied and for each output, files by semicolons, the error."""
    values = list(dict.fromkeys(name for variant in variants for name in variant.values))
    outputs = list(dict.fromkeys(name for variant in variants for name in variant.outputs))
    stream = io.StringIO(newline="")
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(["variant", *values, "files", *outputs, "error"])
    for row in (to_row(variant, folder) for variant in variants):  # not all of them at once
        told = [
            _cell(row[kind].get(name)) for kind, names in (("values", values), ("outputs", outputs)) for name in names
        ]
        files = ";".join(row["files"])
        lines.writerow([row["variant"], *told[: len(values)], files, *told[len(values) :], row.get("error", "")])
    return stream.getvalue().encode()


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def _shown(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return describe(value)
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
