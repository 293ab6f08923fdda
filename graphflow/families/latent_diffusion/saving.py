"""Loaded modules as tensors in the single-file layout of the models' authors, which every program reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.key_names import canonical, unet_modules, vae_modules
from graphflow.loading.serialize import to_safetensors
from graphflow.modelfiles.given import CONFIG_KEY

if TYPE_CHECKING:
    from graphflow.families.latent_diffusion.text import ClipEncoder, TextModel
    from graphflow.families.latent_diffusion.tokenizers import PromptTokenizer
    from graphflow.families.latent_diffusion.unet import UNetModel
    from graphflow.families.latent_diffusion.vae import Autoencoder

Tensors = dict[str, Tensor]
Config = dict[str, Any]

UNET, VAE = "model.diffusion_model.", "first_stage_model."
SD_TEXT = "cond_stage_model.transformer."
SDXL_TEXT = {"text_encoder": "conditioner.embedders.0.transformer.", "text_encoder_2": "conditioner.embedders.1.model."}

_ARCHITECTURES = {"sd": "stable-diffusion-v1", "sdxl": "stable-diffusion-xl-v1-base"}
_CLIP_TOKENS = 49_408
_SD2_WIDTH = 1024
_OPENCLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_OPENCLIP_TOP = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


def unet_tensors(loaded: UNetModel, family: str) -> tuple[Tensors, Config]:
    """The UNet, its config, and what it predicts.

    Raises:
        ModelFormatError: Its parameterisation has no name in a file.
    """
    sampling = loaded.model_sampling
    if sampling.prediction not in ("epsilon", "v_prediction", "sample"):
        raise ModelFormatError(
            f"no file says that a model predicts {sampling.prediction!r}", advice="save it without its sampling hooks"
        )
    zero_snr = float(sampling.sigmas[-1]) > 1000.0
    tensors = dict(_renamed(loaded.module, unet_modules(loaded.module.config), UNET))
    if family == "sdxl" and sampling.prediction == "v_prediction":
        # Empty tensors by which other programs know it.
        tensors["v_pred"] = torch.zeros(0)
        if zero_snr:
            tensors["ztsnr"] = torch.zeros(0)
    scheduler = {"prediction_type": sampling.prediction, "rescale_betas_zero_snr": zero_snr}
    return tensors, {"unet": _config(loaded.module), "scheduler": scheduler}


def vae_tensors(loaded: Autoencoder, prefix: str) -> tuple[Tensors, Config]:
    """The autoencoder and its config.

    Raises:
        ModelFormatError: It is of another kind than AutoencoderKL.
    """
    if type(loaded.module).__name__ != "AutoencoderKL":
        raise ModelFormatError(f"an autoencoder of the class {type(loaded.module).__name__} has no single-file layout")
    tensors: Tensors = {}
    for name, tensor in _renamed(loaded.module, vae_modules(loaded.module.config), prefix):
        # The original attention is made of 1 x 1 convolutions.
        tensors[name] = tensor[:, :, None, None] if ".attn_1." in name and tensor.ndim == 2 else tensor
    return tensors, {"vae": _config(loaded.module)}


def text_tensors(loaded: TextModel, family: str, *, whole: bool) -> tuple[Tensors, Config]:
    """The text encoders, their configs, and vocabularies other than CLIP's.

    Args:
        loaded: They.
        family: The model family.
        whole: Whether they go into a checkpoint, with the names that they have there.

    Raises:
        ModelFormatError: Encoders of Stable Diffusion 2, whose layout leaves open what was left out of them.
    """
    tensors: Tensors = {}
    config: Config = {}
    for encoder in loaded.encoders:
        if family == "sd" and encoder.width == _SD2_WIDTH:
            raise ModelFormatError(
                "text encoders of Stable Diffusion 2 cannot be saved", advice="keep the file that it came from"
            )
        prefix = (SDXL_TEXT[encoder.name] if family == "sdxl" else SD_TEXT) if whole else ""
        state = {canonical(name): tensor for name, tensor in encoder.module.state_dict().items()}
        if encoder.name == "text_encoder_2":
            tensors |= {prefix + name: tensor for name, tensor in _openclip(state, encoder)}
        else:
            tensors |= {f"{prefix}text_model.{name}": tensor for name, tensor in state.items()}
        config[encoder.name] = encoder.module.config.to_dict()
        if encoder.module.config.vocab_size != _CLIP_TOKENS:
            config[encoder.name.replace("text_encoder", "tokenizer")] = _vocabulary(encoder.tokenizer)
    return tensors, config


def to_file(tensors: Mapping[str, Tensor], config: Config, family: str, dtype: torch.dtype) -> bytes:
    """A safetensors file as bytes: all of it is in memory.

    Args:
        tensors: By name.
        config: Configs by part, for `graphflow.config` in the metadata.
        family: The model family.
        dtype: Dtype of the floating-point tensors.

    Raises:
        ModelFormatError: A weight is NaN or infinite in this dtype.
    """
    ready: Tensors = {}
    for name, tensor in tensors.items():
        held = tensor.to("cpu", dtype) if tensor.is_floating_point() else tensor.cpu()
        if held.is_floating_point() and not bool(held.isfinite().all()):
            raise ModelFormatError(
                f"{name} holds NaN or infinite numbers as {str(dtype).removeprefix('torch.')}",
                advice="save with dtype float32 or bfloat16; if that fails, too, the model is broken",
            )
        ready[name] = held
    metadata = {"format": "pt", CONFIG_KEY: json.dumps(config, ensure_ascii=False, default=str)}
    if family in _ARCHITECTURES:
        metadata["modelspec.architecture"] = _ARCHITECTURES[family]
    return to_safetensors(ready, metadata)


def _renamed(module: nn.Module, modules: Iterator[tuple[str, str]], prefix: str) -> Iterator[tuple[str, Tensor]]:
    originals = {new: old for old, new in modules}
    for name, tensor in module.state_dict().items():
        head, _, tail = name.rpartition(".")
        while head and head not in originals:
            head, _, last = head.rpartition(".")
            tail = f"{last}.{tail}"
        if not head:
            raise ModelFormatError(f"{name} has no name in the original layout", advice="this model cannot be saved")
        yield f"{prefix}{originals[head]}.{tail}", tensor


def _openclip(state: Mapping[str, Tensor], encoder: ClipEncoder) -> Iterator[tuple[str, Tensor]]:
    for ours, theirs in _OPENCLIP_TOP.items():
        yield theirs, state[ours]
    yield "text_projection", state["text_projection.weight"].t()
    for layer in range(encoder.module.config.num_hidden_layers):
        old, new = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for leaf in ("weight", "bias"):
            fused = [state[f"{old}.self_attn.{part}_proj.{leaf}"] for part in "qkv"]
            yield f"{new}.attn.in_proj_{leaf}", torch.cat(fused)
            for ours, theirs in _OPENCLIP_LAYER.items():
                yield f"{new}.{theirs}.{leaf}", state[f"{old}.{ours}.{leaf}"]


def _config(module: Any) -> Config:
    return {key: value for key, value in module.config.items() if not key.startswith("_")}


def _vocabulary(tokenizer: PromptTokenizer) -> Config:
    model = json.loads(tokenizer.backend.to_str())["model"]
    named = {"bos_token": tokenizer.start, "eos_token": tokenizer.end, "pad_token": tokenizer.pad}
    config: Config = {name: tokenizer.backend.id_to_token(number) for name, number in named.items()}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {
        "config": {**config, "unk_token": config["eos_token"], "model_max_length": tokenizer.length},
        "vocab": model["vocab"],
        "merges": merges,
    }
