"""The facts that a saved picture carries, so that somebody can make it again, as far as planning knows them.

Files that the user named by a path stand there by their bare names. No times, dates, hosts or cache state, so the same
run twice on one machine writes the same bytes. Digests of whole files, and what is told of the run that computed the
values, are added when a file is written (:mod:`graphflow.execution.recording`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from graphflow.planning.checked import CheckedNode
from graphflow.planning.expand import Expanded
from graphflow.planning.files import FileUse
from graphflow.planning.numerics import Numerics, version_of
from graphflow.planning.unlike import unlike
from graphflow.spec.decorator import FileNeed

_SEPARATOR = re.compile(r"[/\\]")
_PLAIN_PATH = re.compile(r"[/\\~.]|[A-Za-z]:[/\\]")
RECORD_FORMAT = 2
"""Goes up when files of the same plan are to be written anew because their record says more."""
BUILTIN = "builtin"
"""The pack that comes with graphflow, whose version is graphflow's."""
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
            if expanded.trusts(node.id, need.param):
                found[need.name] = bare_name(need.name, model=need.model)
    return {name: bare for name, bare in found.items() if name != bare}


def bare_name(name: str, *, model: bool) -> str:
    """Return a file's name without the folders that the user named it with; names in model folders keep theirs."""
    return name if model and not _PLAIN_PATH.match(name) else _SEPARATOR.split(name.rstrip("/\\"))[-1]


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
    node: str,
    node_types: Iterable[tuple[str, int]],
    packs: Mapping[str, str],
    files: Mapping[str, str],
    numerics: Numerics,
    safety: Mapping[str, Any] | None,
    random: Collection[str] = (),
) -> dict[str, Any]:
    """Return the facts.

    Args:
        node: The node that writes.
        node_types: Types and versions of the nodes that what it writes descends from, itself among them.
        packs: Versions of the packs that bring them, beside the built-in one.
        files: Fingerprints of the files that the written value descends from, by the names to call them.
        numerics: Device kind and dtypes.
        safety: The policy, and whether a checker looked at it; None where there was nothing to check.
        random: Names of files that were not there, for which random weights stand in.
    """
    facts: dict[str, Any] = {
        "format": RECORD_FORMAT,
        "node": node,
        "node_types": dict(sorted(node_types)),
        "device": numerics.device,
        "dtype": numerics.compute,
        "files": dict(sorted(files.items())),
    }
    if numerics.parts:
        facts["part_devices"] = numerics.parts
    if packs:
        facts["packs"] = dict(sorted(packs.items()))
    if random:
        facts["warning"] = f"{STANDING_IN} {', '.join(sorted(random))}"
    if safety is not None:
        facts["safety"] = dict(safety)
    return facts


def versions_here() -> dict[str, Any]:
    """Return the versions of what computes here and now, as a record has them."""
    return {
        "graphflow": version_of("graphflow-diffusers"),
        "versions": {package: version_of(package) for package in PACKAGES},
    }


def differences(made: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say in one line in which recorded facts two records differ; empty where they agree in all that both have.

    Args:
        made: The record of a picture, which somebody else may have written.
        here: The record that a picture made here and now carries.
    """
    told = ", ".join(map(str, unlike(made, here, only_both=True)))
    return f"the picture was made with {told}: pixels may differ" if told else ""
