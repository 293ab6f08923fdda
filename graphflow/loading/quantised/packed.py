"""A weight that stays packed in memory and is dequantised when its layer computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.loading.codes.decoding import unrotate
from graphflow.modelfiles.family import Change, Rows

Dequantise = Callable[[Mapping[str, Tensor]], Tensor]
"""From tensors of some entries to their float32 values, one entry a row."""

_CHUNK = 1 << 19
"""Values that are dequantised at once on a CPU, where they stay in its cache."""
_PART = 1 << 22
"""Values of a weight that a linear layer multiplies by at once there: the system gives larger ones new pages each time,
which takes longer than to dequantise them."""
_ROWS = 64
"""What rows of a part are a multiple of, which matrices are multiplied fastest by."""
_NAME = "packed_weight"
_HOLDERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)


class PackedWeight(nn.Module):  # type: ignore[misc]
    """A quantised weight.

    Its tensors have one entry for each row of the weight, or several where blocks are shorter than rows.

    Args:
        entries: Tensors with all entries along their first axis.
        shared: Tensors that belong to all entries.
        shape: The weight's shape.
        dequantise: What makes values of some entries.
        width: Columns of a row with its padding; 0 where there is none.
        rotation: Columns that ConvRot rotated together, which is not undone in these values; 0 where none were.
    """

    def __init__(
        self,
        entries: Mapping[str, Tensor],
        shared: Mapping[str, Tensor],
        shape: tuple[int, ...],
        dequantise: Dequantise,
        *,
        width: int = 0,
        rotation: int = 0,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.dequantise = dequantise
        self.width = width
        self.rotation = rotation
        self.dtype = torch.float32
        self.change: Callable[[Tensor], Tensor] | None = None
        self.entry_names = tuple(entries)
        for name, tensor in {**entries, **shared}.items():
            self.register_buffer(name, tensor)

    @property
    def bytes(self) -> int:
        """Bytes that it takes up."""
        return sum(tensor.nbytes for tensor in self.buffers())

    @property
    def entries(self) -> int:
        """How many entries there are."""
        return len(self._buffers[self.entry_names[0]])

    def dense(self) -> Tensor:
        """The weight in its dtype, with its change."""
        if self.change is None:
            return self._values(self.dtype)
        return self.change(self._values(torch.float32)).to(self.dtype)

    def values(self) -> Tensor:
        """The weight without its change, float32."""
        return self._values(torch.float32)

    def rows(self, index: Tensor) -> Tensor:
        """Some rows of the weight in its dtype; `index` is (n,)."""
        if self.change is not None or not self._per_row:
            return self.dense()[index]
        entries = (index[:, None] * self._per_row + torch.arange(self._per_row, device=index.device)).flatten()
        return self._made(lambda tensor: tensor[entries], len(index)).to(self.dtype)

    def linear(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """X W^T + b; of a weight that was rotated, and whose values are rounded to half precision, x is rotated instead.

        Args:
            x: (..., columns).
            bias: (rows,).
        """
        turned = self.rotation > 0 and self.change is None and self.dtype != torch.float32
        if turned:
            x = _turned(x, self.rotation)
        rows, step = self.shape[0], max(1, _PART // self.shape[1] // _ROWS) * _ROWS
        if self.change is not None or not self._per_row or step >= rows or not _in_parts(x):
            weight = self.dense() if self.change is not None else self._values(self.dtype, turned=turned)
            return nn.functional.linear(x, weight, bias)
        result = x.new_empty(*x.shape[:-1], rows)
        for first in range(0, rows, step):
            part = slice(first, min(rows, first + step))
            weight = self._values(self.dtype, part, turned=turned)
            result[..., part] = nn.functional.linear(x, weight, None if bias is None else bias[part])
        return result

    def changed(self, change: Change) -> PackedWeight | None:
        """The same weight as a file's change makes it; None where that cannot be done packed."""
        total = self.shape[0]
        match change:
            case "":
                return self
            case Rows(first, last, whole):
                return self._taken(slice(total * first // whole, total * last // whole))
            case "swap_halves" if total % 2 == 0:
                return self._ordered(torch.arange(total).roll(total // 2))
            case _:
                return None

    def ordered(self, index: Tensor) -> PackedWeight | None:
        """The same weight with its rows in another order; None where entries are no rows."""
        return self._ordered(index)

    def cut(self, shape: tuple[int, ...]) -> PackedWeight | None:
        """The weight without padding, or in another shape of as many values; None where it does not fit."""
        if shape == self.shape:
            return self
        if [size for size in shape if size != 1] == [size for size in self.shape if size != 1]:
            return self._like(self._entries(), shape, self.width)
        if len(self.shape) == 1 and _size(shape) == self.shape[0]:  # a file that does not know its rows
            return self._like(self._entries(), shape, 0)
        padded = len(shape) == len(self.shape) == 2 and all(
            a <= b < a + 32 for a, b in zip(shape, self.shape, strict=True)
        )
        if not padded or self._per_row != 1:
            return None
        return self._like(self._some_entries(slice(shape[0])), shape, self.shape[1])

    @property
    def _per_row(self) -> int:
        """Entries of a row; 0 where entries do not end with rows."""
        return 0 if self.entries % self.shape[0] else self.entries // self.shape[0]

    def _values(self, dtype: torch.dtype, rows: slice | None = None, *, turned: bool = False) -> Tensor:
        """The weight without its change, or some rows of it; `turned` leaves ConvRot's rotation in it."""
        first, last = (0, self.shape[0]) if rows is None else (rows.start, rows.stop)
        begin, end = (0, self.entries) if rows is None else (first * self._per_row, last * self._per_row)
        values = self.width or -(-_size(self.shape) // max(1, self.entries))
        step = max(1, _CHUNK // max(1, values))
        if step >= end - begin or not _in_parts(self._buffers[self.entry_names[0]]):
            return self._made(lambda tensor: tensor[begin:end], last - first, turned=turned).to(dtype)
        whole = torch.empty(end - begin, values, dtype=dtype)
        for place in range(begin, end, step):
            part = slice(place, min(end, place + step))
            made = self._unshaped(partial(_part, part=part), turned=turned)
            whole[place - begin : part.stop - begin] = made
        return self._shaped(whole, last - first)

    def _unshaped(self, take: Callable[[Tensor], Tensor], *, turned: bool = False) -> Tensor:
        values = self.dequantise(self._some(take))
        return values if turned or not self.rotation else unrotate(values, self.rotation)

    def _made(self, take: Callable[[Tensor], Tensor], rows: int, *, turned: bool = False) -> Tensor:
        return self._shaped(self._unshaped(take, turned=turned), rows)

    def _shaped(self, values: Tensor, rows: int) -> Tensor:
        if self.width:
            values = values[:, : self.shape[1]]
        return values.reshape(rows, *self.shape[1:])

    def _some(self, take: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        return {name: take(tensor) if name in self.entry_names else tensor for name, tensor in self._buffers.items()}

    def _entries(self) -> dict[str, Tensor]:
        return {name: self._buffers[name] for name in self.entry_names}

    def _some_entries(self, index: Any) -> dict[str, Tensor]:
        return {name: tensor[index] for name, tensor in self._entries().items()}

    def _taken(self, part: slice) -> PackedWeight | None:
        per = self._per_row
        if not per:
            return None
        entries = self._some_entries(slice(part.start * per, part.stop * per))
        return self._like(entries, (part.stop - part.start, *self.shape[1:]), self.width)

    def _ordered(self, index: Tensor) -> PackedWeight | None:
        per = self._per_row
        if not per:
            return None
        places = (index[:, None] * per + torch.arange(per)).flatten()
        return self._like(self._some_entries(places), self.shape, self.width)

    def _like(self, entries: Mapping[str, Tensor], shape: tuple[int, ...], width: int) -> PackedWeight:
        shared = {name: tensor for name, tensor in self._buffers.items() if name not in self.entry_names}
        width = width if width != shape[-1] else 0
        return PackedWeight(entries, shared, shape, self.dequantise, width=width, rotation=self.rotation)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Stand in a state dict as the weight that it is."""
        destination[prefix.removesuffix(f"{_NAME}.") + "weight"] = self.dense()


def can_hold(module: nn.Module, leaf: str) -> bool:
    """Whether a module computes with a packed tensor of this name."""
    return leaf == "weight" and isinstance(module, _HOLDERS)


def hold(module: nn.Module, weight: PackedWeight) -> None:
    """Have a linear layer, convolution or embedding compute with a packed weight, dequantised at each use."""
    if _NAME not in module._modules:
        del module._parameters["weight"]
        cls: Any = type(module)
        module.__class__ = _holding(cls)
        if isinstance(module, nn.Embedding):
            module.padding_idx = None  # it only keeps gradients off a row
    module._modules[_NAME] = weight


def packed_in(module: nn.Module, leaf: str) -> PackedWeight | None:
    """The packed weight that a module computes with; None where it has a plain tensor of this name."""
    found = module._modules.get(_NAME) if leaf == "weight" else None
    return found if isinstance(found, PackedWeight) else None


@cache
def _holding(cls: type[nn.Module]) -> type[nn.Module]:
    """A layer's class whose weight is packed; it goes by the same name."""
    members: dict[str, Any] = {"weight": property(_weight), "__module__": cls.__module__, "__doc__": cls.__doc__}
    if issubclass(cls, nn.Embedding):
        members["forward"] = _embed
    elif cls.forward is nn.Linear.forward:
        members["forward"] = _linear
    return type(cls.__name__, (cls,), members)


def _weight(module: nn.Module) -> Tensor:
    rows = module.__dict__.get("_rows_in_use")
    return module._modules[_NAME].dense() if rows is None else rows


def _linear(module: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = module._modules[_NAME].linear(x, module.bias)
    return result


def _embed(module: nn.Module, ids: Tensor) -> Tensor:
    """Embed tokens with only their rows dequantised."""
    used, places = ids.unique(return_inverse=True)
    module.__dict__["_rows_in_use"] = module._modules[_NAME].rows(used)
    try:
        return super(type(module), module).forward(places)
    finally:
        del module.__dict__["_rows_in_use"]


def _in_parts(tensor: Tensor) -> bool:
    """Whether what is computed from a tensor is computed part by part."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def _turned(x: Tensor, group: int) -> Tensor:
    """Columns of x rotated, float32 on the way."""
    rows = x.reshape(-1, x.shape[-1])
    parts = rows.split(max(1, _CHUNK // rows.shape[1])) if _in_parts(x) else (rows,)
    return torch.cat([unrotate(part.float(), group, exact=False).to(x.dtype) for part in parts]).view(x.shape)


def _part(tensor: Tensor, part: slice) -> Tensor:
    return tensor[part]


def _size(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
