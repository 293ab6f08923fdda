"""GLIGEN: things placed in boxes (Li et al. 2023, arXiv:2301.07093)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock, GatedSelfAttentionDense
from diffusers.models.embeddings import GLIGENTextBoundingboxProjection
from torch import Tensor, nn

from graphflow.errors import InvalidInputError
from graphflow.values import Conditioning, ConditioningEntry, NetworkExtension

GROUNDING = "grounding"
"""The extra of an entry with the network and its boxes: (recipe, ((text (1, D), (x, y, width, height) in pixels), ...))."""
SLOTS = 30
"""Boxes that the network reads at once."""
_BOXES, _TEXTS, _FILLED = "boxes", "box_texts", "boxes_filled"


class GligenNetwork(nn.Module):  # type: ignore[misc]  # torch is not followed
    """GLIGEN's layers: one between the attentions of each transformer block, and what reads boxes.

    Args:
        text: Width of the texts in boxes.
        context: Width of what the layers read.
        layers: Name, width, width of what is read, and heads of each, from the UNet's input to its output.
    """

    def __init__(self, *, text: int, context: int, layers: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.fusers = nn.ModuleDict(
            {
                layer["name"]: GatedSelfAttentionDense(
                    layer["query"], layer["context"], layer["heads"], layer["query"] // layer["heads"]
                )
                for layer in layers
            }
        )
        self.position_net = GLIGENTextBoundingboxProjection(positive_len=text, out_dim=context)


@dataclass(kw_only=True, eq=False)
class Grounding:
    """The GLIGEN networks that act in one UNet while it is in use: each is taken once."""

    _stack: ExitStack = field(default_factory=ExitStack)
    _networks: dict[int, tuple[NetworkExtension, GligenNetwork]] = field(default_factory=dict)

    def close(self) -> None:
        """Give the networks back."""
        self._networks.clear()
        self._stack.close()

    @contextmanager
    def placing(
        self, unet: Any, entries: Sequence[ConditioningEntry], batch: int
    ) -> Iterator[Mapping[str, Mapping[str, Tensor]]]:
        """Have a UNet place what the entries say until the block ends; entries that are evaluated together share a network.

        Yields:
            Attention arguments of the UNet.

        Raises:
            InvalidInputError: The network was made for another UNet.
        """
        if _BOXES not in entries[0].extras:
            yield {}
            return
        network = self._network(entries[0].extras[GROUNDING][0])
        blocks = [
            block
            for part in (*unet.down_blocks, unet.mid_block, *unet.up_blocks)
            for block in part.modules()
            if isinstance(block, BasicTransformerBlock)
        ]
        widths = [fuser.linear.out_features for fuser in network.fusers.values()]
        if [block.norm1.normalized_shape[0] for block in blocks] != widths:
            raise InvalidInputError(
                f"the GLIGEN file has layers for {len(widths)} transformer blocks of another model",
                where="gligen",
                advice="use one that was made for the checkpoint's family",
            )

        def stacked(name: str) -> Tensor:
            found = torch.cat([entry.extras[name] for entry in entries]).repeat_interleave(batch, dim=0)
            return found.to(unet.device, unet.dtype)

        told = {"boxes": stacked(_BOXES), "positive_embeddings": stacked(_TEXTS), "masks": stacked(_FILLED)}
        try:
            unet.position_net = network.position_net
            for block, fuser in zip(blocks, network.fusers.values(), strict=True):
                block.fuser = fuser
            yield {"gligen": told}
        finally:
            del unet.position_net
            for block in blocks:
                if hasattr(block, "fuser"):
                    del block.fuser

    def _network(self, recipe: NetworkExtension) -> GligenNetwork:
        known = self._networks.get(id(recipe))
        if known is None:
            known = (recipe, self._stack.enter_context(recipe.use()))
            self._networks[id(recipe)] = known
        return known[1]


def grounded(sides: Mapping[str, Conditioning], positive: str, height: int, width: int) -> Mapping[str, Conditioning]:
    """Make what the network reads of the boxes; sides without any read those of the positive, as ComfyUI has it.

    Args:
        sides: The conditionings by name.
        positive: Which of them says what the picture shows.
        height: Height of the picture in pixels.
        width: Its width.
    """
    given = [entry.extras[GROUNDING] for entry in sides[positive].entries if GROUNDING in entry.extras]
    if not given:
        return sides

    def read(entry: ConditioningEntry, *, inherits: bool) -> ConditioningEntry:
        grounding = entry.extras.get(GROUNDING, given[0] if inherits else None)
        if grounding is None:
            return entry
        _, placed = grounding
        free = SLOTS - len(placed)
        boxes = [(x / width, y / height, (x + w) / width, (y + h) / height) for _, (x, y, w, h) in placed]
        texts = torch.cat([text for text, _ in placed])
        extras = {
            GROUNDING: grounding,
            _BOXES: torch.tensor([[*boxes, *[(0.0,) * 4] * free]]),
            _TEXTS: torch.cat([texts, texts.new_zeros(free, texts.shape[1])])[None],
            _FILLED: torch.tensor([[1.0] * len(placed) + [0.0] * free]),
        }
        return replace(entry, extras={**entry.extras, **extras})

    return {
        name: Conditioning(entries=tuple(read(entry, inherits=name != positive) for entry in side.entries))
        for name, side in sides.items()
    }
