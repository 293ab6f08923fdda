"""What the Stable Diffusion families have in common when modules become their wrappers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphflow.families.latent_diffusion.control import ControlModel, Net
from graphflow.families.latent_diffusion.hooks import attach  # noqa: F401 - registers what hooks do
from graphflow.families.latent_diffusion.t2i_adapter import AdapterModel
from graphflow.families.latent_diffusion.tokenizers import PromptTokenizer, make_tokenizer
from graphflow.families.latent_diffusion.unet import check_unet
from graphflow.families.latent_diffusion.vae import Autoencoder
from graphflow.modelfiles.description import TokenizerSpec
from graphflow.sampling.prediction import ModelSampling

if TYPE_CHECKING:
    from graphflow.families.family import Module
    from graphflow.modelfiles.description import Description


def unet_arguments(part: Module, default_scale: float) -> dict[str, Any]:
    """Arguments of a `UNetModel` that every family of this kind takes from the description.

    Args:
        part: The UNet.
        default_scale: The family's latent scale, for a model that comes without its autoencoder.

    Raises:
        ModelFormatError: The UNet needs something that only its own pipeline gives.
    """
    check_unet(dict(part.config))
    vae = part.description.parts.get("vae")
    config = vae.config if vae is not None else {}
    return {
        "module": part.module,
        "model_sampling": ModelSampling.from_scheduler_config(part.description.scheduler),
        "latent_scale": _number(config.get("scaling_factor"), default_scale),
        "latent_shift": _number(config.get("shift_factor"), 0.0),
        "latent_channels": int(part.config.get("out_channels", 4)),
        "downscale": downscale(config),
        "device": part.device,
        "dtype": part.dtype,
    }


def make_autoencoder(part: Module, default_scale: float) -> Autoencoder:
    """The wrapper of an autoencoder.

    Args:
        part: The autoencoder.
        default_scale: The family's latent scale, which a tiny autoencoder has built in.
    """
    tiny = part.config.get("_class_name") == "AutoencoderTiny" or type(part.module).__name__ == "AutoencoderTiny"
    return Autoencoder(
        module=part.module,
        device=part.device,
        dtype=part.dtype,
        downscale=8 if tiny else downscale(part.config),
        latent_channels=int(part.config.get("latent_channels", 4)),
        upcast=part.upcast,
        latent_scale=default_scale if tiny else 1.0,
        save_memory=part.save_memory,
    )


def make_control(part: Module) -> Net:
    """The wrapper of a ControlNet or T2I-Adapter."""
    wrapper = AdapterModel if part.part == "adapter" else ControlModel
    return wrapper(module=part.module, device=part.device, dtype=part.dtype)


def tokenizer_of(part: Module) -> PromptTokenizer:
    """The tokenizer that goes with a text encoder."""
    length = int(part.config.get("max_position_embeddings", 77))
    return make_tokenizer(_spec(part.description, part.part), length)


def downscale(config: Mapping[str, Any]) -> int:
    """Pixels per latent sample of an autoencoder with this config; 8 where there is none."""
    widths = config.get("block_out_channels")
    return 2 ** (len(widths) - 1) if isinstance(widths, list | tuple) else 8


def _spec(description: Description, part: str) -> TokenizerSpec:
    for spec in description.tokenizers:
        if spec.part == part:
            return spec
    return TokenizerSpec(part=part, source="builtin", config={})


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
