"""A few lines to write UI workflows by hand."""

from __future__ import annotations

import json
from typing import Any

from graphflow.converters.comfyui import Choices, Flattened, to_prompt

SUB = "11111111-2222-4333-8444-555555555555"
SUB2 = "66666666-2222-4333-8444-555555555555"


def slot(name: str, type: str, link: int | None = None, *, widget: bool = False) -> dict[str, Any]:
    """An input slot."""
    entry: dict[str, Any] = {"name": name, "type": type, "link": link}
    if widget:
        entry["widget"] = {"name": name}
    return entry


def node(
    id: int | str,
    type: str,
    *inputs: dict[str, Any],
    out: str | list[str] = "",
    widgets: Any = None,
    mode: int = 0,
    **more: Any,
) -> dict[str, Any]:
    """A node; ``out`` lists output types, by a string of words or a list."""
    outputs = out.split() if isinstance(out, str) else out
    entry: dict[str, Any] = {
        "id": id,
        "type": type,
        "mode": mode,
        "inputs": list(inputs),
        "outputs": [{"name": kind, "type": kind, "links": []} for kind in outputs],
        **more,
    }
    if widgets is not None:
        entry["widgets_values"] = widgets
    return entry


def ui(nodes: list[dict[str, Any]], links: list[Any], **more: Any) -> dict[str, Any]:
    """A UI file of format 0.4."""
    return {"last_node_id": 99, "last_link_id": 99, "nodes": nodes, "links": links, "version": 0.4, **more}


def subgraph(
    nodes: list[dict[str, Any]],
    links: list[tuple[int, int, int, int, int, str]],
    *,
    inputs: list[tuple[str, str]],
    outputs: list[tuple[str, str]],
    id: str = SUB,
) -> dict[str, Any]:
    """A subgraph definition; links are written as in the root."""
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": id,
        "name": "inner",
        "nodes": nodes,
        "links": [dict(zip(keys, link, strict=True)) for link in links],
        "inputs": [{"name": name, "type": type} for name, type in inputs],
        "outputs": [{"name": name, "type": type} for name, type in outputs],
    }


def with_subgraphs(document: dict[str, Any], *definitions: dict[str, Any]) -> dict[str, Any]:
    return {**document, "definitions": {"subgraphs": list(definitions)}}


def inputs_of(source: Any, id: str, **options: Any) -> dict[str, Any]:
    """The inputs of one node in the flat prompt."""
    result: dict[str, Any] = flat(source, **options).prompt[id]["inputs"]
    return result


def flat(source: Any, *, choices: Choices | None = None, **options: Any) -> Flattened:
    """Flatten, and check that the prompt is JSON."""
    result = to_prompt(source, choices=choices, **options)
    json.dumps(result.prompt, allow_nan=False)
    return result


def codes(result: Flattened) -> set[str]:
    return {note.code for note in (*result.notes, *result.problems)}


def text_to_image() -> dict[str, Any]:
    """The usual seven nodes."""
    return ui(
        [
            node(4, "CheckpointLoaderSimple", out="MODEL CLIP VAE", widgets=["sd15.safetensors"]),
            node(5, "EmptyLatentImage", out="LATENT", widgets=[512, 768, 1]),
            node(6, "CLIPTextEncode", slot("clip", "CLIP", 3), out="CONDITIONING", widgets=["a fox"]),
            node(7, "CLIPTextEncode", slot("clip", "CLIP", 5), out="CONDITIONING", widgets=["blurry"]),
            node(
                3,
                "KSampler",
                slot("model", "MODEL", 1),
                slot("positive", "CONDITIONING", 4),
                slot("negative", "CONDITIONING", 6),
                slot("latent_image", "LATENT", 2),
                out="LATENT",
                widgets=[156680208700286, "randomize", 20, 8, "euler", "normal", 1],
            ),
            node(8, "VAEDecode", slot("samples", "LATENT", 7), slot("vae", "VAE", 8), out="IMAGE"),
            node(9, "SaveImage", slot("images", "IMAGE", 9), widgets=["ComfyUI"], title="Result"),
        ],
        [
            [1, 4, 0, 3, 0, "MODEL"],
            [2, 5, 0, 3, 3, "LATENT"],
            [3, 4, 1, 6, 0, "CLIP"],
            [4, 6, 0, 3, 1, "CONDITIONING"],
            [5, 4, 1, 7, 0, "CLIP"],
            [6, 7, 0, 3, 2, "CONDITIONING"],
            [7, 3, 0, 8, 0, "LATENT"],
            [8, 4, 2, 8, 1, "VAE"],
            [9, 8, 0, 9, 0, "IMAGE"],
        ],
    )
