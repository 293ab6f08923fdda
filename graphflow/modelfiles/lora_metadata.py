"""The scale of LoRA layers where Diffusers and PEFT write it into the file's metadata instead of into tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow.errors import ModelFormatError

KEY = "lora_adapter_metadata"
"""Metadata field with PEFT's configuration of each part, as Diffusers saves it."""


_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class StatedAlphas:
    """What a file's metadata says of alpha.

    Attributes:
        parts: By the part's prefix, such as `unet`: fields of PEFT's `LoraConfig`.
        where: The file, for errors.
    """

    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    where: str = ""

    def alpha(self, name: str, rank: int) -> float | None:
        """Alpha of a layer so that alpha / rank is its scale; None where nothing is said.

        Args:
            name: The module's name in the file, with the part's prefix.
            rank: The layer's rank.

        Raises:
            ModelFormatError: A pattern is no regular expression, or takes long.
        """
        part, _, module = name.partition(".")
        config = self.parts.get(part, {})
        alpha = config.get("lora_alpha", config.get("alpha"))
        patterns = config.get("alpha_pattern")
        if isinstance(patterns, dict):
            module = module.removeprefix("model.") if part == "base_model" else module
            alpha = next((value for key, value in patterns.items() if _fits(key, module, self.where)), alpha)
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            return None
        # Rank-stabilised LoRA (arXiv:2312.03732) divides by the root of the rank.
        return alpha * math.sqrt(rank) if config.get("use_rslora") else float(alpha)


def stated_alphas(metadata: Mapping[str, str], where: str) -> StatedAlphas:
    """Read the metadata of a LoRA file.

    Raises:
        ModelFormatError: The field is no JSON object.
    """
    text = metadata.get(KEY)
    if text is None:
        return StatedAlphas()
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise TypeError("it is no object")
    except (ValueError, TypeError) as error:
        raise ModelFormatError(f"its metadata {KEY!r} cannot be read: {error}", where=where) from error
    parts: dict[str, dict[str, Any]] = {}
    for name, value in fields.items():
        part, _, key = name.partition(".")
        parts.setdefault(part, {})[key] = value
    return StatedAlphas(parts, where)


def _fits(pattern: str, module: str, where: str) -> bool:
    """Whether PEFT takes a key of its patterns, a regular expression for the end of a name, for a module's."""
    import regex  # type: ignore[import-untyped]

    try:
        return regex.match(rf"(.*\.)?({pattern})$", module, timeout=_SECONDS) is not None
    except (regex.error, OverflowError, RecursionError, TimeoutError) as error:
        raise ModelFormatError(
            f"its pattern {pattern[:80]!r} cannot be used: {error or 'it takes too long'}", where=where
        ) from error
