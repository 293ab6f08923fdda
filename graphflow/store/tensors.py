"""Tensors to bytes and back, bit for bit, for every dense dtype. Imports torch where it must, not before."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from graphflow.errors import StoreError
from graphflow.store.layout import DamagedError, Part

if TYPE_CHECKING:
    import torch

__all__ = ["tensor_from", "to_part"]


def to_part(name: str, tensor: torch.Tensor) -> Part:
    """The bytes of a dense tensor; without a copy if it is contiguous and on the CPU.

    Raises:
        StoreError: if it is sparse or quantised.
    """
    if str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise StoreError(
            f"tensor {name!r} is {'quantised' if tensor.is_quantized else 'sparse'} and cannot be stored",
            advice="let the value's encode() return dense tensors",
        )
    flat = _bytes(tensor.detach().cpu().resolve_conj().resolve_neg().contiguous())
    return Part(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), flat.numpy().data)


def tensor_from(dtype: str, shape: tuple[int, ...], nbytes: int, fill: Callable[[memoryview], None]) -> torch.Tensor:
    """A new tensor with memory of its own; ``fill`` writes its bytes.

    Args:
        dtype: torch's name, e.g. ``bfloat16``.
        shape: Any shape, also ``()`` and with zeros.
        nbytes: The bytes that are there for it.
        fill: Called once with the writable bytes.

    Raises:
        DamagedError: if there is no such tensor.
    """
    import torch

    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != nbytes:
        raise DamagedError(f"{nbytes} bytes are no tensor of dtype {dtype} and shape {shape}")
    flat = torch.empty(nbytes, dtype=torch.uint8)
    fill(flat.numpy().data)
    return flat.view(kind).reshape(shape)


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.reshape(-1).view(torch.uint8)
