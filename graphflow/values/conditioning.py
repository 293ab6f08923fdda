"""What a model is told, as it travels on links: prompts, where and when they act, and ControlNets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphflow.values.models import ControlNet, Model, ModelFile, Vae
from graphflow.values.types import value_type

if TYPE_CHECKING:
    import torch

__all__ = ["Area", "Conditioning", "ConditioningEntry", "Control", "ScheduledWeights"]


@value_type("area")
@dataclass(frozen=True, kw_only=True)
class Area:
    """A rectangle: in pixels of the picture, or as fractions of it where ``relative``."""

    height: float
    width: float
    y: float = 0
    x: float = 0
    relative: bool = False


@value_type("control")
@dataclass(frozen=True, kw_only=True, eq=False)
class Control:
    """One ControlNet on one conditioning entry.

    Attributes:
        net: The network.
        hint: (B, 3, H, W) in [0, 1], or -1 where a picture to paint into is unknown.
        strength: Factor on its residuals.
        start: Share of the sampling at which it begins, in [0, 1].
        end: Share of the sampling at which it ends, in [0, 1].
        vae: What encodes the hint, for networks that read latents.
        extras: Options of special types, e.g. a union type.
    """

    net: ControlNet
    hint: torch.Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    vae: Vae | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)


@value_type("scheduled_weights")
@dataclass(frozen=True, kw_only=True)
class ScheduledWeights:
    """Changed weights of the diffusion model while it evaluates one conditioning entry.

    Attributes:
        source: A LoRA, or another model of the family, whose weights are mixed in.
        strength: As of a LoRA; of another model its share.
        schedule: (share of the sampling, factor on the strength), ascending; each holds until the next one, the first
            from the beginning. Empty is 1 throughout.
    """

    source: ModelFile | Model
    strength: float
    schedule: tuple[tuple[float, float], ...] = ()


@value_type("conditioning_entry")
@dataclass(frozen=True, kw_only=True, eq=False)
class ConditioningEntry:
    """One prompt's worth of conditioning.

    Attributes:
        embedding: (B, T, C).
        pooled: (B, D), where the family has one.
        attention_mask: (B, T), where the family has one.
        area: Where in the picture it acts; None is everywhere.
        mask: (B, H, W) in [0, 1]; None is everywhere.
        mask_strength: Factor on the mask.
        mask_bounds: Restrict the evaluation to the mask's bounding box.
        strength: Weight against other entries that overlap it.
        start: Share of the sampling at which it begins, in [0, 1].
        end: Share of the sampling at which it ends, in [0, 1].
        controls: ControlNets, all applied.
        weights: What changes the model's weights for this entry alone, in order.
        otherwise: Whether it acts only where none of the others does.
        extras: What else the family reads, e.g. SDXL's ``width``, ``height``, ``crop_w``, ``crop_h``.
    """

    embedding: torch.Tensor
    pooled: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    area: Area | None = None
    mask: torch.Tensor | None = None
    mask_strength: float = 1.0
    mask_bounds: bool = False
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    controls: tuple[Control, ...] = ()
    weights: tuple[ScheduledWeights, ...] = ()
    otherwise: bool = False
    extras: Mapping[str, Any] = field(default_factory=dict)


@value_type("conditioning")
@dataclass(frozen=True, kw_only=True, eq=False)
class Conditioning:
    """What the model is told: one or several entries."""

    entries: tuple[ConditioningEntry, ...]
