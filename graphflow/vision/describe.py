"""Telling in words what pictures show: Florence-2 (Xiao et al. 2023, arXiv:2311.06242), as transformers has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.vision.detect import Found, outlined
from graphflow.vision.networks import StandInNetwork, VisionNetwork, picture_bytes, quiet

Task = Literal[
    "caption", "detailed_caption", "long_caption", "read_text", "things", "described_regions", "regions", "find_phrases", "outline_phrase"
]  # fmt: skip
"""What can be asked."""

_TOKENS: Mapping[Task, str] = dict(
    zip(
        get_args(Task),
        (
            "<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>", "<OCR>", "<OD>", "<DENSE_REGION_CAPTION>", "<REGION_PROPOSAL>",
            "<CAPTION_TO_PHRASE_GROUNDING>", "<REFERRING_EXPRESSION_SEGMENTATION>",
        ),
        strict=True,
    )
)  # fmt: skip
_ASKING: tuple[Task, ...] = ("find_phrases", "outline_phrase")


@inference
def describe(
    network: VisionNetwork, picture: Tensor, task: Task, *, words: str, most: int, beams: int
) -> tuple[str, list[Found]]:
    """Ask about a picture.

    Args:
        network: The model.
        picture: (3, H, W) in [0, 1].
        task: What to ask.
        words: The phrases to find, for the tasks that find some.
        most: Tokens of the answer at most.
        beams: Answers that are followed at once; the likeliest is given.

    Returns:
        The answer in words, and the things that it names with their places.

    Raises:
        InvalidInputError: The task needs words, and there are none.
        ModelFormatError: The model is another one.
    """
    if isinstance(network.module, StandInNetwork):
        return f"what {network.name} would say", []
    if network.kind != "Florence2ForConditionalGeneration":
        raise ModelFormatError(f"is a {network.kind}, which describes no pictures here", where=network.name)
    if task in _ASKING and not words.strip():
        raise InvalidInputError(f"{task} looks for phrases", where="words", advice="say what to look for")
    token = _TOKENS[task]
    processor = network.processor()
    asked = f"{token} {words}" if task in _ASKING else token
    inputs = processor(text=asked, images=picture_bytes(picture), return_tensors="pt")
    with quiet():
        made = network.module.generate(
            **{name: value.to(network.device) for name, value in inputs.items()},
            max_new_tokens=most,
            num_beams=beams,
            do_sample=False,
        )
    told = processor.batch_decode(made, skip_special_tokens=False)[0]
    height, width = picture.shape[-2:]
    answer = processor.post_process_generation(told, task=token, image_size=(width, height))[token]
    if isinstance(answer, str):
        return answer.replace("<pad>", "").strip(), []
    return ", ".join(dict.fromkeys(answer["labels"])), _found(answer, height, width)


def _found(answer: Mapping[str, Any], height: int, width: int) -> list[Found]:
    found = []
    for label, box in zip(answer["labels"], answer.get("bboxes", ()), strict=False):
        left, top, right, bottom = (float(edge) for edge in box)
        corners = min(left, right), min(top, bottom), max(left, right), max(top, bottom)
        found.append(Found(box=corners, score=1.0, label=label))
    for label, polygons in zip(answer["labels"], answer.get("polygons", ()), strict=False):
        found += outlined(_drawn(polygons, height, width), label=label, score=1.0)
    return found


def _drawn(polygons: Sequence[Sequence[float]], height: int, width: int) -> Tensor:
    """Polygons, each a list of x and y in turn, as a mask (H, W)."""
    plane = Image.new("L", (width, height))
    for polygon in polygons:
        if len(polygon) >= 6:
            ImageDraw.Draw(plane).polygon([float(place) for place in polygon], fill=255, outline=255)
    return torch.from_numpy(np.asarray(plane, dtype=np.float32) / 255)
