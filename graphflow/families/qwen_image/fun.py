"""Qwen-Image's ControlNets by alibaba-pai (Fun): blocks of the transformer's kind, which share its first layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from graphflow.basics.inference import inference
from graphflow.families.flow.control import require_layers
from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.residuals import Residuals
from graphflow.families.qwen_image.control import QwenImageControl, require_one_frame
from graphflow.families.qwen_image.steering import QWEN_BLOCKS, qwen_steered
from graphflow.families.qwen_image.tokens import tokens_of
from graphflow.values import Vae


class FunNetwork(nn.Module):  # type: ignore[misc]
    """As alibaba-pai's VideoX-Fun has it (Apache-2.0).

    Args:
        reads: Width of the tokens of the picture, with those of a mask and of another one that is filled in.
        heads: Heads of the transformer's attention.
        head_dim: Their width.
        places: Numbers of the transformer's blocks that it adds to.
    """

    def __init__(self, reads: int, heads: int, head_dim: int, places: Sequence[int]) -> None:
        super().__init__()
        from diffusers.models.transformers import transformer_qwenimage

        block_kind = transformer_qwenimage.QwenImageTransformerBlock
        width = heads * head_dim
        self.places = tuple(places)
        self.control_img_in = nn.Linear(reads, width)
        blocks = [block_kind(width, heads, head_dim) for _ in places]
        self.control_blocks = nn.ModuleList(blocks)
        self.control_blocks[0].before_proj = nn.Linear(width, width)
        for block in self.control_blocks:
            block.after_proj = nn.Linear(width, width)


def fun_hint(net: Any, picture: Tensor) -> Tensor:
    """What a Fun ControlNet makes of latents: tokens (K, n, C)."""
    made: Tensor = net.control_img_in(tokens_of(picture)[0].to(net.control_img_in.weight))
    return made


def fun_residuals(net: Any, tokens: Tensor, told: Mapping[str, Any], strength: float, transformer: Any) -> Residuals:
    """What a `FunNetwork` adds behind the blocks, as :func:`graphflow.families.qwen_image.steering.qwen_residuals`."""
    hidden = transformer.img_in(told["hidden_states"])
    text = transformer.txt_in(transformer.txt_norm(told["encoder_hidden_states"]))
    time = told["timestep"]
    with exact_numbers(transformer.time_text_embed.time_proj, time.float()):
        embedded = transformer.time_text_embed(time.to(hidden.dtype), hidden)
    shapes, length = told["img_shapes"], text.shape[1]
    turns = transformer.pos_embed(shapes, max_txt_seq_len=length, device=hidden.device)
    found: Residuals = {}
    steering = net.control_blocks[0].before_proj(tokens) + hidden
    for place, block in zip(net.places, net.control_blocks, strict=True):
        text, steering = block(
            hidden_states=steering,
            encoder_hidden_states=text,
            encoder_hidden_states_mask=None,
            temb=embedded,
            image_rotary_emb=turns,
        )
        found[QWEN_BLOCKS, place] = block.after_proj(steering) * strength
    return found


fun_steered = partial(qwen_steered, residuals=fun_residuals)
"""Arguments of `qwen_image_velocity` by which Fun ControlNets steer."""


@dataclass(kw_only=True, eq=False)
class QwenImageFun(QwenImageControl):
    """What `ControlNet.use()` gives for a `FunNetwork`."""

    @property
    def width(self) -> None:
        """None: the text comes through the transformer's own layers."""
        return

    @property
    def inner(self) -> int:
        """Width of its tokens, which is the transformer's."""
        return int(self.module.control_img_in.out_features)

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The tokens (K, n, C) of the picture and of what is known of another one that is filled in."""
        channels = self.module.control_img_in.in_features // 4
        return [fun_hint(self.module, self.filled_latents(hint, height, width, vae, channels))]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`.

        Raises:
            InvalidInputError: Several frames are sampled, or it adds to blocks that the transformer has not.
        """
        require_one_frame(encoded[0], told)
        require_layers(self.module.places, len(transformer.transformer_blocks))
        return fun_residuals(self.module, encoded[0], told, strength, transformer)
