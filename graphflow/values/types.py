"""The register of types that travel on links, and their form on disk or on a wire.

A value type is a frozen dataclass registered under a name. Its fields hold plain JSON values, tuples, string-keyed
mappings, tensors, and other registered dataclasses; :func:`encode` walks them, so no type writes its own encoding.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from graphflow.errors import NodeDefinitionError, StoreError

if TYPE_CHECKING:
    import torch

C = TypeVar("C", bound=type)

_BY_NAME: dict[str, type] = {}
_BY_CLASS: dict[type, str] = {}


def value_type(name: str) -> Callable[[C], C]:
    """Register a frozen dataclass as a value type.

    Args:
        name: The type's name in documents and schemas, e.g. ``latent``.

    Raises:
        NodeDefinitionError: The name is taken by another class, or the class is no frozen dataclass.
    """

    def register(cls: C) -> C:
        known = _BY_NAME.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise NodeDefinitionError(
                f"the value type {name!r} is already {known.__module__}.{known.__qualname__}", where=cls.__qualname__
            )
        if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise NodeDefinitionError("a value type is a frozen dataclass", where=cls.__qualname__)
        _BY_NAME[name] = cls
        _BY_CLASS[cls] = name
        return cls

    return register


def type_name(cls: type) -> str | None:
    """Return the registered name of a value type, or None for a class that is none."""
    return _BY_CLASS.get(cls)


def class_named(name: str) -> type:
    """Return the value type with a registered name."""
    return _BY_NAME[name]


def value_type_names() -> tuple[str, ...]:
    """Return the names of all registered value types, sorted."""
    return tuple(sorted(_BY_NAME))


def is_tensor(value: object) -> bool:
    """Tell whether ``value`` is a tensor, without importing torch."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "untyped_storage")


def encode(value: object) -> tuple[Any, dict[str, torch.Tensor]]:
    """Turn a value into JSON and named tensors.

    Returns:
        The JSON value, and the tensors it names as ``{"$tensor": NAME}``: detached, contiguous, on the CPU.

    Raises:
        StoreError: Some part of the value has no encoding.
    """
    tensors: dict[str, torch.Tensor] = {}

    def walk(part: object, path: str) -> Any:
        if part is None or isinstance(part, bool | int | str):
            return part
        if isinstance(part, float):
            return part if math.isfinite(part) else {"$float": repr(part)}
        if is_tensor(part):
            tensors[path] = part.detach().to("cpu").contiguous()  # type: ignore[attr-defined]
            return {"$tensor": path}
        if isinstance(part, tuple | list):
            return [walk(item, f"{path}.{index}") for index, item in enumerate(part)]
        if isinstance(part, Mapping):
            return {"$map": {str(key): walk(item, f"{path}.{key}") for key, item in part.items()}}
        if isinstance(part, bytes):
            return {"$bytes": part.hex()}
        name = _BY_CLASS.get(type(part))
        if name is None:
            raise StoreError(
                f"a {type(part).__qualname__} has no encoding", where=path, advice="register its class with @value_type"
            )
        fields = {f.name: walk(getattr(part, f.name), f"{path}.{f.name}") for f in dataclasses.fields(part)}  # type: ignore[arg-type]
        return {"$type": name, **fields}

    return walk(value, "value"), tensors


def decode(data: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Rebuild a value from what :func:`encode` returned.

    Raises:
        StoreError: The JSON names an unknown type or a tensor that is not there.
    """
    try:
        return _decode(data, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"a stored value cannot be decoded: {error}") from error


def _decode(data: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(data, list):
        return tuple(_decode(item, tensors) for item in data)
    if not isinstance(data, dict):
        return data
    if "$tensor" in data:
        return tensors[data["$tensor"]]
    if "$float" in data:
        return float(data["$float"])
    if "$bytes" in data:
        return bytes.fromhex(data["$bytes"])
    if "$map" in data:
        return {key: _decode(item, tensors) for key, item in data["$map"].items()}
    cls = _BY_NAME[data["$type"]]
    return cls(**{key: _decode(item, tensors) for key, item in data.items() if key != "$type"})


def holds_tensor(value: object) -> bool:
    """Tell whether a value has a tensor somewhere."""
    if isinstance(value, tuple | list):
        return any(map(holds_tensor, value))
    if isinstance(value, Mapping):
        return any(map(holds_tensor, value.values()))
    if type(value) in _BY_CLASS:
        return any(holds_tensor(getattr(value, field.name)) for field in dataclasses.fields(value))  # type: ignore[arg-type]
    return is_tensor(value)


def nbytes(value: object) -> int:
    """Return roughly how many bytes a value holds: its tensors and byte strings, and a little for the rest."""
    if value is None or type(value) in (bool, int, float):  # the most frequent, and the quickest to tell
        return 16
    if is_tensor(value):
        return int(value.numel() * value.element_size())  # type: ignore[attr-defined]
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, tuple | list):
        return 16 + sum(nbytes(item) for item in value)
    if isinstance(value, Mapping):
        return 64 + sum(nbytes(item) for item in value.values())
    if type(value) in _BY_CLASS:
        fields: Any = dataclasses.fields(value)  # type: ignore[arg-type]
        return 64 + sum(nbytes(getattr(value, field.name)) for field in fields)
    return 16
