"""What the sampling nodes of documents of older versions mean today."""

from __future__ import annotations

from typing import Any


def unchanged(version: int, params: dict[str, Any]) -> dict[str, Any]:
    """Take parameters as they are: later ones have the defaults that keep what they meant."""
    return params


def keep_ddim(version: int, params: dict[str, Any]) -> dict[str, Any]:
    """Have ``ddim`` of version 1 be ``euler``, as it was then where a mask keeps a part of the latent, too."""
    return params | {"sampler": "euler"} if params.get("sampler") == "ddim" else params
