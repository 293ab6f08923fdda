"""Values on their way between processes: JSON, and tensors as bytes that Ray shares without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from graphflow.store.tensors import tensor_from, to_part
from graphflow.values import ModelFile
from graphflow.values.types import decode, encode


class Flat(NamedTuple):
    """One tensor: torch's name of its dtype, its shape, its bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: np.ndarray[Any, np.dtype[np.uint8]]


class Packed(NamedTuple):
    """A value.

    Attributes:
        data: What :func:`graphflow.values.types.encode` says of it, in JSON.
        tensors: Its tensors by name.
    """

    data: Any
    tensors: Mapping[str, Flat]


def pack(value: object) -> Packed:
    """Pack a value.

    Raises:
        StoreError: Some part of it has no encoding.
    """
    data, tensors = encode(value)
    parts = {name: to_part(name, tensor) for name, tensor in tensors.items()}
    return Packed(data, {name: Flat(part.dtype, part.shape, np.asarray(part.data)) for name, part in parts.items()})


def unpack(packed: Packed) -> Any:
    """Return the value; its tensors have memory of their own.

    Raises:
        StoreError: It is of a type that is not known here.
    """
    return decode(packed.data, {name: _tensor(flat) for name, flat in packed.tensors.items()})


def _tensor(flat: Flat) -> Any:
    def fill(target: memoryview) -> None:
        target[:] = flat.data.data

    return tensor_from(flat.dtype, flat.shape, flat.data.nbytes, fill)


def model_files(value: object) -> list[ModelFile]:
    """Return the parts of model files that a value names, in recipes and what they are patched and hooked with."""
    found: list[ModelFile] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ModelFile):
            found.append(part)
        elif isinstance(part, Mapping):
            waiting.extend(part.values())
        elif isinstance(part, tuple | list):
            waiting.extend(part)
        elif is_dataclass(part):
            waiting.extend(getattr(part, field.name) for field in fields(part))
    return found
