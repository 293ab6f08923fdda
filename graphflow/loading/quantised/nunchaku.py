"""Nunchaku's layers: from the order in which its kernels read tiles of 128 rows, to rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from graphflow.loading.codes.decoding import Decode, affine, e2m1_low, plain_nibbles, signed_nibbles
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.quantised.format import Options, PackedLayer, whole
from graphflow.modelfiles.quantised.nunchaku import AWQ, BESIDE, SHIFTED, TILE

_SHIFT = 0.171875
"""What the kernels of integers add to the output of a GELU, which is -0.17 at least, to have no negative numbers."""


def unpack_svdquant(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order; of two layers whose outputs are added, the columns stand side by side."""
    decode = e2m1_low if raw["scale"].dtype == torch.float8_e4m3fn else signed_nibbles
    entries, shared = _svdquant(_ending(raw, ""), layer.options)
    if f"weight{BESIDE}" not in raw:
        return PackedWeight(entries, shared, layer.shape, partial(affine, decode=decode))
    for whole_layer, more in zip((entries, shared), _svdquant(_ending(raw, BESIDE), layer.options), strict=True):
        whole_layer.update({name + BESIDE: tensor for name, tensor in more.items()})
    return PackedWeight(entries, shared, layer.shape, partial(_side_by_side, decode=decode))


def unpack_awq(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order."""
    rows, columns = raw["scale"].shape[1], layer.shape[1]
    words = raw["weight"].contiguous().view(torch.int16).reshape(rows // 4, columns // 64, 4, 16)
    words = words.transpose(1, 2).reshape(rows, columns // 32, 1, 4, 2)
    # Of eight words the one with the number i holds the values i, 8 + i, 16 + i and 24 + i.
    shifts = torch.tensor([0, 4, 8, 12], dtype=torch.int16).reshape(4, 1)
    low, high = ((words[..., half] >> shifts) & 15 for half in (0, 1))
    groups = columns // (128 if raw["weight"].dtype == torch.int16 else 64)
    entries = {
        "codes": (low | (high << 4)).to(torch.uint8).reshape(rows, -1),
        "scale": raw["scale"][:groups].t(),
        "zero": raw["zero"][:groups].t(),
    }
    ordered = {name: _uninterleaved(tensor, layer.options).flatten(0, 1) for name, tensor in entries.items()}
    return PackedWeight(ordered, {}, layer.shape, partial(affine, decode=plain_nibbles))


def unpack_vector(raw: Raw, layer: PackedLayer) -> Tensor:
    """A bias as a layer that is not quantised has it."""
    bias = raw["weight"]
    if layer.options["format"] == AWQ.name:
        parts = _uninterleaved(bias.float(), layer.options)
        for scale in {1, len(parts) - 2}:  # the kernels' modulation adds no one to its scales
            parts[scale] -= 1
        return parts.flatten().to(bias.dtype)
    total = _scales(bias[None]).flatten().float()
    if f"weight{BESIDE}" in raw:
        total += _scales(raw[f"weight{BESIDE}"][None]).flatten()
    if f"weight{SHIFTED}" in raw:
        total += _SHIFT * affine(_codes_and_scales(_ending(raw, SHIFTED)), decode=signed_nibbles).sum(1)
    return _part(total, layer.options)


def unpack_plain(raw: Raw, layer: PackedLayer) -> Tensor:
    """A tensor that stands under another name, or with others in one."""
    return _part(raw["weight"], layer.options)


def _svdquant(raw: Raw, options: Options) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A layer's tensors for its rows, and those for all of them."""
    entries = dict(_codes_and_scales(raw))
    shared = {"smooth": entries.pop("smooth")}
    if "second" in raw:
        shared["second"] = raw["second"].float().reshape(())
    if "row" in raw:
        entries["second"] = _scales(raw["row"].reshape(1, -1)).float() * shared.pop("second", 1.0)
    if "up" in raw:
        entries["up"] = _squares(raw["up"]).transpose(1, 2).reshape(raw["up"].shape)
        shared["down"] = _squares(raw["down"]).permute(1, 2, 0, 3).reshape(raw["down"].shape[::-1]).float()
    return {name: _part(tensor, options) for name, tensor in entries.items()}, shared


def _codes_and_scales(raw: Raw) -> Mapping[str, Tensor]:
    rows, half = raw["weight"].shape
    # A lane of the kernel reads eight codes of a row as one word of 32 bits, the first in the lowest bits.
    words = raw["weight"].contiguous().view(torch.int32).reshape(rows // TILE, half // 32, 8, 8, 4, 2, 2)
    codes = words.permute(0, 2, 5, 3, 1, 6, 4).reshape(rows, half // 4).view(torch.uint8)
    scale = raw["scale"]
    if scale.dtype == torch.float8_e4m3fn:
        blocks = scale.view(torch.uint8).reshape(rows // TILE, half // 32, 8, 4, 4, 4)
        scale = blocks.permute(0, 4, 3, 2, 1, 5).reshape(rows, half // 8).view(torch.float8_e4m3fn)
    else:
        scale = _scales(scale)
    return {"codes": codes, "scale": scale, "smooth": _scales(raw["smooth"].reshape(1, -1)).flatten().float()}


def _scales(scale: Tensor) -> Tensor:
    """Scales (groups, rows) as (rows, groups)."""
    groups, rows = scale.shape
    return scale.reshape(rows // TILE, groups, 8, 4, 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(rows, groups)


def _squares(branch: Tensor) -> Tensor:
    """A matrix of a branch of low rank as squares of 16 x 16, (channels / 16, rank / 16, 16, 16)."""
    channels, rank = branch.shape
    lanes = branch.reshape(channels // 16, rank // 16, 8, 4, 2, 2, 2)
    return lanes.permute(0, 1, 4, 2, 5, 3, 6).reshape(channels // 16, rank // 16, 16, 16)


def _uninterleaved(tensor: Tensor, options: Options) -> Tensor:
    """Rows of a modulation, which the file has by channel, by what they modulate: (modulations, channels, …)."""
    return tensor.unflatten(0, (-1, whole(options, "interleaved", 1))).transpose(0, 1).contiguous()


def _part(tensor: Tensor, options: Options) -> Tensor:
    """A layer's rows of the tensor that it shares with others, with no memory of theirs."""
    parts, part = whole(options, "parts", 1), options.get("part", 0)
    return tensor if parts == 1 or not isinstance(part, int) else tensor.chunk(parts)[part].clone()


def _ending(raw: Raw, end: str) -> Raw:
    others = tuple(other for other in (BESIDE, SHIFTED) if other != end)
    return {
        name.removesuffix(end): tensor
        for name, tensor in raw.items()
        if name.endswith(end) and not name.endswith(others)
    }


def _side_by_side(tensors: Mapping[str, Tensor], *, decode: Decode) -> Tensor:
    halves = (affine(_ending(tensors, end), decode=decode) for end in ("", BESIDE))
    return torch.cat(tuple(halves), 1)
