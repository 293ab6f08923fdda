"""Format 1 of documents: an input had a ``default`` there, beside the values of the nodes that it turns.

Format 2 has one value, in the node.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from graphflow.basics.wording import shorten
from graphflow.errors import Problem

Keep = Literal["nodes", "defaults"]
"""What counts where they differ: what the nodes say, or the defaults of the inputs that turn them."""

Place = tuple[str, ...]
"""Names of the inner workflows down to a document; none for the outer one."""


class _Entry(Protocol):
    type: str
    params: dict[str, Any]
    links: dict[str, str | list[str]]
    version: int | None


class _Turning(Protocol):
    to: list[str]


@dataclass(frozen=True)
class Clash:
    """A default that differs from the literal of a node, or would cover a link."""

    input: str
    default: Any
    node: str
    parameter: str
    value: Any
    linked: bool

    def __str__(self) -> str:
        place = f"nodes.{self.node}.{'links' if self.linked else 'params'}.{self.parameter}"
        return f"the default is {shorten(self.default)}, and {place} is {shorten(self.value)}"


def take_defaults(
    data: dict[str, Any], version: object = 1, place: Place = ()
) -> tuple[dict[str, Any], dict[Place, dict[str, Any]]]:
    """Return a document in the shape of format 2, and the defaults that it had, by document and input.

    Args:
        data: A document of any format and shape; it is not changed.
        version: Its format where it names none.
        place: Where it stands.
    """
    result, found = dict(data), dict[Place, dict[str, Any]]()
    version = data.get("graphflow", version)
    if version == 1 and not isinstance(version, bool):
        if "graphflow" in data:
            result["graphflow"] = 2
        inputs = data.get("inputs")
        if isinstance(inputs, dict):
            result["inputs"] = inputs = dict(inputs)
            for name, exposed in inputs.items():
                if isinstance(exposed, dict) and "default" in exposed:
                    inputs[name] = {key: part for key, part in exposed.items() if key != "default"}
                    if exposed["default"] is not None:
                        found.setdefault(place, {})[name] = exposed["default"]
    inner = data.get("workflows")
    if isinstance(inner, dict):
        result["workflows"] = inner = dict(inner)
        for name, part in inner.items():
            if isinstance(part, dict):
                inner[name], below = take_defaults(part, version, (*place, name))
                found |= below
    return result, found


def settle(
    nodes: Mapping[str, _Entry],
    inputs: Mapping[str, _Turning],
    defaults: Mapping[str, Any],
    keep: Keep | None,
    *,
    file: str,
) -> tuple[list[Problem], list[str]]:
    """Put defaults into the nodes of a document: where nothing stands there, and elsewhere as ``keep`` says.

    Args:
        nodes: The nodes, which are changed.
        inputs: The inputs.
        defaults: By input.
        keep: What counts where they differ; None makes that a problem.
        file: What commands call the file.

    Returns:
        What cannot be decided, and what should be told.
    """
    clashes, agreed = [], False
    for name, default in defaults.items():
        for target in inputs[name].to:
            node, _, parameter = target.partition(".")
            entry = nodes.get(node)
            if entry is None or not parameter:
                continue  # validation tells it
            linked = parameter in entry.links
            value = entry.links[parameter] if linked else entry.params.setdefault(parameter, default)
            agreed = agreed or value == default
            if linked or value != default:
                clashes.append(Clash(name, default, node, parameter, value, linked))
    if not clashes or keep == "nodes":
        return [], []
    command = f"graphflow migrate {shlex.quote(file)} --keep"
    if keep is None and (agreed or not _built(nodes.values()) or any(clash.linked for clash in clashes)):
        advice = f"`{command} nodes` keeps what the nodes say, `{command} defaults` what the defaults say"
        return [Problem(f"inputs.{clash.input}.default", str(clash), advice) for clash in clashes], []
    for clash in clashes:
        entry = nodes[clash.node]
        entry.links.pop(clash.parameter, None)
        entry.params[clash.parameter] = clash.default
    shown = ", ".join(dict.fromkeys(f"{clash.input} = {shorten(clash.default)}" for clash in clashes))
    told = f"defaults of format 1 count: {shown}; `{command} nodes` takes what the nodes say"
    return [], [told] if keep is None else []


def _built(entries: Iterable[_Entry]) -> bool:
    """Whether Python code of version 0.1 made the nodes: each tells its version.

    Where no default agrees with its node, that code meant the defaults. In a file that a person edits others agree, and
    the files that came with version 0.1 tell no versions.
    """
    return all(entry.version is not None or entry.type.startswith("workflow:") for entry in entries)
