"""NaN is an error with advice, never a black picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.errors import GraphflowError

if TYPE_CHECKING:
    import torch


class NotFiniteError(GraphflowError):
    """A model made NaN or infinity."""


def require_finite(tensor: torch.Tensor, what: str, advice: str) -> None:
    """Check that a tensor holds numbers only.

    Raises:
        NotFiniteError: It holds NaN or infinity.
    """
    import torch

    if not torch.isfinite(tensor).all():
        share = float((~torch.isfinite(tensor)).float().mean())
        raise NotFiniteError(f"{what} has NaN or infinity in {share:.0%} of its values", advice=advice)
