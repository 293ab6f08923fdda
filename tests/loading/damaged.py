"""Quantised files that are damaged or lie, and what must become of them: an error of the file, or the right weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.loading.mapped import MappedFiles
from graphflow.modelfiles.formats import read_header

MUTATIONS = ("cut", "shape", "dtype", "missing", "number", "marker", "name", "bytes of the header", "offsets")
VERDICTS = ("error", "right", "wrong", "crash")
_NAN = {"F32": "<f4", "F16": "<f2"}
_OTHER = {
    "F32": "I32",
    "F8_E4M3": "I8",
    "F8_E5M2": "U8",
    "U8": "F8_E5M2",
    "I8": "F8_E4M3",
    "F16": "I16",
    "F8_E8M0": "I8",
}
_OPTIONAL = ("input_scale", "scale_input", "weight_codebook", "weight_correction", "bias", "comfy_quant", "scaled_fp8")
"""Last names of tensors without which a file is another file, but not a wrong one."""
_UNMARKED = ("bfl_fp8r", "fp8_scaled_bare")
"""Formats that nothing tells from others but their tensors' names and dtypes."""
_SCALES_ADDED = (*_UNMARKED, "fp8_scaled_old", "fp8_scaled_old_fullprec")
"""Formats that are plain casts where a layer has no scale."""


@cache
def recorded() -> Mapping[str, Any]:
    """Files of two layers that comfy-kitchen 0.2.40 and gguf 0.19 wrote, and rows of weights that they read there."""
    with np.load(Path(__file__).parent / "recorded" / "quantised.npz") as data:
        return dict(data)


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged file.

    Attributes:
        kind: The format.
        mutation: What was done to it.
        verdict: `error`, `right`, `wrong` or `crash`.
        detail: The error or the difference.
    """

    kind: str
    mutation: str
    verdict: str
    detail: str = ""


def outcome(number: int, folder: Path) -> Outcome:
    """Damage a recorded file and open it.

    Args:
        number: Decides the file and the damage.
        folder: Where it is written.
    """
    random = Random(number)
    kinds = sorted(name.removeprefix("file/") for name in recorded() if name.startswith("file/"))
    kind = random.choice(kinds)
    whole = recorded()[f"file/{kind}"].tobytes()
    path = folder / ("damaged.gguf" if kind.startswith("gguf") else "damaged.safetensors")
    path.write_bytes(whole)
    mutation, data = _gguf(random, path, whole) if path.suffix == ".gguf" else _safetensors(random, kind, whole)
    expected = _weights(path)
    path.write_bytes(data)
    try:
        found = _weights(path)
    except ModelFormatError as error:
        named = path.stem in str(error)
        return Outcome(kind, mutation, "error" if named else "crash", str(error))
    except Exception as error:  # whatever damage makes of a file
        return Outcome(kind, mutation, "crash", f"{type(error).__name__}: {error}")
    for name, weight in found.items():
        if name in expected and not torch.equal(weight.reshape(-1), expected[name].reshape(-1)):
            return Outcome(kind, mutation, "wrong", name)
    return Outcome(kind, mutation, "right")


def _weights(path: Path) -> dict[str, Tensor]:
    files = MappedFiles([path], path.name)
    return {name: files.dense(name).float() for name in files.names if name.endswith("weight")}


def _safetensors(random: Random, kind: str, whole: bytes) -> tuple[str, bytes]:
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = json.loads(whole[8 : 8 + length]), bytearray(whole[8 + length :])
    names = [name for name in header if name != "__metadata__"]
    name = random.choice([name for name in names if not name.endswith("bias")])
    entry = header[name]
    start, end = entry["data_offsets"]
    mutation = random.choice(MUTATIONS)
    if mutation == "cut":
        return mutation, whole[: random.randrange(len(whole))]
    if mutation == "bytes of the header":
        place = random.randrange(8)
        return mutation, whole[:place] + bytes([random.randrange(256)]) + whole[place + 1 :]
    match mutation:
        case "shape":
            sizes = entry["shape"]
            entry["shape"] = random.choice(
                [sizes[::-1], [*sizes, 1], [1, *sizes], [end - start], sizes[:-1], [2, *sizes]]
            )
        case "dtype" if kind not in _UNMARKED:
            entry["dtype"] = _OTHER.get(entry["dtype"], "I64")
        case "missing" if name.rpartition(".")[2] not in _OPTIONAL and not (kind in _SCALES_ADDED and "scale" in name):
            _without(header, name)
            del data[start:end]
        case "number" if entry["dtype"] in _NAN and not name.endswith(("input_scale", "scale_input")):
            numbers = np.frombuffer(bytes(data[start:end]), _NAN[entry["dtype"]]).copy()
            numbers[random.randrange(len(numbers))] = random.choice([np.nan, np.inf, -np.inf])
            data[start:end] = numbers.tobytes()
        case "marker" if name.endswith("comfy_quant"):
            data[random.randrange(start, end)] = random.randrange(256)
        case "name":
            header[name + random.choice(["x", ".weight", "_2"])] = header.pop(name)
        case "offsets":
            entry["data_offsets"] = [start + random.choice([-8, 0, 8]), end + random.choice([-8, 0, 8])]
    text = json.dumps(header).encode()
    return mutation, struct.pack("<Q", len(text)) + text + bytes(data)


def _without(header: dict[str, Any], name: str) -> None:
    start, end = header.pop(name)["data_offsets"]
    for key, entry in header.items():
        if key != "__metadata__" and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [place - (end - start) for place in entry["data_offsets"]]


def _gguf(random: Random, path: Path, whole: bytes) -> tuple[str, bytes]:
    header, data = read_header(path), bytearray(whole)
    mutation = random.choice(("cut", "bytes of the header", "number"))
    if mutation == "cut":
        return mutation, whole[: random.randrange(len(whole))]
    if mutation == "number":
        tensor = random.choice([tensor for tensor in header.tensors.values() if tensor.dtype == "F32"])
        place = tensor.start + 4 * random.randrange(tensor.size // 4)
        data[place : place + 4] = struct.pack("<f", random.choice([float("nan"), float("inf")]))
    else:
        data[random.randrange(24)] = random.randrange(256)
    return mutation, bytes(data)
