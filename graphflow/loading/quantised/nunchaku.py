"""Nunchaku's layers, in plain order."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from graphflow.loading.codes.decoding import Decode, affine, e2m1_low, plain_nibbles, signed_nibbles
from graphflow.loading.codes.nunchaku import (
    by_modulation,
    ordered_awq,
    ordered_codes,
    ordered_down,
    ordered_scales,
    ordered_up,
    ordered_vector,
    shift_of,
    unscaled_one,
)
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.quantised.format import Options, PackedLayer, whole
from graphflow.modelfiles.quantised.nunchaku import AWQ, BESIDE, SHIFTED


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
    groups = columns // (128 if raw["weight"].dtype == torch.int16 else 64)
    entries = {
        "codes": ordered_awq(raw["weight"], rows),
        "scale": raw["scale"][:groups].t(),
        "zero": raw["zero"][:groups].t(),
    }
    parts = whole(layer.options, "interleaved", 1)
    ordered = {name: by_modulation(tensor, parts).flatten(0, 1) for name, tensor in entries.items()}
    return PackedWeight(ordered, {}, layer.shape, partial(affine, decode=plain_nibbles))


def unpack_vector(raw: Raw, layer: PackedLayer) -> Tensor:
    """A bias as a layer that is not quantised has it."""
    bias = raw["weight"]
    if layer.options["format"] == AWQ.name:
        return unscaled_one(bias, whole(layer.options, "interleaved", 1))
    total = ordered_vector(bias).float()
    if f"weight{BESIDE}" in raw:
        total += ordered_vector(raw[f"weight{BESIDE}"])
    if f"weight{SHIFTED}" in raw:
        total += shift_of(**_codes(_ending(raw, SHIFTED)))
    return _part(total, layer.options)


def unpack_plain(raw: Raw, layer: PackedLayer) -> Tensor:
    """A tensor that stands under another name, or with others in one."""
    return _part(raw["weight"], layer.options)


def _svdquant(raw: Raw, options: Options) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A layer's tensors for its rows, and those for all of them."""
    entries = _codes(raw)
    shared = {"smooth": entries.pop("smooth")}
    if "second" in raw:
        shared["second"] = raw["second"].float().reshape(())
    if "row" in raw:
        entries["second"] = ordered_vector(raw["row"])[:, None].float() * shared.pop("second", 1.0)
    if "up" in raw:
        entries["up"], shared["down"] = ordered_up(raw["up"]), ordered_down(raw["down"])
    return {name: _part(tensor, options) for name, tensor in entries.items()}, shared


def _codes(raw: Raw) -> dict[str, Tensor]:
    return {
        "codes": ordered_codes(raw["weight"]),
        "scale": ordered_scales(raw["scale"]),
        "smooth": ordered_vector(raw["smooth"]).float(),
    }


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
