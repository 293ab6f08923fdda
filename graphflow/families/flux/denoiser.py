"""FLUX.1's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.flux.network import GUIDANCE, flux_channels, flux_velocity
from graphflow.families.flux.references import PLACES
from graphflow.sampling.latent_space import space_of
from graphflow.sampling.regions import CONCAT, HOLE, PICTURE
from graphflow.values import Conditioning, ConditioningEntry

_BYTES_PER_TOKEN = 34
"""Numbers that a block holds at its peak for each token and channel: joint query, key and value, and the perceptron."""


@dataclass(kw_only=True, eq=False)
class FluxDenoiser(FlowDenoiser):
    """What `Model.use()` gives for a FLUX.1 model.

    Extras of a conditioning entry that it reads: `guidance` (None leaves the embedding out), `reference_latents` with
    `reference_method`, and the further channels of Fill, Canny and Depth models.
    """

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.joint_attention_dim
        return width

    def memory(self, shape: Sequence[int]) -> int:
        """Bytes that an evaluation of one latent (C, h, w) of this shape takes at its peak, beside the weights."""
        config = self.module.config
        tokens = shape[-2] * shape[-1] // 4 + 512
        return int(
            tokens * config.num_attention_heads * config.attention_head_dim * self.dtype.itemsize * _BYTES_PER_TOKEN
        )

    def painting(
        self, sides: Mapping[str, Conditioning], latent: Tensor, noise_mask: Tensor | None
    ) -> dict[str, Conditioning]:
        """Give the picture that the conditioning brings as further channels, then 8 x 8 pixels of the mask a sample."""
        space = space_of(self.latent)

        def channels(entry: ConditioningEntry) -> ConditioningEntry:
            if PICTURE not in entry.extras:
                return entry
            beside = flux_channels(space.enter(entry.extras[PICTURE]), entry.extras.get(HOLE))
            return replace(entry, extras={**entry.extras, CONCAT: beside})

        return {name: Conditioning(entries=tuple(map(channels, side.entries))) for name, side in sides.items()}

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

        Raises:
            InvalidInputError: The entries do not fit the network.
        """
        with self.varied(variation):
            return self.by_references(x, timestep, entries, self._evaluate)

    def _evaluate(self, x: Tensor, timestep: Tensor, entries: Sequence[ConditioningEntry]) -> Tensor:
        config = self.module.config
        batch, here = len(x) // len(entries), x.to(self.device, self.dtype)
        references = self.references(entries, batch)
        method = self.reference_method(entries, PLACES, "offset") if references else "offset"
        guidance, heard = self._guidance(entries, batch)
        with _heard(self.module, heard):
            return flux_velocity(
                self.module,
                here,
                timestep.to(self.device, torch.float32),
                embeds=self.text(entries, batch, config.joint_attention_dim),
                pooled=self.pooled(entries, batch, config.pooled_projection_dim),
                guidance=guidance,
                beside=self._beside(here, entries, batch),
                references=references,
                arrange=PLACES[method],
            )

    def _beside(self, x: Tensor, entries: Sequence[ConditioningEntry], batch: int) -> Tensor | None:
        """The further channels of Fill, Canny and Depth models.

        Raises:
            InvalidInputError: The network needs further channels and the entries bring none.
        """
        more = self.module.config.in_channels // 4 - x.shape[1]
        if more == 0:
            return None
        given = [entry.extras.get(CONCAT) for entry in entries]
        if any(not isinstance(tensor, Tensor) or tensor.shape[1] != more for tensor in given):
            raise InvalidInputError(
                f"this model reads {more} channels beside the latent, and the conditioning brings none",
                advice="give it the picture and mask to paint into by inpaint_conditioning, or the picture that steers"
                " it by edit_conditioning",
            )
        return self.stacked([tensor for tensor in given if isinstance(tensor, Tensor)], batch)

    def _guidance(self, entries: Sequence[ConditioningEntry], batch: int) -> tuple[Tensor | None, Tensor | None]:
        """The guidance of each item and whether it is heard at all; None where the model has no such input."""
        if not self.module.config.guidance_embeds:
            return None, None
        told = [entry.extras.get("guidance", GUIDANCE) for entry in entries]
        values = torch.tensor([GUIDANCE if value is None else float(value) for value in told])
        heard = torch.tensor([value is not None for value in told])
        return (
            values.repeat_interleave(batch).to(self.device),
            None if bool(heard.all()) else heard.repeat_interleave(batch).to(self.device, self.dtype),
        )


@contextmanager
def _heard(module: Any, heard: Tensor | None) -> Iterator[None]:
    """Silence the guidance embedding of some items until the block ends; of none, where `heard` is None."""
    if heard is None:
        yield
        return
    embedder = module.time_text_embed.guidance_embedder
    hook = embedder.register_forward_hook(lambda _module, _inputs, output: output * heard[:, None])
    try:
        yield
    finally:
        hook.remove()
