"""Weight patches of model recipes beside LoRA: merges with another model, and scaled attention.

They are values: :mod:`graphflow.loading.patches` does what they say. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from graphflow.values.models import Recipe
from graphflow.values.types import value_type


@value_type("merge_patch")
@dataclass(frozen=True, kw_only=True)
class MergePatch:
    """W' = keep * W + add * W_other, tensor by tensor, where W_other has the other recipe's own patches.

    Attributes:
        other: A recipe of the same kind and family.
        keep: Factor on the weights of this one.
        add: Factor on those of the other.
        blocks: Beginnings of tensor names, original or Diffusers', with the share r of this one: keep = r,
            add = 1 - r for these. The longest that fits holds.
        sections: The same for the original names of whole sections of a UNet; blocks come before them.
    """

    other: Recipe
    keep: float
    add: float
    blocks: Mapping[str, float] = field(default_factory=dict)
    sections: Mapping[str, float] = field(default_factory=dict)


@value_type("attention_scale_patch")
@dataclass(frozen=True, kw_only=True)
class AttentionScalePatch:
    """Factors on the projections of every attention layer of one sort, weights and biases.

    Attributes:
        attention: `cross` (to the text) or `self` in a UNet; `text` in a text encoder.
        q: Factor on the queries.
        k: Factor on the keys.
        v: Factor on the values.
        out: Factor on the output.
    """

    attention: Literal["cross", "self", "text"]
    q: float = 1.0
    k: float = 1.0
    v: float = 1.0
    out: float = 1.0
