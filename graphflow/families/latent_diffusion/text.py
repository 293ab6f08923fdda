"""Prompts to conditioning with CLIP text encoders, one or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from graphflow import runtime
from graphflow.basics.finite import require_finite
from graphflow.basics.inference import inference
from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.chunks import Chunk, empty_chunk, end_position, make_chunks
from graphflow.families.latent_diffusion.key_names import canonical
from graphflow.families.latent_diffusion.saving import Config, Tensors, text_tensors
from graphflow.families.latent_diffusion.tokenizers import PromptTokenizer
from graphflow.loading.components import FindVectors
from graphflow.loading.lora_extraction import extract_lora
from graphflow.values import Conditioning, ConditioningEntry


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipEncoder:
    """One CLIP text encoder with its tokenizer.

    Attributes:
        name: The part's name: `text_encoder` or `text_encoder_2`.
        module: A transformers `CLIPTextModel` or `CLIPTextModelWithProjection`.
        tokenizer: Its tokenizer.
        device: Where it computes.
        layer: Which hidden layer to read, counted from the end: -1 is the last.
        normed: Whether the final layer norm is applied to that layer.
        projected: Whether its pooled output goes through its projection, where it has one.
        masked: Whether tokens that only fill a chunk up are not looked at.
    """

    name: str
    module: nn.Module
    tokenizer: PromptTokenizer
    device: torch.device
    layer: int
    normed: bool
    projected: bool = True
    masked: bool = False

    @property
    def width(self) -> int:
        """Width C of its embedding."""
        width: int = self.module.config.hidden_size
        return width

    def encode(self, chunks: Sequence[Chunk]) -> tuple[Tensor, Tensor]:
        """Read chunks one by one.

        Args:
            chunks: n chunks of T tokens.

        Returns:
            The weighted embedding (1, n * T, C) and the unweighted pooled output of the first chunk (1, D).
        """
        weighted = any(item.weight != 1.0 for chunk in chunks for item in chunk)
        hidden, pooled = self._run([*chunks, empty_chunk(self.tokenizer)] if weighted else list(chunks))
        if weighted:
            weights = torch.tensor([[item.weight for item in chunk] for chunk in chunks], device=hidden.device)
            empty = hidden[-1:]
            hidden = (hidden[:-1] - empty) * weights[:, :, None] + empty
        return hidden.reshape(1, -1, hidden.shape[-1]), pooled[:1]

    def _run(self, chunks: Sequence[Chunk]) -> tuple[Tensor, Tensor]:
        """Hidden states (n, T, C) and pooled outputs (n, D), float32."""
        ids = [[item.token if isinstance(item.token, int) else 0 for item in chunk] for chunk in chunks]
        vectors = {
            (row, column): item.token
            for row, chunk in enumerate(chunks)
            for column, item in enumerate(chunk)
            if isinstance(item.token, Tensor)
        }
        core: Any = getattr(self.module, "text_model", self.module)

        def put_vectors(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            for (row, column), vector in vectors.items():
                output[row, column] = vector.to(output)
            return output

        ends = [end_position(chunk, self.tokenizer) for chunk in chunks]
        looked_at = None
        if self.masked:
            looked_at = torch.tensor([[int(place <= end) for place in range(len(ids[0]))] for end in ends]).to(
                self.device
            )
        hook = core.embeddings.token_embedding.register_forward_hook(put_vectors)
        try:
            output = core(
                input_ids=torch.tensor(ids, device=self.device), attention_mask=looked_at, output_hidden_states=True
            )
        finally:
            hook.remove()
        last: Tensor = output.last_hidden_state
        if self.layer == -1 and self.normed:
            hidden = last
        else:
            hidden = output.hidden_states[max(self.layer, -len(output.hidden_states))]
            hidden = core.final_layer_norm(hidden) if self.normed else hidden
        pooled = last[torch.arange(len(chunks), device=last.device), torch.tensor(ends, device=last.device)]
        if self.projected and hasattr(self.module, "text_projection"):
            pooled = self.module.text_projection(pooled)
        return hidden.float(), pooled.float()


@dataclass(frozen=True, kw_only=True, eq=False)
class TextModel:
    """What `TextEncoder.use()` gives: a family's text encoders together.

    Attributes:
        encoders: In the order in which their embeddings are joined along the channels.
        find_embedding: Where `embedding:name` is looked up.
        tokens: Words that call an embedding without `embedding:`, with the tensors of its file.
        pooled_from: Which encoder's pooled output the family uses.
        saved_under: What names of each encoder's tensors begin with in a checkpoint; an encoder that is not named
            cannot be saved.
    """

    encoders: tuple[ClipEncoder, ...]
    find_embedding: FindVectors
    tokens: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    pooled_from: int = -1
    saved_under: Mapping[str, str] = field(default_factory=dict)

    @inference
    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Encode a prompt.

        Args:
            text: The prompt: weights in brackets, `embedding:name`, any length (chunks of 75 tokens).
            texts: Another prompt for some of the encoders, by part name, e.g. `{"text_encoder_2": "…"}`.

        Returns:
            One entry: embedding (1, T, C) and pooled (1, D), float32 on the CPU.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        states = self.states(text, texts)
        embedding = torch.cat([hidden for hidden, _ in states.values()], dim=-1)
        _, pooled = list(states.values())[self.pooled_from]
        return Conditioning(entries=(ConditioningEntry(embedding=embedding, pooled=pooled),))

    def states(self, text: str, texts: Mapping[str, str] | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """What each encoder makes of a prompt, by its name; arguments and errors as :meth:`encode` has them.

        Returns:
            Embeddings (1, T, C), of equal lengths, and pooled outputs (1, D), float32 on the CPU.
        """
        chunked = [
            make_chunks(
                (texts or {}).get(encoder.name, text),
                encoder.tokenizer,
                lambda name, encoder=encoder: self._vectors(name, encoder),  # type: ignore[misc]
                tuple(self.tokens),
            )
            for encoder in self.encoders
        ]
        count = max(map(len, chunked), default=0)
        found: dict[str, tuple[Tensor, Tensor]] = {}
        for encoder, chunks in zip(self.encoders, chunked, strict=True):
            filled = [*chunks, *(empty_chunk(encoder.tokenizer) for _ in range(count - len(chunks)))]
            hidden, pooled = (states.cpu() for states in encoder.encode(filled))
            require_finite(hidden, "the prompt's embedding", "set dtype to float32 or bfloat16")
            found[encoder.name] = hidden, pooled
        length = min((hidden.shape[1] for hidden, _ in found.values()), default=0)
        return {name: (hidden[:, :length], pooled) for name, (hidden, pooled) in found.items()}

    def encode_with_pictures(self, text: str, pictures: Sequence[Tensor], *, numbered: bool) -> Conditioning:
        """Refuse.

        Raises:
            ModelFormatError: Always: these encoders do not see.
        """
        raise ModelFormatError(
            "the text encoders of this family read no pictures",
            advice="load Qwen2.5-VL for Qwen-Image, or steer by pictures with apply_ip_adapter or apply_control_net",
        )

    def file_tensors(self, *, whole: bool) -> Iterator[tuple[str, Tensors, Config]]:
        """Yield each encoder's name, tensors and config, alone or as they stand in a whole checkpoint.

        Raises:
            ModelFormatError: An encoder's layout leaves open what was left out of it.
        """
        for encoder in self.encoders:
            if encoder.name not in self.saved_under:
                raise ModelFormatError(
                    "text encoders of Stable Diffusion 2 cannot be saved", advice="keep the file that it came from"
                )
            prefix = self.saved_under[encoder.name] if whole else ""
            fused = encoder.name == "text_encoder_2"
            yield encoder.name, *text_tensors(encoder.name, encoder.module, encoder.tokenizer, prefix, fused=fused)

    def as_lora(self, rank: int, notice: Callable[[str], None]) -> dict[str, Tensor]:
        """The encoders' weights, a difference of models, as LoRA layers in the layout of kohya."""
        tensors: dict[str, Tensor] = {}
        for number, encoder in enumerate(self.encoders, start=1):
            prefix = "lora_te" if len(self.encoders) == 1 else f"lora_te{number}"
            tensors |= extract_lora(
                encoder.module, prefix, rank, notice, rename=lambda name: f"text_model.{canonical(name)}"
            )
        return tensors

    def _vectors(self, name: str, encoder: ClipEncoder) -> Tensor | None:
        tensors = self.tokens.get(name)
        if tensors is None:
            tensors = self.find_embedding(name)
        if tensors is None:
            runtime.current().notice(f"there is no embedding {name!r}: the prompt is read without it")
            return None
        fitting = _for_encoder(tensors, encoder)
        if fitting is None:
            widths = sorted({int(tensor.shape[-1]) for tensor in tensors.values() if tensor.ndim})
            runtime.current().notice(
                f"the embedding {name!r} has width {widths}, {encoder.name} needs {encoder.width}: it is left out there"
            )
        return fitting


def _for_encoder(tensors: Mapping[str, Tensor], encoder: ClipEncoder) -> Tensor | None:
    """The tensor of an embedding file that fits an encoder: by name where the file has one for each, else by width."""
    named = tensors.get("clip_g" if encoder.name == "text_encoder_2" else "clip_l")
    candidates = [named] if named is not None else list(tensors.values())
    for tensor in candidates:
        vectors = tensor.reshape(1, -1) if tensor.ndim == 1 else tensor
        if vectors.ndim == 2 and vectors.shape[-1] == encoder.width:
            return vectors.float()
    return None
