"""Hypernetworks on a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphflow import runtime
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Model, NetworkExtension
from graphflow.values.network_hooks import Hypernetwork

__all__ = ["apply_hypernetwork"]


@node("apply_hypernetwork", map=True)
def apply_hypernetwork(
    model: Annotated[Model, Field(description="the denoising model")],
    hypernetwork: Annotated[
        str, ModelName("hypernetwork"), Field(min_length=1, description="a hypernetwork, as safetensors")
    ],
    strength: Annotated[float, Field(ge=-10, le=10, description="factor on what it adds")] = 1.0,
) -> Model:
    """Change what a model's attention reads by a hypernetwork; several are applied by chaining.

    `graphflow models convert` makes safetensors of the `.pt` files in which they are published. Dropout, which some
    were trained with, does not act.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds none.
    """
    if strength == 0.0:
        return model
    found = runtime.current().models.find(hypernetwork, "hypernetwork", part="hypernetwork")
    return model.hooked(Hypernetwork(network=NetworkExtension(files=(found,)), strength=strength))
