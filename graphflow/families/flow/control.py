"""ControlNets of transformers on a flow: what they add behind blocks, by a picture (Zhang et al. 2023, arXiv:2302.05543)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.families.flow.residuals import Residuals
from graphflow.families.latent_diffusion.nets import fit_hint
from graphflow.modelfiles.family import LatentFormat
from graphflow.pixels.hints import filling_latents, known_part, marked_latents
from graphflow.sampling.latent_space import LatentSpace, space_of
from graphflow.values import Vae


@dataclass(kw_only=True, eq=False)
class FlowControl(ABC):
    """What `ControlNet.use()` gives for the ControlNets of a family.

    Attributes:
        module: A Diffusers ControlNet.
        latent: The latents of its family.
        device: Where it computes.
        dtype: Dtype it computes in.
        union_type: Number of the kind of pictures that a union ControlNet gets; None where nobody said it.
    """

    module: Any
    latent: LatentFormat
    device: torch.device
    dtype: torch.dtype
    union_type: int | None = None
    channels: ClassVar[tuple[int, ...]] = ()

    @property
    def kinds(self) -> Mapping[str, int]:
        """Numbers of the kinds of pictures that it can get, by name; none where it was made for one kind."""
        return {}

    @property
    def width(self) -> int | None:
        """Width of the text embedding that it reads; None where it reads none."""
        width: int | None = self.module.config.joint_attention_dim
        return width

    @property
    def inner(self) -> int:
        """Width of its tokens, which is the transformer's."""
        config = self.module.config
        return int(config.num_attention_heads * config.attention_head_dim)

    @abstractmethod
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """What it reads of the picture, whatever the noise: computed once for all steps.

        Args:
            hint: (K, 3, H, W) in [0, 1], or -1 where unknown.
            height: Height of the latent.
            width: Its width.
            vae: What encodes the picture.

        Returns:
            Tensors (K, …).

        Raises:
            InvalidInputError: The picture is not one that it reads.
        """

    @abstractmethod
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """What it adds behind the blocks.

        Args:
            encoded: What :meth:`encode` made, spread to (N, …).
            told: What the transformer gets, without reference pictures.
            strength: Factor on it.
            transformer: The transformer.
        """

    def pixels(self, hint: Tensor, height: int, width: int, *, hidden: float | None = None) -> tuple[Tensor, Tensor]:
        """The picture at the size that belongs to a latent, in [0, 1], and (K, 1, H, W) 1 where it is known.

        Args:
            hint: As :meth:`encode`.
            height: As there.
            width: As there.
            hidden: What stands where it is unknown, for ControlNets that fill that in.

        Raises:
            InvalidInputError: Something is unknown, and it was not made for that.
        """
        hint = fit_hint(hint, height * self.latent.downscale, width * self.latent.downscale)
        pixels, known = known_part(hint, hidden or 0.0)
        if hidden is None and not known.all():
            raise InvalidInputError(
                "the ControlNet was made for whole pictures, and a part of this one is masked",
                where="mask",
                advice="take the mask off, or use an inpainting ControlNet",
            )
        if hidden is not None and known.all():
            runtime.current().notice(
                "the inpainting ControlNet has nothing to fill in: no part of its picture is masked"
            )
        return pixels, known

    def latents(
        self,
        hint: Tensor,
        height: int,
        width: int,
        vae: Vae | None,
        *,
        paints: bool = False,
        hidden: float | None = None,
        space: LatentSpace | None = None,
    ) -> Tensor:
        """The picture as latents in the model's space (K, C, …, h, w).

        Args:
            hint: As :meth:`encode`.
            height: As there.
            width: As there.
            vae: As there.
            paints: Whether a channel follows that is 1 where the picture is known; the rest is black then.
            hidden: As :meth:`pixels`.
            space: The model's space; None is the family's.

        Raises:
            InvalidInputError: Nothing encodes the picture, or the autoencoder is another family's.
        """
        pixels, known = self.pixels(hint, height, width, hidden=0.0 if paints else hidden)
        if vae is None:
            raise InvalidInputError(
                "the ControlNet reads its picture as latents, and nothing encodes it",
                where="vae",
                advice="link the model's autoencoder to vae of the node that applies the ControlNet",
            )
        with vae.use() as autoencoder:
            if autoencoder.latent_channels != self.latent.channels:
                raise InvalidInputError(
                    f"the autoencoder makes {autoencoder.latent_channels} channels, the ControlNet reads"
                    f" {self.latent.channels}",
                    where="vae",
                    advice="use the autoencoder of the model's family",
                )
            samples = (space or space_of(self.latent)).enter(autoencoder.encode(pixels))
        if paints:
            samples = marked_latents(samples, known)
        return samples.to(self.device, self.dtype)

    def filled_latents(self, hint: Tensor, height: int, width: int, vae: Vae | None, channels: int) -> Tensor:
        """What alibaba-pai's Fun ControlNets read, see :func:`graphflow.pixels.hints.filling_latents`.

        Args:
            hint: As there.
            height: As :meth:`encode`.
            width: As there.
            vae: As there.
            channels: How many it reads.

        Raises:
            InvalidInputError: As :meth:`latents`, or it fills nothing in.
        """
        own = self.latent.channels
        if hint.shape[1] > 3 and channels == own:
            raise InvalidInputError(
                "this ControlNet fills nothing in, and gets a picture to fill in",
                where="control_net",
                advice="use a later one (of Z-Image 2.0 or 2.1), or take the picture out",
            )

        def encode(picture: Tensor, hidden: float) -> Tensor:
            return self.latents(picture, height, width, vae, hidden=hidden or None)

        return filling_latents(hint, channels, own, encode)


def require_layers(places: Sequence[int], count: int) -> None:
    """Refuse a ControlNet that adds to layers which a transformer of so many has not."""
    if max(places) >= count:
        raise InvalidInputError(
            f"the ControlNet steers layer {max(places) + 1} of a model that has {count}",
            where="control_net",
            advice="use a ControlNet that was made for this model",
        )
