"""What Qwen2.5-VL is asked for Qwen-Image; exported scripts carry this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from graphflow.pixels.resampling import resize_area, size_of_area

FRAME = (
    "<|im_start|>system\n{}<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n"
    "<|im_start|>assistant\n"
)  # fmt: skip
DESCRIBE = (
    "Describe the image by detailing the color, shape, size, texture, quantity, text,"
    " spatial relationships of the objects and background:"
)
EDIT = (
    "Describe the key features of the input image (color, shape, size, texture, "
    "objects, background), then explain how the user's text instruction should alter "
    "or modify the image. Generate a new image that meets the user's requirements "
    "while maintaining consistency with the original input where appropriate."
)
"""What the encoder is asked to do (Diffusers' QwenImagePipeline and QwenImageEditPipeline have the same)."""
START = "<|im_start|>"
PICTURE_TOKEN = "<|image_pad|>"
ONE = 1024 * 1024
"""Pixels of a picture as the encoder gets it, where it is the only one."""
SEVERAL = 384 * 384
"""The same of one of several that are numbered."""


def read_by_qwen(
    tokenize: Callable[[str], list[int]],
    encoder: Any,
    text: str,
    pictures: Sequence[Tensor] = (),
    numbered: bool = False,
) -> Tensor:
    """The states (1, T, C) of an instruction and the pictures (1, 3, H, W) that it speaks of.

    Args:
        tokenize: From a text to the ids of its pieces.
        encoder: A `Qwen25VL`.
        text: The instruction.
        pictures: In [0, 1].
        numbered: Whether they are called Picture 1, Picture 2, ..., as models for several pictures were trained.
    """
    for number in range(len(pictures), 0, -1):
        name = f"Picture {number}: " if numbered else ""
        text = f"{name}<|vision_start|>{PICTURE_TOKEN}<|vision_end|>{text}"
    task = EDIT if pictures or numbered else DESCRIBE
    ids = tokenize(FRAME.format(task, text))
    (start,), (token,) = tokenize(START), tokenize(PICTURE_TOKEN)
    second = ids.index(start, ids.index(start) + 1)
    first = second + len(tokenize(f"{START}user\n"))
    seen = []
    for picture in pictures:
        size = size_of_area(picture.shape[-2:], SEVERAL if numbered else ONE)
        seen.append(resize_area(picture, size))
    states: Tensor = encoder(ids, seen, token)[:, first:].float()
    return states


def encode_with_qwen(pipe: Any, parts: Sequence[tuple[str, float]], **seen: Any) -> dict[str, Tensor]:
    """What a transformer reads of an instruction and pictures."""

    def tokenize(text: str) -> list[int]:
        ids: list[int] = pipe.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    text = "".join(part for part, _ in parts)
    return {"embeds": read_by_qwen(tokenize, pipe.text_encoder, text, **seen)}
