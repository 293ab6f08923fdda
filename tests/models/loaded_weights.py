"""The weights of what a recipe loads."""

from __future__ import annotations

from torch import Tensor

from graphflow.values import Model, TextEncoder


def weights(recipe: Model | TextEncoder) -> dict[str, Tensor]:
    """Every weight of the loaded module; of several text encoders those of the last."""
    with recipe.use() as loaded:
        module = loaded.module if isinstance(recipe, Model) else loaded.encoders[-1].module
        return {name: tensor.clone() for name, tensor in module.state_dict().items()}
