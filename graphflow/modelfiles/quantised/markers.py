"""What a file says of its quantised layers: tensors that hold JSON, the header, the older marker `scaled_fp8`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphflow.basics.regular import open_regular
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.header import Header, TensorInfo, parse_json_object
from graphflow.modelfiles.quantised.torchao import PREFIX

_HEADER = "_quantization_metadata"
_TENSOR = ".comfy_quant"
_STATE = ".weight.quant_state."
_OLD = "scaled_fp8"
_TORCHAO = "tensor_names"
_WORDS = frozenset(
    {
        *("format", "group_size", "convrot", "convrot_groupsize", "linear_dtype", "full_precision_matrix_mult", "bits"),
        *("act_unsigned", "layout", "lowrank_branch_input_basis", "rank", "orig_dtype", "orig_shape"),
    }
)
"""What a marker may say: another word could mean other numbers."""
_MOST = 65_536
"""Most bytes of a marker."""
_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.", "transformer.")
"""What names of layers in a header may have more or less than those of the tensors."""


@dataclass(frozen=True, slots=True)
class Markers:
    """What is said of layers.

    Attributes:
        layers: By layer: what stands in its marker, with the format's name under `format`.
        keys: Tensors that are markers and nothing else.
        old: Prefixes of parts that the older marker stands for, with the dtype of its empty tensor.
    """

    layers: Mapping[str, Config]
    keys: frozenset[str]
    old: Mapping[str, str]


def read_markers(headers: Iterable[Header], tensors: Mapping[str, TensorInfo], where: str) -> Markers:
    """Read the markers of a model's files.

    Args:
        headers: Of all its files.
        tensors: Of all its files.
        where: The model, for errors.

    Raises:
        ModelFormatError: A marker is damaged, names no layer of the file, or contradicts another.
    """
    layers: dict[str, Config] = {}
    keys: set[str] = set()
    old: dict[str, str] = {}
    for header in headers:
        for key, tensor in header.tensors.items():
            if key.endswith(_TENSOR):
                keys.add(key)
                _add(layers, key.removesuffix(_TENSOR), _config(_text(header, key), f"{where}: {key}"), where)
            elif _STATE in key:
                layer, _, kind = key.partition(_STATE)
                keys.add(key)
                layers[layer] = {**parse_json_object(_text(header, key), f"{where}: {key}"), "format": kind}
            elif key == _OLD or key.endswith("." + _OLD):
                keys.add(key)
                old[key.removesuffix(_OLD)] = tensor.dtype
    for header in headers:
        if text := header.metadata.get(_HEADER):
            for name, config in _named(text, f"{where} ({_HEADER})").items():
                _add(layers, _layer(name, tensors, where), config, where)
        layers |= _torchao(header.metadata, tensors, where)
    return Markers(layers, frozenset(keys), old)


def _torchao(metadata: Mapping[str, str], tensors: Mapping[str, TensorInfo], where: str) -> dict[str, Config]:
    """What torchao says of layers: under the name of each weight, the class that it was, and its attributes."""
    found: dict[str, Config] = {}
    if _TORCHAO not in metadata:
        return found
    for name, text in metadata.items():
        layer, _, leaf = name.rpartition(".")
        said = parse_json_object(text, f"{where}: {name[:200]}") if leaf == "weight" and text.startswith("{") else {}
        kind, attributes = said.get("_type"), said.get("_data", {})
        if kind in (None, "Tensor"):
            continue
        holds = said.get("_tensor_data_names", [])
        if not isinstance(attributes, dict) or not isinstance(holds, list):
            raise ModelFormatError("has no attributes", where=f"{where}: {name[:200]}")
        if missing := [key for part in holds if (key := f"{layer}._weight_{part}") not in tensors]:
            raise ModelFormatError(f"lacks {', '.join(missing)[:200]}", where=where, advice="get the file again")
        plain = {key: value.get("_data") if isinstance(value, dict) else value for key, value in attributes.items()}
        found[layer] = {**plain, "format": f"{PREFIX}{kind}"}
    return found


def _add(layers: dict[str, Config], layer: str, config: Config, where: str) -> None:
    known = layers.setdefault(layer, config)
    if known.get("format") != config.get("format"):
        raise ModelFormatError(
            f"its layer {layer} is marked as {known.get('format')} and as {config.get('format')}", where=where
        )


def _named(text: str, place: str) -> dict[str, Config]:
    layers = parse_json_object(text, place).get("layers")
    if not isinstance(layers, dict):
        raise ModelFormatError("has no layers", where=place)
    return {name: _checked(value, f"{place}: {name[:200]}") for name, value in layers.items()}


def _config(text: bytes, place: str) -> Config:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError("is not valid JSON", where=place) from error
    return _checked(value, place)


def _checked(value: JsonValue, place: str) -> Config:
    """A layer's marker with its options at one level; some writers give the format's name alone."""
    if isinstance(value, str):
        return {"format": value}
    if not isinstance(value, dict):
        raise ModelFormatError("is no object that says a format", where=place)
    nested = value.pop("params", {})
    said = {**(nested if isinstance(nested, dict) else {}), **value}
    if strange := sorted(set(said) - _WORDS):
        raise ModelFormatError(f"says {', '.join(strange)[:200]}, which is not known", where=place)
    return said


def _layer(name: str, tensors: Mapping[str, TensorInfo], where: str) -> str:
    """The layer that a header's name means: the name may have the tensors' prefix or not."""
    tried = [name, *(prefix + name for prefix in _PREFIXES), *(name.removeprefix(prefix) for prefix in _PREFIXES)]
    found = next((layer for layer in tried if f"{layer}.weight" in tensors), None)
    if found is None:
        raise ModelFormatError(
            f"its header says that the layer {name[:200]!r} is quantised, and there is no such layer",
            where=where,
            advice="the file was renamed or cut by a program that left its header behind; get it again",
        )
    return found


def _text(header: Header, key: str) -> bytes:
    tensor = header.tensors[key]
    place = f"{header.path}: {key[:200]}"
    if tensor.dtype not in ("U8", "I8") or not 0 < tensor.size <= _MOST:
        raise ModelFormatError(f"is {tensor.dtype} {list(tensor.shape)}, not the bytes of a text", where=place)
    try:
        with open_regular(header.path) as file:
            file.seek(tensor.start)
            return file.read(tensor.size)
    except OSError as error:
        raise ModelFormatError(f"cannot be read: {error.strerror or error}", where=place) from error
