"""Refusing results that are not numbers: they would become black pictures without a word."""

from __future__ import annotations

import torch
from torch import Tensor

from graphflow.errors import GraphflowError


class NonFiniteError(GraphflowError):
    """A model made NaN or infinite values."""


def is_finite(tensor: Tensor) -> bool:
    """Whether all values of a floating tensor are finite."""
    if tensor.dtype.itemsize == 1:  # what follows knows no eight bits
        tensor = tensor.to(torch.bfloat16)
    if tensor.numel() and tensor.device.type == "cpu":
        # Both ends are NaN where one value is; thirty times as fast as asking each, and without memory of its own.
        tensor = torch.stack(tensor.aminmax())
    return bool(tensor.isfinite().all())


def require_finite(tensor: Tensor, what: str, advice: str) -> None:
    """Refuse NaN and infinity.

    Args:
        tensor: Any floating tensor.
        what: What it is, for the message, e.g. `the latent`.
        advice: The way out.

    Raises:
        NonFiniteError: Some value is NaN or infinite.
    """
    if not is_finite(tensor):
        bad = int((~tensor.isfinite()).sum())
        raise NonFiniteError(f"{what} has {bad} of {tensor.numel()} values that are no numbers", advice=advice)
