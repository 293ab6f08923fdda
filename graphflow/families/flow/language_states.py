"""What layers of a language model make of tokens; exported scripts carry this."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor


def language_states(encoder: Any, ids: Sequence[int], layers: Sequence[int], least: int = 0, filler: int = 0) -> Tensor:
    """Outputs of layers of a language model, side by side: (1, T, C).

    Args:
        encoder: A language model of transformers, with or without a head.
        ids: Tokens.
        layers: Whose outputs; -1 is the last, without the final norm.
        least: Tokens at least; fewer are filled up behind, and see the text alone.
        filler: The token that fills them up.
    """
    decoder = encoder.get_decoder()
    found = [decoder.layers[max(index, -len(decoder.layers))] for index in layers]
    kept: dict[Any, Tensor] = {}
    fill = max(0, least - len(ids))
    tokens = torch.tensor([[*ids, *[filler] * fill]], device=decoder.device)
    seen = torch.tensor([[1] * len(ids) + [0] * fill], device=decoder.device)

    def keep(layer: Any, _inputs: Any, output: Tensor) -> None:
        kept[layer] = output

    with ExitStack() as hooks:
        for layer in found:
            hooks.callback(layer.register_forward_hook(keep).remove)
        mask = seen if fill else None
        decoder(input_ids=tokens, attention_mask=mask, use_cache=False)
    return torch.cat([kept[layer] for layer in found], dim=-1)


def encode_with_language_model(
    pipe: Any,
    parts: Sequence[tuple[str, float]],
    template: str = "{}",
    begin: Sequence[int] = (),
    layers: Sequence[int] = (-2,),
    least: int = 0,
    filler: str = "",
) -> dict[str, Tensor]:
    """What a transformer reads of a language model's layers."""
    tokenize = getattr(pipe.tokenizer, "tokenizer", pipe.tokenizer)

    def ids(text: str) -> list[int]:
        found: list[int] = tokenize(text, add_special_tokens=False).input_ids
        return found

    told = [*begin, *ids(template.replace("{}", "".join(part for part, _ in parts)))]
    (filling,) = ids(filler) if filler else (0,)
    states = language_states(pipe.text_encoder, told, layers, least, filling)
    return {"embeds": states.float()}
