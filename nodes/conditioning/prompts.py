"""Nodes that turn prompts into conditioning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from graphflow.basics.prompt_syntax import embedding_names
from graphflow.limits import LIMITS
from graphflow.spec.decorator import FileNeed, node
from graphflow.values import Conditioning, TextEncoder
from graphflow.values.network_hooks import T5Length

__all__ = ["encode_prompt", "set_t5_length", "set_text_layer"]


def _embeddings(params: Mapping[str, Any]) -> Iterable[FileNeed]:
    text = params.get("text")
    for name in embedding_names(text) if isinstance(text, str) else ():
        yield FileNeed("text", name, "embedding", optional=True)


@node("encode_prompt", lane="device", map=True, needs=_embeddings)
def encode_prompt(
    text_encoder: Annotated[TextEncoder, Field(description="the text encoders")],
    text: Annotated[
        str,
        Field(
            max_length=LIMITS.text,
            description="the prompt; (word:1.2) weighs, embedding:name calls a textual inversion",
        ),
    ] = "",
    clip_skip: Annotated[
        int,
        Field(
            ge=0,
            le=24,
            description="2 takes the hidden layer before the last, as models trained that way want; 0 leaves the choice to the text encoder",
        ),
    ] = 0,
) -> Conditioning:
    r"""Encode a prompt: embedding (1, 77 k, C) for k chunks of 75 tokens, and pooled (1, D) where the family has one.

    Weights: ``(word)`` is 1.1 times, nesting multiplies, ``(word:1.3)`` sets; ``\\(`` is a parenthesis. An embedding that
    is not there is left out, with a notice that names it.
    """
    encoder = text_encoder if clip_skip == 0 else replace(text_encoder, layer=-clip_skip)
    with encoder.use() as loaded:
        result: Conditioning = loaded.encode(text)
    return result


@node("set_t5_length", map=True)
def set_t5_length(
    text_encoder: Annotated[TextEncoder, Field(description="text encoders with T5")],
    min_padding: Annotated[
        int, Field(ge=0, le=10_000, description="fewest tokens that fill up a prompt, however long it is")
    ] = 0,
    min_length: Annotated[
        int, Field(ge=0, le=10_000, description="fewest tokens of a prompt; counts instead of the family's own")
    ] = 0,
) -> TextEncoder:
    """Set how far T5's prompts are filled up.

    Raises:
        InvalidInputError: When the encoders are used: there is no T5 among them.
    """
    return text_encoder.hooked(T5Length(min_padding=min_padding, min_length=min_length))


@node("set_text_layer", map=True)
def set_text_layer(
    text_encoder: Annotated[TextEncoder, Field(description="the text encoders")],
    layer: Annotated[
        int, Field(ge=-24, le=-1, description="-1 is the last hidden layer, -2 the one before (clip skip 2)")
    ] = -1,
) -> TextEncoder:
    """Choose which hidden layer of the text encoder conditions the model."""
    return replace(text_encoder, layer=layer)
