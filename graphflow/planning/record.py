"""The facts that a saved picture carries, so that somebody can make it again.

Files that the user named by a path stand there by their bare names. Only facts that repeat: the document, digests of models, versions, device and dtype. No times, dates, hosts or cache
state, so the same run twice on one machine writes the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from graphflow.planning.checked import CheckedNode
from graphflow.planning.expand import Expanded
from graphflow.planning.files import FileUse
from graphflow.planning.numerics import Numerics, version_of
from graphflow.spec.decorator import FileNeed

_SEPARATOR = re.compile(r"[/\\]")
_PLAIN_PATH = re.compile(r"[/\\~.]|[A-Za-z]:[/\\]")
STANDING_IN = "random weights stand in for"
PACKAGES = ("torch", "diffusers", "transformers", "numpy", "pillow")


def bare_names(
    nodes: Iterable[CheckedNode], uses: Mapping[str, Iterable[FileUse]], expanded: Expanded
) -> dict[str, str]:
    """Return what to call the files that the user named with folders: where they lie is nobody else's business.

    Args:
        nodes: The nodes.
        uses: The files that they read, as far as that is known.
        expanded: Tells whose values are the user's.
    """
    found: dict[str, str] = {}
    for node in nodes:
        needs = [use.need for use in uses.get(node.id, ())]
        if not needs:
            named = {spec.name: spec for spec in node.spec.inputs.values() if spec.model_kind or spec.file_kind}
            needs = [
                FileNeed(name, value, spec.model_kind or spec.file_kind or "", model=spec.model_kind is not None)
                for name, spec in named.items()
                if isinstance(value := node.params.get(name), str)
            ]
        for need in needs:
            if expanded.trusts(node.id, need.param) and (not need.model or _PLAIN_PATH.match(need.name)):
                found[need.name] = _SEPARATOR.split(need.name.rstrip("/\\"))[-1]
    return {name: bare for name, bare in found.items() if name != bare}


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return JSON with the names of files that :func:`bare_names` gives."""
    if not names:
        return value
    if isinstance(value, str):
        for name in names if value not in names else ():
            if _PLAIN_PATH.match(name):  # also inside of texts, such as an embedding's in a prompt
                value = value.replace(name, names[name])
        return names.get(value, value)
    if isinstance(value, dict):
        return {key: renamed(part, names) for key, part in value.items()}
    return [renamed(part, names) for part in value] if isinstance(value, list) else value


def make_facts(
    files: Mapping[str, str], numerics: Numerics, safety: Mapping[str, Any] | None, random: Collection[str] = ()
) -> dict[str, Any]:
    """Return the facts.

    Args:
        files: Fingerprints of the files that the written value descends from, by the names to call them.
        numerics: Device kind and dtypes.
        safety: The policy, and whether a checker looked at it; None where there was nothing to check.
        random: Names of files that were not there, for which random weights stand in.
    """
    facts: dict[str, Any] = {
        "graphflow": version_of("graphflow-diffusers"),
        "versions": {package: version_of(package) for package in PACKAGES},
        "device": numerics.device,
        "dtype": numerics.compute,
        "files": dict(sorted(files.items())),
    }
    if random:
        facts["warning"] = f"{STANDING_IN} {', '.join(sorted(random))}"
    if safety is not None:
        facts["safety"] = dict(safety)
    return facts


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
