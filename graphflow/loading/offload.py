"""Measures that save device memory, by name, and how each is taken for one module."""

from __future__ import annotations

import torch
from torch import nn

SLICED_ATTENTION = "sliced_attention"
"""Attention head by head: the same numbers but for rounding."""

TILES = "tiles"
"""Large pictures are encoded and decoded in tiles: other numbers at the seams."""

MODELS = "model_offload"
"""A model leaves the device when nobody uses it."""

GROUPS = "group_offload"
"""A model's layers come to the device one after another."""

MEASURES = (SLICED_ATTENTION, TILES, MODELS, GROUPS)


def slice_attention(module: nn.Module) -> None:
    """Compute attention in slices, where the module's class knows how."""
    if hasattr(module, "set_attention_slice"):
        module.set_attention_slice("auto")


def offload_groups(module: nn.Module, device: torch.device) -> None:
    """Keep weights in main memory and bring each layer to the device when it runs.

    Args:
        module: On the CPU.
        device: Where it computes.
    """
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(module, onload_device=device, offload_device=torch.device("cpu"), offload_type="leaf_level")


def join_groups(module: nn.Module) -> None:
    """Undo :func:`offload_groups`; the weights are in main memory afterwards."""
    from diffusers.hooks.hooks import HookRegistry

    for part in module.modules():
        registry = getattr(part, "_diffusers_hook", None)
        if isinstance(registry, HookRegistry):
            for name in list(registry.hooks):
                registry.remove_hook(name, recurse=False)
            del part._diffusers_hook
