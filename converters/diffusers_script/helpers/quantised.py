"""Files with quantised weights."""
# mypy: ignore-errors

import atexit
import json
import shutil
import tempfile
from pathlib import Path

import torch
from graphflow.loading.codes.decoding import (
    affine,
    as_float,
    e2m1_high,
    offset_nibbles,
    plain_nibbles,
    signed_nibbles,
    six_bits,
    stepped,
    unrotate,
    untiled,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def dequantised(path, readers, dtype=None):
    """A copy of a file with plain weights.

    ``readers`` make numbers of a layer's tensors, by the format that marks it.
    """
    path, tensors = Path(path), load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    said = json.loads(metadata.pop("_quantization_metadata", '{"layers": {}}'))
    unet = "model.diffusion_model."
    marks = {key.removeprefix(unet): mark for key, mark in said["layers"].items()}
    plain = dict(tensors)
    for key in [key for key in tensors if key.endswith(".weight")]:
        name = key.removesuffix(".weight")
        layer = {
            leaf: plain.pop(f"{name}.{leaf}")
            for leaf in (
                *("comfy_quant", "weight_scale", "scale_weight", "weight_scale_2"),
                *("weight_s_rel", "weight_s_channel", "weight_codebook"),
                *("weight_correction", "weight_zero", "weight_zeros"),
                *("weight_proj_down", "weight_proj_up", "weight_smooth_factor"),
                *("proj_down", "proj_up", "smooth_factor"),
            )
            if f"{name}.{leaf}" in tensors
        }
        mark = marks.get(name.removeprefix(unet), {})
        if "comfy_quant" in layer:
            mark = json.loads(bytes(layer["comfy_quant"].tolist()))
        mark = {"format": mark} if isinstance(mark, str) else mark
        if layer:
            read = readers.get(mark.get("format", ""))
            if read is None:
                raise SystemExit(f"{path}: {name} is quantised in another way: {mark}")
            plain[key] = read({**layer, "weight": tensors[key]}, mark).to(dtype)
    ends = ("scaled_fp8", "input_scale", "scale_input")
    plain = {key: plain[key] for key in plain if not key.endswith(ends)}
    return kept_copy(path, plain, metadata)


def kept_copy(path, tensors, metadata=None):
    """A file with tensors for another one, which goes when the script ends."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = Path(folder) / f"{Path(path).stem}.safetensors"
    plain = {name: tensors[name].contiguous() for name in tensors}
    save_file(plain, copy, metadata)
    return copy


def read_scaled(layer, mark):
    """Eight bits with scales for all, rows or blocks, of rotated columns or plain."""
    codes = layer["weight"]
    scale = layer.get("weight_scale", layer.get("scale_weight")).float()
    if scale.numel() == 1:
        scale = scale.reshape(())
    else:
        scale = scale.reshape(scale.shape[0], -1)
        scale = scale.repeat_interleave(len(codes) // len(scale), 0)
    mark = {**mark.get("params", {}), **mark}
    rotated = mark.get("convrot") or mark.get("format") == "int8_convrot"
    group = mark.get("convrot_groupsize", 256) if rotated else 0
    tensors = {"codes": codes.flatten(1), "scale": scale}
    values = affine(tensors, decode=as_float)
    return (unrotate(values, group) if group else values).view(codes.shape)


def read_nvfp4(layer, mark):
    """Four-bit floats with a scale for 16 columns and one for all."""
    codes = layer["weight"].view(torch.uint8)
    scale = layer["weight_scale"].view(torch.uint8)
    scale = untiled(scale, len(codes), codes.shape[1] // 8)
    tensors = {"codes": codes, "scale": scale.view(torch.float8_e4m3fn)}
    second = layer["weight_scale_2"].reshape(())
    return affine({**tensors, "second": second}, decode=e2m1_high)


def read_mxfp8(layer, mark):
    """Eight-bit floats with a power of two for 32 columns."""
    codes = layer["weight"].view(torch.float8_e4m3fn)
    scale = layer["weight_scale"].view(torch.uint8)
    scale = untiled(scale, len(codes), codes.shape[1] // 32)
    scale = scale.view(torch.float8_e8m0fnu)
    return affine({"codes": codes, "scale": scale}, decode=as_float)


def read_four_rotated(layer, mark):
    """Four-bit integers of rotated columns."""
    codes = layer["weight"].view(torch.uint8)
    scale = layer["weight_scale"].float().reshape(-1, 1)
    group = {**mark.get("params", {}), **mark}.get("convrot_groupsize", 256)
    tensors = {"codes": codes, "scale": scale}
    return unrotate(affine(tensors, decode=signed_nibbles), group)


def read_stepped(layer, mark):
    """Codes of four or six bits that stand for eight-bit integers."""
    codes, relative = layer["weight"].view(torch.uint8), layer["weight_s_rel"]
    if relative.element_size() == 1:
        relative = relative.view(torch.float8_e4m3fn)
    mark = {**mark.get("params", {}), **mark}
    tensors = {
        "codes": codes,
        "relative": relative,
        "channel": layer["weight_s_channel"].float().reshape(-1, 1),
    }
    if "weight_correction" in layer:
        tensors["correction"] = layer["weight_correction"].float().t()
    decode = offset_nibbles
    if 2 * codes.shape[1] > relative.shape[1] * mark.get("group_size", 16):
        decode = six_bits
    elif "weight_codebook" in layer:
        tensors["codebook"] = layer["weight_codebook"].float().reshape(-1)
        decode = plain_nibbles
    values = stepped(tensors, decode=decode)
    return unrotate(values, mark.get("convrot_groupsize", 256))


def read_awq(layer, mark):
    """Four-bit codes with a scale and a zero for each group of columns."""
    zero = layer.get("weight_zero", layer.get("weight_zeros"))
    tensors = {
        "codes": layer["weight"].view(torch.uint8),
        "scale": layer["weight_scale"].t(),
        "zero": zero.t(),
    }
    return affine(tensors, decode=offset_nibbles)


def read_svdquant(layer, mark):
    """Four-bit integers of smoothed columns beside a branch of low rank."""
    named = {
        leaf: layer.get(f"weight_{leaf}", layer.get(leaf))
        for leaf in ("proj_down", "proj_up", "smooth_factor")
    }
    codes, scale = layer["weight"].view(torch.uint8), layer["weight_scale"].t()
    mark = {**mark.get("params", {}), **mark}
    up, down = named["proj_up"], named["proj_down"].float().t()
    smooth = named["smooth_factor"].float().reshape(-1)
    if mark.get("layout"):  # tiles of 128 rows x 64 columns
        rows = 128 * len(codes)
        tiles = codes.unflatten(-1, (4, 32)).permute(0, 2, 3, 1, 4)
        codes = tiles.reshape(rows, -1)
        scale = layer["weight_scale"].permute(0, 2, 1).reshape(rows, -1)
        up = up.permute(0, 2, 1).reshape(rows, -1)
    if mark.get("lowrank_branch_input_basis") == "post_smoothing":
        down = down / smooth
    tensors = {"codes": codes, "scale": scale, "smooth": smooth, "up": up, "down": down}
    return affine(tensors, decode=signed_nibbles)
