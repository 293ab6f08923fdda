"""Low-rank adaptations (Hu et al. 2021, arXiv:2106.09685) in the layouts of kohya, Diffusers and PEFT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from graphflow.errors import ModelFormatError
from graphflow.models.key_names import canonical
from graphflow.models.mapped import modules_of, role_of

if TYPE_CHECKING:
    from graphflow.models.description import Part

_ENDINGS: tuple[tuple[str, str], ...] = (
    (".lora_down.weight", "down"), (".lora_up.weight", "up"), (".lora_mid.weight", "mid"), (".alpha", "alpha"),
    (".lora_A.weight", "down"), (".lora_B.weight", "up"),
    (".lora_A.default.weight", "down"), (".lora_B.default.weight", "up"),
    (".lora.down.weight", "down"), (".lora.up.weight", "up"),
    (".lora_linear_layer.down.weight", "down"), (".lora_linear_layer.up.weight", "up"),
    ("_lora.down.weight", "down"), ("_lora.up.weight", "up"),
)  # fmt: skip
_OTHER_METHODS = {
    "hada_w": "LoHa", "lokr_w": "LoKr", "dora_scale": "DoRA", "lora_magnitude_vector": "DoRA", "oft_": "OFT",
    "boft_": "BOFT", "w_norm": "norm", "b_norm": "norm", ".diff": "full difference", "a1.weight": "GLoRA",
}  # fmt: skip
"""Part of a key to the method that it belongs to; none of them is a plain low-rank update."""

_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "unet": ("lora_unet_", "unet_", "base_model_model_", "model_diffusion_model_", "diffusion_model_"),
    "text_encoder": ("lora_te1_", "lora_te_", "text_encoder_", "text_encoders_clip_l_transformer_"),
    "text_encoder_2": ("lora_te2_", "text_encoder_2_", "text_encoders_clip_g_transformer_"),
}
"""How names of layers start, by the part they are for, with dots as underscores."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoraLayer:
    """The update of one weight: alpha / rank * up @ down.

    Attributes:
        name: As in the file.
        down: (rank, in, …).
        up: (out, rank, …).
        mid: (rank, rank, kh, kw) of a decomposed convolution, or None.
        alpha: Scale; the rank where the file has none.
    """

    name: str
    down: torch.Tensor
    up: torch.Tensor
    mid: torch.Tensor | None
    alpha: float

    def delta(self, device: torch.device) -> torch.Tensor:
        """The update at strength 1, float32; its shape is the weight's up to trailing ones."""
        up = self.up.to(device, torch.float32)
        down = self.down.to(device, torch.float32)
        scale = self.alpha / down.shape[0]
        if self.mid is not None:
            mid = self.mid.to(device, torch.float32)
            return scale * torch.einsum("or,rskl,si->oikl", up.flatten(1), mid, down.flatten(1))
        product = up.flatten(1) @ down.flatten(1)
        return scale * product.reshape(len(up), *down.shape[1:])


@dataclass(frozen=True, slots=True)
class PartLayers:
    """The layers of a LoRA that are for one part.

    Attributes:
        matched: By tensor name of the part.
        unmatched: Names of layers that are for this part and fit nothing in it.
    """

    matched: Mapping[str, LoraLayer]
    unmatched: tuple[str, ...]


def read_lora(tensors: Mapping[str, torch.Tensor], where: str) -> dict[str, LoraLayer]:
    """Put the tensors of a LoRA file together to layers, by their names in the file.

    Raises:
        ModelFormatError: It is of another method, or a layer is not complete.
    """
    for key in tensors:
        for mark, method in _OTHER_METHODS.items():
            if mark in key:
                raise ModelFormatError(
                    f"is a {method} file ({key}), and only plain LoRA can be merged",
                    where=where,
                    advice="use a LoRA file",
                )
    raw: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        for ending, role in _ENDINGS:
            if key.endswith(ending):
                raw.setdefault(key.removesuffix(ending), {})[role] = tensor
                break
    layers: dict[str, LoraLayer] = {}
    for name, found in raw.items():
        if "down" not in found or "up" not in found:
            raise ModelFormatError(f"its layer {name} lacks one of its two matrices", where=where)
        rank = found["down"].shape[0]
        alpha = float(found["alpha"]) if "alpha" in found else float(rank)
        layers[name] = LoraLayer(name=name, down=found["down"], up=found["up"], mid=found.get("mid"), alpha=alpha)
    if not layers:
        raise ModelFormatError("holds no LoRA layers", where=where)
    return layers


def part_layers(layers: Mapping[str, LoraLayer], part: Part, shapes: Mapping[str, torch.Size]) -> PartLayers:
    """Sort out which layers are for a part, and which of its weights they change.

    Args:
        layers: All layers of the file.
        part: The part.
        shapes: Its tensors, by the names of its class.
    """
    index = dict(_index(part, shapes))
    role = role_of(part)
    matched: dict[str, LoraLayer] = {}
    unmatched: list[str] = []
    for name, layer in layers.items():
        flat = name.replace(".processor.", ".").replace(".", "_")
        owner, rest = _owner(flat)
        if owner != role and not (owner == "" and role == "unet"):
            continue
        target = index.get(rest.removeprefix("text_model_"))
        if target is None:
            unmatched.append(name)
        else:
            matched[target] = layer
    return PartLayers(matched, tuple(unmatched))


def _owner(flat: str) -> tuple[str, str]:
    """The part that a name is for (empty where it does not say) and the name without its prefix."""
    found = [(prefix, part) for part, prefixes in _PREFIXES.items() for prefix in prefixes if flat.startswith(prefix)]
    if not found:
        return "", flat
    prefix, part = max(found, key=lambda item: len(item[0]))
    return part, flat.removeprefix(prefix)


def _index(part: Part, shapes: Mapping[str, torch.Size]) -> Iterator[tuple[str, str]]:
    """Names of layers with underscores, in Diffusers' and in the original naming, and the tensors they mean."""
    originals = {new: old for old, new in modules_of(part).items()}
    for tensor in shapes:
        module, _, leaf = tensor.rpartition(".")
        if leaf != "weight":
            continue
        flat = canonical(tensor).removesuffix(".weight").replace(".", "_")
        yield flat, tensor
        if flat.endswith("_to_out_0"):
            yield flat.removesuffix("_0"), tensor
        head, tail = module, ""
        while head and head not in originals:
            head, _, last = head.rpartition(".")
            tail = f"_{last}{tail}"
        if head:
            yield originals[head].replace(".", "_") + tail, tensor
