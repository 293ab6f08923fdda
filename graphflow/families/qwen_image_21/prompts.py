"""What Qwen3-VL is asked for Qwen-Image 2.1; exported scripts carry this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.seeing import patches
from graphflow.pixels.resampling import resize_area, size_of_area

ASKED = (
    "<|im_start|>system\nComprehend and analyze the provided prompt.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n"
    "<|im_start|>assistant\n"
)
"""What it is asked, as Diffusers' QwenImage21Pipeline asks it."""
TURN = "<|im_start|>"
SEEN_TOKEN = "<|image_pad|>"
SHOWN = "<image{}><|vision_start|><|image_pad|><|vision_end|>"


def read_by_qwen3_vl(
    tokenize: Callable[[str], list[int]],
    encoder: Any,
    text: str,
    pictures: Sequence[Tensor] = (),
) -> tuple[Tensor, tuple[tuple[int, int, int], ...]]:
    """The states (1, T, C) of an instruction, and where pictures stand: (first token, rows, columns) of each.

    Args:
        tokenize: From a text to the ids of its pieces.
        encoder: A transformers `Qwen3VLModel`, with or without a head.
        text: The instruction.
        pictures: (1, 3 or 4, H, W) in [0, 1]; brought to multiples of a token's edge.
    """
    model = getattr(encoder, "model", encoder)
    names = [SHOWN.format(number) for number in range(1, len(pictures) + 1)]
    ids = tokenize(ASKED.format(" ".join(names) + (text or " ")))
    (turn,), (token,) = tokenize(TURN), tokenize(SEEN_TOKEN)
    vision = model.config.vision_config
    unit = vision.patch_size * vision.spatial_merge_size
    seen = [in_whole_tokens(on_white(pixels), unit) for pixels in pictures]
    told: list[int] = []
    places: list[tuple[int, int, int]] = []
    for number in ids:
        if number == token and len(places) < len(seen):
            rows, columns = (edge // unit for edge in seen[len(places)].shape[-2:])
            places.append((len(told), rows, columns))
            told += [number] * (rows * columns)
        else:
            told.append(number)
    first = told.index(turn, told.index(turn) + 1)
    states = states_of_qwen3_vl(model, told, seen, token)[:, first:].float()
    return states, tuple((n - first, rows, columns) for n, rows, columns in places)


def states_of_qwen3_vl(model: Any, ids: Sequence[int], pictures: Sequence[Tensor], token: int) -> Tensor:
    """The last layer's output (1, T, C), not normed."""
    vision = model.config.vision_config
    patch, merged = vision.patch_size, vision.spatial_merge_size
    tokens = torch.tensor([ids], device=model.device)
    given: dict[str, Tensor] = {}
    if pictures:
        frames = [pixels.to(model.device) * 2.0 - 1.0 for pixels in pictures]
        shown = [patches(x, patch, merged, vision.temporal_patch_size) for x in frames]
        grids = [[1, *(edge // patch for edge in x.shape[-2:])] for x in frames]
        given = {
            "pixel_values": torch.cat(shown),
            "image_grid_thw": torch.tensor(grids, device=model.device),
            "mm_token_type_ids": (tokens == token).int(),
        }
    kept: list[Tensor] = []
    norm = model.language_model.norm
    hook = norm.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        model(input_ids=tokens, use_cache=False, **given)
    finally:
        hook.remove()
    return kept[0]


def in_whole_tokens(pixels: Tensor, unit: int) -> Tensor:
    """Pictures (B, C, H, W) of about their size, whose edges are multiples of a token's."""
    height, width = pixels.shape[-2:]
    return resize_area(pixels, size_of_area((height, width), height * width, unit))


def on_white(pixels: Tensor) -> Tensor:
    """Pictures (B, 3 or 4, H, W) as (B, 3, H, W), on white where they are transparent."""
    if pixels.shape[1] == 3:
        return pixels
    alpha = pixels[:, 3:4]
    return pixels[:, :3] * alpha + 1.0 - alpha


def encode_with_qwen3_vl(
    pipe: Any, parts: Sequence[tuple[str, float]], pictures: Sequence[Tensor] = ()
) -> dict[str, Any]:
    """What a transformer reads of an instruction and pictures."""
    processor = getattr(pipe, "processor", pipe)

    def tokenize(text: str) -> list[int]:
        ids: list[int] = processor.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    text = "".join(part for part, _ in parts)
    embeds, places = read_by_qwen3_vl(tokenize, pipe.text_encoder, text, pictures)
    return {"embeds": embeds, "picture_places": places}
