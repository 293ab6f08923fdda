"""Files of other programs that are as bad as the limits let them be, as bytes that :func:`to_prompt` and opening read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from graphflow.limits import LIMITS
from tests.hostile.chunks import chunks_of, png, text
from tests.hostile.pictures import PARAMETERS, bases
from tests.hostile.worst import most_of

SAVED = {
    "b": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "c": {"class_type": "SaveImage", "inputs": {"images": ["b", 0], "filename_prefix": "a"}},
}
FOREIGN: dict[str, Callable[[], bytes]] = {}


def _worst(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> bytes:
        found = make()
        return found if isinstance(found, bytes) else json.dumps(found).encode()

    FOREIGN[make.__name__.strip("_").replace("_", " ")] = made
    return make


def _picture(keyword: str, value: str) -> bytes:
    whole = chunks_of(bases()[0])
    return png([whole[0], text(keyword, value.encode("latin-1", "replace"), packed=True), *whole[1:]])


def _api(count: int, node: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    count = min(count, most_of(node(99_999), count))
    return {str(number): node(number) for number in range(count)}


def _ui(count: int, type_: str, **more: Any) -> dict[str, Any]:
    """Return a chain of nodes as the editor saves it."""

    def node(n: int) -> dict[str, Any]:
        return {
            "id": n,
            "type": type_,
            "mode": 0,
            "inputs": [{"name": "image", "type": "IMAGE", "link": n}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [n + 1]}],
            "widgets_values": [],
            **more,
        }

    count = min(count, most_of([node(99_999), [99_999, 99_999, 0, 99_999, 0, "IMAGE"]], count))
    links = [[n, n - 1, 0, n, 0, "IMAGE"] for n in range(1, count)]
    return {"nodes": [node(n) for n in range(count)], "links": links, "version": 0.4}


@_worst
def _chain_of_a_prompt() -> Any:
    return _api(30_000, lambda n: {"class_type": "ImageInvert", "inputs": {"image": [str(n - 1), 0]}})


@_worst
def _prompt_of_unknown_nodes() -> Any:
    return _api(39_000, lambda n: {"class_type": f"Nothing{n}", "inputs": {"image": n}})


@_worst
def _prompt_of_savers() -> Any:
    made = {"a": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}}}
    return made | _api(
        9_000, lambda n: {"class_type": "SaveImage", "inputs": {"images": ["a", 0], "filename_prefix": str(n)}}
    )


@_worst
def _prompt_of_texts() -> Any:
    return SAVED | _api(
        70, lambda n: {"class_type": "CLIPTextEncode", "inputs": {"text": "(" * 99_000, "clip": ["a", 1]}}
    )


@_worst
def _prompt_of_wildcards() -> Any:
    return SAVED | _api(
        70, lambda n: {"class_type": "CLIPTextEncode", "inputs": {"text": "{a|" * 30_000, "clip": ["a", 1]}}
    )


@_worst
def _prompt_of_loras() -> Any:
    nodes = _api(
        8_000,
        lambda n: {
            "class_type": "LoraLoader",
            "inputs": {"lora_name": f"a{n}", "model": [str(n - 1), 0], "clip": [str(n - 1), 1]},
        },
    )
    return {"0": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a"}}, **nodes}


@_worst
def _chain_of_the_editor() -> Any:
    found = _ui(11_000, "ImageInvert")
    found["nodes"][-1]["type"] = "PreviewImage"
    return found


@_worst
def _reroutes() -> Any:
    return _ui(11_000, "Reroute")


@_worst
def _bypassed() -> Any:
    return _ui(11_000, "ImageInvert", mode=4)


@_worst
def _muted() -> Any:
    return _ui(11_000, "ImageInvert", mode=2)


@_worst
def _notes() -> Any:
    return _ui(11_000, "Note")


@_worst
def _getters_and_setters() -> Any:
    found = _ui(10_000, "GetNode")
    for node in found["nodes"]:
        node["type"] = "SetNode" if node["id"] % 2 else "GetNode"
        node["widgets_values"] = [f"a{node['id'] // 2}"]
    return found


@_worst
def _primitives() -> Any:
    return _ui(11_000, "PrimitiveNode", widgets_values=[1, "fixed"])


@_worst
def _many_links_of_one() -> Any:
    found = _ui(2, "ImageInvert")
    found["links"] = [[n, 0, 0, 1, 0, "IMAGE"] for n in range(20_000)]
    found["nodes"][0]["outputs"][0]["links"] = list(range(9_000))
    return found


@_worst
def _subgraphs_in_subgraphs() -> Any:
    def graph(n: int, inside: str) -> dict[str, Any]:
        return {
            "id": f"g{n}",
            "name": f"g{n}",
            "inputs": [],
            "outputs": [],
            "nodes": [{"id": k, "type": inside, "inputs": [], "outputs": []} for k in range(10)],
            "links": [],
        }

    inner = [graph(n, f"g{n + 1}") for n in range(30)] + [graph(30, "PreviewImage")]
    return {
        "nodes": [{"id": 1, "type": "g0", "inputs": [], "outputs": []}],
        "links": [],
        "definitions": {"subgraphs": inner},
    }


@_worst
def _many_subgraphs() -> Any:
    inner = [{"id": f"g{n}", "name": "a", "inputs": [], "outputs": [], "nodes": [], "links": []} for n in range(15_000)]
    return {"nodes": [], "links": [], "definitions": {"subgraphs": inner}}


@_worst
def _groups_of_nodes() -> Any:
    inner = {
        f"a{n}": {
            "nodes": [{"type": f"workflow/a{n + 1}", "index": k} for k in range(8)],
            "links": [],
            "external": [],
            "config": {},
        }
        for n in range(30)
    }
    return {
        "nodes": [{"id": 1, "type": "workflow/a0", "inputs": [], "outputs": []}],
        "links": [],
        "extra": {"groupNodes": inner},
    }


@_worst
def _widgets_of_one() -> Any:
    return {"nodes": [{"id": 1, "type": "KSampler", "widgets_values": [1] * 150_000}], "links": []}


@_worst
def _inputs_of_one() -> Any:
    return {
        "nodes": [{"id": 1, "type": "KSampler", "inputs": [{"name": f"a{n}", "link": n} for n in range(38_000)]}],
        "links": [],
    }


@_worst
def _lists_in_a_picture() -> Any:
    return _picture("workflow", "[" + "[]," * 119_000 + "0]")


@_worst
def _prompt_in_a_picture() -> Any:
    return _picture("prompt", json.dumps(_chain_of_a_prompt()))


def _parameters(name: str, value: str) -> None:
    def make() -> bytes:
        return _picture("parameters", value[: LIMITS.document_bytes - 99])

    make.__name__ = f"parameters of {name}"
    _worst(make)


for _name, _value in {
    "brackets": "(" * 2**22 + PARAMETERS,
    "square brackets": "[a:b:" * 2**20 + PARAMETERS,
    "commas": PARAMETERS + ", Steps: 1" * 700_000,
    "quotes": PARAMETERS + ', a: "' * 1_000_000,
    "backslashes": PARAMETERS + ', a: "' + "\\" * 2**22,
    "loras": "<lora:a:1>" * 700_000 + PARAMETERS,
    "open loras": "<lora:" * 1_200_000 + PARAMETERS,
    "lines": "a\n" * 2**21 + PARAMETERS,
    "negative prompts": "a\nNegative prompt: b" * 380_000 + "\nSteps: 1, Size: 64x64",
    "colons": "Steps: 1, " + "a:" * 2**21,
    "digits": PARAMETERS.replace("20", "9" * 2**22),
    "spaces": PARAMETERS + " " * 2**22 + "x",
    "words": "BREAK AND " * 2**19 + PARAMETERS,
    "weights": "(a:1.1)" * 2**19 + PARAMETERS,
    "braces": PARAMETERS + ", Hashes: " + '{"a":' * 2**20,
}.items():
    _parameters(_name, _value)
