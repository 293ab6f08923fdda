"""FLUX.1's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser, exact_numbers
from graphflow.families.flow.guidance import hearing, told_guidance
from graphflow.families.flow.patches import pack, positions, unpack, whole_patches
from graphflow.families.flux.references import PLACES
from graphflow.pixels.batches import cycled
from graphflow.sampling.loop import LatentSpace
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
        space = LatentSpace.of(self.latent)

        def channels(entry: ConditioningEntry) -> ConditioningEntry:
            if PICTURE not in entry.extras:
                return entry
            beside = [space.enter(entry.extras[PICTURE])]
            if HOLE in entry.extras:
                hole = functional.pixel_unshuffle(entry.extras[HOLE], self.latent.downscale)
                beside.append(cycled(hole, len(beside[0])))
            return replace(entry, extras={**entry.extras, CONCAT: torch.cat(beside, dim=1)})

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
        batch, (height, width) = len(x) // len(entries), x.shape[-2:]
        latent = whole_patches(self._with_channels(x.to(self.device, self.dtype), entries, batch))
        tokens, rows, columns = pack(latent), latent.shape[-2] // 2, latent.shape[-1] // 2
        places = [positions(rows, columns)]
        count = tokens.shape[1]
        references = [whole_patches(reference) for reference in self.references(entries, batch)]
        if references:
            sizes = [(reference.shape[-2] // 2, reference.shape[-1] // 2) for reference in references]
            places += PLACES[self.reference_method(entries, PLACES, "offset")](sizes, rows, columns)
            tokens = torch.cat([tokens, *map(pack, references)], dim=1)
        text = self.text(entries, batch, config.joint_attention_dim)
        guidance, heard = None, None
        if config.guidance_embeds:
            guidance, heard = told_guidance(entries, batch, self.device, self.dtype)
        numbers = [1000 * told for told in (timestep.to(self.device, torch.float32), guidance) if told is not None]
        embedder = self.module.time_text_embed
        with hearing(embedder, heard), exact_numbers(embedder.time_proj, *numbers):
            output: Tensor = self.module(
                hidden_states=tokens,
                encoder_hidden_states=text,
                pooled_projections=self.pooled(entries, batch, config.pooled_projection_dim),
                timestep=timestep.to(self.device, self.dtype),
                guidance=guidance,
                img_ids=torch.cat(places).to(self.device),
                txt_ids=torch.zeros(text.shape[1], 3, device=self.device),
                return_dict=False,
            )[0]
        return unpack(output[:, :count], height, width)

    def _with_channels(self, x: Tensor, entries: Sequence[ConditioningEntry], batch: int) -> Tensor:
        """The latent with the further channels of Fill, Canny and Depth models.

        Raises:
            InvalidInputError: The network needs further channels and the entries bring none.
        """
        more = self.module.config.in_channels // 4 - x.shape[1]
        if more == 0:
            return x
        given = [entry.extras.get(CONCAT) for entry in entries]
        if any(not isinstance(tensor, Tensor) or tensor.shape[1] != more for tensor in given):
            raise InvalidInputError(
                f"this model reads {more} channels beside the latent, and the conditioning brings none",
                advice="give it the picture and mask to paint into by inpaint_conditioning, or the picture that steers"
                " it by edit_conditioning",
            )
        return torch.cat([x, self.stacked([tensor for tensor in given if isinstance(tensor, Tensor)], batch)], dim=1)
