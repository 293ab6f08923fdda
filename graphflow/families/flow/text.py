"""What text encoders of flow transformers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.text import TextModel


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowText(TextModel):
    """Text encoders that are not saved here."""

    def alone(self) -> Iterator[tuple[str, TextModel]]:
        """Each of the encoders by itself, with its name.

        Raises:
            ModelFormatError: Always: none is saved here.
        """
        raise _not_saved()

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise _not_saved()

    def as_lora(self, rank: int, notice: Callable[[str], None]) -> dict[str, Tensor]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise _not_saved()


def _not_saved() -> ModelFormatError:
    return ModelFormatError(
        "text encoders of this family are not saved here", advice="keep the files that they came from"
    )
