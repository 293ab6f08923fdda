"""Loaded modules as tensors in the single-file layout of the models' authors, which every program reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.key_names import canonical, unet_modules, vae_modules
from graphflow.families.latent_diffusion.tokenizers import PromptTokenizer
from graphflow.sampling.prediction import ModelSampling

Tensors = dict[str, Tensor]
Config = dict[str, Any]

UNET, VAE = "model.diffusion_model.", "first_stage_model."

_CLIP_TOKENS = 49_408
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
_OPENCLIP_VISION = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}


def unet_tensors(module: nn.Module, sampling: ModelSampling, *, marks: bool) -> tuple[Tensors, Config]:
    """The UNet, its config, and what it predicts.

    Args:
        module: The UNet.
        sampling: Its noise levels and prediction.
        marks: Whether empty tensors, by which other programs know it, mark a prediction of v.

    Raises:
        ModelFormatError: Its parameterisation has no name in a file.
    """
    if sampling.prediction not in ("epsilon", "v_prediction", "sample"):
        raise ModelFormatError(
            f"no file says that a model predicts {sampling.prediction!r}", advice="save it without its sampling hooks"
        )
    zero_snr = float(sampling.sigmas[-1]) > 1000.0
    config: Any = module.config
    tensors = dict(tensors_as(module, unet_modules(config), UNET))
    if marks and sampling.prediction == "v_prediction":
        tensors["v_pred"] = torch.zeros(0)
        if zero_snr:
            tensors["ztsnr"] = torch.zeros(0)
    scheduler = {"prediction_type": sampling.prediction, "rescale_betas_zero_snr": zero_snr}
    return tensors, {"unet": config_of(module), "scheduler": scheduler}


def vae_tensors(module: nn.Module, prefix: str) -> tuple[Tensors, Config]:
    """The autoencoder and its config.

    Raises:
        ModelFormatError: It is of another kind than AutoencoderKL.
    """
    if type(module).__name__ != "AutoencoderKL":
        raise ModelFormatError(f"an autoencoder of the class {type(module).__name__} has no single-file layout")
    return as_convolutions(tensors_as(module, vae_modules(module.config), prefix)), {"vae": config_of(module)}


def as_convolutions(named: Iterator[tuple[str, Tensor]]) -> Tensors:
    """Tensors of an autoencoder, whose attention is made of 1 x 1 convolutions in the original layout."""
    return {
        name: tensor[:, :, None, None] if ".attn_1." in name and tensor.ndim == 2 else tensor for name, tensor in named
    }


def text_tensors(
    name: str, module: Any, tokenizer: PromptTokenizer, prefix: str, *, fused: bool
) -> tuple[Tensors, Config]:
    """A text encoder, its config, and its vocabulary where it is another than CLIP's.

    Args:
        name: Its name among the parts of a model.
        module: The encoder.
        tokenizer: Its tokenizer.
        prefix: What its names begin with.
        fused: Whether it has the names of OpenCLIP, not those of transformers.
    """
    state = {canonical(key): tensor for key, tensor in module.state_dict().items()}
    if fused:
        tensors = {prefix + key: tensor for key, tensor in _openclip(state, module.config.num_hidden_layers)}
    else:
        head = "text_projection."
        tensors = {prefix + ("" if key.startswith(head) else "text_model.") + key: state[key] for key in state}
    config: Config = {name: module.config.to_dict()}
    if module.config.vocab_size != _CLIP_TOKENS:
        config[name.replace("text_encoder", "tokenizer")] = _vocabulary(tokenizer)
    return tensors, config


def vision_tensors(module: Any, prefix: str) -> tuple[Tensors, Config]:
    """A CLIP image encoder with the names of OpenCLIP, and its config.

    Args:
        module: A transformers `CLIPVisionModelWithProjection`.
        prefix: What its names begin with.
    """
    state = {canonical(key): tensor for key, tensor in module.state_dict().items()}
    tensors = {theirs: state[ours] for ours, theirs in _OPENCLIP_VISION.items()}
    tensors["proj"] = state["visual_projection.weight"].t()
    tensors |= _openclip_layers(state, module.config.num_hidden_layers)
    return {prefix + key: tensor for key, tensor in tensors.items()}, {"image_encoder": module.config.to_dict()}


def tensors_as(module: nn.Module, modules: Iterator[tuple[str, str]], prefix: str) -> Iterator[tuple[str, Tensor]]:
    """A module's tensors as its authors have them.

    Args:
        module: The module.
        modules: Pairs of a module's name there and here.
        prefix: What the names begin with.

    Raises:
        ModelFormatError: One has no name there.
    """
    originals = {new: old for old, new in modules}
    for name, tensor in module.state_dict().items():
        head, _, tail = name.rpartition(".")
        while head and head not in originals:
            head, _, last = head.rpartition(".")
            tail = f"{last}.{tail}"
        if not head:
            raise ModelFormatError(f"{name} has no name in the original layout", advice="this model cannot be saved")
        yield f"{prefix}{originals[head]}.{tail}", tensor


def _openclip(state: Mapping[str, Tensor], layers: int) -> Iterator[tuple[str, Tensor]]:
    for ours, theirs in _OPENCLIP_TOP.items():
        yield theirs, state[ours]
    yield "text_projection", state["text_projection.weight"].t()
    yield from _openclip_layers(state, layers)


def _openclip_layers(state: Mapping[str, Tensor], layers: int) -> Iterator[tuple[str, Tensor]]:
    for layer in range(layers):
        old, new = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for leaf in ("weight", "bias"):
            fused = [state[f"{old}.self_attn.{part}_proj.{leaf}"] for part in "qkv"]
            yield f"{new}.attn.in_proj_{leaf}", torch.cat(fused)
            for ours, theirs in _OPENCLIP_LAYER.items():
                yield f"{new}.{theirs}.{leaf}", state[f"{old}.{ours}.{leaf}"]


def config_of(module: Any) -> Config:
    """The complete config of a module of Diffusers."""
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
