"""Z-Image's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import REFERENCES, FlowDenoiser
from graphflow.families.flow.patches import whole_patches
from graphflow.values import ConditioningEntry

_NUMBERS_PER_TOKEN = 17
"""Numbers that a block holds at its peak for each token and channel: query, key and value, and what turns them."""
_MULTIPLE = 32
"""Tokens of a text and of a picture are filled up to a multiple of this."""


@dataclass(kw_only=True, eq=False)
class ZImageDenoiser(FlowDenoiser):
    """What `Model.use()` gives for a Z-Image model; of a conditioning entry it reads the embedding."""

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.cap_feat_dim
        return width

    def memory(self, shape: Sequence[int]) -> int:
        """Bytes that an evaluation of one latent (C, h, w) of this shape takes at its peak, beside the weights."""
        tokens = shape[-2] * shape[-1] // 4 + 512
        return int(tokens * self.module.config.dim * self.dtype.itemsize * _NUMBERS_PER_TOKEN)

    @inference
    def predict(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor | None = None,
        variation: str | None = None,
    ) -> Tensor:
        """The flow's velocity, see :meth:`graphflow.sampling.network.Denoiser.predict`.

        The network's time runs from noise (0) to the picture (1), and so does its velocity.

        Raises:
            InvalidInputError: The entries do not fit the network.
        """
        self.refuse_controls(entries)
        if any(entry.extras.get(REFERENCES) for entry in entries):
            raise InvalidInputError(
                "models of this family read no reference pictures", advice="take add_reference_latent out"
            )
        height, width = x.shape[-2:]
        latent = whole_patches(x.to(self.device, self.dtype))
        text = self.text(entries, len(x) // len(entries), self.text_width)
        self._reach(text.shape[1], latent.shape[-2] // 2, latent.shape[-1] // 2)
        output = self.module(
            x=list(latent[:, :, None]),
            t=1.0 - timestep.to(self.device),
            cap_feats=list(text),
            return_dict=False,
        )[0]
        return -torch.stack(output)[:, :, 0, :height, :width].to(x.device, torch.float32)

    def _reach(self, text: int, rows: int, columns: int) -> None:
        """Extend the table of positions to texts and pictures larger than what the model was trained with."""
        rope = self.module.rope_embedder
        needed = (text + -text % _MULTIPLE + 2, rows, columns)
        if any(need > have for need, have in zip(needed, rope.axes_lens, strict=True)):
            rope.axes_lens = [max(pair) for pair in zip(needed, rope.axes_lens, strict=True)]
            rope.freqs_cis = None
