"""LoRA files and those of its relatives, in the layouts of kohya, Diffusers and PEFT: which layer is for which weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.loading.lora_layers import METHODS, Layer
from graphflow.loading.mapped import owner_of, role_of
from graphflow.modelfiles.families import maker_of
from graphflow.modelfiles.family import Change
from graphflow.modelfiles.lora_metadata import StatedAlphas, stated_alphas

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Part

_ENDINGS: tuple[tuple[str, str, str], ...] = (
    (".lora_down.weight", "LoRA", "down"), (".lora_up.weight", "LoRA", "up"), (".lora_mid.weight", "LoRA", "mid"),
    (".lora_A.weight", "LoRA", "down"), (".lora_B.weight", "LoRA", "up"),
    (".lora_A.default.weight", "LoRA", "down"), (".lora_B.default.weight", "LoRA", "up"),
    (".lora.down.weight", "LoRA", "down"), (".lora.up.weight", "LoRA", "up"),
    (".lora_linear_layer.down.weight", "LoRA", "down"), (".lora_linear_layer.up.weight", "LoRA", "up"),
    ("_lora.down.weight", "LoRA", "down"), ("_lora.up.weight", "LoRA", "up"),
    (".hada_w1_a", "LoHa", "w1_a"), (".hada_w1_b", "LoHa", "w1_b"), (".hada_t1", "LoHa", "t1"),
    (".hada_w2_a", "LoHa", "w2_a"), (".hada_w2_b", "LoHa", "w2_b"), (".hada_t2", "LoHa", "t2"),
    (".lokr_w1", "LoKr", "w1"), (".lokr_w1_a", "LoKr", "w1_a"), (".lokr_w1_b", "LoKr", "w1_b"),
    (".lokr_w2", "LoKr", "w2"), (".lokr_w2_a", "LoKr", "w2_a"), (".lokr_w2_b", "LoKr", "w2_b"),
    (".lokr_t2", "LoKr", "t2"),
    (".diff", "full difference", "difference"), (".w_norm", "full difference", "difference"),
    (".diff_b", "", "bias difference"), (".b_norm", "", "bias difference"), (".alpha", "", "alpha"),
    (".dora_scale", "", "magnitude"), (".lora_magnitude_vector", "", "magnitude of rows"),
    (".lora_magnitude_vector.weight", "", "magnitude of rows"),
    (".lora_magnitude_vector.default.weight", "", "magnitude of rows"),
    (".down.weight", "LoRA", "down"), (".up.weight", "LoRA", "up"),  # behind what x-labs numbers, such as qkv_lora1
)  # fmt: skip
"""Ending of a key, to the method and to what the tensor is in it; no method: something that several have."""

_COMPLETE: Mapping[str, tuple[frozenset[str], ...]] = {
    "LoRA": (frozenset({"down", "up"}),),
    "LoHa": (frozenset({"w1_a", "w1_b", "w2_a", "w2_b"}),),
    "LoKr": tuple(
        frozenset(first | second) for first in ({"w1"}, {"w1_a", "w1_b"}) for second in ({"w2"}, {"w2_a", "w2_b"})
    ),
    "full difference": (frozenset({"difference"}),),
    "": (frozenset({"bias difference"}),),
}
"""What a layer of a method must have, at least."""

_NUMBERED: Mapping[tuple[str, str], str] = {
    ("lora", "0"): ".lora_up.weight", ("lora", "1"): ".lora_down.weight", ("lora", "2"): ".alpha", ("lora", "3"): ".lora_mid.weight",
    ("diff", "0"): ".diff",
}  # fmt: skip
"""Endings of keys in LayerDiffuse's files, ``NAME.weight::lora::0``, in the usual layout."""

_REFUSED = {
    "boft_": "BOFT", ".oft_": "OFT", ".a1.weight": "GLoRA", ".b1.weight": "GLoRA", ".on_input": "IA3",
    ".lora_B.bias": "LoRA with biases", "lora_embedding_": "LoRA of embeddings",
}  # fmt: skip
"""Part of a key to the method that it belongs to, of those whose update cannot be merged here."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """What a file holds.

    Attributes:
        layers: By the name of the module in the file; two where weight and bias of a module change.
        strange: Keys that are no part of a layer.
    """

    layers: Mapping[str, tuple[Layer, ...]]
    strange: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartLayers:
    """The layers of a LoRA that are for one part.

    Attributes:
        matched: By tensor name of the part.
        unmatched: Names of layers that are for this part and fit nothing in it.
    """

    matched: Mapping[str, Layer]
    unmatched: tuple[str, ...]


def read_lora(tensors: Mapping[str, Tensor], where: str, metadata: Mapping[str, str] | None = None) -> LoraFile:
    """Put the tensors of a LoRA file together to layers.

    Args:
        tensors: All tensors of the file.
        where: The file, for errors.
        metadata: The file's metadata, which may hold alpha.

    Raises:
        ModelFormatError: It is of a method that cannot be merged, or a layer is not complete.
    """
    methods: dict[str, str] = {}
    raw: dict[str, dict[str, Tensor]] = {}
    strange: list[str] = []
    for told, tensor in tensors.items():
        key = _usual(told)
        for mark, method in _REFUSED.items():
            if mark in key:
                raise ModelFormatError(
                    f"is a {method} file ({key}); what can be merged is {', '.join(METHODS)}",
                    where=where,
                    advice="use one of those",
                )
        for ending, method, role in _ENDINGS:
            if key.endswith(ending):
                name = key.removesuffix(ending)
                raw.setdefault(name, {})[role] = tensor
                if method and methods.setdefault(name, method) != method:
                    raise ModelFormatError(f"its layer {name} is {methods[name]} and {method} at once", where=where)
                break
        else:
            strange.append(key)
    if not raw:
        raise ModelFormatError("holds no LoRA layers", where=where)
    stated = stated_alphas(metadata or {}, where)
    layers = {name: tuple(_layers(name, methods.get(name, ""), found, stated, where)) for name, found in raw.items()}
    return LoraFile(layers, tuple(strange))


def _usual(key: str) -> str:
    """The key of LayerDiffuse's files in the usual layout; others as they are."""
    name, *method = key.split("::")
    ending = _NUMBERED.get((method[0], method[1])) if len(method) == 2 else None
    if ending is None:
        return key
    return name.removesuffix(".bias") + ".diff_b" if name.endswith(".bias") else name.removesuffix(".weight") + ending


def _layers(name: str, method: str, found: Mapping[str, Tensor], stated: StatedAlphas, where: str) -> Iterator[Layer]:
    if not any(needed <= set(found) for needed in _COMPLETE[method]):
        raise ModelFormatError(f"its layer {name} is not complete: it has only {', '.join(found)}", where=where)
    magnitude = found.get("magnitude")
    if "magnitude of rows" in found:
        magnitude = found["magnitude of rows"].flatten()
    alpha = float(found["alpha"]) if "alpha" in found else None
    if alpha is None and (rank := _rank(found)) is not None:
        alpha = stated.alpha(name, rank)
    shared = {"alpha", "magnitude", "magnitude of rows", "bias difference"}
    if method:
        weight = {role: tensor for role, tensor in found.items() if role not in shared}
        yield Layer(name=name, method=method, tensors=weight, alpha=alpha, magnitude=magnitude)
    if "bias difference" in found:
        bias = {"difference": found["bias difference"]}
        yield Layer(name=name, method="full difference", tensors=bias, leaf="bias")


def _rank(found: Mapping[str, Tensor]) -> int | None:
    """The rank of a layer whose update is a product; None where it is none."""
    return next((len(found[role]) for role in ("down", "w1_b", "w2_b") if role in found), None)


def part_layers(
    layers: Mapping[str, Iterable[Layer]], part: Part, shapes: Mapping[str, torch.Size], family: str = ""
) -> PartLayers:
    """Sort out which layers are for a part, and which of its weights they change.

    Args:
        layers: All layers of the file.
        part: The part.
        shapes: Its tensors, by the names of its class.
        family: The family that it is loaded for; empty where the part alone tells.
    """
    index: dict[str, dict[str, Change]] = {}
    for flat, module, change in maker_of(part).lora_names(part, shapes):
        index.setdefault(flat, {})[module] = change
    prefixes = owner_of(part, family).lora_prefixes()
    denoiser = next(iter(prefixes), "")
    role = role_of(part, family)
    matched: dict[str, Layer] = {}
    unmatched: list[str] = []
    for name, found in layers.items():
        flat = name.replace(".processor.", ".").replace(".", "_")
        owner, rest = _owner(flat, prefixes)
        if owner != role and not (owner == "" and (role == denoiser or role not in prefixes)):
            continue
        # A bare name may begin as a prefix does: `transformer_blocks` as `transformer_`.
        modules = index.get(rest.removeprefix("text_model_")) or index.get(flat, {})
        for layer in found:
            targets = {f"{module}.{layer.leaf}": change for module, change in modules.items()}
            if not targets or any(target not in shapes or target in matched for target in targets):
                unmatched.append(name)
            else:
                matched |= {target: layer.taking(change) for target, change in targets.items()}
    return PartLayers(matched, tuple(unmatched))


def _owner(flat: str, prefixes: Mapping[str, tuple[str, ...]]) -> tuple[str, str]:
    """The part that a name is for (empty where it does not say) and the name without its prefix."""
    if flat.startswith("base_model_model_encoder_layers_"):  # PEFT on a CLIP text model that is not inside another
        return "text_encoder", flat.removeprefix("base_model_model_")
    found = [(start, part) for part, starts in prefixes.items() for start in starts if flat.startswith(start)]
    if not found:
        return "", flat
    prefix, part = max(found, key=lambda item: len(item[0]))
    return part, flat.removeprefix(prefix)
