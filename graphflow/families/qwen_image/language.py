"""Qwen2.5-VL (Bai et al. 2025, arXiv:2502.13923) as an encoder: text, with pictures between, to hidden states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.families.flow.seeing import patches
from graphflow.pixels.resampling import resize_bilinear

QWEN2_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
)
QWEN2_AXES = (16, 24, 24)
"""Sixty-fourths of a rotation's frequencies that tell time, row and column."""
CLIP_COLORS = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
"""Mean and deviation of the pixels that it was trained with, CLIP's."""


class Qwen25VL(nn.Module):  # type: ignore[misc]
    """The language model without its head, and the network that sees, where the file has one.

    Args:
        config: That of the whole, as published; the text may have a section of its own.
    """

    def __init__(self, **config: Any) -> None:
        from transformers import Qwen2Config, Qwen2Model
        from transformers.models.qwen2_5_vl import configuration_qwen2_5_vl as configs
        from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as models

        super().__init__()
        given = {**config, **(config.get("text_config") or {})}
        rope = given.get("rope_parameters") or {}
        self.theta = float(given.get("rope_theta") or rope.get("rope_theta", 1e6))
        sizes = {key: given[key] for key in QWEN2_SIZES if key in given}
        plain = {"attn_implementation": "sdpa"}  # it is causal without a mask
        self.language = Qwen2Model(Qwen2Config(**sizes, **plain))
        self.visual: Any = None
        if config.get("vision_config"):
            seeing = configs.Qwen2_5_VLVisionConfig(**config["vision_config"])
            self.visual = models.Qwen2_5_VisionTransformerPretrainedModel(seeing)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        device: torch.device = self.language.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """In which dtype."""
        dtype: torch.dtype = self.language.dtype
        return dtype

    def forward(self, ids: Sequence[int], pictures: Sequence[Tensor] = (), picture_token: int = -1) -> Tensor:
        """Read a text.

        Args:
            ids: Its T tokens.
            pictures: (1, 3, H, W) in [0, 1], one for each picture token.
            picture_token: The token that stands for a picture.

        Returns:
            Hidden states (1, T', C) of the last layer, normed; a picture's token has become many.
        """
        table, device = self.language.embed_tokens, self.device
        seen = iter([self._see(picture.to(device)) for picture in pictures])
        parts: list[Tensor] = []
        places: list[Tensor] = []
        reached = 0
        for run in text_runs(ids, picture_token):
            if run is None:
                states, rows, columns = next(seen)
                grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
                spots = torch.cat([torch.zeros(len(grid), 1), grid], dim=1)
                places.append(spots + reached)
                reached += max(rows, columns)
            else:
                states = table(torch.tensor(run, device=device))
                line = torch.arange(len(run)) + float(reached)
                places.append(line[:, None].expand(-1, 3))
                reached += len(run)
            parts.append(states)
        hidden = torch.cat([part.to(parts[0]) for part in parts])[None]
        turns = tuple(turn.to(hidden) for turn in self._rotation(torch.cat(places)))
        for layer in self.language.layers:
            hidden = layer(hidden, position_embeddings=turns)
        normed: Tensor = self.language.norm(hidden)
        return normed

    def _see(self, picture: Tensor) -> tuple[Tensor, int, int]:
        """What the network sees of (1, 3, H, W), (rows * columns, C), and how many rows and columns that is."""
        config = self.visual.config
        patch, merged = config.patch_size, config.spatial_merge_size
        unit = patch * merged
        rows, columns = (max(1, round(edge / unit)) for edge in picture.shape[-2:])
        pixels = resize_bilinear(picture, (rows * unit, columns * unit))
        mean, deviation = pixels.new_tensor(CLIP_COLORS).reshape(2, 1, 3, 1, 1)
        frames = (pixels - mean) / deviation
        tokens = patches(frames, patch, merged, config.temporal_patch_size)
        grid = torch.tensor([[1, rows * merged, columns * merged]]).to(picture.device)
        states = self.visual(tokens.to(self.visual.dtype), grid_thw=grid).pooler_output
        return states[self._window_order(grid)], rows, columns

    def _window_order(self, grid: Tensor) -> Tensor:
        """The order of the network's windows, in which ComfyUI 0.8.0 leaves what it saw; the class puts it back in rows."""
        from transformers.vision_utils import get_vision_window_index

        config = self.visual.config
        order: Tensor = get_vision_window_index(
            grid,
            spatial_merge_size=config.spatial_merge_size,
            window_size=config.window_size,
            patch_size=config.patch_size,
        )[0]
        return order

    def _rotation(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine (1, T, D) at places (T, 3) by time, row and column."""
        half = self.language.layers[0].self_attn.head_dim // 2
        speeds = 1.0 / self.theta ** (torch.arange(half).float() / half)
        angles = places.T[..., None] * speeds  # (3, T, D / 2)
        widths = [half * share // sum(QWEN2_AXES) for share in QWEN2_AXES]
        parts = angles.split(widths, dim=-1)
        joined = torch.cat([part[axis] for axis, part in enumerate(parts)], dim=-1)
        turned = torch.cat([joined, joined], dim=-1)[None]
        return turned.cos(), turned.sin()


def text_runs(ids: Sequence[int], picture_token: int) -> Iterator[list[int] | None]:
    """Runs of text; None for a picture between them."""
    run: list[int] = []
    for number in ids:
        if number != picture_token:
            run.append(number)
            continue
        if run:
            yield run
        yield None
        run = []
    if run:
        yield run
