"""What ControlNets of transformers on a flow add behind blocks; exported scripts carry these functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Residuals = dict[tuple[str, int], Tensor]
"""What is added behind blocks: by the transformer's argument that takes it, and the block's number."""


def summed(found: Iterable[Residuals]) -> Residuals:
    """The sum of what several ControlNets add."""
    total: Residuals = {}
    for residuals in found:
        for place, sample in residuals.items():
            total[place] = total[place] + sample if place in total else sample
    return total


def added_by(
    controls: Iterable[Mapping[str, Any]],
    residuals: Callable[..., Residuals],
    told: Mapping[str, Any],
    transformer: Any,
) -> Residuals:
    """What several ControlNets add together.

    Args:
        controls: Of each `net`, `picture`, `strength` and, of unions, `mode`.
        residuals: What one adds: (net, picture, told, strength, transformer, mode).
        told: What the transformer gets.
        transformer: The transformer.
    """
    found = []
    for control in controls:
        own = control["net"], control["picture"], told, control["strength"], transformer
        mode = {"mode": control["mode"]} if "mode" in control else {}
        found.append(residuals(*own, **mode))
    return summed(found)


def over_blocks(
    name: str, samples: Sequence[Tensor] | None, blocks: int, strength: float, *, whole: bool = True
) -> Residuals:
    """Give each of so many blocks one of the samples, the first ones to the first blocks.

    Args:
        name: The transformer's argument that takes them.
        samples: Of each of the ControlNet's blocks.
        blocks: The transformer's.
        strength: Factor on them.
        whole: Whether each sample goes to as many blocks as the others, rounded up, or to their exact share.
    """
    if not samples:
        return {}
    scaled, count = [sample * strength for sample in samples], len(samples)
    each = -(-blocks // count) if whole else blocks / count
    return {(name, block): scaled[int(block / each)] for block in range(blocks)}


def block_lists(residuals: Residuals, counts: Mapping[str, int], further: int = 0) -> dict[str, list[Tensor]]:
    """Residuals as a transformer takes them, by argument.

    Args:
        residuals: What ControlNets add.
        counts: How many blocks read each argument.
        further: How many tokens follow the picture's, which get nothing.
    """
    if not residuals:
        return {}
    nothing = torch.zeros_like(next(iter(residuals.values())))
    found = {}
    for name in dict.fromkeys(name for name, _ in residuals):
        places = [(name, block) for block in range(counts[name])]
        samples = [residuals.get(place, nothing) for place in places]
        found[name] = [functional.pad(sample, (0, 0, 0, further)) for sample in samples]
    return found
