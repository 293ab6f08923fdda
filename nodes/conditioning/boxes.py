"""Things placed in boxes of the picture (GLIGEN)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from graphflow import runtime
from graphflow.errors import LimitError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Conditioning, NetworkExtension, TextEncoder

__all__ = ["add_gligen_box"]

_SLOTS = 30
Edge = Annotated[int, Field(ge=8, le=LIMITS.edge)]
Start = Annotated[int, Field(ge=0, le=LIMITS.edge)]


@node("add_gligen_box", lane="device")
def add_gligen_box(
    conditioning: Annotated[Conditioning, Field(description="the conditioning of the whole picture")],
    text_encoder: Annotated[TextEncoder, Field(description="the text encoders")],
    gligen: Annotated[str, ModelName("gligen"), Field(min_length=1, description="a GLIGEN file of text boxes")],
    text: Annotated[str, Field(max_length=LIMITS.text, description="what stands in the box")] = "",
    width: Annotated[Edge, Field(description="width of the box in pixels")] = 64,
    height: Annotated[Edge, Field(description="its height")] = 64,
    x: Annotated[Start, Field(description="pixels left of it")] = 0,
    y: Annotated[Start, Field(description="pixels above it")] = 0,
) -> Conditioning:
    """Place what a text says in a box of the picture (GLIGEN, Li et al. 2023, arXiv:2301.07093); several are chained.

    It acts in all steps, on what the picture should not show, too. Edges are rounded down to multiples of 8.

    Raises:
        LimitError: There are more than 30 boxes.
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds no GLIGEN layers.
    """
    network = NetworkExtension(files=(runtime.current().models.find(gligen, "gligen", part="gligen"),))
    with text_encoder.use() as loaded:
        pooled = loaded.encode(text).entries[0].pooled
    box = tuple(float(edge // 8 * 8) for edge in (x, y, width, height))
    entries = []
    for entry in conditioning.entries:
        _, placed = entry.extras.get("grounding", (network, ()))
        if len(placed) == _SLOTS:
            raise LimitError(f"GLIGEN reads at most {_SLOTS} boxes")
        entries.append(replace(entry, extras={**entry.extras, "grounding": (network, (*placed, (pooled, box)))}))
    return Conditioning(entries=tuple(entries))
