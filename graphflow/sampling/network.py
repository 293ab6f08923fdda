"""What the denoising loop asks of a model's network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.modelfiles.family import LatentFormat
from graphflow.modelfiles.footprint import Footprint
from graphflow.values import Conditioning, ConditioningEntry

from .guidance import Modifier
from .loop import MakeMaskSchedule
from .prediction import ModelSampling
from .resuming import Remembering


class Denoiser(Protocol):
    """What `Model.use()` gives. It may be changed until the block ends: nobody else sees this object.

    A family's class that inherits it has what most families need; `predict` is its own.

    Attributes:
        module: The network.
        dtype: Dtype it computes in.
        footprint: The memory that it takes; a class that says none has `memory` of its own.
        model_sampling: Noise levels and what the output means.
        latent: The latents that it reads, with the scale of this very model.
        device: Where it computes.
        guidance: What changes guidance, in order.
        further_sides: Conditionings by name that what changes guidance asks for, beside those of the sampler.
        variations: Named changes of the network, for guidance that compares with a weakened one.
        make_mask_schedule: How a noise mask changes over the run; None has it stay the same.
        spans_batch: Whether its answer to an item depends on the others, as where they are the frames of a video.
        states: What evaluations change beside their answers, e.g. generators; a run that goes on sets it back.
    """

    module: Any
    dtype: torch.dtype
    footprint: ClassVar[Footprint | None] = None
    model_sampling: ModelSampling
    latent: LatentFormat
    device: torch.device
    guidance: list[Modifier]
    further_sides: dict[str, Conditioning]
    variations: dict[str, Any]
    make_mask_schedule: MakeMaskSchedule | None
    spans_batch: bool = False
    states: Sequence[Remembering] = ()

    @property
    def text_width(self) -> int | None:
        """Width of the text embeddings that the network reads; None where it does not say."""
        return None

    def predict(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor,
        variation: str | None = None,
    ) -> Tensor:
        """Return the network's output for several conditioning entries at once.

        Args:
            x: (n * B, C, ...) float32, scaled as the network expects; the first B items belong to the first entry.
            timestep: (n * B,) training timesteps.
            entries: n entries whose tensors have equal shapes apart from the batch (1 or B).
            sigma: Noise level, for what changes the network at some of them.
            variation: A name in `variations`, or None for the network as it is.
        """
        ...

    def predict_set(
        self,
        x: Mapping[str, Tensor],
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor,
        variation: str | None = None,
    ) -> Mapping[str, Tensor]:
        """Return the output for a latent of several tensors by name; only families whose latents are sets have it.

        Raises:
            InvalidInputError: The family's latents are one tensor.
        """
        raise InvalidInputError("the model reads latents of one tensor", where="latent")

    def complete(self, told: Conditioning, height: int, width: int, *, negative: bool, seed: int = 0) -> Conditioning:
        """Fill in what the family reads beside the text, where nobody said it.

        Args:
            told: Entries.
            height: Height of the picture in pixels.
            width: Its width.
            negative: Whether this is what the picture should avoid.
            seed: The sampling's, for noise on what is told.
        """
        return told

    def painting(
        self, sides: Mapping[str, Conditioning], latent: Tensor, noise_mask: Tensor | None
    ) -> Mapping[str, Conditioning]:
        """Tell a network that paints into a picture which one and where, if the conditionings do not say it.

        Args:
            sides: The conditionings by name.
            latent: (B, C, ...) where sampling starts, in the network's scale.
            noise_mask: (M, H, W), what is made anew; None where no picture is given.
        """
        return sides

    def memory(self, shape: Sequence[int]) -> int:
        """Return the bytes that an evaluation of one latent (C, ...) of this shape takes at its peak, beside the weights."""
        assert self.footprint is not None, "the class says what memory it takes"
        return int(self.footprint.held(self.module.config, math.prod(shape[1:])) * self.dtype.itemsize)

    def memory_told(self, shape: Sequence[int], entries: Sequence[ConditioningEntry]) -> int:
        """Return the same for what it is told: reference pictures and ControlNets take some, too."""
        return self.memory(shape)

    def file_tensors(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any], str]:
        """Return tensors by the names of a single file, config by part, and `modelspec.architecture`.

        Raises:
            ModelFormatError: It has no such layout.
        """
        raise ModelFormatError("models of this family are not saved here", advice="keep the files that they came from")

    def as_lora(self, rank: int, notice: Callable[[str], None]) -> Mapping[str, Tensor]:
        """Return its weights, which are a difference of models, as LoRA layers of a rank.

        Raises:
            ModelFormatError: The family has no LoRA layout.
        """
        raise ModelFormatError("models of this family have no LoRA layout here")

    def close(self) -> None:
        """Give back what it took for its use."""
