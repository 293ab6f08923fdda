"""The torch modules of latent diffusion models, without weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch import nn

from graphflow.basics.importing import collector_paused
from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.gligen import GligenNetwork
from graphflow.families.latent_diffusion.hypernetwork import HypernetworkModule
from graphflow.families.latent_diffusion.ip_adapter import IPAdapterNetwork
from graphflow.families.latent_diffusion.style_adapter import StyleAdapter

_DIFFUSERS = frozenset(
    {
        "UNet2DConditionModel",
        "AutoencoderKL",
        "AutoencoderKLFlux2",
        "AutoencoderTiny",
        "ControlNetModel",
        "ControlNetUnionModel",
        "MotionAdapter",
        "T2IAdapter",
    }
)
_OWN: Mapping[str, type[nn.Module]] = {
    "Gligen": GligenNetwork,
    "IPAdapter": IPAdapterNetwork,
    "Hypernetwork": HypernetworkModule,
    "StyleAdapter": StyleAdapter,
}
_TEXT = frozenset({"CLIPTextModel", "CLIPTextModelWithProjection"})
_TRANSFORMERS = _TEXT | {"CLIPVisionModelWithProjection", "SiglipVisionModel"}


def build(class_name: str, config: dict[str, Any]) -> nn.Module:
    """Make a module.

    Args:
        class_name: A Diffusers or transformers class, or one of this package.
        config: Its complete config.

    Raises:
        ModelFormatError: Such a class cannot be loaded.
    """
    if class_name in _DIFFUSERS:
        with collector_paused():
            import diffusers

            diffusers_class = getattr(diffusers, class_name)
        module = diffusers_class.from_config(config)
    elif class_name in _TRANSFORMERS:
        with collector_paused():
            import transformers

            cls = getattr(transformers, class_name)
        if class_name in _TEXT:
            # Plain matrix products give ComfyUI's conditioning bit for bit on the CPU; fused attention differs by 3e-6.
            config["attn_implementation"] = "eager"
        module = cls(cls.config_class(**config))
    elif class_name in _OWN:
        module = _OWN[class_name](**config)
    elif class_name == "StableDiffusionSafetyChecker":
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPConfig

        # Its own warning speaks of a black picture, which nobody makes here.
        logging.getLogger("diffusers.pipelines.stable_diffusion.safety_checker").setLevel(logging.ERROR)
        # Nothing of the text side is built; its ids would only be complained about where the vocabulary is small.
        text = dict(config.get("text_config") or {}) | {
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
        }
        module = StableDiffusionSafetyChecker(CLIPConfig(**config | {"text_config": text}))
    else:
        raise ModelFormatError(f"models of the class {class_name} cannot be loaded as a part")
    assert isinstance(module, nn.Module)
    return module
