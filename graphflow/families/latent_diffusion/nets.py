"""Networks that steer another one by pictures: each is taken, and each of their pictures encoded, once."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.nn import functional

from graphflow.pixels.batches import cycled
from graphflow.values import Control, ControlNet


@dataclass(kw_only=True, eq=False)
class NetsInUse:
    """The ControlNets that act on one network while it is in use."""

    _stack: ExitStack = field(default_factory=ExitStack)
    _nets: dict[int, tuple[ControlNet, Any]] = field(default_factory=dict)
    _encoded: dict[tuple[int, int, int], tuple[Control, list[Tensor]]] = field(default_factory=dict)

    def close(self) -> None:
        """Give the ControlNets back."""
        self._nets.clear()
        self._encoded.clear()
        self._stack.close()

    def net(self, recipe: ControlNet) -> Any:
        """What the recipe's `use` gives."""
        known = self._nets.get(id(recipe))
        if known is None:
            known = (recipe, self._stack.enter_context(recipe.use()))
            self._nets[id(recipe)] = known
        return known[1]

    def encoded(self, control: Control, height: int, width: int, batch: int, entries: int) -> list[Tensor]:
        """What the network makes of the picture alone, (entries * batch, …) each.

        Args:
            control: The control.
            height: Height of the latent.
            width: Its width.
            batch: Items of an entry: item i gets picture i, from the first again where they run out.
            entries: Entries that are evaluated together.
        """
        # The control is kept with what was made of it, so that no other object takes its id.
        known = self._encoded.get((id(control), height, width))
        if known is None:
            known = (control, self.net(control.net).encode(control.hint, height, width, control.vae))
            self._encoded[id(control), height, width] = known
        return [_spread(tensor, batch, entries) for tensor in known[1]]


def fit_hint(hint: Tensor, height: int, width: int) -> Tensor:
    """A picture at another size, cut evenly at two sides to the wanted proportions, with nearest neighbours.

    Args:
        hint: (K, C, H, W).
        height: Wanted height.
        width: Wanted width.
    """
    if hint.shape[-2:] == (height, width):
        return hint
    found_height, found_width = hint.shape[-2:]
    left = max(0, round((found_width - found_height * width / height) / 2))
    top = max(0, round((found_height - found_width * height / width) / 2))
    hint = hint[..., top : found_height - top, left : found_width - left]
    return functional.interpolate(hint, size=(height, width), mode="nearest-exact")


def _spread(tensor: Tensor, batch: int, entries: int) -> Tensor:
    return cycled(tensor, batch).repeat(entries, *(1,) * (tensor.ndim - 1))
