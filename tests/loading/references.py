"""Quantised files of four tiny models as other programs write them: comfy-kitchen 0.2.40, gguf 0.19, and plain rounding.

`python -m tests.runners.quantised` compares them; the test suite has smaller ones, see `layer_files.py`. ComfyUI 0.8.0's
evaluations with these files' weights stand in ``recorded/references.npz``; digests of the files and how far their weights
are from the unquantised ones in ``references.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import comfy_kitchen
import gguf
import numpy as np
import torch
from comfy_kitchen import tensor as kitchen
from safetensors.torch import save_file
from torch import Tensor

from tests.families.recorded_models import shapes, tensors_of
from tests.loading.gguf_rounding import ROUNDED
from tests.parity.weights import UNET, tiny_unet

RECORDED = Path(__file__).parent / "recorded"
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
Layer = tuple[dict[str, Tensor], dict[str, Any] | None, Tensor]
"""A layer's tensors by their last names, what marks it, and the weight that its writer reads there."""


@dataclass(frozen=True)
class Base:
    """A model that is quantised.

    Attributes:
        make: Its weights.
        chosen: Which of them are quantised.
        folder: Where ComfyUI has it.
        architecture: What GGUF files call it.
        layers: Those with large columns, and one without.
        prefix: Of its names.
        also: Which further weights GGUF files quantise.
    """

    make: Callable[[], dict[str, Tensor]]
    chosen: Callable[[str, tuple[int, ...]], bool]
    folder: str
    architecture: str
    layers: tuple[str, str, str]
    prefix: str = ""
    also: Callable[[str, tuple[int, ...]], bool] = lambda key, shape: False


def _recorded(name: str) -> Callable[[], dict[str, Tensor]]:
    return lambda: {key: torch.from_numpy(array) for key, array in tensors_of(shapes()[name], name).items()}


_NO_BLOCK = re.compile(r"time_embed|label_emb|input_blocks\.0\.0\.weight|\.out\.2\.weight")
BASES = {
    "flux": Base(
        _recorded("flux_dev"),
        lambda key, shape: len(shape) == 2 and "blocks." in key and ".lin.weight" not in key,
        "diffusion_models",
        "flux",
        ("double_blocks.0.img_attn.proj", "double_blocks.1.txt_attn.qkv", "single_blocks.0.linear2"),
        also=lambda key, shape: len(shape) == 2 and "blocks." in key,
    ),
    "qwen": Base(
        _recorded("qwen_image"),
        lambda key, shape: len(shape) == 2 and key.startswith("transformer_blocks.") and "_mod." not in key,
        "diffusion_models",
        "qwen_image",
        (
            "transformer_blocks.0.attn.to_q",
            "transformer_blocks.1.attn.to_add_out",
            "transformer_blocks.0.txt_mlp.net.2",
        ),
        also=lambda key, shape: len(shape) == 2 and key.startswith("transformer_blocks."),
    ),
    "t5": Base(
        _recorded("t5xxl_tiny"),
        lambda key, shape: len(shape) == 2 and "block." in key and "relative_attention_bias" not in key,
        "text_encoders",
        "t5encoder",
        (
            "encoder.block.0.layer.0.SelfAttention.q",
            "encoder.block.5.layer.1.DenseReluDense.wo",
            "encoder.block.23.layer.1.DenseReluDense.wi_0",
        ),
    ),
    "unet": Base(
        lambda: {UNET + key: torch.from_numpy(array) for key, array in tiny_unet().items()},
        lambda key, shape: len(shape) == 2 and ".transformer_blocks." in key,
        "diffusion_models",
        "sd1",
        (
            f"{UNET}input_blocks.1.1.transformer_blocks.0.attn1.to_q",
            f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k",
            f"{UNET}output_blocks.3.1.transformer_blocks.0.ff.net.2",
        ),
        UNET,
        also=lambda key, shape: len(shape) > 1 and _NO_BLOCK.search(key) is None,
    ),
}


@cache
def weights(base: str) -> Mapping[str, Tensor]:
    """A model's weights, float32; in two layers every 97th column is eight times as large."""
    made = BASES[base].make()
    for layer in BASES[base].layers[:2]:
        made[f"{layer}.weight"][:, 5::97] *= 8.0
    return {key: tensor.half().float().contiguous() for key, tensor in made.items()}


def _dequantised(layout: Any, codes: Tensor, params: Any) -> Tensor:
    found: Tensor = layout.dequantize(codes, params)
    return found.float()


def _group(weight: Tensor) -> int:
    return next(group for group in (256, 64, 16) if weight.shape[1] % group == 0)


def _fp8(weight: Tensor, dtype: torch.dtype = E4M3) -> Layer:
    scale = (weight.abs().max() / torch.finfo(dtype).max).float()
    codes = comfy_kitchen.quantize_per_tensor_fp8(weight, scale, dtype)
    marker = {"format": "float8_e4m3fn" if dtype == E4M3 else "float8_e5m2"}
    return (
        {"weight": codes, "weight_scale": scale},
        marker,
        comfy_kitchen.dequantize_per_tensor_fp8(codes, scale, torch.float32),
    )


def _nvfp4(weight: Tensor) -> Layer:
    codes, params = kitchen.TensorCoreNVFP4Layout.quantize(weight)
    tensors = {"weight": codes, "weight_scale": params.block_scale, "weight_scale_2": params.scale}
    whole = _dequantised(kitchen.TensorCoreNVFP4Layout, codes, params)
    return tensors, {"format": "nvfp4"}, whole[: weight.shape[0], : weight.shape[1]]


def _mxfp8(weight: Tensor, *, stored: torch.dtype = torch.uint8) -> Layer:
    codes, params = kitchen.TensorCoreMXFP8Layout.quantize(weight)
    whole = _dequantised(kitchen.TensorCoreMXFP8Layout, codes, params)
    return (
        {"weight": codes, "weight_scale": params.scale.view(stored)},
        {"format": "mxfp8"},
        whole[: weight.shape[0], : weight.shape[1]],
    )


def _int8(weight: Tensor, *, rows: bool = False, rotated: bool = False) -> Layer:
    group, layout = _group(weight), kitchen.TensorWiseINT8Layout
    codes, params = layout.quantize(weight, is_weight=True, per_channel=rows, convrot=rotated, convrot_groupsize=group)
    marker = {"format": "int8_tensorwise", **({"convrot": True, "convrot_groupsize": group} if rotated else {})}
    return {"weight": codes, "weight_scale": params.scale}, marker, _dequantised(layout, codes, params)


def _w4a4(weight: Tensor) -> Layer:
    group, layout = _group(weight), kitchen.TensorCoreConvRotW4A4Layout
    codes, params = layout.quantize(weight, convrot_groupsize=group)
    marker = {"format": "convrot_w4a4", "convrot_groupsize": group}
    return {"weight": codes, "weight_scale": params.scale}, marker, _dequantised(layout, codes, params)


def _w4a8(
    weight: Tensor, *, bits: int = 4, as_bytes: bool = False, symmetric: bool = True, codebook: bool = True
) -> Layer:
    group, layout = _group(weight), kitchen.AsymW4A8Int8Layout
    codes, params = layout.quantize(
        weight, group_size=16, convrot_groupsize=group, bits=bits, symmetric=symmetric, codebook=codebook
    )
    relative = params.scale.view(torch.uint8) if as_bytes else params.scale
    tensors = {"weight": codes, "weight_s_rel": relative, "weight_s_channel": params.s_channel}
    further = {"weight_codebook": params.codebook, "weight_correction": params.correction}
    tensors |= {leaf: tensor for leaf, tensor in further.items() if tensor is not None}
    marker = {"format": "asym_w4a8_int8", "group_size": 16, "convrot_groupsize": group}
    return tensors, marker, _dequantised(layout, codes, params)


def _pairs(codes: Tensor) -> Tensor:
    return ((codes[:, 0::2] & 15) | ((codes[:, 1::2] & 15) << 4)).to(torch.uint8).view(torch.int8)


def _awq(weight: Tensor) -> Layer:
    groups = weight.unflatten(1, (-1, 64))
    least, most = groups.amin(-1), groups.amax(-1)
    scale = ((most - least) / 15).clamp(min=1e-8).half()
    zero = (least + 8 * scale.float()).half()
    codes = ((groups - zero.float()[..., None]) / scale.float()[..., None]).round().clamp(-8, 7) + 8
    whole = ((codes - 8) * scale.float()[..., None] + zero.float()[..., None]).flatten(1)
    tensors = {
        "weight": _pairs(codes.int().flatten(1)),
        "weight_scale": scale.t().contiguous(),
        "weight_zero": zero.t().contiguous(),
    }
    return tensors, {"format": "awq_w4a16", "group_size": 64}, whole


def _svdquant(weight: Tensor, rank: int = 16) -> Layer:
    smooth = weight.abs().amax(0).clamp(min=1e-4).sqrt()
    smooth = (smooth / smooth.mean()).half()
    smoothed = weight * smooth.float()
    left, values, right = torch.linalg.svd(smoothed.double(), full_matrices=False)
    up = (left[:, :rank] * values[:rank]).float().half()
    down = (right[:rank].t().float() / smooth.float()[:, None]).half()
    rest = (smoothed - up.float() @ (down.float() * smooth.float()[:, None]).t()).unflatten(1, (-1, 64))
    scale = (rest.abs().amax(-1) / 7).clamp(min=1e-8).half()
    codes = (rest / scale.float()[..., None]).round().clamp(-7, 7)
    whole = (codes * scale.float()[..., None]).flatten(1) / smooth.float() + up.float() @ down.float().t()
    tensors = {
        "weight": _pairs(codes.int().flatten(1)),
        "weight_scale": scale.t().contiguous(),
        "weight_proj_down": down,
        "weight_proj_up": up,
        "weight_smooth_factor": smooth,
    }
    return tensors, {"format": "svdquant_w4a4"}, whole


def _int8_blocks(weight: Tensor) -> Layer:
    rows, columns = weight.shape
    size = 64 if rows % 128 or columns % 128 else 128
    blocks = weight.view(rows // size, size, columns // size, size)
    scale = (blocks.abs().amax((1, 3)) / 127).clamp(min=1e-12)
    codes = (blocks / scale[:, None, :, None]).round().clamp(-127, 127)
    return (
        {"weight": codes.view(rows, columns).to(torch.int8), "weight_scale": scale},
        {"format": "int8_blockwise", "group_size": size},
        (codes * scale[:, None, :, None]).view(rows, columns),
    )


def _fp8_rows(weight: Tensor) -> Layer:
    scale = (weight.abs().amax(1) / 448).clamp(min=1e-12)
    codes = (weight / scale[:, None]).clamp(-448, 448).to(E4M3)
    return {"weight": codes, "weight_scale": scale}, None, codes.float() * scale[:, None]


def _nvfp4_plain(weight: Tensor) -> Layer:
    whole = weight.abs().max() / (448 * 6)
    groups = weight.unflatten(1, (-1, 16))
    scale = (groups.abs().amax(-1) / 6 / whole).to(E4M3)
    step = (scale.float() * whole)[..., None]
    values = torch.where(step > 0, groups / step, torch.zeros_like(groups)).clamp(-6, 6)
    table = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    codes = (values.abs()[..., None] - table).abs().argmin(-1)
    exact = (table[codes] * torch.sign(values) * step).flatten(1)
    codes = (codes | ((values < 0).long() << 3)).flatten(1)
    tensors = {
        "weight": (codes[:, 0::2] | (codes[:, 1::2] << 4)).to(torch.uint8),
        "weight_scale": scale,
        "weight_scale_2": whole.float(),
        "input_scale": torch.tensor(1.0 / 448),
    }
    return tensors, None, exact


@dataclass(frozen=True)
class Layers:
    """Layers one by one.

    Attributes:
        quantise: Makes a layer's tensors.
        marks: Where the marks stand: `header`, `tensor`, `both`, or nowhere.
        input_every: Every so many layers have a scale of activations.
        input_scale: That scale.
        full_every: Every so many layers ask for full precision.
        other: Layers that are fp8.
    """

    quantise: Callable[[Tensor], Layer]
    marks: str = "both"
    input_every: int = 0
    input_scale: float = 0.03125
    full_every: int = 0
    other: str = ""

    def write(self, base: Base, given: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
        """Write a file; gives its weights as they are read."""
        made: dict[str, Tensor] = {}
        marked, read, number = {}, dict(given), 0
        for key, weight in given.items():
            if not base.chosen(key, tuple(weight.shape)):
                made[key] = weight.half()
                continue
            layer, number = key.removesuffix(".weight"), number + 1
            other = self.other and re.search(self.other, layer)
            tensors, mark, read[key] = (_fp8 if other else self.quantise)(weight)
            made |= {f"{layer}.{leaf}": tensor for leaf, tensor in tensors.items()}
            if self.input_every and number % self.input_every == 0:
                made[f"{layer}.input_scale"] = torch.tensor(self.input_scale)
            if mark is not None:
                full = self.full_every and number % self.full_every == 0
                marked[layer] = {**mark, **({"full_precision_matrix_mult": True} if full else {})}
                if self.marks in ("tensor", "both"):
                    text = json.dumps(marked[layer]).encode()
                    made[f"{layer}.comfy_quant"] = torch.tensor(list(text), dtype=torch.uint8)
        said = json.dumps({"format_version": "1.0", "layers": marked})
        header = {"_quantization_metadata": said} if self.marks in ("header", "both") else {}
        _save(made, path, {"format": "pt", **header})
        return read


@dataclass(frozen=True)
class Cast:
    """Plain casts: of matrices and what has more axes, or of everything."""

    dtype: torch.dtype
    all: bool = False

    def write(self, base: Base, given: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
        """Write a file; gives its weights as they are read."""
        if self.dtype == torch.float16:
            _save({key: weight.half() for key, weight in given.items()}, path, {})
            return dict(given)
        most = torch.finfo(self.dtype).max
        chosen = {key for key, weight in given.items() if self.all or weight.ndim >= 2}
        made = {
            key: weight.clamp(-most, most).to(self.dtype) if key in chosen else weight.bfloat16()
            for key, weight in given.items()
        }
        _save(made, path, {"format": "pt"})
        return {key: tensor.float() for key, tensor in made.items()}


@dataclass(frozen=True)
class Old:
    """Scaled fp8 as older files have it: `shape` of the scales, `count` of what marks the file."""

    shape: tuple[int, ...]
    count: int
    inputs: bool = False

    def write(self, base: Base, given: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
        """Write a file; gives its weights as they are read."""
        made, read, number = {}, dict(given), 0
        for key, weight in given.items():
            if not base.chosen(key, tuple(weight.shape)):
                made[key] = weight.half()
                continue
            layer, number = key.removesuffix(".weight"), number + 1
            tensors, _, read[key] = _fp8(weight)
            made[key] = tensors["weight"]
            made[f"{layer}.scale_weight"] = tensors["weight_scale"].reshape(self.shape)
            if self.inputs:
                made[f"{layer}.scale_input"] = torch.tensor(1.0 if number % 3 else 0.0625).reshape(self.shape)
        made[f"{base.prefix}scaled_fp8"] = torch.zeros(self.count, dtype=E4M3)
        _save(made, path, {})
        return read


_T5_NAMES = (
    ("encoder.block.", "enc.blk."),
    ("encoder.final_layer_norm", "enc.output_norm"),
    ("shared", "token_embd"),
    ("layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"),
    ("layer.0.SelfAttention.", "attn_"),
    ("layer.0.layer_norm", "attn_norm"),
    ("layer.1.DenseReluDense.wi_0", "ffn_gate"),
    ("layer.1.DenseReluDense.wi_1", "ffn_up"),
    ("layer.1.DenseReluDense.wo", "ffn_down"),
    ("layer.1.layer_norm", "ffn_norm"),
)
_SHORTER = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL"}
"""What llama.cpp takes for rows that are no multiple of 256."""
_NUMBERS = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K": 12, "Q4_K": 14, "Q5_K": 16,
            "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32}  # fmt: skip
"""`general.file_type` by type."""


@dataclass(frozen=True)
class Gguf:
    """A GGUF file of one type."""

    type: str

    def write(self, base: Base, given: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
        """Write a file; gives its weights as the package `gguf` reads them."""
        writer, read = gguf.GGUFWriter(path=None, arch=base.architecture), {}
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        writer.add_file_type(_NUMBERS[self.type])
        for name, weight in given.items():
            key, array = name.removeprefix(base.prefix), weight.numpy()
            if base.folder == "text_encoders":
                if key.startswith("encoder.embed_tokens"):
                    continue
                for old, new in _T5_NAMES:
                    key = key.replace(old, new)
            shape = array.shape
            if base.prefix and array.ndim > 1 and array.size >= 512 and array.size % 256 == 0 and shape[-1] % 256:
                writer.add_array(f"comfy.gguf.orig_shape.{key}", [int(size) for size in shape])
                array = array.reshape(-1, 256)
            kind = self._type(base, name, shape, array)
            number = gguf.GGMLQuantizationType[kind]
            array = np.ascontiguousarray(array, np.float32)
            encode = ROUNDED.get(kind)
            stored = gguf.quants.quantize(array, number) if encode is None else encode(array)
            stored = stored.reshape(*array.shape[:-1], -1)
            whole = array if kind == "F32" else gguf.quants.dequantize(stored, number)
            read[name] = torch.from_numpy(np.ascontiguousarray(whole.reshape(shape), np.float32))
            writer.add_tensor(key, stored, raw_dtype=number)
        writer.write_header_to_file(path=path)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return read

    def _type(self, base: Base, name: str, shape: tuple[int, ...], array: Any) -> str:
        if len(shape) == 1 or array.size <= 1024:
            return "F32"
        if not (base.chosen(name, shape) or base.also(name, shape)):
            return "F16"
        block = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[self.type]][0]
        if array.shape[-1] % block == 0:
            return self.type
        shorter = _SHORTER.get(self.type, "F16") if base.folder == "text_encoders" else "F16"
        return shorter if array.shape[-1] % 32 == 0 else "F16"


FORMATS: Mapping[str, Layers | Cast | Old | Gguf] = {
    "f16": Cast(torch.float16),
    "fp8_e4m3fn": Cast(E4M3),
    "fp8_e4m3fn_all": Cast(E4M3, all=True),
    "fp8_e5m2": Cast(E5M2),
    "fp8_scaled_old": Old((), 0, inputs=True),
    "fp8_scaled_old_fullprec": Old((1,), 2),
    "fp8_scaled_header": Layers(_fp8, "header", input_every=2),
    "fp8_scaled_tensor": Layers(_fp8, "tensor", full_every=3),
    "fp8_e5m2_scaled": Layers(lambda weight: _fp8(weight, E5M2)),
    "fp8_scaled_bare": Layers(_fp8, ""),
    "nvfp4": Layers(_nvfp4, "header", input_every=1, input_scale=0.0024),
    "nvfp4_tensor": Layers(_nvfp4, "tensor"),
    "nvfp4_fp8_mixed": Layers(_nvfp4, other=r"qkv|to_v|linear2|\.o$|wo$|ff\.net\.2"),
    "mxfp8": Layers(_mxfp8),
    "mxfp8_e8m0": Layers(lambda weight: _mxfp8(weight, stored=torch.float8_e8m0fnu), "header"),
    "int8_tensorwise": Layers(_int8),
    "int8_rowwise": Layers(lambda weight: _int8(weight, rows=True)),
    "int8_convrot": Layers(lambda weight: _int8(weight, rows=True, rotated=True)),
    "int8_blockwise": Layers(_int8_blocks, "tensor"),
    "convrot_w4a4": Layers(_w4a4),
    "w4a8": Layers(_w4a8),
    "w4a8_u8scale": Layers(lambda weight: _w4a8(weight, as_bytes=True, codebook=False), "header"),
    "w4a8_asym": Layers(lambda weight: _w4a8(weight, symmetric=False, codebook=False), "tensor"),
    "w6a8": Layers(lambda weight: _w4a8(weight, bits=6)),
    "awq_w4a16": Layers(_awq),
    "svdquant_w4a4": Layers(_svdquant),
    "bfl_fp8r": Layers(_fp8_rows, ""),
    "bfl_nvfp4": Layers(_nvfp4_plain, ""),
    **{
        f"gguf_{kind}": Gguf(kind)
        for kind in (
            *("BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "Q3_K", "Q2_K"),
            *("IQ4_NL", "IQ4_XS"),
        )
    },
}


def recorded() -> dict[str, Any]:
    """By `BASE/FORMAT`: `off`, how far its weights are from the unquantised ones; of some `content` or `file`, digests."""
    found: dict[str, Any] = json.loads((RECORDED / "references.json").read_text("utf-8"))
    return found


@cache
def arrays() -> dict[str, Tensor]:
    """Evaluations and rows of weights, by `BASE/FORMAT/eval` and `BASE/FORMAT/LAYER`."""
    with np.load(RECORDED / "references.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def file_name(base: str, kind: str) -> str:
    """What a file is called."""
    return f"{base}_{kind}.{'gguf' if kind.startswith('gguf') else 'safetensors'}"


def write(base: str, kind: str, root: Path) -> tuple[Path, dict[str, Tensor]]:
    """Write a file into a folder of models; gives its path and its weights as its writer reads them."""
    path = root / BASES[base].folder / file_name(base, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path, FORMATS[kind].write(BASES[base], weights(base), path)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """What a file holds as the recordings count it: names, dtypes, shapes and bytes."""
    found = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key]
        found.update(f"{key}{tensor.dtype}{list(tensor.shape)}".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return found.hexdigest()


def _save(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata or None)
