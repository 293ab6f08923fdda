"""What families of flow transformers have in common when modules become what nodes compute with."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from torch import nn

from graphflow.basics.importing import collector_paused
from graphflow.errors import ModelFormatError
from graphflow.families.flow import caching, skipping, steering  # noqa: F401 - they register what their hooks do
from graphflow.families.flow.piece_tokenizer import PieceTokenizer, make_piece_tokenizer
from graphflow.families.latent_diffusion.building import build
from graphflow.families.latent_diffusion.components import LatentDiffusionComponents
from graphflow.loading.components import Module
from graphflow.modelfiles.description import Part, TokenizerSpec

_TEXT = {
    "T5EncoderModel": "T5EncoderModel",
    "Qwen3Model": "Qwen3Model",
    "Qwen3ForCausalLM": "Qwen3Model",
    "Gemma2Model": "Gemma2Model",
    "Gemma2ForCausalLM": "Gemma2Model",
    "MistralModel": "MistralModel",
    "Mistral3ForConditionalGeneration": "MistralModel",
}
"""By the classes that published configs name: without the head that writes, and without what sees."""


@dataclass(frozen=True, kw_only=True)
class FlowComponents(LatentDiffusionComponents):
    """Implements :class:`graphflow.loading.components.Components` but for `denoiser` and `encoder`.

    Attributes:
        transformer: The Diffusers class of the family's transformer.
        further: Diffusers classes of what steers it.
    """

    transformer: str
    further: tuple[str, ...] = ()

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        config = dict(part.config)
        if part.class_name in (self.transformer, *self.further):
            with collector_paused():
                import diffusers

                cls = getattr(diffusers, part.class_name)
            with warnings.catch_warnings():  # Diffusers' own classes ask for a name that Diffusers is about to move
                warnings.filterwarnings("ignore", ".*FluxPosEmbed", FutureWarning)
                module: nn.Module = cls.from_config(config)
            return module
        if part.class_name in _TEXT:
            with collector_paused():
                import transformers

                text = getattr(transformers, _TEXT[part.class_name])
            language = config.get("text_config")  # of a model that sees, too
            made: nn.Module = text(text.config_class(**(language if isinstance(language, dict) else config)))
            if hasattr(made, "shared"):
                del made.shared  # the encoder's embedding once more
            return made
        return build(part.class_name, config)

    def picture_adapter(self, part: Module) -> Any:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError("IP-Adapters of this family are not read yet", where=part.description.name)

    def control(self, part: Module) -> Any:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError("ControlNets of this family are not read yet", where=part.description.name)


def pieces_of(part: Module) -> PieceTokenizer:
    """The tokenizer that goes with a language model.

    Raises:
        ModelNotFoundError: It is not at hand.
    """
    found = (spec for spec in part.description.tokenizers if spec.part == part.part)
    # A folder with an encoder alone may hold its tokenizer's files, too.
    return make_piece_tokenizer(next(found, TokenizerSpec(part.part, "folder", {}, path=part.description.path)))
