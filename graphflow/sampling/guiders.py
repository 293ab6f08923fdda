"""Guiders beside classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from .guidance import NEGATIVE, POSITIVE, ClassifierFree, Guider, Predictions

MIDDLE = "middle"
EMPTY = "empty"


@dataclass(frozen=True, kw_only=True)
class Unguided:
    """The positive conditioning alone, as distilled models want it."""

    scale: float = 1.0
    sides: tuple[str, ...] = (POSITIVE,)

    def __call__(self, predictions: Predictions) -> Tensor:
        """The conditional clean sample, (B, C, ...)."""
        return predictions.cond


@dataclass(frozen=True, kw_only=True)
class DualClassifierFree:
    """Guidance by two conditionings, as InstructPix2Pix has it (Brooks et al. 2023, arXiv:2211.09800, equation 3).

    uncond + middle_scale * (middle - uncond) + scale * (cond - middle). The nested form guides from the middle
    conditioning to the positive one, and to that from the negative one: uncond + middle_scale * (g - uncond) with
    g = middle + scale * (cond - middle).

    Attributes:
        scale: of the positive conditioning against the middle one.
        middle_scale: of the middle conditioning against the negative one.
        nested: take the nested form.
    """

    scale: float = 7.5
    middle_scale: float = 1.5
    nested: bool = False
    sides: tuple[str, ...] = (POSITIVE, MIDDLE, NEGATIVE)

    def __call__(self, predictions: Predictions) -> Tensor:
        """The guided clean sample, (B, C, ...)."""
        uncond, cond = predictions.uncond, predictions.cond
        middle = predictions.others[MIDDLE]
        away = (cond - middle) * predictions.scale
        if self.nested:
            return uncond + (middle + away - uncond) * self.middle_scale
        return uncond + (middle - uncond) * self.middle_scale + away


@dataclass(frozen=True, kw_only=True)
class PerpendicularNegative:
    """Perp-Neg: only the part of the negative direction that is perpendicular to the positive one is avoided.

    Armandpour et al. 2023, arXiv:2304.04968, equation 10; directions are taken from the empty prompt.

    Attributes:
        scale: guidance scale.
        negative_scale: weight of the negative direction.
    """

    scale: float = 7.5
    negative_scale: float = 1.0
    sides: tuple[str, ...] = (POSITIVE, NEGATIVE, EMPTY)

    def __call__(self, predictions: Predictions) -> Tensor:
        """The guided clean sample, (B, C, ...)."""
        empty = predictions.others[EMPTY]
        return avoid_perpendicular(predictions, empty, self.negative_scale)


def avoid_perpendicular(predictions: Predictions, empty: Tensor, negative_scale: float) -> Tensor:
    """The clean samples (B, C, ...) of Perp-Neg; what is perpendicular is so for the batch as a whole, as ComfyUI has it."""
    wanted, unwanted = predictions.cond - empty, predictions.uncond - empty
    shared = along(unwanted[None], wanted[None])[0]
    return empty + predictions.scale * (wanted - negative_scale * (unwanted - shared))


def along(tensor: Tensor, direction: Tensor) -> Tensor:
    """The part of each item of `tensor` (B, ...) that points along the same item of `direction`."""
    return projection(tensor, direction) * direction


def projection(tensor: Tensor, direction: Tensor) -> Tensor:
    """How many times each item of `direction` goes into that of `tensor`, (B, 1, ...); 0 where it is zero."""
    dims = tuple(range(1, tensor.ndim))
    squared = (direction * direction).sum(dim=dims, keepdim=True)
    shared = (tensor * direction).sum(dim=dims, keepdim=True)
    return torch.where(squared > 0, shared / squared, 0.0)


GUIDERS: Mapping[str, Callable[..., Guider]] = MappingProxyType(
    {
        "unguided": Unguided,
        "classifier_free": ClassifierFree,
        "dual_classifier_free": DualClassifierFree,
        "perpendicular_negative": PerpendicularNegative,
    }
)
"""By the names that guider values call them by."""
