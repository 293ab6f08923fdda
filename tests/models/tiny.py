"""Tiny models with seeded random weights: Stable Diffusion and SDXL as Diffusers folders and as original single files.

make_tiny_sd(path)          a Diffusers folder (2 MB of UNet, CLIP's full vocabulary, a safety checker)
make_tiny_sd_file(path)     the same weights in the original layout
make_tiny_sdxl(path), make_tiny_sdxl_file(path)
make_tiny_refiner_file(path)   SDXL's refiner: one text encoder, a UNet that reads an aesthetic score
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.families.latent_diffusion.key_names import canonical, unet_modules, vae_modules
from graphflow.families.latent_diffusion.tokenizers import clip_vocabulary

UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "sample_size": 8,
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
}
UNET_XL = {
    **UNET,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 64,
    "attention_head_dim": [2, 4],
    "transformer_layers_per_block": [1, 2],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 32 + 6 * 8,
}
UNET_REFINER = {**UNET_XL, "cross_attention_dim": 32, "projection_class_embeddings_input_dim": 32 + 5 * 8}
VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "layers_per_block": 1,
    "norm_num_groups": 32,
    "scaling_factor": 0.18215,
    "sample_size": 16,
}
TEXT = {
    "vocab_size": 49408,
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "projection_dim": 32,
    "hidden_act": "quick_gelu",
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}
TEXT_2 = {**TEXT, "hidden_act": "gelu", "pad_token_id": 0}
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def sd_parts(seed: int = 0) -> dict[str, nn.Module]:
    """The modules of a tiny Stable Diffusion, by part."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    return _ready(
        {
            "unet": UNet2DConditionModel(**UNET),
            "vae": AutoencoderKL(**VAE),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT)),
            "safety_checker": _checker(),
        }
    )


def sdxl_parts(seed: int = 0) -> dict[str, nn.Module]:
    """The modules of a tiny SDXL, by part."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    return _ready(
        {
            "unet": UNet2DConditionModel(**UNET_XL),
            "vae": AutoencoderKL(**{**VAE, "scaling_factor": 0.13025}),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT)),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**TEXT_2)),
        }
    )


def make_tiny_sd(path: Path, seed: int = 0, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a tiny Stable Diffusion as a Diffusers folder, with a safety checker; returns the folder."""
    return _write_folder(path, sd_parts(seed), "StableDiffusionPipeline", dtype)


def make_tiny_sdxl(path: Path, seed: int = 0, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a tiny SDXL as a Diffusers folder; returns the folder."""
    return _write_folder(path, sdxl_parts(seed), "StableDiffusionXLPipeline", dtype)


def make_tiny_sd_file(path: Path, seed: int = 0, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write the weights of :func:`make_tiny_sd` in the original single-file layout; returns the file."""
    parts = sd_parts(seed)
    tensors = {
        **_original(parts["unet"], unet_modules(UNET), "model.diffusion_model."),
        **_original(parts["vae"], vae_modules(VAE), "first_stage_model."),
        **{
            f"cond_stage_model.transformer.text_model.{canonical(name)}": tensor
            for name, tensor in parts["text_encoder"].state_dict().items()
        },
    }
    return _save(path, tensors, {"text_encoder": {"num_attention_heads": 4}}, dtype)


def make_tiny_sdxl_file(path: Path, seed: int = 0, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write the weights of :func:`make_tiny_sdxl` in the original single-file layout; returns the file."""
    parts = sdxl_parts(seed)
    tensors = {
        **_original(parts["unet"], unet_modules(UNET_XL), "model.diffusion_model."),
        **_original(parts["vae"], vae_modules(VAE), "first_stage_model."),
        **{
            f"conditioner.embedders.0.transformer.text_model.{canonical(name)}": tensor
            for name, tensor in parts["text_encoder"].state_dict().items()
        },
        **{f"conditioner.embedders.1.model.{key}": t for key, t in _openclip(parts["text_encoder_2"].state_dict())},
    }
    config = {
        "variant": "sdxl",
        "unet": {"attention_head_dim": [2, 4], "addition_time_embed_dim": 8},
        "text_encoder": {"num_attention_heads": 4, "hidden_act": "quick_gelu"},
        "text_encoder_2": {"num_attention_heads": 4, "hidden_act": "gelu"},
    }
    return _save(path, tensors, config, dtype)


def make_tiny_refiner_file(path: Path, seed: int = 0, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a tiny refiner of SDXL in the original single-file layout; returns the file."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    parts = _ready(
        {
            "unet": UNet2DConditionModel(**UNET_REFINER),
            "vae": AutoencoderKL(**{**VAE, "scaling_factor": 0.13025}),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**TEXT_2)),
        }
    )
    tensors = {
        **_original(parts["unet"], unet_modules(UNET_REFINER), "model.diffusion_model."),
        **_original(parts["vae"], vae_modules(VAE), "first_stage_model."),
        **{f"conditioner.embedders.0.model.{key}": t for key, t in _openclip(parts["text_encoder_2"].state_dict())},
    }
    config = {
        "variant": "sdxl_refiner",
        "unet": {"attention_head_dim": [2, 4], "addition_time_embed_dim": 8},
        "text_encoder_2": {"num_attention_heads": 4, "hidden_act": "gelu"},
    }
    return _save(path, tensors, config, dtype)


def original_names(modules: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Diffusers module name to original module name."""
    return {new: old for old, new in modules}


def _checker() -> nn.Module:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**small, "image_size": 32, "patch_size": 8, "projection_dim": 16}
    text = {**small, "vocab_size": 64, "max_position_embeddings": 8, "projection_dim": 16}
    checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    with torch.no_grad():
        checker.concept_embeds.normal_()
        checker.special_care_embeds.normal_()
        checker.concept_embeds_weights.fill_(2.0)
        checker.special_care_embeds_weights.fill_(2.0)
    return checker


def _ready(parts: dict[str, nn.Module]) -> dict[str, nn.Module]:
    for module in parts.values():
        module.eval().requires_grad_(False)
    text = [module for name, module in parts.items() if name.startswith("text_encoder")]
    for module in text:
        # Fresh CLIP weights are so small that every prompt would read alike.
        for name, tensor in module.named_parameters():
            if tensor.ndim == 2:
                tensor.normal_(std=0.5 if "embedding" in name else 0.2)
    return parts


def _write_folder(path: Path, parts: Mapping[str, nn.Module], pipeline: str, dtype: torch.dtype) -> Path:
    index: dict[str, Any] = {"_class_name": pipeline, "_diffusers_version": "0.42.1"}
    for name, module in parts.items():
        if dtype != torch.float32:
            module.to(dtype)
        module.save_pretrained(path / name)
        library = "transformers" if name.startswith("text_encoder") else "diffusers"
        index[name] = ["stable_diffusion" if name == "safety_checker" else library, type(module).__name__]
    for number, name in enumerate(name for name in parts if name.startswith("text_encoder")):
        folder = path / name.replace("text_encoder", "tokenizer")
        _write_tokenizer(folder, pad="!" if number else "<|endoftext|>")
        index[folder.name] = ["transformers", "CLIPTokenizer"]
    (path / "scheduler").mkdir(parents=True, exist_ok=True)
    (path / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER), "utf-8")
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    (path / "model_index.json").write_text(json.dumps(index), "utf-8")
    return path


def _write_tokenizer(folder: Path, pad: str) -> None:
    folder.mkdir(parents=True)
    vocab, merges = clip_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(dict(vocab)), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n", "utf-8")
    config = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")


def _original(module: nn.Module, modules: Iterator[tuple[str, str]], prefix: str) -> dict[str, Tensor]:
    names = original_names(modules)
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        head, tail = name, ""
        while head not in names:
            head, _, last = head.rpartition(".")
            tail = f".{last}{tail}"
        old = names[head] + tail
        conv = "mid.attn_1" in old and tensor.ndim == 2  # the original attention of a VAE is made of convolutions
        tensors[prefix + old] = tensor[:, :, None, None] if conv else tensor
    return tensors


def _openclip(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    plain = {canonical(name): tensor for name, tensor in state.items()}
    yield "positional_embedding", plain["embeddings.position_embedding.weight"]
    yield "token_embedding.weight", plain["embeddings.token_embedding.weight"]
    yield "ln_final.weight", plain["final_layer_norm.weight"]
    yield "ln_final.bias", plain["final_layer_norm.bias"]
    yield "text_projection", plain["text_projection.weight"].t()
    yield "logit_scale", torch.tensor(4.6)
    names = {
        "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }  # fmt: skip
    for layer in range(TEXT_2["num_hidden_layers"]):  # type: ignore[arg-type]
        old, new = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for leaf in ("weight", "bias"):
            yield f"{new}.attn.in_proj_{leaf}", torch.cat([plain[f"{old}.self_attn.{x}_proj.{leaf}"] for x in "qkv"])
            for theirs, ours in names.items():
                yield f"{new}.{ours}.{leaf}", plain[f"{old}.{theirs}.{leaf}"]


def _save(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], dtype: torch.dtype) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ready = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    save_file(ready, path, metadata={"format": "pt", "graphflow.config": json.dumps(config)})
    return path
