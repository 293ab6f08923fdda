"""Prompts of families that read T5, beside CLIP or alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.families.flow.t5 import T5Encoder
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.text import TextModel


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowText(TextModel):
    """What `TextEncoder.use()` gives; `encode` is the family's own, and `encoders` holds the CLIPs that are there.

    Attributes:
        t5: The T5 encoder; None where it is missing.
    """

    t5: T5Encoder | None

    def alone(self) -> Iterator[tuple[str, TextModel]]:
        """Refuse.

        Raises:
            ModelFormatError: Always: one of them alone conditions nothing.
        """
        raise ModelFormatError("the text encoders of this family cannot be read apart from each other")

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError(
            "text encoders of this family are not saved here", advice="keep the files that they came from"
        )

    def as_lora(self, rank: int, notice: Callable[[str], None]) -> dict[str, Tensor]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError(
            "text encoders of this family are not saved as LoRA", advice="save the model's part only"
        )
