"""FLUX.1 (Black Forest Labs 2024): a transformer on a flow, T5 and CLIP, an autoencoder of sixteen channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from graphflow.basics.importing import collector_paused
from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.families.flow.components import FlowComponents, pieces_of
from graphflow.families.flow.t5 import T5Encoder
from graphflow.families.flux.config import T5_TOKENS, times
from graphflow.families.flux.control import FluxControl
from graphflow.families.flux.control_config import CONTROL, EXTRA
from graphflow.families.flux.denoiser import FluxDenoiser
from graphflow.families.flux.family import FAMILY
from graphflow.families.flux.steering import flux_control_net
from graphflow.families.flux.style import REDUX
from graphflow.families.flux.style_projector import STYLE_LAYERS, StyleProjector
from graphflow.families.flux.style_projector_config import STYLE_PROJECTOR
from graphflow.families.flux.text import FluxText
from graphflow.families.latent_diffusion.components import LatentDiffusionComponents, tokenizer_of
from graphflow.families.latent_diffusion.hooks.attach import attending
from graphflow.families.latent_diffusion.ip_adapter import PictureAdapter
from graphflow.families.latent_diffusion.text import ClipEncoder
from graphflow.loading.components import FindVectors, Module
from graphflow.loading.hooks import attach
from graphflow.modelfiles.description import Part
from graphflow.sampling.prediction import ModelSampling
from graphflow.values.image_prompts import ImagePrompt, StyleTokens


@dataclass(frozen=True, kw_only=True, eq=False)
class StylePatch:
    """What `ControlNet.use()` gives for a patch for styles.

    Attributes:
        module: A :class:`StyleProjector`.
    """

    module: Any
    layers: ClassVar[Sequence[int]] = STYLE_LAYERS

    @property
    def reads(self) -> tuple[int, int]:
        """Number and width of the tokens that it reads."""
        return self.module.reads, self.module.width

    @inference
    def tokens(self, states: Sequence[Tensor]) -> Tensor:
        """Tokens (B, n, C) of hidden layers (B, T, D), float32 on the CPU."""
        found: Tensor = self.module(states)
        return found.float().cpu()


class FluxComponents(FlowComponents):
    """The networks of FLUX.1."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        if part.config.get(EXTRA):
            with collector_paused():
                made: nn.Module = flux_control_net(**part.config)
            return made
        if part.class_name == STYLE_PROJECTOR:
            return StyleProjector(**{name: int(str(value)) for name, value in part.config.items()})
        return super().build(part)

    def control(self, part: Module) -> FluxControl | StylePatch:
        """A ControlNet, or a patch for styles."""
        if isinstance(part.module, StyleProjector):
            return StylePatch(module=part.module)
        return FluxControl(module=part.module, latent=self.latent, device=part.device, dtype=part.dtype)

    def picture_adapter(self, part: Module) -> PictureAdapter:
        """An IP-Adapter."""
        return replace(LatentDiffusionComponents.picture_adapter(self, part), black=True)

    def denoiser(self, part: Module) -> FluxDenoiser:
        """The transformer."""
        return FluxDenoiser(
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
    ) -> FluxText:
        """The text encoders together, in any order; one of them may be missing.

        Raises:
            ModelFormatError: A part is none of its encoders.
            ModelNotFoundError: T5's tokenizer is not at hand.
        """
        by_class = {type(part.module).__name__: part for part in parts}
        clip, t5 = by_class.pop("CLIPTextModel", None), by_class.pop("T5EncoderModel", None)
        if by_class:
            raise ModelFormatError(
                f"FLUX reads CLIP-L and T5, not {', '.join(sorted(by_class))}",
                where=next(iter(by_class.values())).description.name,
                advice="load clip_l and t5xxl",
            )
        encoders: tuple[ClipEncoder, ...] = ()
        if clip is not None:
            encoders = (
                ClipEncoder(
                    name="text_encoder",
                    module=clip.module,
                    tokenizer=tokenizer_of(clip),
                    device=clip.device,
                    layer=-1 if layer is None else layer,
                    normed=True,
                ),
            )
        return FluxText(
            encoders=encoders,
            find_embedding=find_embedding,
            tokens=tokens,
            t5=None
            if t5 is None
            else T5Encoder(module=t5.module, tokenizer=pieces_of(t5), device=t5.device, least=T5_TOKENS),
        )


@attach.register
def _(hook: ImagePrompt, loaded: FluxDenoiser) -> AbstractContextManager[None]:
    return attending(hook, loaded, loaded.picture_prompts)


@attach.register
def _(hook: StyleTokens, loaded: FluxDenoiser) -> AbstractContextManager[None]:
    wanted = loaded.module.inner_dim
    if hook.tokens.shape[-1] != wanted:
        raise InvalidInputError(
            f"the style patch makes tokens of width {hook.tokens.shape[-1]}, the model has {wanted}",
            advice="use the model that the patch was made for",
        )
    loaded.styles.append(hook.tokens)
    return nullcontext()


COMPONENTS = FluxComponents(latent=FAMILY.latent, transformer=FAMILY.transformer, further=(REDUX, CONTROL))
