"""Refusing results that are not numbers: they would become black pictures without a word."""

from __future__ import annotations

from torch import Tensor

from graphflow.errors import GraphflowError


class NonFiniteError(GraphflowError):
    """A model made NaN or infinite values."""


def is_finite(tensor: Tensor) -> bool:
    """Whether all values of a tensor are finite."""
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
