"""ControlNets that add to each block of Qwen-Image by what it computes: DiffSynth-Studio's "Blockwise ControlNets"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from graphflow.basics.inference import inference
from graphflow.families.flow.residuals import Residuals
from graphflow.families.qwen_image.control import QwenImageControl, require_one_frame
from graphflow.families.qwen_image.tokens import tokens_of
from graphflow.values import Vae

Acting = Sequence[tuple[Any, Tensor, float]]
"""Networks with the picture's tokens and the strength."""


class BlockwiseLayer(nn.Module):  # type: ignore[misc]
    """What is added behind one of the transformer's blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.x_rms, self.y_rms = (nn.RMSNorm(width, eps=1e-6) for _ in "xy")
        self.input_proj, self.output_proj = (nn.Linear(width, width) for _ in range(2))

    def forward(self, hidden: Tensor, picture: Tensor) -> Tensor:
        """From the block's tokens (B, n, C) and those of the picture."""
        inner = self.input_proj(self.x_rms(hidden) + self.y_rms(picture))
        added: Tensor = self.output_proj(nn.functional.gelu(inner))
        return added


class BlockwiseNetwork(nn.Module):  # type: ignore[misc]
    """Tokens of the picture's latents, and one perceptron for each of the transformer's blocks.

    Args:
        reads: Width of the latents' tokens, with those of a mask.
        width: Width of the transformer's tokens.
        layers: Blocks of the transformer.
    """

    def __init__(self, reads: int, width: int, layers: int) -> None:
        super().__init__()
        self.img_in = nn.Linear(reads, width)
        blocks = [BlockwiseLayer(width) for _ in range(layers)]
        self.controlnet_blocks = nn.ModuleList(blocks)


def blockwise_hint(net: Any, picture: Tensor) -> Tensor:
    """What a blockwise ControlNet makes of latents: tokens (K, n, C)."""
    made: Tensor = net.img_in(tokens_of(picture)[0].to(net.img_in.weight))
    return made


@contextmanager
def acting(controls: Acting, transformer: Any, count: int) -> Iterator[None]:
    """Have the ControlNets add to the first so many tokens of the picture behind each block, until the block ends."""

    def added(number: int, _module: Any, _inputs: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        text, hidden = output
        first = hidden[:, :count]
        total = sum(
            net.controlnet_blocks[number](first, picture) * strength
            for net, picture, strength in controls
            if number < len(net.controlnet_blocks)
        )
        hidden = hidden.clone()
        hidden[:, :count] += total
        return text, hidden

    handles = []
    for number, block in enumerate(transformer.transformer_blocks if controls else ()):
        handles.append(block.register_forward_hook(partial(added, number)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def blockwise_steered(
    controls: Sequence[Mapping[str, Any]], network: Any, x: Tensor, _time: Tensor, _told: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of `qwen_image_velocity` by which blockwise ControlNets steer, while the network computes."""
    parts = ("net", "picture", "strength")
    acts = [tuple(control[part] for part in parts) for control in controls]
    return {"within": partial(acting, acts, network, tokens_of(x)[0].shape[1])}


@dataclass(kw_only=True, eq=False)
class QwenImageBlockwise(QwenImageControl):
    """What `ControlNet.use()` gives for a `BlockwiseNetwork`."""

    @property
    def width(self) -> None:
        """None: it reads no text."""
        return

    @property
    def inner(self) -> int:
        """Width of its tokens, which is the transformer's."""
        return int(self.module.img_in.out_features)

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The picture's tokens (K, n, C)."""
        paints = self.module.img_in.in_features > 4 * self.latent.channels
        return [blockwise_hint(self.module, self.latents(hint, height, width, vae, paints=paints))]

    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """Nothing that is known before a block has computed; see :func:`acting`.

        Raises:
            InvalidInputError: Several frames are sampled.
        """
        require_one_frame(encoded[0], told)
        return {}
