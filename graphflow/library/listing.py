"""What `graphflow models` shows, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from graphflow.errors import GraphflowError
from graphflow.library.hub import HubId, cached_ids, cached_snapshot
from graphflow.library.library import Library
from graphflow.modelfiles.description import Description, Kind, Part
from graphflow.modelfiles.fingerprint import hub_fingerprint
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.quantised.summary import Group, groups_of
from graphflow.modelfiles.shards import QUANTISATION, merge_headers


def list_models(library: Library, kind: Kind | None = None) -> list[dict[str, Any]]:
    """One row for each model in the roots and the Hub cache.

    Args:
        library: The library.
        kind: Only models of this kind; None: all.

    Returns:
        Rows with `name`, `kind`, `family`, `variant`, `layout`, `bytes`, `bytes_by_dtype`, `path`, `needs_conversion`
        and, for a file that cannot be used, `problem`.
    """
    rows: list[dict[str, Any]] = []
    for entry in library.entries():
        try:
            found = library.describe(entry.name, entry.kind, allow_pickle=True)
        except GraphflowError as error:
            row = {"name": entry.name, "kind": entry.kind or "unknown", "path": str(entry.path)}
            rows.append({**row, "problem": str(error)})
            continue
        if found.path != entry.path.resolve():
            rows.append({**_row(found), "path": str(entry.path), "problem": f"hidden by {found.path}"})
            continue
        rows.append(_row(found))
    for repository in cached_ids(library.hub_cache):
        snapshot = cached_snapshot(library.hub_cache, HubId(repository))
        if snapshot:
            fingerprint = hub_fingerprint(repository, snapshot[1])
            rows.append({"name": repository, "kind": "hub", "path": str(snapshot[0]), "fingerprint": fingerprint})
    return [row for row in rows if kind is None or row["kind"] == kind]


def show_model(library: Library, name: str, kind: Kind | None = None, *, trusted: bool = True) -> dict[str, Any]:
    """Everything known about one model.

    Args:
        library: The library.
        name: As in :meth:`Library.resolve`.
        kind: What it is wanted as.
        trusted: As in :meth:`Library.resolve`.

    Returns:
        The row of :func:`list_models`, with `task`, `fingerprint`, `parts` (class, files, bytes, config, and for
        quantised weights `formats`: what :class:`graphflow.modelfiles.quantised.summary.Group` has), `scheduler`, `tokenizers`, `details`, `guesses` (field, value, source, certain, reason) and `warnings`.

    Raises:
        ModelNotFoundError: Nothing has this name.
        ModelFormatError: The file is damaged or not what its name says.
    """
    found = library.describe(name, kind, trusted=trusted, allow_pickle=True)
    return {
        **_row(found),
        "task": found.task,
        "fingerprint": found.fingerprint,
        "parts": {
            part.name: {
                "class": part.class_name,
                "keys": part.keys,
                "prefix": part.prefix,
                "files": [str(file) for file in part.files],
                "tensors": part.tensors,
                "bytes": part.bytes,
                "bytes_by_dtype": dict(part.bytes_by_dtype),
                "formats": [asdict(group) for group in _groups(part)],
                "config": part.config,
            }
            for part in found.parts.values()
        },
        "scheduler": found.scheduler,
        "tokenizers": [
            {"part": item.part, "source": item.source, "path": str(item.path) if item.path else None, **item.config}
            for item in found.tokenizers
        ],
        "details": found.details,
        "guesses": [
            {
                "field": guess.field,
                "value": guess.value,
                "source": guess.source,
                "certain": guess.certain,
                "reason": guess.reason,
            }
            for guess in found.guesses
        ],
        "warnings": list(found.warnings),
    }


def _groups(part: Part) -> tuple[Group, ...]:
    """Groups of the part's weights, where any are quantised."""
    if "pickle" in part.bytes_by_dtype:
        return ()
    headers = [read_header(path) for path in part.files]
    weights = merge_headers(part.files[0], headers, part.config.get(QUANTISATION))
    prefix = part.prefix
    return groups_of({key[len(prefix) :]: info for key, info in weights.tensors.items() if key.startswith(prefix)})


def _row(found: Description) -> dict[str, Any]:
    return {
        "name": found.name,
        "kind": found.kind,
        "family": found.family,
        "variant": found.variant,
        "layout": found.layout,
        "bytes": found.bytes,
        "bytes_by_dtype": dict(found.bytes_by_dtype),
        "path": str(found.path) if found.path else None,
        "needs_conversion": found.needs_conversion,
    }
