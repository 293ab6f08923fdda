"""From a prompt to chunks of weighted tokens, each as long as the text encoder reads at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch

from graphflow.basics.prompt_syntax import pieces
from graphflow.families.latent_diffusion.tokenizers import PromptTokenizer

MAX_UNCUT = 7
"""A run of text or an embedding of at most this many tokens is never cut by the end of a chunk."""


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """One position of a chunk.

    Attributes:
        token: A token's id, or an embedding vector (C,).
        weight: Its weight; 1 is neutral.
    """

    token: int | torch.Tensor
    weight: float = 1.0


Chunk = tuple[Token, ...]
FindEmbedding = Callable[[str], "torch.Tensor | None"]
"""From an embedding's name to its vectors (n, C), or None where there is none for this encoder."""


def make_chunks(
    text: str, tokenizer: PromptTokenizer, find_embedding: FindEmbedding, tokens: Collection[str] = ()
) -> list[Chunk]:
    """Tokenize a prompt with its weights and embeddings.

    Args:
        text: The prompt, see :mod:`graphflow.basics.prompt_syntax`.
        tokenizer: The encoder's tokenizer.
        find_embedding: Where embeddings come from.
        tokens: Words that call an embedding without `embedding:`.

    Returns:
        At least one chunk of `tokenizer.length` tokens each.
    """
    groups: list[list[Token]] = []
    for piece in pieces(text, tokens):
        if not piece.is_embedding:
            groups.append([Token(number, piece.weight) for number in tokenizer.ids(piece.text)])
        elif (vectors := find_embedding(piece.text)) is not None:
            groups.append([Token(vector, piece.weight) for vector in vectors])
    room = tokenizer.length - 2
    bodies: list[list[Token]] = [[]]
    for group in groups:
        if bodies[-1] and room - len(bodies[-1]) < len(group) <= MAX_UNCUT:
            bodies.append([])
        while group:
            left = room - len(bodies[-1])
            bodies[-1] += group[:left]
            group = group[left:]
            if group:
                bodies.append([])
    return [_framed(body, tokenizer) for body in bodies]


def empty_chunk(tokenizer: PromptTokenizer) -> Chunk:
    """The chunk of an empty prompt."""
    return _framed([], tokenizer)


def end_position(chunk: Sequence[Token], tokenizer: PromptTokenizer) -> int:
    """Where a chunk's first end token stands."""
    return next(
        index for index, item in enumerate(chunk) if isinstance(item.token, int) and item.token == tokenizer.end
    )


def _framed(body: Sequence[Token], tokenizer: PromptTokenizer) -> Chunk:
    fill = tokenizer.length - 2 - len(body)
    return (Token(tokenizer.start), *body, Token(tokenizer.end), *(Token(tokenizer.pad) for _ in range(fill)))
