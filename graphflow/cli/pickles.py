"""Pickle files to safetensors, without running what they hold."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.modelfiles.sources import CONFIG_KEY

if TYPE_CHECKING:
    import torch

_WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params")
"""Keys under which training programs keep the weights, beside optimiser state and counters."""


_LEVELS = 20
"""Most levels of mappings in mappings."""


def to_safetensors(path: Path | None, name: str, output: Path | None) -> tuple[Path, int, list[str]]:
    """Convert a pickle file of tensors.

    Args:
        path: The file; None for a model that is not on this machine.
        name: What the user called it.
        output: The file to write; None is beside it, ending in ``.safetensors``.

    Returns:
        The file written, the number of tensors, and the names of what was left out because it is no dense tensor.

    Raises:
        InvalidInputError: There is no such file, or the output exists.
        ModelFormatError: It is no pickle file of tensors.
    """
    if path is None or not path.is_file():
        raise InvalidInputError(
            "this is no file here", where=name, advice="give the path of a .ckpt, .pt, .pth or .bin file"
        )
    if path.suffix in (".safetensors", ".sft", ".gguf"):
        raise InvalidInputError(f"a {path.suffix} file needs no conversion", where=str(path))
    target = output or path.with_suffix(".safetensors")
    if target.exists():
        raise InvalidInputError("this file exists already", where=str(target), advice="name another one with -o")
    tensors: dict[str, torch.Tensor] = {}
    dropped: list[str] = []
    data = _unwrapped(_load(path))
    metadata = _settings(data)
    for key, value in _entries(data):
        if _is_dense(value):
            tensors[key] = value.detach().contiguous()
        else:
            dropped.append(key)
    if not tensors:
        raise ModelFormatError("the file holds no tensors", where=str(path))
    _save(_apart(tensors), target, metadata, mode=path.stat().st_mode & 0o666)
    return target, len(tensors), dropped


def _load(path: Path) -> Any:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:
        raise ModelFormatError(
            "the file is damaged or holds more than tensors; opening that could run any code, so it is refused",
            where=str(path),
            advice="get the model as safetensors, or convert it where you trust it",
        ) from error
    except Exception as error:  # whatever a damaged file makes the reader stumble over
        reason = f"{type(error).__name__}: {str(error)[:300]}"
        raise ModelFormatError(f"the file cannot be read as a pickle of tensors: {reason}", where=str(path)) from error


def _unwrapped(data: Any) -> Any:
    for key in _WRAPPERS:
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            return data[key]
    return data


def _entries(data: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings, with dotted names; a mapping that holds itself ends somewhere."""
    if isinstance(data, tuple | list) and any(isinstance(item, Mapping) for item in data):
        data = dict(enumerate(data))
    if not isinstance(data, Mapping) or depth == _LEVELS:
        yield prefix.removesuffix(".") or "value", data
        return
    for key, value in data.items():
        yield from _entries(value, f"{prefix}{key}.", depth + 1)


def _settings(data: Any) -> dict[str, str]:
    """Return as metadata what a hypernetwork's file says beside its tensors."""
    if not isinstance(data, Mapping) or not isinstance(data.get("activation_func"), str):
        return {}
    told = {"activation": data["activation_func"], "activate_output": bool(data.get("activate_output"))}
    return {CONFIG_KEY: json.dumps({"hypernetwork": told})}


def _is_dense(value: Any) -> bool:
    """Tell whether a value is a tensor that safetensors can hold."""
    import torch

    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with no two in one piece of memory, which the format does not allow."""
    seen: set[int] = set()
    result: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return result


def _save(tensors: dict[str, torch.Tensor], target: Path, metadata: dict[str, str], *, mode: int) -> None:
    from safetensors.torch import save_file

    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".graphflow-", suffix=".part", dir=target.parent)
    os.close(handle)
    part = Path(name)
    try:
        save_file(tensors, part, metadata={"format": "pt", **metadata})
        part.chmod(mode)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
