"""Z-Image's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.families.flow.next_dit import NextDenoiser, further
from graphflow.families.z_image.control import LAYERS, ZImageControl
from graphflow.values import ConditioningEntry

_MULTIPLE = 32
"""Tokens of a text and of a picture are filled up to a multiple of this."""


@dataclass(kw_only=True, eq=False)
class ZImageDenoiser(NextDenoiser):
    """What `Model.use()` gives for a Z-Image model; of a conditioning entry it reads the embedding."""

    numbers_per_token = 17
    steered_by = ZImageControl

    def evaluate(self, latent: Tensor, time: Tensor, text: Tensor, entries: Sequence[ConditioningEntry]) -> Tensor:
        """The network's output; the class itself fills text and picture up.

        Raises:
            InvalidInputError: A mask leaves tokens of a text out.
        """
        if any(entry.attention_mask is not None and not bool(entry.attention_mask.all()) for entry in entries):
            raise InvalidInputError(
                "Z-Image reads all tokens of a text, and a conditioning's mask leaves some out",
                advice="encode the prompt with Z-Image's text encoder",
            )
        rope, (rows, columns) = self.module.rope_embedder, (edge // 2 for edge in latent.shape[-2:])
        whole = text.shape[1] + -text.shape[1] % _MULTIPLE
        if (longer := further(rope.axes_lens, whole + 2, rows, columns)) is not None:
            rope.axes_lens, rope.freqs_cis = longer, None
        told = {"x": list(latent[:, :, None]), "t": time, "cap_feats": list(text)}
        steering = self.steering(entries, latent.shape, told, self.module.config.dim)
        added = {LAYERS: {layer: sample for (_, layer), sample in steering.items()}} if steering else {}
        output = self.module(**told, **added, return_dict=False)[0]
        return torch.stack(output)[:, :, 0]
