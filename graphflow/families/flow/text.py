"""What text encoders of flow transformers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from torch import Tensor, nn

from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.families.flow.saving import encoder_file, original_tensors
from graphflow.families.latent_diffusion.saving import Config, Tensors, text_tensors
from graphflow.families.latent_diffusion.text import TextModel
from graphflow.loading.hooks import attach
from graphflow.values.network_hooks import T5Length

_CLIPS = {
    "CLIPTextModel": "text_encoders.clip_l.transformer.",
    "CLIPTextModelWithProjection": "text_encoders.clip_g.transformer.",
}
"""What names of a CLIP's tensors begin with in a checkpoint, by its class."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowText(TextModel):
    """CLIPs and language models together."""

    def languages(self) -> Mapping[str, nn.Module]:
        """Its language models, by the names that their parts have in a whole model.

        Raises:
            ModelFormatError: The family saves none.
        """
        raise _not_saved()

    def file_tensors(self, *, whole: bool) -> Iterator[tuple[str, Tensors, Config]]:
        """Yield each encoder's name, tensors and config, alone or as they stand in a whole checkpoint.

        Raises:
            ModelFormatError: The family saves none.
        """
        languages = self.languages()
        for encoder in self.encoders:
            prefix = _CLIPS[type(encoder.module).__name__] if whole else ""
            yield encoder.name, *text_tensors(encoder.name, encoder.module, encoder.tokenizer, prefix, fused=False)
        for name, module in languages.items():
            file = encoder_file(type(module).__name__)
            yield name, original_tensors(module, file.names, file.prefixes[0] if whole else ""), {}

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
        "text encoders of this family are not saved in this way here", advice="keep the files that they came from"
    )
