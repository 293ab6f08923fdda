"""Sizes that models were trained with, as their families tell them."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.modelfiles.families import installed
from graphflow.modelfiles.family import Family, Sizes


def _presets() -> Mapping[str, Sizes]:
    families: list[Family] = sorted(installed().values(), key=lambda family: not family.encoders())
    return {name: sizes for family in families for name, sizes in family.trained_sizes.items()}


PRESETS: Mapping[str, Sizes] = _presets()
"""By the name of a preset; those of the families that run by components first."""
