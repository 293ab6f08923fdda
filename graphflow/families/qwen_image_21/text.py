"""Qwen-Image 2.1's prompts: what Qwen3-VL makes of a text and of the pictures that it speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.finite import require_finite
from graphflow.basics.inference import inference
from graphflow.basics.prompt_syntax import unescaped
from graphflow.errors import ModelFormatError
from graphflow.families.flow.piece_tokenizer import PieceTokenizer
from graphflow.families.flow.seeing import patches
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.text import TextModel
from graphflow.pixels.resampling import to_area
from graphflow.values import Conditioning, ConditioningEntry

_FRAME = (
    "<|im_start|>system\nComprehend and analyze the provided prompt.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
    "<|im_start|>assistant\n"
)
"""What it is asked, as Diffusers' QwenImage21Pipeline asks it."""
START, PICTURE = "<|im_start|>", "<|image_pad|>"
_SHOWN = f"<image{{}}><|vision_start|>{PICTURE}<|vision_end|>"
PLACES = "picture_places"
"""Where a conditioning entry's extras say at which tokens pictures stand: (first token, rows, columns) of each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QwenImage21Text(TextModel):
    """What `TextEncoder.use()` gives.

    Attributes:
        module: A transformers `Qwen3VLModel`.
        tokenizer: Its tokenizer.
        device: Where it computes.
    """

    module: Any
    tokenizer: PieceTokenizer
    device: torch.device

    @inference
    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Encode a prompt.

        Args:
            text: The prompt, of any length; brackets are read as they stand, without weights, those behind a
                backslash without it.
            texts: Another prompt for the encoder, by its part name.

        Returns:
            One entry: embedding (1, T, C) of the last layer, not normed, behind what the system says; float32 on the
            CPU.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        return self._read((texts or {}).get("text_encoder", text), ())

    @inference
    def encode_with_pictures(self, text: str, pictures: Sequence[Tensor], *, numbered: bool) -> Conditioning:
        """Encode an instruction and the pictures that it speaks of.

        Args:
            text: The instruction.
            pictures: (1, 3 or 4, H, W) each, in [0, 1]; brought to multiples of a token's edge. It sees what is
                transparent on white.
            numbered: Whether there may be several; they have numbers always.

        Returns:
            As :meth:`encode`, with the pictures before the text, and in its extras where they stand.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        return self._read(text, pictures)

    def _read(self, text: str, pictures: Sequence[Tensor]) -> Conditioning:
        names = [_SHOWN.format(number) for number in range(1, len(pictures) + 1)]
        ids = self.tokenizer.ids(_FRAME.format(" ".join(names) + (unescaped(text) or " ")))
        (start,), (picture,) = self.tokenizer.ids(START), self.tokenizer.ids(PICTURE)
        vision = self.module.config.vision_config
        unit = vision.patch_size * vision.spatial_merge_size
        seen = [to_area(on_white(pixels), pixels.shape[-2] * pixels.shape[-1], unit) for pixels in pictures]
        sizes = [(pixels.shape[-2] // unit, pixels.shape[-1] // unit) for pixels in seen]
        told: list[int] = []
        places: list[tuple[int, int, int]] = []
        for number in ids:
            if number == picture and len(places) < len(sizes):
                rows, columns = sizes[len(places)]
                places.append((len(told), rows, columns))
                told += [number] * (rows * columns)
            else:
                told.append(number)
        first = told.index(start, told.index(start) + 1)
        embedding = self._states(told, seen, picture)[:, first:].float().cpu()
        require_finite(embedding, "the prompt's embedding", "set dtype to float32 or bfloat16")
        extras = {PLACES: tuple((place - first, *size) for place, *size in places)} if places else {}
        return Conditioning(entries=(ConditioningEntry(embedding=embedding, extras=extras),))

    def _states(self, ids: Sequence[int], pictures: Sequence[Tensor], picture: int) -> Tensor:
        """The last layer's output (1, T, C), not normed."""
        vision = self.module.config.vision_config
        tokens = torch.tensor([ids], device=self.device)
        given: dict[str, Tensor] = {}
        if pictures:
            shown = [
                patches(
                    pixels.to(self.device) * 2.0 - 1.0,
                    vision.patch_size,
                    vision.spatial_merge_size,
                    vision.temporal_patch_size,
                )
                for pixels in pictures
            ]
            grids = [[1, *(edge // vision.patch_size for edge in pixels.shape[-2:])] for pixels in pictures]
            given = {
                "pixel_values": torch.cat(shown),
                "image_grid_thw": torch.tensor(grids, device=self.device),
                "mm_token_type_ids": (tokens == picture).int(),
            }
        kept: list[Tensor] = []
        hook = self.module.language_model.norm.register_forward_pre_hook(lambda _module, inputs: kept.append(inputs[0]))
        try:
            self.module(input_ids=tokens, use_cache=False, **given)
        finally:
            hook.remove()
        return kept[0]

    def alone(self) -> Iterator[tuple[str, TextModel]]:
        """Itself, the only one."""
        yield "text_encoder", self

    def file_tensors(self, *, whole: bool) -> Iterator[tuple[str, Tensors, Config]]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError(
            "text encoders of Qwen-Image 2.1 are not saved here", advice="keep the file that it came from"
        )


def on_white(pixels: Tensor) -> Tensor:
    """Pictures (B, 3 or 4, H, W) as (B, 3, H, W), on white where they are transparent."""
    if pixels.shape[1] == 3:
        return pixels
    alpha = pixels[:, 3:4]
    return pixels[:, :3] * alpha + 1.0 - alpha
