"""Nodes that show values other than pictures, and keep texts."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import Field

from graphflow import runtime
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Described, node
from graphflow.values import EncodedFile, Files
from graphflow.values.types import is_tensor, type_name

from ..choices import Prefix
from .carried import sidecar, texts_of
from .comfyui_prompt import with_prompt

__all__ = ["save_text", "show"]

SHOWN = 2_000
"""Characters that a notice has at most."""


@node("show", effect=True)
def show(
    value: Annotated[
        Any, Described(), Field(description="anything: a text or number in full, tensors by shape and range")
    ],
) -> Files:
    """Tell a value while the workflow runs; nothing is written."""
    text = describe(value)
    runtime.current().notice(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")
    return Files(files=())


@node("save_text", effect=True)
def save_text(
    text: Annotated[str, Field(max_length=LIMITS.text, description="the text")],
    filename_prefix: Prefix = "graphflow",
    embed: Annotated[
        bool, Field(description="put the workflow and how it was made into a JSON file beside it, NAME.txt.json")
    ] = True,
) -> Files:
    """Save a text as a UTF-8 file."""
    import numpy as np

    data = text.encode("utf-8", "replace")
    texts = texts_of(with_prompt(runtime.current().carried(embed=embed)), [np.frombuffer(data, np.uint8)])
    beside = sidecar(texts) if texts else b""
    return Files(files=(EncodedFile(stem=filename_prefix, suffix=".txt", data=data, sidecar=beside),))


def describe(value: Any) -> str:
    """Say what a value is, in a line or, for a sequence, a line for each item."""
    if value is None or isinstance(value, str | int | float | bool):
        return str(value)
    if is_tensor(value):
        return _tensor(value)
    if isinstance(value, tuple | list):
        return "\n".join(describe(item) for item in value) or "an empty sequence"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {describe(item)}" for key, item in value.items())
    name = type_name(type(value))
    if name is None:
        return type(value).__name__
    fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    told = [f"{key} {describe(item)}" for key, item in fields if is_tensor(item) or item not in (None, (), {})]
    return f"{name}: " + ", ".join(told)


def _tensor(tensor: Any) -> str:
    shape = " x ".join(map(str, tensor.shape))
    if not tensor.numel():
        return f"({shape})"
    return f"({shape}) from {float(tensor.min()):.4g} to {float(tensor.max()):.4g}"
