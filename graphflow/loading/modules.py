"""Modules made from a part's config and its mapped weights, with weight patches merged in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from graphflow.errors import ModelFormatError
from graphflow.loading.components import Components
from graphflow.loading.quantised.packed import PackedWeight, can_hold, hold, packed_in
from graphflow.loading.random_weights import tensors_of
from graphflow.loading.weightless import Weightless
from graphflow.modelfiles.families import maker_of
from graphflow.modelfiles.shards import QUANTISATION

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Part

Change = Callable[[torch.Tensor], torch.Tensor]
"""From a float32 weight to the changed float32 weight."""


class LoadedPart:
    """One part of a model in memory, with the weight patches that are merged into it now.

    Patched weights are always made from the file's own: nothing is ever subtracted again. A text encoder's patched
    weights are rounded to the dtype of its file before the arithmetic's dtype, since that is how they are held
    elsewhere; other parts are patched in the arithmetic's dtype.

    Args:
        part: What to load.
        dtype: Dtype of the arithmetic.

    Raises:
        ModelFormatError: The file does not fit the part's class.
    """

    def __init__(self, part: Part, dtype: torch.dtype) -> None:
        self.part = part
        self.dtype = dtype
        self.device = torch.device("cpu")
        self.patches: tuple[Any, ...] = ()
        self._changed: frozenset[str] = frozenset()
        self.module = build(part)
        state = self.module.state_dict(keep_vars=True)  # which tells parameters from buffers
        self.shapes = {name: tensor.shape for name, tensor in state.items()}
        self.tensors = tensors_of(part, state)
        for name in self.shapes:
            self._assign(name, self._weight(name, None))
        self.module.eval()

    @property
    def bytes(self) -> int:
        """Bytes of its weights in memory."""
        packed = {
            name: module.bytes for name, module in self.module.named_modules() if isinstance(module, PackedWeight)
        }
        owners = {name.rpartition(".")[0] for name in packed}
        plain = sum(shape.numel() for name, shape in self.shapes.items() if name.removesuffix(".weight") not in owners)
        return int(plain * self.dtype.itemsize) + sum(packed.values())

    def set_patches(self, patches: tuple[Any, ...], changes: Mapping[str, Change]) -> None:
        """Merge these patches instead of the ones that are merged now.

        Args:
            patches: The patches, to remember.
            changes: What they do, by tensor name.
        """
        names = self._changed | set(changes)
        # Until all of them are made, every one of them may be changed.
        self._changed = names
        for name in sorted(names):
            self._assign(name, self._weight(name, changes.get(name)))
        self._changed = frozenset(changes)
        self.patches = patches

    @contextmanager
    def exchanged(self, weights: Mapping[str, torch.Tensor | PackedWeight]) -> Iterator[None]:
        """Compute with other weights until the block ends.

        Args:
            weights: By tensor name, as :meth:`changed` makes them.
        """
        before = {name: self._held(name) for name in weights}
        try:
            for name, weight in weights.items():
                self._assign(name, weight)
            yield
        finally:
            for name, weight in before.items():
                self._assign(name, weight)

    def changed(self, changes: Mapping[str, Change]) -> dict[str, torch.Tensor | PackedWeight]:
        """The file's own weights with changes, where the part computes."""
        return {name: self._weight(name, change) for name, change in changes.items()}

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        if device != self.device:
            self.module.to(device)
            self.device = device

    def cast(self, dtype: torch.dtype) -> None:
        """Compute in another dtype from now on, from the file's own weights; patches must be merged again."""
        self.dtype = dtype
        self._changed, self.patches = frozenset(), ()
        for name in self.shapes:
            self._assign(name, self._weight(name, None))

    def _weight(self, name: str, change: Change | None) -> torch.Tensor | PackedWeight:
        tensor = self.tensors.packed(name)
        shape = self.shapes[name]
        if isinstance(tensor, PackedWeight):
            packed = tensor.cut(tuple(shape))
            if packed is None:
                raise self._mismatch(name, tensor.shape)
            if can_hold(*self._owner(name)):
                packed.dtype, packed.change = self.dtype, change
                return packed.to(self.device)
            tensor = packed.values()
        elif tensor.shape != shape:
            if _without_ones(tensor.shape) != _without_ones(shape):
                raise self._mismatch(name, tensor.shape)
            tensor = tensor.reshape(shape)
        if not tensor.is_floating_point():
            return tensor.to(self.device)
        if change is None:
            return tensor.to(self.device, self.dtype)
        storage = tensor.dtype
        changed = change(tensor.to(self.device, torch.float32))
        if self.part.name.startswith("text_encoder") and storage.itemsize > 1:
            changed = changed.to(storage)
        return changed.to(self.dtype)

    def _mismatch(self, name: str, shape: Sequence[int]) -> ModelFormatError:
        return ModelFormatError(
            f"{self.tensors.key(name)} has the shape {list(shape)}, the model needs {list(self.shapes[name])}",
            where=self.tensors.where,
        )

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        owner, _, leaf = name.rpartition(".")
        return self.module.get_submodule(owner), leaf

    def _held(self, name: str) -> torch.Tensor | PackedWeight:
        module, leaf = self._owner(name)
        if (packed := packed_in(module, leaf)) is not None:
            return packed
        held = module._buffers.get(leaf)
        return module.get_parameter(leaf) if held is None else held

    def _assign(self, name: str, tensor: torch.Tensor | PackedWeight) -> None:
        module, leaf = self._owner(name)
        if isinstance(tensor, PackedWeight):
            hold(module, tensor)
        elif leaf in module._buffers:
            module._buffers[leaf] = tensor
        else:
            module._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)


def build(part: Part) -> nn.Module:
    """The part's module without weights (on the meta device; buffers that no file holds are in place).

    Raises:
        ModelFormatError: There is no such class, or its config is not usable.
    """
    components: Components = maker_of(part).components()
    try:
        with Weightless():
            # Weights are packed here, not by a library that the config would ask.
            return components.build(replace(part, config={k: v for k, v in part.config.items() if k != QUANTISATION}))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelFormatError(
            f"the config of its {part.name} is not usable: {error}", where=", ".join(path.name for path in part.files)
        ) from error


def _without_ones(shape: torch.Size) -> list[int]:
    return [size for size in shape if size != 1]
