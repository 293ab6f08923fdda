"""The shape of GLIGEN's layers, read from the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

GLIGEN_MARK = "position_net.null_positive_feature"
_FUSER = re.compile(r"(input_blocks|middle_block|output_blocks)\.([\d.]+)\.transformer_blocks\.(\d+)\.fuser\.(.+)")
_ORDER = ("input_blocks", "middle_block", "output_blocks")
_HEADS, _HEAD_WIDTH = 8, 64

Place = tuple[int, tuple[int, ...], int]


def text_width(shapes: Shapes) -> int:
    """Width of the text that the layers read."""
    return (shape_of(shapes, GLIGEN_MARK, dims=1) or (0,))[0]


def infer_gligen(shapes: Shapes, where: str) -> Inferred:
    """Config of a :class:`GligenNetwork`: a layer for each transformer block of a UNet, from its input to its output.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    layers: dict[Place, JsonValue] = {}
    width = text_width(shapes)
    for name, shape in shapes.items():
        match = _FUSER.fullmatch(name)
        if match is not None and match[4] == "linear.weight" and len(shape) == 2:
            query, context = shape
            heads = _HEADS if context == 768 else query // _HEAD_WIDTH
            facts: Config = {"name": _flat(match), "query": query, "context": context, "heads": max(1, heads)}
            layers[_place(match)] = facts
    made = shape_of(shapes, "position_net.linears.4.weight", dims=2)
    if not layers or not width or not made:
        raise ModelFormatError("the GLIGEN file lacks layers or its position net", where=where)
    whole: Config = {"text": width, "context": made[0], "layers": [layers[place] for place in sorted(layers)]}
    return Inferred("Gligen", "", whole, {})


def gligen_places(key: str) -> Iterator[str]:
    """The tensor of the class that a tensor of a file makes."""
    match = _FUSER.fullmatch(key)
    if match is not None:
        yield f"fusers.{_flat(match)}.{match[4]}"
    elif key.startswith("position_net."):
        yield key


def _flat(match: re.Match[str]) -> str:
    return f"{match[1]}_{match[2]}_{match[3]}".replace(".", "_")


def _place(match: re.Match[str]) -> Place:
    numbers = tuple(int(part) for part in match[2].split("."))
    return _ORDER.index(match[1]), numbers, int(match[3])
