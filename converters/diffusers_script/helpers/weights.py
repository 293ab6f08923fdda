"""Weights and batches."""
# mypy: ignore-errors

import re

import torch
from safetensors.torch import load_file


def merge_weights(module, other, keep, add, shares=()):
    """Set each weight to keep * its own + add * the other's.

    Where its name begins as one of ``shares`` does, the longest such decides: its share
    of the first, the rest of the other.
    """
    others = other.state_dict()
    for name, weight in module.state_dict().items():
        found = others.get(name)
        if found is None or found.numel() != weight.numel():
            continue
        start = max(
            (key for key in shares if name.startswith(key)), key=len, default=""
        )
        mine, theirs = (shares[start], 1 - shares[start]) if start else (keep, add)
        if weight.is_floating_point() and (mine, theirs) != (1, 0):
            mixed = mine * weight.float() + theirs * found.float().reshape(weight.shape)
            weight.copy_(mixed)


def scale_layers(module, factors):
    """Multiply the weights of layers whose name ends so."""
    for name, layer in module.named_modules():
        for ending, factor in factors.items():
            if name.endswith("." + ending):
                for weight in layer.parameters():
                    weight.mul_(factor)


def repeated_places(places, count):
    """Places of items that are several times in a batch, with noise of their own."""
    span = max(places) - min(places) + 1
    return [place + turn * span for turn in range(count) for place in places]


def load_lora(pipe, path, name):
    """Load a LoRA, whole or not at all; its scales become part of its matrices.

    The library by itself mixes up scales that differ between layers, and drops layers of
    a text encoder where none is for out_proj.
    """
    tensors, scales = pipe.lora_state_dict(
        path.parent, weight_name=path.name, unet_config=pipe.unet.config
    )
    for key, scale in (scales or {}).items():
        key = key.removesuffix(".alpha")
        key = key if key in tensors else f"{key}.lora.down.weight"
        tensors[key] = tensors[key].float() * (scale / len(tensors[key]))
    old, new = r"^(text_.+)\.to_(\w+)_lora\.", r"\1.\2_proj.lora_linear_layer."
    tensors = {re.sub(old, new, key): tensors[key] for key in tensors}
    pipe.load_lora_weights(tensors, adapter_name=name)
    parts = [part for part in pipe.components.values() if hasattr(part, "modules")]
    layers = [layer for part in parts for layer in part.modules()]
    found = sum(name in getattr(layer, "lora_A", ()) for layer in layers)
    if 2 * found != len(tensors):
        raise SystemExit(f"{path}: only {found} of {len(tensors) // 2} layers fit")


def apply_adapter(module, path, prefix, strength):
    """Add the layers of a LoHa, LoKr or DoRA file to the weights of a module.

    LyCORIS (Yeh et al. 2023, arXiv:2309.14859), DoRA (Liu et al. 2024, arXiv:2402.09353).
    """
    layers = {}
    for key, tensor in load_file(path).items():
        name, _, role = key.partition(".")
        layers.setdefault(name, {})[role] = tensor.float()
    for name, layer in module.named_modules():
        flat = prefix + name.removeprefix("text_model.").replace(".", "_")
        tensors = layers.pop(flat, None)
        if tensors is None:
            continue
        weight = layer.weight.detach().float().cpu()
        changed = weight + adapter_update(tensors).reshape(weight.shape)
        if "dora_scale" in tensors:
            changed = with_lengths(changed, tensors["dora_scale"])
        layer.weight.copy_(weight + strength * (changed - weight))
    if left := [name for name in layers if name.startswith(prefix)]:
        print(f"{path.name}: there is no place for {', '.join(left)}")


def adapter_update(tensors):
    """What the tensors of one layer add to its weight."""

    def product(n):
        """The n-th factor: as it is, a product, or one with a Tucker core."""
        kind = "hada" if "hada_w1_a" in tensors else "lokr"
        if f"{kind}_w{n}" in tensors:
            return tensors[f"{kind}_w{n}"], None
        a, b = tensors[f"{kind}_w{n}_a"], tensors[f"{kind}_w{n}_b"]
        core = tensors.get(f"{kind}_t{n}")
        whole = a @ b if core is None else torch.einsum("ijkl,io,jc->ockl", core, a, b)
        return whole, len(b)

    if "lora_up.weight" in tensors:
        up, down = tensors["lora_up.weight"], tensors["lora_down.weight"]
        rank, core = len(down), tensors.get("lora_mid.weight")
        if core is None:
            update = up.flatten(1) @ down.flatten(1)
        else:
            factors = up.flatten(1), core, down.flatten(1)
            update = torch.einsum("or,rskl,si->oikl", *factors)
    else:
        (first, rank), (second, other) = product(1), product(2)
        if "hada_w1_a" in tensors:
            update = first * second
        else:
            shape = (*first.shape, *(1,) * (second.ndim - first.ndim))
            update, rank = torch.kron(first.reshape(shape), second), other or rank
    alpha = tensors.get("alpha")
    return update if alpha is None or rank is None else update * (float(alpha) / rank)


def with_lengths(weight, lengths):
    """A weight whose rows or columns have other lengths."""
    shown = weight.flatten(2) if weight.ndim > 2 else weight[..., None]
    rows = len(lengths) == len(weight)
    norm = torch.linalg.vector_norm(shown, dim=(1, 2) if rows else (0, 2))
    norm = norm[:, None] if rows else norm[None]
    factor = lengths.reshape(norm.shape) / norm
    return weight * factor.reshape(*norm.shape, *(1,) * (weight.ndim - 2))
