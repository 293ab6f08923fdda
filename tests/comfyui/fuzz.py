"""Mutated real workflows against the importer: a result or a clear error, soon, and never anything else."""

from __future__ import annotations

import copy
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Any

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.errors import ConversionError
from graphflow.spec.registry import Registry, installed

_NOT_WORKFLOWS = ("index", "fuse_options")


def templates(*, paid: bool = False) -> list[str]:
    """Return the names of the official templates, by default without those tied to a paid API."""
    folder = resources.files("comfyui_workflow_templates_json") / "templates"
    other = _NOT_WORKFLOWS if paid else ("api_", *_NOT_WORKFLOWS)
    return sorted(
        entry.name for entry in folder.iterdir() if entry.name.endswith(".json") and not entry.name.startswith(other)
    )


def template(name: str) -> bytes:
    """Return the bytes of one template."""
    return (resources.files("comfyui_workflow_templates_json") / "templates" / name).read_bytes()


@cache
def corpus(largest: int | None = None) -> list[dict[str, Any]]:
    """Templates of at most so many bytes, and the flat prompts of some of them."""
    files = [data for name in templates() if len(data := template(name)) <= (largest or len(data))]
    found = [json.loads(data) for data in files]
    return found + [to_prompt(document).prompt for document in found[::10]]


def convert(data: bytes) -> None:
    """Import one input.

    Raises:
        ConversionError: It cannot be imported; the error names the place.
        AssertionError: The error names none.
        ValueError: What was made of it is no JSON.
    """
    try:
        result = to_prompt(data)
        json.dumps([result.prompt, result.live, result.dead], allow_nan=False)
        imported = to_native(result, registry=_registry())
        json.dumps([imported.document.to_json(), imported.report.to_json()], allow_nan=False)
    except ConversionError as error:
        assert error.message and error.where, f"no place: {error}"
        raise


@cache
def _registry() -> Registry:
    return installed()


Change = tuple[str, Callable[[Any, random.Random], None]]


def mutate(document: dict[str, Any], dice: random.Random, more: Sequence[Change] = ()) -> tuple[str, bytes]:
    """Return the name of a mutation and the mutated input; ``more`` are changes beside those of any JSON."""
    if dice.random() < 0.15:
        name, spoil = dice.choice(TEXT_MUTATIONS)
        return name, spoil(json.dumps(document).encode(), dice)
    changed = copy.deepcopy(document)
    names = []
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        name, change = dice.choice([*TREE_MUTATIONS, *more])
        with suppress(TypeError, AttributeError, LookupError, RecursionError):  # it met what an earlier one left
            change(changed, dice)
        names.append(name)
    name = names[0] if len(names) == 1 else "several"
    try:
        return name, json.dumps(changed).encode()
    except RecursionError:
        return "nest text", nest_text(json.dumps(document).encode(), dice)


Place = tuple[Any, Any]
"""A container and a key or index in it."""


def place(document: Any, dice: random.Random) -> Place:
    """Walk to a random place, at least one level down."""
    spot: Place | None = None
    current = document
    while isinstance(current, dict | list) and current and (spot is None or dice.random() < 0.8):
        key = dice.choice(list(current)) if isinstance(current, dict) else dice.randrange(len(current))
        spot = (current, key)
        current = current[key]
    return spot or ({"": None}, "")


def set_value(document: Any, dice: random.Random, value: Any) -> None:
    container, key = place(document, dice)
    container[key] = value


def swap_type(document: Any, dice: random.Random) -> None:
    values = [None, True, 0, -1, 3.5, "", "text", [], {}, [[]], {"a": {}}, [1, 0], ["1", 0], -10, -20, "-10"]
    set_value(document, dice, dice.choice(values))


def delete(document: Any, dice: random.Random) -> None:
    container, key = place(document, dice)
    del container[key]


def duplicate(document: Any, dice: random.Random) -> None:
    container, key = place(document, dice)
    if isinstance(container, list):
        container.insert(dice.randrange(len(container) + 1), copy.deepcopy(container[key]))
    else:
        container[f"{key}~"] = copy.deepcopy(container[key])


def swap_places(document: Any, dice: random.Random) -> None:
    (one, key), (other, place_) = place(document, dice), place(document, dice)
    one[key], other[place_] = copy.deepcopy(other[place_]), copy.deepcopy(one[key])


def huge_number(document: Any, dice: random.Random) -> None:
    set_value(document, dice, dice.choice([2**31, 2**53, -(2**63), 2**64, 10**200, 1e308, -1e308, 1e-320]))


def deep(document: Any, dice: random.Random) -> None:
    value: Any = dice.choice([[], {}, "x"])
    for _ in range(dice.choice((20, 150, 250, 400))):
        value = [value] if dice.random() < 0.5 else {"nodes": value}
    set_value(document, dice, value)


def wide(document: Any, dice: random.Random) -> None:
    set_value(document, dice, [dice.choice([0, "", None, {}, []])] * dice.choice((100, 5_000, 50_000)))


def corrupt_text(document: Any, dice: random.Random) -> None:
    for _ in range(50):
        container, key = place(document, dice)
        if isinstance(container[key], str):
            text = container[key]
            at = dice.randrange(len(text) + 1)
            extra = ["\x00", "\ud800", "🙂", "{a|b", "}", "//", "/*", "%date:yyyy%", "%a.b%", "\\", "x" * 100_000]
            container[key] = text[:at] + dice.choice(extra) + text[at + dice.randrange(4) :]
            return


def rewire(document: Any, dice: random.Random) -> None:
    """Let links point anywhere: loops, missing nodes, the borders of subgraphs."""
    for graph in graphs(document):
        ids = [node.get("id") for node in graph.get("nodes") or [] if isinstance(node, dict)] + [-10, -20, 99999]
        for link in graph.get("links") or []:
            if dice.random() < 0.3:
                target: Any = link
                keys: tuple[Any, ...] = ("origin_id", "target_id") if isinstance(link, dict) else (1, 3)
                if isinstance(link, dict) or (isinstance(link, list) and len(link) > 3):
                    target[dice.choice(keys)] = dice.choice(ids)


def same_ids(document: Any, dice: random.Random) -> None:
    for graph in graphs(document):
        nodes = [node for node in graph.get("nodes") or [] if isinstance(node, dict)]
        if len(nodes) > 1:
            dice.choice(nodes)["id"] = dice.choice(nodes).get("id")


def change_nodes(document: Any, dice: random.Random) -> None:
    """Other types and modes: virtual nodes, switches, subgraphs inside themselves."""
    kinds = ["Reroute", "PrimitiveNode", "GetNode", "SetNode", "ComfySwitchNode", "workflow/a", "Note", "KSampler"]
    all_graphs = list(graphs(document))
    kinds += [graph["id"] for graph in all_graphs if isinstance(graph.get("id"), str)] * 3
    for graph in all_graphs:
        for node in graph.get("nodes") or []:
            if isinstance(node, dict) and dice.random() < 0.3:
                node["type"] = dice.choice(kinds)
            if isinstance(node, dict) and dice.random() < 0.2:
                node["mode"] = dice.choice([0, 1, 2, 3, 4, 5, -1])


def add_group(document: Any, dice: random.Random) -> None:
    if isinstance(document, dict) and isinstance(document.get("nodes"), list) and document["nodes"]:
        nodes = copy.deepcopy(document["nodes"][:5])
        links = [[dice.randrange(7), dice.randrange(3), dice.randrange(7), dice.randrange(3)] for _ in range(6)]
        extra = document.get("extra")
        if not isinstance(extra, dict):
            extra = document["extra"] = {}
        extra["groupNodes"] = {"a": {"nodes": nodes, "links": links, "external": [[0, 0, "*"]], "config": {"0": {}}}}
        node = dice.choice(document["nodes"])
        if isinstance(node, dict):
            node["type"] = dice.choice(["workflow/a", "workflow>a"])


def graphs(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the root and the subgraph definitions as far as they are still what they were."""
    found = [document]
    definitions = document.get("definitions") if isinstance(document, dict) else None
    found += (definitions.get("subgraphs") or []) if isinstance(definitions, dict) else []
    for graph in found:
        if isinstance(graph, dict) and isinstance(graph.get("nodes"), list) and isinstance(graph.get("links"), list):
            yield graph


def cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def flip(data: bytes, dice: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(dice.choice((1, 3, 30))):
        spoiled[dice.randrange(len(spoiled))] = dice.randrange(256)
    return bytes(spoiled)


def nest_text(data: bytes, dice: random.Random) -> bytes:
    depth = dice.choice((190, 1_000, 100_000))
    at = data.find(b":", dice.randrange(len(data))) + 1
    return data[:at] + b"[" * depth + b"]" * dice.choice((depth, 0)) + b"," + data[at:]


def other_encoding(data: bytes, dice: random.Random) -> bytes:
    text = data.decode()
    return text.encode(dice.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]))


def not_a_number(data: bytes, dice: random.Random) -> bytes:
    at = data.find(b": ", dice.randrange(len(data))) + 2
    return data[:at] + dice.choice([b'NaN, "q": ', b'Infinity, "q": ', b'1e999, "q": ', b"9" * 5000]) + data[at:]


def in_picture(data: bytes, dice: random.Random) -> bytes:
    """Put the text into a PNG, sometimes a damaged one."""
    body = zlib.compress(data) if dice.random() < 0.5 else data
    kind, head = (b"zTXt", b"workflow\x00\x00") if body is not data else (b"tEXt", b"workflow\x00")
    chunks = b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in ((b"IHDR", bytes(13)), (kind, head + body), (b"IEND", b""))
    )
    picture = b"\x89PNG\r\n\x1a\n" + chunks
    return flip(picture, dice) if dice.random() < 0.6 else cut(picture, dice) if dice.random() < 0.3 else picture


TREE_MUTATIONS: list[Change] = [
    ("swap type", swap_type),
    ("delete", delete),
    ("duplicate", duplicate),
    ("swap places", swap_places),
    ("huge number", huge_number),
    ("deep nesting", deep),
    ("wide list", wide),
    ("corrupt text", corrupt_text),
    ("rewire links", rewire),
    ("same ids", same_ids),
    ("change nodes", change_nodes),
    ("add group node", add_group),
]
TEXT_MUTATIONS: list[tuple[str, Callable[[bytes, random.Random], bytes]]] = [
    ("cut", cut),
    ("flip bytes", flip),
    ("nest text", nest_text),
    ("other encoding", other_encoding),
    ("not a number", not_a_number),
    ("in picture", in_picture),
]
