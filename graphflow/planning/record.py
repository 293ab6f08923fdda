"""The facts that a saved picture carries, so that somebody can make it again.

Only facts that repeat: the document, digests of models, versions, device and dtype. No times, dates, hosts or cache
state, so the same run twice on one machine writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphflow.document.document import Document
from graphflow.planning.files import FileUse
from graphflow.planning.numerics import Numerics, version_of

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "pillow")


def make_record(
    document: Document, uses: Iterable[FileUse], numerics: Numerics, safety: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return ``{"workflow": the document, "record": the facts}``.

    Args:
        document: As the user would save it: inputs set, seeds drawn.
        uses: The files that the written value descends from.
        numerics: Device kind and dtypes.
        safety: The policy, and whether a checker looked at it; None where there was nothing to check.
    """
    files = {use.need.name: use.fingerprint for use in uses if use.fingerprint is not None}
    facts: dict[str, Any] = {
        "graphflow": version_of("graphflow-diffusers"),
        "versions": {package: version_of(package) for package in PACKAGES},
        "device": numerics.device,
        "dtype": numerics.compute,
        "files": dict(sorted(files.items())),
    }
    if safety is not None:
        facts["safety"] = dict(safety)
    return {"workflow": document.to_json(), "record": facts}


def differences(made: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say in one line in which recorded facts two records differ; empty where they agree in all that both have.

    Args:
        made: The record of a picture, which somebody else may have written.
        here: The record that a picture made here and now carries.
    """
    told = []
    for name, (before, now) in _both(made, here).items():
        if before != now and isinstance(before, str):
            told.append(f"another {name}" if name.startswith("file ") else f"{name} {before[:40]} (here {now})")
    return f"the picture was made with {', '.join(told)}: pixels may differ" if told else ""


def _both(made: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the facts that both records have, under names that people read."""
    pairs = {name: (made.get(name), here.get(name)) for name in ("graphflow", "device", "dtype")}
    for group, form in (("versions", "{}"), ("files", "file {!r}")):
        before, now = made.get(group), here.get(group)
        if isinstance(before, dict) and isinstance(now, dict):
            pairs |= {form.format(name): (before[name], now[name]) for name in now if name in before}
    return pairs
