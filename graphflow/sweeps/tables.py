"""Which variant is which: a table of the values, files and outputs of a sweep."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphflow.execution.result import describe
from graphflow.sweeps.results import Variant


def to_rows(variants: Iterable[Variant], folder: Path) -> list[dict[str, Any]]:
    """Return a JSON object for each variant; file names are relative to the folder."""
    return [
        {
            "variant": variant.number,
            "values": dict(variant.values),
            "files": [_relative(path, folder) for path in variant.paths],
            "outputs": {name: _shown(value) for name, value in variant.outputs.items()},
            **({"withheld": variant.withheld} if variant.withheld else {}),
            **({"error": str(variant.error)} if variant.error is not None else {}),
        }
        for variant in variants
    ]


def to_json(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows as JSON, one a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False, default=repr) for row in rows)
    return f"[\n{lines}\n]\n".encode()


def to_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows as CSV: a column for each name that is varied and for each output, files by semicolons, the error."""
    values = list(dict.fromkeys(name for row in rows for name in row["values"]))
    outputs = list(dict.fromkeys(name for row in rows for name in row["outputs"]))
    stream = io.StringIO(newline="")
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(["variant", *values, "files", *outputs, "error"])
    for row in rows:
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
