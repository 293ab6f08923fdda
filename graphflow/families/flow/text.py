"""What text encoders of flow transformers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from torch import Tensor

from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.text import TextModel
from graphflow.loading.hooks import attach
from graphflow.values.network_hooks import T5Length


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


@attach.register
def _(hook: T5Length, loaded: FlowText) -> AbstractContextManager[None]:
    t5 = getattr(loaded, "t5", None)
    if t5 is None:
        raise InvalidInputError("there is no T5 among the text encoders", advice="take set_t5_length out")
    t5.least, t5.padding = hook.min_length, hook.min_padding
    return nullcontext()


def _not_saved() -> ModelFormatError:
    return ModelFormatError(
        "text encoders of this family are not saved here", advice="keep the files that they came from"
    )
