"""A model's weights in a quantised format: which layers, their tensors, and how far off each of them is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.loading.codes.ggml import DECODERS
from graphflow.loading.mapped import MappedFiles
from graphflow.loading.quantised.encoding import ENCODERS
from graphflow.loading.quantised.gguf_encoding import ENCODERS as BLOCK_ENCODERS
from graphflow.loading.quantised.gguf_file import GgufTensor, gguf_pieces
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.registry import unpack
from graphflow.loading.serialize import pieces
from graphflow.modelfiles.gguf import BLOCKS
from graphflow.modelfiles.quantised.format import PackedLayer
from graphflow.modelfiles.quantised.gguf_names import T5, t5_name
from graphflow.modelfiles.quantised.registry import MARKED

GGUF = "gguf:"
TARGETS = (*ENCODERS, *(GGUF + kind for kind in BLOCK_ENCODERS))
"""What can be written."""

_NOT_WRITTEN = {
    r"gguf:IQ[123]|.*imatrix": "its types need an importance matrix, which is measured while a model draws",
    r"gptq|smoothquant": "it corrects errors by activations, which are measured while a model draws",
    r"nunchaku|svdq": "its tensors stand in the order of its own kernels; svdquant_w4a4 is the same in ComfyUI's order",
    r"bitsandbytes|bnb|nf4|fp4|sdnq|torchao|quanto": "the package that it belongs to writes it when it loads a model",
}
"""Formats that are known and not written, by what their names begin with, and why."""
_FLATTENED = ("sd1", "sdxl")
"""Architectures whose tensors GGUF files hold in rows of 256 where theirs are no multiple of it."""
_BLOCK = re.compile(r"(^|\.)\d+\.")
_STAYS = re.compile(r"emb|time|guidance|final|shared|lm_head|attention_bias")
"""Words in names of layers that are small or sensitive: embeddings, the last layer."""
_MODULATES = re.compile(r"(^|_)mod$|modulation|adaln|norm|^lin$")
"""Words in names of layers that scale and shift others, and are too large to stay."""
_FOUR_BITS = frozenset({"nvfp4", "convrot_w4a4", "w4a8", "awq_w4a16", "svdquant_w4a4"})
_FINER = "fp8_scaled"
"""What layers that modulate are written in instead of these."""
_FIRST = "model.diffusion_model."
_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


@dataclass
class Report:
    """What became of the weights.

    Attributes:
        errors: Relative error by layer: the norm of the difference over that of the weight.
        kept: Layers in blocks that could not be written in the format, with the reason.
        evaluation: How far one evaluation is off, the largest difference over the largest value; None where none was made.
        evaluation_missing: Why none was made.
    """

    errors: dict[str, float] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    evaluation: float | None = None
    evaluation_missing: str = ""


def is_chosen(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a weight is one that is quantised: a matrix in a block, of no embedding or last layer.

    Args:
        name: Its name in the file.
        shape: Its shape.
    """
    layer, _, leaf = name.removeprefix(_FIRST).rpartition(".")
    return (
        leaf == "weight"
        and len(shape) == 2
        and min(shape) >= 16
        and _BLOCK.search(f"{layer}.") is not None
        and not any(_STAYS.search(word.lower()) for word in layer.split("."))
    )


def require_target(target: str) -> None:
    """Refuse a format that is not known.

    Raises:
        InvalidInputError: It is none, or is not written.
    """
    if target not in TARGETS:
        why = next((why for name, why in _NOT_WRITTEN.items() if re.match(name, target, re.IGNORECASE)), "")
        told = f"{target} is not written: {why}" if why else f"{target!r} is no format"
        raise InvalidInputError(f"{told}; there are {', '.join(TARGETS)}", where="--to")


def quantised(
    files: MappedFiles, target: str, chosen: Callable[[str, tuple[int, ...]], bool], *, architecture: str = ""
) -> tuple[Iterator[bytes], Report]:
    """Quantise a model; all of the result is in memory.

    Args:
        files: The model.
        target: One of :data:`TARGETS`.
        chosen: Which weights.
        architecture: `general.architecture` of a GGUF file.

    Returns:
        The pieces of the new file, and what became of each layer.

    Raises:
        InvalidInputError: Nothing can be quantised, or the format is not known.
        ModelFormatError: A weight is NaN or infinite.
    """
    require_target(target)
    report = Report()
    with torch.inference_mode():
        if target.startswith(GGUF):
            made = _gguf(files, target.removeprefix(GGUF), chosen, architecture, report)
        else:
            made = _safetensors(files, target, chosen, report)
    if not report.errors:
        why = next(iter(report.kept.values()), "it has no linear layers in blocks")
        raise InvalidInputError(f"nothing of it can be written as {target}: {why}", where=files.where)
    return made, report


def _safetensors(
    files: MappedFiles, target: str, chosen: Callable[[str, tuple[int, ...]], bool], report: Report
) -> Iterator[bytes]:
    encoder = ENCODERS[target]
    made: dict[str, Tensor] = {}
    for name, info in files.weights.tensors.items():
        fits = True
        if wanted := chosen(name, info.shape[:2] if encoder.convolutions else info.shape):
            fits = info.shape[0] % encoder.rows == 0 and info.shape[1] % encoder.columns == 0
            if not fits:
                report.kept[name] = f"{name} is {list(info.shape)}, no multiple of {encoder.rows} x {encoder.columns}"
        if not (wanted and fits):
            made[name] = _stored(files, name)
            continue
        layer, exact = name.removesuffix(".weight"), files.dense(name).float()
        finer = target in _FOUR_BITS and any(_MODULATES.search(word.lower()) for word in layer.split("."))
        tensors, marker = (ENCODERS[_FINER] if finer else encoder).encode(exact)
        report.errors[layer] = _off(_read_back(tensors, marker, info.shape), exact)
        made.update({f"{layer}.{leaf}": tensor for leaf, tensor in tensors.items()})
        if marker is not None:
            made[f"{layer}.comfy_quant"] = torch.tensor(list(json.dumps(marker).encode()), dtype=torch.uint8)
    metadata = {key: text for key, text in files.weights.metadata.items() if key != "_quantization_metadata"}
    return pieces(made, {"format": "pt", **metadata} if not files.weights.is_gguf else {"format": "pt"})


def _gguf(
    files: MappedFiles,
    kind: str,
    chosen: Callable[[str, tuple[int, ...]], bool],
    architecture: str,
    report: Report,
) -> Iterator[bytes]:
    (values,) = (values for name, values, _ in BLOCKS.values() if name == kind)
    made: dict[str, GgufTensor] = {}
    fields: dict[str, Any] = {"general.architecture": architecture, "general.quantization_version": 2}
    for name, info in files.weights.tensors.items():
        key, shape = t5_name(name) if architecture == T5 else name.removeprefix(_FIRST), info.shape
        if key is None:
            continue
        flattened = architecture in _FLATTENED and math.prod(shape) % 256 == 0
        if chosen(name, shape[:2] if flattened else shape):  # flat convolutions are matrices, too
            stored = shape
            if flattened and shape[-1] % 256:
                stored = (math.prod(shape) // 256, 256)
                fields[f"comfy.gguf.orig_shape.{key}"] = shape
            if stored[-1] % values == 0:
                exact = files.dense(name).float()
                blocks = BLOCK_ENCODERS[kind](exact.reshape(-1, values))
                report.errors[key.removesuffix(".weight")] = _off(DECODERS[kind](blocks).reshape(shape), exact)
                made[key] = GgufTensor(kind, stored, blocks.flatten())
                continue
            report.kept[name] = f"{name} has {shape[-1]} columns, no multiple of {values}"
        weight = _stored(files, name)
        if not weight.is_floating_point():
            continue  # counters of positions, which no model reads
        dtype = torch.float32 if len(shape) < 2 or weight.numel() <= 1024 else weight.dtype
        dtype = torch.float16 if dtype not in _NAMES else dtype
        made[key] = GgufTensor(
            _NAMES[dtype], shape or (1,), weight.to(dtype).contiguous().reshape(-1).view(torch.uint8)
        )
    return gguf_pieces(made, fields)


def _stored(files: MappedFiles, name: str) -> Tensor:
    """A tensor as the file has it; one that is packed there as float16, unless that is too narrow for it."""
    found = files.read(name)
    if not isinstance(found, PackedWeight):
        return found
    values = found.values()
    return values.half() if float(values.abs().max()) < torch.finfo(torch.float16).max else values


def _read_back(tensors: Mapping[str, Tensor], marker: Mapping[str, Any] | None, shape: tuple[int, ...]) -> Tensor:
    """What a reader makes of the tensors of a layer."""
    known = MARKED[str((marker or {"format": "float8_e4m3fn"})["format"])]
    raw = {role: tensor for leaf, tensor in tensors.items() if (role := known.role(leaf)) is not None}
    names = dict.fromkeys(raw, "")
    found = unpack(raw, PackedLayer(format=known.name, label="", shape=shape, tensors=names, options=marker or {}), "")
    return found.values() if isinstance(found, PackedWeight) else found


def _off(found: Tensor, exact: Tensor) -> float:
    norm = float(exact.norm())
    return float((found - exact).norm()) / norm if norm else 0.0
