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
from safetensors.torch import save
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.loading.mapped import MappedFiles
from graphflow.modelfiles.formats import read_header
from tests.loading.layer_files import FORMATS, recorded
from tests.loading.nunchaku import Layers
from tests.loading.peers import folders

MUTATIONS = ("cut", "shape", "dtype", "missing", "number", "marker", "name", "bytes of the header", "offsets")
VERDICTS = ("error", "right", "wrong", "crash")
_NO_NUMBERS = {
    "F32": ("<u4", (0x7FC00000, 0x7F800000, 0xFF800000)),
    "F16": ("<u2", (0x7E00, 0x7C00, 0xFC00)),
    "BF16": ("<u2", (0x7FC0, 0x7F80, 0xFF80)),
    "F8_E4M3": ("<u1", (0x7F, 0xFF)),
    "F8_E8M0": ("<u1", (0xFF,)),
}
"""Bits of NaN and infinities."""
_OTHER = {
    "F32": "I32",
    "F8_E4M3": "I8",
    "F8_E5M2": "U8",
    "U8": "F8_E5M2",
    "I8": "F8_E4M3",
    "F16": "I16",
    "BF16": "I16",
    "I16": "BF16",
    "I32": "F32",
    "F8_E8M0": "I8",
}
_OPTIONAL = (
    "input_scale",
    "scale_input",
    "weight_codebook",
    "weight_correction",
    "bias",
    "comfy_quant",
    "scaled_fp8",
    "wcscales",
)
"""Last names of tensors without which a file is another file, but not a wrong one; Nunchaku takes ones for `wcscales`."""
_UNMARKED = ("bfl_fp8r", "fp8_scaled_bare")
"""Formats that nothing tells from others but their tensors' names and dtypes."""
_SCALES_ADDED = (*_UNMARKED, "fp8_scaled_old", "fp8_scaled_old_fullprec")
"""Formats that are plain casts where a layer has no scale."""


@cache
def files() -> Mapping[str, tuple[bytes, Any]]:
    """All kinds of files that are damaged, and what the configs of their folders say of them."""
    return {
        **{kind: (recorded()[f"file/{kind}"].tobytes(), None) for kind in FORMATS},
        **{kind: (made.file, made.config) for kind, made in folders().items()},
        **{f"nunchaku-{kind}": (_nunchaku(kind), None) for kind in ("int4", "fp4", "awq", "t5")},
    }


def _nunchaku(kind: str) -> bytes:
    layers = Layers(fp4=kind == "fp4")
    match kind:
        case "awq":
            layers.modulation("transformer_blocks.0.norm1.linear", 64, 6)
        case "t5":
            layers.text("encoder.block.0.layer.0.SelfAttention.q", 128, 128)
        case _:
            layers.svdquant("transformer_blocks.0.qkv_proj", 384, 128, old=True)
            layers.svdquant("transformer_blocks.0.mlp_fc2", 128, 128, shifted=True, old=True)
    return save(layers.file)


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
    kind = random.choice(sorted(files()))
    whole, config = files()[kind]
    path = folder / ("damaged.gguf" if kind.startswith("gguf") else "damaged.safetensors")
    path.write_bytes(whole)
    mutation, data = _gguf(random, path, whole) if path.suffix == ".gguf" else _safetensors(random, kind, whole)
    expected = _weights(path, config)
    path.write_bytes(data)
    try:
        found = _weights(path, config)
    except ModelFormatError as error:
        named = path.stem in str(error)
        return Outcome(kind, mutation, "error" if named else "crash", str(error))
    except Exception as error:  # whatever damage makes of a file
        return Outcome(kind, mutation, "crash", f"{type(error).__name__}: {error}")
    for name, weight in found.items():
        if name not in expected or torch.equal(weight.reshape(-1), expected[name].reshape(-1)):
            continue
        if weight.shape == expected[name].shape[::-1] != weight.shape[::-1]:
            return Outcome(kind, mutation, "error", f"{name} has its sizes the other way round, which no model takes")
        return Outcome(kind, mutation, "wrong", name)
    return Outcome(kind, mutation, "right")


def _weights(path: Path, config: Any) -> dict[str, Tensor]:
    mapped = MappedFiles([path], path.name, config)
    return {name: mapped.dense(name).float() for name in mapped.names if name.endswith("weight")}


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
        case "number" if (
            end > start and entry["dtype"] in _NO_NUMBERS and not name.endswith(("input_scale", "scale_input"))
        ):
            kind_of_bits, bits = _NO_NUMBERS[entry["dtype"]]
            numbers = np.frombuffer(bytes(data[start:end]), kind_of_bits).copy()
            numbers[random.randrange(len(numbers))] = random.choice(bits)
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
