"""FLUX.1's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.flow.guidance import hearing, told_guidance
from graphflow.families.flow.residuals import block_lists
from graphflow.families.flux.control import FluxControl
from graphflow.families.flux.family import FAMILY
from graphflow.families.flux.ip_adapter import FluxPicturePrompts
from graphflow.families.flux.network import flux_attention, flux_channels, flux_tokens, flux_velocity
from graphflow.families.flux.references import PLACES
from graphflow.families.flux.steering import DOUBLE, SINGLE
from graphflow.families.flux.style_projector import reading_style, with_room
from graphflow.sampling.latent_space import space_of
from graphflow.sampling.regions import CONCAT, HOLE, PICTURE
from graphflow.values import Conditioning, ConditioningEntry

BIAS = "attention_bias"
"""The extra of an entry that says how much more attention some of its tokens get: (first, behind the last, logarithm)."""


@dataclass(kw_only=True, eq=False)
class FluxDenoiser(FlowDenoiser):
    """What `Model.use()` gives for a FLUX.1 model.

    Extras of a conditioning entry that it reads: `guidance` (None leaves the embedding out), `reference_latents` with
    `reference_method`, and the further channels of Fill, Canny and Depth models.
    """

    footprint = FAMILY.footprint
    steered_by = FluxControl
    picture_prompts: FluxPicturePrompts = field(default_factory=FluxPicturePrompts)
    styles: list[Tensor] = field(default_factory=list)

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.joint_attention_dim
        return width

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
            return self.by_references(
                x, timestep, entries, partial(self._evaluate, None if sigma is None else float(sigma))
            )

    def complete(self, told: Conditioning, height: int, width: int, *, negative: bool, seed: int = 0) -> Conditioning:
        """The conditioning with the tokens of pictures that IP-Adapters show; see `Denoiser.complete`."""
        return self.picture_prompts.completed(told, negative=negative)

    def _evaluate(
        self, sigma: float | None, x: Tensor, timestep: Tensor, entries: Sequence[ConditioningEntry]
    ) -> Tensor:
        config = self.module.config
        batch = len(x) // len(entries)
        here, references = x.to(self.device, self.dtype), self.references(entries, batch)
        method = self.reference_method(entries, PLACES, "offset") if references else "offset"
        beside = self._beside(here, entries, batch)
        tokens, places, count = flux_tokens(here, beside, references, PLACES[method])
        text = self.text(entries, batch, config.joint_attention_dim)
        guidance, heard = told_guidance(entries, batch, self.device, self.dtype)
        told = {
            "encoder_hidden_states": text,
            "pooled_projections": self.pooled(entries, batch, config.pooled_projection_dim),
            "timestep": timestep.to(self.device, torch.float32),
            "guidance": guidance,
            "txt_ids": torch.zeros(text.shape[1], 3, device=self.device),
        }
        picture = {"hidden_states": tokens[:, :count, : config.out_channels], "img_ids": places[:count].to(self.device)}
        steering = self.steering(entries, x.shape, told | picture, self.module.inner_dim)
        blocks = {DOUBLE: len(self.module.transformer_blocks), SINGLE: len(self.module.single_transformer_blocks)}
        style = torch.cat(self.styles, dim=1) if self.styles else None
        read = text if style is None else with_room(text, style)
        pictures = [self.stacked(seen, batch) for seen in self.picture_prompts.tokens(entries)]
        embedder = self.module.time_text_embed
        with (
            hearing(embedder, heard if config.guidance_embeds else None),
            self.picture_prompts.attending_to(self.module, pictures, sigma) as seeing,
            nullcontext() if style is None else reading_style(self.module, style),
        ):
            return flux_velocity(
                self.module,
                here,
                told["timestep"],
                embeds=read,
                pooled=told["pooled_projections"],
                guidance=guidance,
                beside=beside,
                references=references,
                arrange=PLACES[method],
                joint_attention_kwargs=self._attention(entries, batch, read.shape[1], tokens.shape[1]) | seeing,
                **block_lists(steering, blocks, tokens.shape[1] - count),
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

    def _attention(self, entries: Sequence[ConditioningEntry], batch: int, text: int, picture: int) -> dict[str, Any]:
        """What is added to the scores of attention, where style models' tokens get more or less of it."""
        if not any(entry.extras.get(BIAS) for entry in entries):
            return {}
        added = torch.stack([flux_attention(entry.extras.get(BIAS, ()), text, picture) for entry in entries])
        return {"attention_mask": added[:, None].to(self.device, self.dtype).repeat_interleave(batch, dim=0)}
