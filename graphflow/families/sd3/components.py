"""Stable Diffusion 3 and 3.5: a transformer on a flow, two CLIPs and T5, an autoencoder of sixteen channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.families.flow.components import FlowComponents, pieces_of
from graphflow.families.flow.t5 import T5Encoder
from graphflow.families.latent_diffusion.components import tokenizer_of
from graphflow.families.latent_diffusion.text import ClipEncoder
from graphflow.families.sd3.config import times
from graphflow.families.sd3.control import Sd3Control
from graphflow.families.sd3.control_config import CONTROL
from graphflow.families.sd3.denoiser import Sd3Denoiser
from graphflow.families.sd3.family import FAMILY
from graphflow.families.sd3.text import CLIPS, T5, Sd3Text
from graphflow.loading.components import FindVectors, Module
from graphflow.sampling.prediction import ModelSampling

T5_TOKENS = 77
"""Tokens that T5's prompts are filled up to."""


class Sd3Components(FlowComponents):
    """The networks of Stable Diffusion 3."""

    def control(self, part: Module) -> Sd3Control:
        """A ControlNet."""
        official = part.config.get("joint_attention_dim") is None
        return Sd3Control(
            module=part.module,
            latent=self.latent,
            device=part.device,
            dtype=part.dtype,
            canny=official and "canny" in part.description.name.lower(),  # nothing inside the file tells
        )

    def denoiser(self, part: Module) -> Sd3Denoiser:
        """The transformer."""
        return Sd3Denoiser(
            module=part.module,
            model_sampling=ModelSampling.flow(**asdict(times(part.description))),
            latent=self.latent,
            device=part.device,
            dtype=part.dtype,
        )

    def encoder(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> Sd3Text:
        """The text encoders together, in any order; any of them may be missing.

        Raises:
            ModelFormatError: A part is none of its encoders, or two are the same one.
            ModelNotFoundError: T5's tokenizer is not at hand.
        """
        by_name: dict[str, Module] = {}
        for part in parts:
            if part.name not in (*CLIPS, T5) or part.name in by_name:
                raise ModelFormatError(
                    f"Stable Diffusion 3 reads one CLIP-L, one CLIP-G and one T5, not a {type(part.module).__name__}"
                    + (" more" if part.name in by_name else ""),
                    where=part.description.name,
                    advice="load clip_l, clip_g and t5xxl, or some of them",
                )
            by_name[part.name] = part
        t5 = by_name.get(T5)
        return Sd3Text(
            encoders=tuple(
                ClipEncoder(
                    name=name,
                    module=by_name[name].module,
                    tokenizer=tokenizer_of(by_name[name]),
                    device=by_name[name].device,
                    layer=-2 if layer is None else layer,
                    normed=False,
                    projected=name == CLIPS[1],
                )
                for name in CLIPS
                if name in by_name
            ),
            find_embedding=find_embedding,
            tokens=tokens,
            t5=None
            if t5 is None
            else T5Encoder(module=t5.module, tokenizer=pieces_of(t5), device=t5.device, least=T5_TOKENS),
        )


COMPONENTS = Sd3Components(latent=FAMILY.latent, transformer=FAMILY.transformer, further=(CONTROL,))
