"""FLUX.2's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.basics.inference import inference
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.guidance import hearing, told_guidance
from graphflow.families.flow.patches import pack, positions, unpack
from graphflow.values import ConditioningEntry

TEXT = 512
"""Tokens of a text at least; shorter ones have zeros before them."""
APART = 10
"""How far the numbers of the picture and of its references are apart."""
_BYTES_PER_TOKEN = 34
"""Numbers that a block holds at its peak for each token and channel: joint query, key and value, and the perceptron."""


@dataclass(kw_only=True, eq=False)
class Flux2Denoiser(FlowDenoiser):
    """What `Model.use()` gives for a FLUX.2 model.

    Extras of a conditioning entry that it reads: `guidance` (None leaves the embedding out) and `reference_latents`.
    """

    caches = True

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.joint_attention_dim
        return width

    def memory(self, shape: Sequence[int]) -> int:
        """Bytes that an evaluation of one latent (C, h, w) of this shape takes at its peak, beside the weights."""
        config = self.module.config
        width = config.num_attention_heads * config.attention_head_dim
        return int((shape[-2] * shape[-1] + TEXT) * width * self.dtype.itemsize * _BYTES_PER_TOKEN)

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
            return self.by_references(x, timestep, entries, partial(self._evaluate, variation))

    def _evaluate(
        self, variation: str | None, x: Tensor, timestep: Tensor, entries: Sequence[ConditioningEntry]
    ) -> Tensor:
        batch, (height, width) = len(x) // len(entries), x.shape[-2:]
        self.reference_method(entries, ("index",), "index")
        references = self.references(entries, batch)
        known, keep = self.recall(entries, variation, batch)
        mode = None if self.kept is None or not references else "extract" if known is None else "cached"
        pictures = [(APART * number, latent) for number, latent in enumerate(references, start=1) if mode != "cached"]
        pictures.append((0, x.to(self.device, self.dtype)))
        places = [positions(*picture.shape[-2:], first=first) for first, picture in pictures]
        tokens = [pack(picture, 1) for _, picture in pictures]
        text = self.text(entries, batch, self.text_width)
        text = functional.pad(text, (0, 0, max(0, TEXT - text.shape[1]), 0))
        line = torch.zeros(text.shape[1], 4)
        line[:, 3] = torch.arange(len(line))
        numbers = [time := timestep.to(self.device, torch.float32)]
        embedder = self.module.time_guidance_embed
        guidance, heard = None, None
        if embedder.guidance_embedder is not None:
            guidance, heard = told_guidance(entries, batch, self.device, self.dtype)
            numbers.append(guidance)
        if mode == "extract":  # references have the time 0
            numbers += [torch.zeros_like(time), *numbers[1:]]
        with (
            hearing(embedder, heard),
            exact_numbers(embedder.time_proj, *(1000 * number for number in numbers)),
        ):
            output, *made = self.module(
                hidden_states=torch.cat(tokens, dim=1),
                encoder_hidden_states=text,
                timestep=time,
                guidance=guidance,
                img_ids=functional.pad(torch.cat(places), (0, 1)).to(self.device),
                txt_ids=line.to(self.device),
                kv_cache=known,
                kv_cache_mode=mode,
                num_ref_tokens=sum(part.shape[1] for part in tokens[:-1]) if mode == "extract" else 0,
                return_dict=False,
            )
        if made:
            keep(made[0])
        return unpack(output[:, -height * width :], height, width, 1)
