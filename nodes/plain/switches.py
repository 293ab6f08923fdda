"""Nodes that pass on one of several inputs. A selector that is a literal is settled while planning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node

__all__ = ["switch", "switch_index"]

T = TypeVar("T")


def _side(params: Mapping[str, Any]) -> tuple[str, int | None]:
    return ("on_true" if params["select"] else "on_false"), None


def _item(params: Mapping[str, Any]) -> tuple[str, int | None]:
    return "inputs", int(params["index"])


@node("switch", chooser=_side)
def switch(
    select: Annotated[bool, Field(description="which side to pass on")],
    on_true: Annotated[T, Field(description="passed on where select is true")],
    on_false: Annotated[T, Field(description="passed on where select is false")],
) -> T:
    """Pass on one of two inputs of any type; the other side is not computed."""
    return on_true if select else on_false


@node("switch_index", chooser=_item)
def switch_index(
    index: Annotated[int, Field(ge=0, le=LIMITS.batch, description="which input to pass on, from 0")],
    inputs: Annotated[list[T], Field(description="the inputs to choose from")],
) -> T:
    """Pass on one of several inputs of any type; the others are not computed.

    Raises:
        InvalidInputError: There are fewer inputs than the index asks for.
    """
    if index >= len(inputs):
        raise InvalidInputError(f"there is no input {index}, only 0 to {len(inputs) - 1}", where="index")
    return inputs[index]
