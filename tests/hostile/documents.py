"""Changed documents: packaged workflows with other types, links, values, inner workflows, and broken text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from graphflow import workflows
from graphflow.errors import WorkflowError
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.registry import Registry, installed
from tests.comfyui.fuzz import Change, mutate

VALUES = (
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    "",
    "random",
    "a" * 1000,
    "../x",
    "/etc/passwd",
    "\x00",
    [],
    {},
    [[1]],
    {"a": 1},
)
TEXTS = (
    "((((a:1.1)" * 50, "embedding:x " * 40, "{a|b|{c|d}}" * 30, "[a:b:0.5]" * 30, "\ud83d", "BREAK " * 200, "🙂" * 300,
    "9**9**9", "round(5, -10**9)", "(a+)+$" * 20, "%date:yyyy%", "con", "~/x", "https://example.org/x", "owner/name",
)  # fmt: skip


@cache
def packaged() -> list[dict[str, Any]]:
    """The workflows of the package."""
    return [json.loads(workflows.path(name).read_text("utf-8")) for name in workflows.names()]


@cache
def _registry() -> Registry:
    return installed()


def inputs(folder: Path) -> Callable[[random.Random], tuple[str, Callable[[], Any]]]:
    """Return what makes inputs: the name of a change, and what plans or validates the changed document."""
    given = {"models": (), "cache_dir": folder / "cache", "device": "cpu", "offline": True}
    session = Session(Settings.model_validate(given), known=_registry())
    path = folder / "document.json"

    def make(dice: random.Random) -> tuple[str, Callable[[], Any]]:
        kind, data = mutate(dice.choice(packaged()), dice, CHANGES)
        path.write_bytes(data)
        return kind, (lambda: _validate(session, path)) if dice.random() < 0.3 else lambda: repr(session.plan(path))

    return make


def _validate(session: Session, path: Path) -> None:
    checked = session.validate(path)
    if checked.problems:
        raise WorkflowError(checked.problems)


def _nodes(document: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in _documents(document):
        nodes = part.get("nodes")
        found += [node for node in nodes.values() if isinstance(node, dict)] if isinstance(nodes, dict) else []
    return found


def _documents(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
        inner = document.get("workflows")
        for part in inner.values() if isinstance(inner, dict) else ():
            yield from _documents(part)


def _types(document: Any, dice: random.Random) -> None:
    known = [*_registry().specs, "workflow:w", "workflow:inner", "nothing", ""]
    for node in _nodes(document):
        if dice.random() < 0.3:
            node["type"] = dice.choice(known)


def _links(document: Any, dice: random.Random) -> None:
    for part in _documents(document):
        ids = [*part.get("nodes", ()), "nowhere", "", ".", "a.b.c", "^", "a~b"]
        for node in _nodes(part):
            for name in node.get("links", ()):
                if dice.random() < 0.3:
                    node["links"][name] = dice.choice([dice.choice(ids), [dice.choice(ids)] * dice.choice((0, 1, 300))])


def _values(document: Any, dice: random.Random) -> None:
    for node in _nodes(document):
        spec = _registry().get(node.get("type", ""))
        names = [*node.get("params", ()), *(spec.inputs if spec else ())]
        if names and dice.random() < 0.4:
            value = dice.choice(dice.choice([VALUES, TEXTS]))
            node.setdefault("params", {})[dice.choice(names)] = value


def _inner(document: Any, dice: random.Random) -> None:
    part = json.loads(json.dumps(dice.choice(packaged())))
    names = [dice.choice(["w", "inner", "x"]) for _ in range(dice.choice((1, 3)))]
    document.setdefault("workflows", {}).update(dict.fromkeys(names, part))
    for number in range(dice.choice((1, 2, 9, 30 if dice.random() < 0.97 else 3_000))):
        document["nodes"][f"h{number}"] = {"type": f"workflow:{dice.choice(names)}"}


def _exposed(document: Any, dice: random.Random) -> None:
    for part in _documents(document):
        ids = [*part.get("nodes", ()), "nowhere"]
        for number in range(dice.choice((1, 30))):
            to = [f"{dice.choice(ids)}.{dice.choice(['seed', 'text', 'width', '', 'a.b'])}"] * dice.choice((1, 2))
            part.setdefault("inputs", {})[f"i{number}"] = {"to": to}
            part.setdefault("outputs", {})[f"o{number}"] = dice.choice(ids)


def _names(document: Any, dice: random.Random) -> None:
    for part in _documents(document):
        for node_id in list(part.get("nodes", ())):
            if dice.random() < 0.3:
                part["nodes"][dice.choice(["a:b", "x~safety", "é", "a" * 5000, "-", "\ud800", "a b"])] = part["nodes"][
                    node_id
                ]


def _many(document: Any, dice: random.Random) -> None:
    node = dice.choice(_nodes(document))
    for number in range(dice.choice((5, 50, 200 if dice.random() < 0.97 else 9_000))):
        document["nodes"][f"m{number}"] = node if dice.random() < 0.5 else {**node, "title": str(number)}


CHANGES: list[Change] = [
    ("types", _types),
    ("links", _links),
    ("values", _values),
    ("inner workflows", _inner),
    ("exposed", _exposed),
    ("names", _names),
    ("many nodes", _many),
]
