"""The original authors' names of tensors, from the names in Diffusers' classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from graphflow.loading.mapped import modules_of

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Part


def original_names(part: Part, names: Iterable[str]) -> dict[str, str]:
    """The names of tensors in the code of the model's authors (latent diffusion, CompVis).

    Args:
        part: A UNet, ControlNet or autoencoder.
        names: Tensor names of its class.

    Returns:
        By name; a tensor that has no original name is left out, and so is every tensor of other parts.
    """
    originals = {new: old for old, new in modules_of(part).items()}
    found: dict[str, str] = {}
    for name in names:
        head, _, tail = name.rpartition(".")
        while head and head not in originals:
            head, _, last = head.rpartition(".")
            tail = f"{last}.{tail}"
        if head:
            found[name] = f"{originals[head]}.{tail}"
    return found
