"""Nunchaku's files."""
# mypy: ignore-errors

import torch
from graphflow.loading.codes.decoding import (
    affine,
    e2m1_low,
    plain_nibbles,
    signed_nibbles,
)
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
from graphflow.modelfiles.quantised.nunchaku_names import (
    comes_last,
    interleaved,
    is_shifted,
    targets_of,
)
from safetensors.torch import load_file

from .quantised import kept_copy


def plain_nunchaku(path, dtype=None):
    """A copy of a file with plain weights, by Diffusers' names."""
    modules, plain = {}, {}
    for key, tensor in load_file(path).items():
        module, _, leaf = key.rpartition(".")
        modules.setdefault(module, {})[leaf] = tensor
    for module in sorted(modules, key=comes_last):
        layer = modules[module]
        if "qweight" in layer:
            awq = layer["qweight"].dtype in (torch.int16, torch.int32)
            layer = (read_nunchaku_awq if awq else read_nunchaku)(module, layer)
        for target, (part, parts) in targets_of(module):
            for leaf, tensor in layer.items():
                name = f"{target}.{leaf}".removeprefix(".")
                made = tensor.chunk(parts)[part].to(dtype)
                if name in plain:  # halves of a layer, whose outputs are added
                    halves = plain[name], made
                    made = torch.cat(halves, 1) if leaf == "weight" else sum(halves)
                plain[name] = made
    return kept_copy(path, plain)


def read_nunchaku_awq(module, layer):
    """Four-bit codes with a scale and a zero for each group of columns."""
    scale = layer.get("wscales", layer.get("scales"))
    zero = layer.get("wzeros", layer.get("scaled_zeros"))
    codes = ordered_awq(layer["qweight"], scale.shape[1])
    groups = 2 * codes.shape[1] // (64 if "wscales" in layer else 128)
    tensors = {"codes": codes, "scale": scale[:groups].t(), "zero": zero[:groups].t()}
    weight, parts = affine(tensors, decode=plain_nibbles), interleaved(module)
    found = {"weight": by_modulation(weight, parts).flatten(0, 1) if parts else weight}
    if "bias" in layer:
        bias = layer["bias"]
        found["bias"] = unscaled_one(bias, parts) if parts else bias
    return found


def read_nunchaku(module, layer):
    """Four-bit codes of smoothed columns beside a branch of low rank."""
    named = {
        name: layer[leaf]
        for name, leaves in {
            "smooth": ("smooth_factor", "smooth"),
            "up": ("proj_up", "lora_up"),
            "down": ("proj_down", "lora_down"),
        }.items()
        for leaf in leaves
        if leaf in layer
    }
    codes, scale = ordered_codes(layer["qweight"]), ordered_scales(layer["wscales"])
    smooth = ordered_vector(named["smooth"]).float()
    tensors = {"codes": codes, "scale": scale, "smooth": smooth}
    if "wtscale" in layer:
        tensors["second"] = layer["wtscale"].float().reshape(())
    if "wcscales" in layer:
        rows = ordered_vector(layer["wcscales"])[:, None].float()
        tensors["second"] = rows * tensors.get("second", 1.0)
    if "up" in named:
        tensors["up"] = ordered_up(named["up"])
        tensors["down"] = ordered_down(named["down"])
    floats = scale.dtype == torch.float8_e4m3fn
    found = {"weight": affine(tensors, decode=e2m1_low if floats else signed_nibbles)}
    if "bias" in layer:
        bias = ordered_vector(layer["bias"]).float()
        shifted = is_shifted(module) and not floats
        found["bias"] = bias + shift_of(codes, scale, smooth) if shifted else bias
    return found
