"""What Z-Image's ControlNets make of tensors; exported scripts carry these functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional

from graphflow.families.flow.patches import whole_patches
from graphflow.families.flow.residuals import Residuals, added_by

LAYERS = "controlnet_block_samples"
LENT = (
    "t_scale", "t_embedder", "all_x_embedder", "cap_embedder", "rope_embedder", "noise_refiner", "context_refiner",
    "x_pad_token", "cap_pad_token",
)  # fmt: skip
"""What a ControlNet has of its transformer."""


def z_image_hint(net: Any, picture: Tensor) -> Tensor:
    """Latents (K, C, h, w) with zeros for the channels of a picture that is not filled in."""
    more = net.config.control_in_dim - picture.shape[1]
    return whole_patches(functional.pad(picture, (0, 0, 0, 0, 0, more)))


def z_image_residuals(
    net: Any, latents: Tensor, told: Mapping[str, Any], strength: float, transformer: Any
) -> Residuals:
    """What a ControlNet adds behind the layers.

    Args:
        net: A Diffusers `ZImageControlNetModel`.
        latents: What :func:`z_image_hint` made, of B items.
        told: What the transformer gets.
        strength: Factor on it.
        transformer: The transformer.
    """
    with lent(net, transformer):
        context = list(latents[:, :, None])
        found = net(**told, control_context=context, conditioning_scale=strength)
    return {(LAYERS, layer): sample for layer, sample in found.items()}


def by_layer(found: Residuals) -> dict[str, dict[int, Tensor]]:
    """Residuals as the transformer takes them."""
    layers = {layer: sample for (_, layer), sample in found.items()}
    return {LAYERS: layers} if layers else {}


def z_image_steered(
    controls: Sequence[Mapping[str, Any]], network: Any, x: Tensor, time: Tensor, told: Mapping[str, Any]
) -> dict[str, dict[int, Tensor]]:
    """Arguments of `z_image_velocity` by which ControlNets steer.

    Args:
        controls: Of each `net`, `picture` as :func:`z_image_hint` made it of B items, and `strength`.
        network: The transformer.
        x: Latents as there.
        time: As there.
        told: Its other arguments.
    """
    latents, text = whole_patches(x)[:, :, None], told["embeds"]
    asked = {"x": list(latents), "t": 1 - time, "cap_feats": list(text)}
    return by_layer(added_by(controls, z_image_residuals, asked, network))


@contextmanager
def lent(net: Any, transformer: Any) -> Iterator[None]:
    """Give a ControlNet the layers of its transformer until the block ends, without making them its own."""
    try:
        vars(net).update({name: getattr(transformer, name) for name in LENT})
        yield
    finally:
        vars(net).update(dict.fromkeys(LENT))
