"""How the tensors of UNets, autoencoders, CLIP encoders, ControlNets and adapters are called in files and in classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from graphflow.families.latent_diffusion.gligen_config import gligen_places
from graphflow.families.latent_diffusion.hypernetwork_config import hypernetwork_places
from graphflow.families.latent_diffusion.ip_adapter_config import ip_adapter_places
from graphflow.families.latent_diffusion.key_names import (
    canonical,
    controlnet_modules,
    modern_vae_name,
    openclip_places,
    openclip_vision_places,
    unet_modules,
    vae_modules,
)
from graphflow.families.latent_diffusion.motion_config import MOTION, motion_original, motion_places
from graphflow.families.latent_diffusion.t2i_config import t2i_adapter_modules
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import Change

_SPARE = (
    "position_ids",
    "logit_scale",
    "text_projection",
    "text_projection.weight",
    "text_projection.bias",
    "attn_mask",
    "loss.logvar",
    "attention_blocks.1.pos_encoder.pe",
)
"""Endings of tensors that many files carry and no class of ours uses."""


@dataclass(frozen=True, eq=False)
class LatentDiffusionNames:
    """Implements :class:`graphflow.modelfiles.family.TensorNames` for one part."""

    part: Part

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """Original to Diffusers module names; empty for classes without original names."""
        match self.part.class_name:
            case "UNet2DConditionModel":
                return dict(unet_modules(self.part.config))
            case "ControlNetModel" | "ControlNetUnionModel":
                return dict(controlnet_modules(self.part.config))
            case "AutoencoderKL" | "AutoencoderKLFlux2":
                return dict(vae_modules(self.part.config))
            case "T2IAdapter":
                return dict(t2i_adapter_modules(self.part.config))
            case _:
                return {}

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        """Yield the class's tensors that a file's tensor makes."""
        if self.part.keys == "openclip":
            vision = self.part.class_name.startswith("CLIPVision")
            yield from openclip_vision_places(key) if vision else openclip_places(key)
        elif self.part.keys == "ldm":
            name = renamed(key, self.modules)
            if name is not None:
                yield name, ""
        elif self.part.class_name == "IPAdapter":
            yield from ip_adapter_places(key)
        elif self.part.class_name == MOTION:
            yield from ((name, "") for name in motion_places(key))
        elif self.part.class_name == "Gligen":
            yield from ((name, "") for name in gligen_places(key))
        elif self.part.class_name == "Hypernetwork":
            yield from ((name, "") for name in hypernetwork_places(key))
        elif self.part.class_name in ("AutoencoderKL", "AutoencoderKLFlux2"):
            yield modern_vae_name(key), ""
        else:
            yield key, ""

    def canonical(self, name: str) -> str:
        """Return a name without transformers' wrapping modules."""
        return canonical(name)

    def is_spare(self, key: str) -> bool:
        """Tell a constant, or a layer that the config leaves out on purpose."""
        if key.endswith(_SPARE) or "." not in key:
            return True
        if self.part.class_name.startswith("CLIPText"):
            layers = self.part.config.get("num_hidden_layers")
            return isinstance(layers, int) and any(
                f"{stem}.{layers}." in key for stem in ("resblocks", "encoder.layers")
            )
        return False

    def originals(self, names: Iterable[str]) -> dict[str, str]:
        """Return the names in the code of the model's authors (latent diffusion, CompVis)."""
        if self.part.class_name == MOTION:
            return {name: motion_original(name) for name in names}
        originals = {new: old for old, new in self.modules.items()}
        found: dict[str, str] = {}
        for name in names:
            head, _, tail = name.rpartition(".")
            while head and head not in originals:
                head, _, last = head.rpartition(".")
                tail = f"{last}.{tail}"
            if head:
                found[name] = f"{originals[head]}.{tail}"
        return found


def lora_names(part: Part, names: Iterable[str]) -> Iterator[tuple[str, str, Change]]:
    """Yield names of layers with underscores, in Diffusers' and in the original naming, and the modules they mean."""
    weights = [name for name in names if name.endswith(".weight")]
    originals = LatentDiffusionNames(part).originals(weights)
    for tensor in weights:
        module = tensor.removesuffix(".weight")
        flat = canonical(tensor).removesuffix(".weight").replace(".", "_")
        told = originals.get(tensor, tensor).removesuffix(".weight").replace(".", "_")
        for name in dict.fromkeys((flat, told)):
            yield name, module, ""
            if name.endswith("_to_out_0"):
                yield name.removesuffix("_0"), module, ""


def renamed(key: str, modules: Mapping[str, str]) -> str | None:
    """The Diffusers name of an original tensor name, by the longest module name that begins it."""
    head, tail = key, ""
    while head:
        head, _, last = head.rpartition(".")
        tail = f"{last}.{tail}" if tail else last
        if head in modules:
            return f"{modules[head]}.{tail}"
    return None
