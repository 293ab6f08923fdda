"""Models of the Next-DiT kind (Zhuo et al. 2024, arXiv:2406.18583): one stream of text and picture, one language model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.families.flow.components import FlowComponents, pieces_of
from graphflow.families.flow.denoiser import REFERENCES, FlowDenoiser
from graphflow.families.flow.language_text import LanguageText
from graphflow.loading.components import FindVectors, Module
from graphflow.sampling.prediction import ModelSampling
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class NextDenoiser(FlowDenoiser):
    """What the kind has in common: its time runs from noise (0) to the picture (1), and so does its velocity.

    Attributes:
        velocity: What evaluates the network.
    """

    velocity: ClassVar[Callable[..., Tensor]]

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.cap_feat_dim
        return width

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
        self.refuse_controls(entries)
        if any(entry.extras.get(REFERENCES) for entry in entries):
            raise InvalidInputError(
                "models of this family read no reference pictures", advice="take add_reference_latent out"
            )
        text = self.text(entries, len(x) // len(entries), self.text_width)
        here, time = x.to(self.device, self.dtype), timestep.to(self.device)
        with self.heeding(entries):
            output = self.velocity(self.module, here, time, embeds=text, **self.added(here, time, text, entries))
        return output.to(x.device, x.dtype)

    def added(self, x: Tensor, time: Tensor, text: Tensor, entries: Sequence[ConditioningEntry]) -> dict[str, Any]:
        """Further arguments of the network."""
        return {}

    @abstractmethod
    def heeding(self, entries: Sequence[ConditioningEntry]) -> AbstractContextManager[Any]:
        """Have the network heed masks of entries until the block ends."""


@dataclass(frozen=True, kw_only=True)
class NextComponents(FlowComponents):
    """The networks of a family of this kind.

    Attributes:
        network: What its transformers become.
        shift: Their time shift.
        reads: The class of its language model.
        file: What the language model's file is usually called.
        template: What that is asked; `{}` is the prompt.
        begin: Ids of tokens before it.
    """

    network: type[NextDenoiser]
    shift: float
    reads: str
    file: str
    template: str = "{}"
    begin: tuple[int, ...] = ()

    def denoiser(self, part: Module) -> NextDenoiser:
        """The transformer."""
        return self.network(
            module=part.module,
            model_sampling=ModelSampling.flow(self.shift, timestep_scale=1.0),
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
    ) -> LanguageText:
        """The language model; the layer before its last conditions the transformer.

        Raises:
            ModelFormatError: The parts are something else.
            ModelNotFoundError: Its tokenizer is not at hand.
        """
        names = [type(part.module).__name__ for part in parts]
        if names != [self.reads]:
            raise ModelFormatError(
                f"models of this family read {self.reads}, not {', '.join(names)}",
                where=parts[0].description.name,
                advice=f"load {self.file}",
            )
        (part,) = parts
        return LanguageText(
            encoders=(),
            find_embedding=find_embedding,
            tokens=tokens,
            module=part.module,
            tokenizer=pieces_of(part),
            template=self.template,
            begin=self.begin,
            layers=(-2 if layer is None else layer,),
        )
