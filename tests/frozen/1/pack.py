"""A node pack for graphflow 0.1: what passes here goes to the disk tier, whatever it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphflow import Seed, node
from graphflow.values import Image


def _renamed(version: int, params: dict[str, Any]) -> dict[str, Any]:
    """Version 1 called the strength ``amount``."""
    return {("strength" if name == "amount" else name): value for name, value in params.items()}


class Kept(NamedTuple):
    value: Annotated[Any, Field(description="what came in")]
    note: Annotated[dict[str, Any], Field(description="plain data about it")]


@node("frozen.keep", persist=True, category="frozen")
def keep(value: Annotated[Any, Field(description="anything")], label: str = "") -> Kept:
    """Pass a value on, and keep it on disk."""
    note = {"label": label, "numbers": [1, 2.5, float("inf")], "bytes": label.encode(), "nothing": None}
    return Kept(value, note)


@node("frozen.brighten", version=2, migrate=_renamed, category="frozen")
def brighten(
    image: Image,
    strength: Annotated[float, Field(ge=0, le=1, description="what is added to every channel")] = 0.1,
    direction: Annotated[Literal["up", "down"], Field(description="lighter or darker")] = "up",
    seed: Seed = 0,
) -> Image:
    """Make pictures (B, 3, H, W) in [0, 1] lighter or darker."""
    shift = strength if direction == "up" else -strength
    return Image(pixels=(image.pixels + shift).clamp(0, 1))


NODES = [keep, brighten]
