"""Prompts."""

from __future__ import annotations

from dataclasses import replace

from graphflow.families.prompt_syntax import embedding_names, pieces

from ..handles import Conditioning, Entry, ModelPart
from ..script import UnsupportedError
from .base import Emission, Emitter

SURELY_ONE_CHUNK = 75
"""A text of so many bytes has at most as many tokens."""


def encode_prompt(emission: Emission) -> Conditioning:
    """A prompt, encoded where it is read."""
    encoder = emission.part("text_encoder")
    skip = emission.fixed("clip_skip")
    if skip:
        encoder = replace(encoder, layer=-skip)
    given = emission.inputs["text"]
    plain = is_plain(emission, encoder, str(given.value))
    entry = Entry(encoder=encoder, text=emission.value("text"), plain=plain, node=emission.node.id)
    return Conditioning((entry,))


def set_text_layer(emission: Emission) -> ModelPart:
    """The hidden layer that conditions."""
    return replace(emission.part("text_encoder"), layer=emission.fixed("layer"))


def is_plain(emission: Emission, encoder: ModelPart, text: str) -> bool:
    """Whether a pipeline reads a prompt as graphflow does: no weights, no embeddings, one chunk of tokens."""
    if list(embedding_names(text)):
        return False
    parts = list(pieces(text, ()))
    if any(part.weight != 1.0 for part in parts) or "".join(part.text for part in parts) != text:
        return False
    return len(text.encode()) <= SURELY_ONE_CHUNK or _tokens(encoder, text) <= SURELY_ONE_CHUNK


def _tokens(encoder: ModelPart, text: str) -> int:
    from graphflow.families.tokenizers import make_tokenizer

    specs = encoder.base.description.tokenizers
    if not specs:
        raise UnsupportedError("its text encoder has no tokenizer that is known")
    return max(len(make_tokenizer(spec, 77).ids(text)) for spec in specs)


EMITTERS: dict[str, Emitter] = {"encode_prompt": encode_prompt, "set_text_layer": set_text_layer}
