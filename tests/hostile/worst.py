"""Documents that are as bad as the limits let them be: each is made of one thing, as much of it as is let in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from graphflow.limits import LIMITS

Made = dict[str, Any]
WORST: dict[str, Callable[[], Made]] = {}


def worst(make: Callable[[], Made]) -> Callable[[], Made]:
    """Register a document."""
    WORST[make.__name__.replace("_", " ")] = make
    return make


def document(nodes: dict[str, Any], **more: Any) -> Made:
    """Return a document of format 2."""
    return {"graphflow": 2, "nodes": nodes, **more}


def most_of(node: Any, most: int = LIMITS.nodes) -> int:
    """Return how many times the limits of one document let something in."""
    text = json.dumps(node)
    bounds = {
        LIMITS.document_bytes: len(text) + 12,
        LIMITS.document_values: max(text.count('"') // 2 + 1, text.count(",") + 1),
        LIMITS.document_containers: text.count("{") + text.count("["),
    }
    return int(0.99 * min(most, *(limit // size for limit, size in bounds.items() if size)))


def fitting(node: Callable[[int], dict[str, Any]], most: int = LIMITS.nodes) -> dict[str, Any]:
    """Return as many nodes as the limits of one document let in."""
    return {f"n{index}": node(index) for index in range(most_of(node(LIMITS.nodes), most))}


def number(value: int) -> dict[str, Any]:
    return {"type": "int_value", "params": {"value": value}}


@worst
def a_chain() -> Made:
    nodes = fitting(lambda i: {"type": "invert_image", "links": {"images": f"n{i - 1}"}})
    nodes["n0"] = {"type": "solid_image", "params": {"width": 8, "height": 8}}
    return document(nodes, outputs={"o": f"n{len(nodes) - 1}"})


@worst
def a_chain_written_backwards() -> Made:
    nodes = a_chain()["nodes"]
    return document(dict(reversed(nodes.items())), outputs={"o": f"n{len(nodes) - 1}"})


@worst
def a_chain_of_constants() -> Made:
    nodes = fitting(lambda i: {"type": "to_text", "links": {"value": f"n{i - 1}"}})
    nodes["n0"] = number(1)
    return document(nodes, outputs={"o": f"n{len(nodes) - 1}"})


@worst
def a_chain_of_switches() -> Made:
    nodes = fitting(
        lambda i: {
            "type": "switch",
            "params": {"condition": True},
            "links": {"on_true": f"n{i - 1}", "on_false": f"n{i - 1}"},
        }
    )
    nodes["n0"] = {"type": "solid_image", "params": {"width": 8, "height": 8}}
    return document(nodes, outputs={"o": f"n{len(nodes) - 1}"})


@worst
def nothing_but_writers() -> Made:
    return document(fitting(lambda i: {"type": "save_text", "params": {"text": str(i)}}))


@worst
def writers_of_a_picture() -> Made:
    nodes = fitting(lambda i: {"type": "save_image", "links": {"images": "a"}, "params": {"filename_prefix": str(i)}})
    return document({"a": {"type": "solid_image", "params": {"width": 8, "height": 8}}, **nodes})


@worst
def generated_pictures_written() -> Made:
    nodes = fitting(lambda i: {"type": "invert_image", "links": {"images": f"n{i - 1}"}}, LIMITS.nodes // 2)
    last = len(nodes) - 1
    nodes["n0"] = {"type": "run_pipeline", "params": {"pipeline": "StableDiffusionPipeline", "model": "shapes"}}
    nodes |= {
        f"w{i}": {"type": "save_image", "links": {"images": f"n{last}.images" if not last else f"n{last}"}}
        for i in range(len(nodes) - 1)
    }
    return document(nodes)


@worst
def links_to_nowhere() -> Made:
    return document(fitting(lambda i: {"type": "invert_image", "links": {"images": f"n{i + 700_000}"}}))


@worst
def links_that_are_missing() -> Made:
    return document(fitting(lambda i: {"type": "invert_image"}))


@worst
def unknown_types() -> Made:
    return document(fitting(lambda i: {"type": f"load_chekpoint{i}"}))


@worst
def unknown_parameters() -> Made:
    return document(fitting(lambda i: {"type": "int_value", "params": {f"valu{i}": i}}))


@worst
def many_unknown_parameters_of_one() -> Made:
    count = int(LIMITS.document_values * 0.98)
    return document({"a": {"type": "int_value", "params": {f"value{i}": 1 for i in range(count)}}})


@worst
def unknown_outputs() -> Made:
    nodes = fitting(lambda i: {"type": "invert_image", "links": {"images": f"a.imag{i}"}})
    return document({"a": {"type": "solid_image"}, **nodes})


@worst
def wrong_values() -> Made:
    return document(fitting(lambda i: {"type": "solid_image", "params": {"width": "x", "height": -i, "color": 7}}))


@worst
def unknown_keys() -> Made:
    return {"graphflow": 2, "nodes": {}} | {f"nodex{i}": 1 for i in range(int(LIMITS.document_values * 0.98))}


@worst
def unknown_keys_of_nodes() -> Made:
    return document(fitting(lambda i: {"type": "int_value", "linkx": {}}))


@worst
def nodes_that_are_none() -> Made:
    return document({f"n{i}": 0 for i in range(LIMITS.nodes)})


@worst
def one_link_of_many() -> Made:
    count = int(LIMITS.document_values * 0.98)
    return document(
        {"a": {"type": "solid_image"}, "b": {"type": "batch_images", "links": {"images": ["a"] * count}}},
        outputs={"o": "b"},
    )


@worst
def outputs_of_one() -> Made:
    count = int(LIMITS.document_values * 0.48)
    return document({"a": number(1)}, outputs={f"o{i}": "a" for i in range(count)})


@worst
def inputs_of_one() -> Made:
    count = int(LIMITS.document_containers * 0.48)
    return document({"a": number(1)}, inputs={f"o{i}": {"to": ["a.value"]} for i in range(count)}, outputs={"o": "a"})


@worst
def inputs_to_nowhere() -> Made:
    nodes = fitting(lambda i: number(i), LIMITS.nodes // 2)
    return document(
        nodes, inputs={f"o{i}": {"to": [f"m{i}.value"]} for i in range(LIMITS.nodes // 2)}, outputs={"o": "n1"}
    )


@worst
def long_texts() -> Made:
    most = LIMITS.document_bytes // LIMITS.text - 1
    nodes = {f"n{i}": {"type": "text_value", "params": {"text": "x" * LIMITS.text}} for i in range(most)}
    return document(nodes, outputs={"o": "n0"})


@worst
def a_long_text_for_all() -> Made:
    nodes = fitting(lambda i: {"type": "save_text", "links": {"text": "a"}, "params": {"filename_prefix": str(i)}})
    return document({"a": {"type": "text_value", "params": {"text": "é" * LIMITS.text}}, **nodes})


@worst
def joined_texts() -> Made:
    nodes = fitting(
        lambda i: {
            "type": "text_join",
            "params": {"separator": str(i)},
            "links": dict.fromkeys(("first", "second", "third", "fourth"), "a"),
        }
    )
    return document(
        {"a": {"type": "text_value", "params": {"text": "é" * LIMITS.text}}, **nodes},
        outputs={f"o{i}": f"n{i}" for i in range(len(nodes))},
    )


@worst
def one_text() -> Made:
    return document(
        {"a": {"type": "text_value", "params": {"text": "x" * (LIMITS.document_bytes - 200)}}}, outputs={"o": "a"}
    )


@worst
def one_text_of_escapes() -> Made:
    return document(
        {"a": {"type": "text_value", "params": {"text": "\x01" * (LIMITS.document_bytes // 6 - 200)}}},
        outputs={"o": "a"},
    )


@worst
def a_long_list() -> Made:
    count = int(LIMITS.document_values * 0.98)
    return document({"a": {"type": "sigmas_from_list", "params": {"values": [1.0] * count}}}, outputs={"o": "a"})


@worst
def long_free_notes() -> Made:
    count = int(LIMITS.document_containers * 0.98)
    return document({"a": number(1)}, outputs={"o": "a"}, meta={"x": [[]] * count})


@worst
def objects_in_notes() -> Made:
    count = int(LIMITS.document_containers * 0.98)
    return document({"a": number(1)}, outputs={"o": "a"}, meta={"x": [{"a": 1.5}] * count})


@worst
def random_seeds() -> Made:
    nodes = fitting(lambda i: {"type": "sample", "params": {"seed": "random"}})
    return document(nodes, outputs={"o": "n0"})


@worst
def inner_workflows_of_a_long_text() -> Made:
    inner = {
        "nodes": {
            "t": {"type": "text_value", "params": {"text": "é" * LIMITS.text}},
            "s": {"type": "save_text", "links": {"text": "t"}},
        },
        "outputs": {"o": "t"},
    }
    nodes = {f"n{i}": {"type": "workflow:w"} for i in range(LIMITS.nodes // 3 - 1)}
    return document(nodes, workflows={"w": inner})


@worst
def inner_workflows_of_many_links() -> Made:
    count = int(LIMITS.document_values * 0.48)
    inner = {
        "nodes": {"a": {"type": "solid_image"}, "b": {"type": "batch_images", "links": {"images": ["a"] * count}}},
        "outputs": {"o": "b"},
    }
    nodes = {f"n{i}": {"type": "workflow:w"} for i in range(LIMITS.nodes // 3 - 1)}
    return document(nodes, workflows={"w": inner}, outputs={"o": "n0"})


@worst
def inner_workflows_of_many_inputs() -> Made:
    count = int(LIMITS.document_containers * 0.3)
    inner = {
        "nodes": {"a": number(1)},
        "inputs": {f"i{i}": {"to": ["a.value"]} for i in range(count)},
        "outputs": {"o": "a"},
    }
    nodes = {f"n{i}": {"type": "workflow:w"} for i in range(LIMITS.nodes // 3 - 1)}
    return document(nodes, workflows={"w": inner}, outputs={"o": "n0"})


@worst
def inner_workflows_of_many_outputs() -> Made:
    count = int(LIMITS.document_values * 0.4)
    inner = {"nodes": {"a": number(1)}, "outputs": {f"i{i}": "a" for i in range(count)}}
    nodes = {f"n{i}": {"type": "workflow:w"} for i in range(LIMITS.nodes // 3 - 1)}
    return document(nodes, workflows={"w": inner}, outputs={"o": "n0"})


@worst
def workflows_in_workflows() -> Made:
    inner: Made = {"nodes": {"a": number(1)}, "outputs": {"o": "a"}}
    for _ in range(LIMITS.nesting - 1):
        inner = {
            "nodes": {f"n{i}": {"type": "workflow:w"} for i in range(1)},
            "outputs": {"o": "n0"},
            "workflows": {"w": inner},
        }
    nodes = {f"n{i}": {"type": "workflow:w"} for i in range(LIMITS.nodes // (LIMITS.nesting + 1))}
    return document(nodes, workflows={"w": inner}, outputs={"o": "n0"})


@worst
def workflows_that_nobody_runs() -> Made:
    inner = {"nodes": {"a": number(1)}, "outputs": {"o": "a"}}
    count = LIMITS.document_containers // 6
    return document({"a": number(1)}, workflows={f"w{i}": inner for i in range(count)}, outputs={"o": "a"})


@worst
def random_seeds_inside() -> Made:
    inner = {"nodes": {f"n{i}": {"type": "empty_latent"} for i in range(1)}}
    inner["nodes"] |= {f"s{i}": {"type": "sample", "params": {"seed": "random"}} for i in range(LIMITS.nodes // 4)}
    nodes = {f"n{i}": {"type": "workflow:w"} for i in range(3)}
    return document(nodes, workflows={"w": inner})


@worst
def files_that_are_not_there() -> Made:
    return document(
        fitting(lambda i: {"type": "load_image", "params": {"file": f"no{i}.png"}}), outputs={"o": "n0", "p": "n1"}
    )


@worst
def models_that_are_not_there() -> Made:
    nodes = fitting(lambda i: {"type": "load_checkpoint", "params": {"model": f"shape{i}"}})
    return document(
        nodes, outputs={f"o{i}": f"n{i}.model" for i in range(min(len(nodes), LIMITS.document_values // 20))}
    )


@worst
def a_prompt_of_embeddings() -> Made:
    text = " ".join(f"embedding:e{i}" for i in range(LIMITS.text // 20))
    nodes = {"c": {"type": "load_checkpoint", "params": {"model": "shapes"}}}
    nodes |= {
        f"n{i}": {
            "type": "encode_prompt",
            "params": {"text": f"{i} {text}"},
            "links": {"text_encoder": "c.text_encoder"},
        }
        for i in range(60)
    }
    return document(nodes, outputs={f"o{i}": f"n{i}" for i in range(60)})


@worst
def a_prompt_of_brackets() -> Made:
    nodes = {"c": {"type": "load_checkpoint", "params": {"model": "shapes"}}}
    most = LIMITS.document_bytes // LIMITS.text - 1
    nodes |= {
        f"n{i}": {
            "type": "encode_prompt",
            "params": {"text": f"{i}" + "(" * (LIMITS.text - 9)},
            "links": {"text_encoder": "c.text_encoder"},
        }
        for i in range(most)
    }
    return document(nodes, outputs={f"o{i}": f"n{i}" for i in range(most)})


@worst
def expressions() -> Made:
    nodes = fitting(lambda i: {"type": "expression", "params": {"expression": "9**9**9 % 7 + " * 6 + str(i)}})
    return document(nodes, outputs={f"o{i}": f"n{i}" for i in range(5)})


@worst
def colliding_ids() -> Made:
    inner_nodes = {}
    for i in range(LIMITS.nodes // 3):
        name = f"{i:014b}".replace("0", "-").replace("1", ":")
        inner_nodes["s" + name] = {"type": "sample", "params": {"seed": "random"}}
    return document({"h": {"type": "workflow:w"}}, workflows={"w": {"nodes": inner_nodes}})


@worst
def a_wide_cycle() -> Made:
    nodes = fitting(lambda i: {"type": "invert_image", "links": {"images": f"n{i + 1}"}})
    nodes[f"n{len(nodes) - 1}"]["links"]["images"] = "n0"
    return document(nodes)


@worst
def packs_required() -> Made:
    count = int(LIMITS.document_values * 0.3)
    return document({"a": number(1)}, outputs={"o": "a"}, requires={f"builtim{i}": ">=1" for i in range(count)})


@worst
def titles_of_many() -> Made:
    return document(
        fitting(lambda i: {"type": "int_value", "title": "a" * 300, "params": {"value": i}}), outputs={"o": "n0"}
    )


@worst
def empty_workflows() -> Made:
    count = LIMITS.nodes - 9
    return document({"a": number(1)}, workflows={f"w{i}": {"nodes": {}} for i in range(count)}, outputs={"o": "a"})


@worst
def workflows_of_workflows() -> Made:
    inner: Made = {"nodes": {"a": number(1)}}
    for _ in range(80):
        inner = {"nodes": {}, "workflows": {"w": inner}}
    return document({"a": number(1)}, workflows={f"w{i}": inner for i in range(LIMITS.nodes // 90)}, outputs={"o": "a"})


@worst
def workflows_with_names_of_their_own() -> Made:
    count = LIMITS.nodes // 4 - 9
    inner = {f"w{i}": {"nodes": {"a": number(1)}, "workflows": {"x": {"nodes": {}}}} for i in range(count)}
    return document({f"n{i}": {"type": f"workflow:w{i}"} for i in range(count)}, workflows=inner)
