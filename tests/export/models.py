"""Tiny checkpoints, a LoRA, a ControlNet and an embedding for exported workflows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.families.ip_adapters import WIDTH, vision, weights, write
from tests.models.tiny import UNET, UNET_REFINER, VAE, make_tiny_sd, make_tiny_sdxl, sd_parts, sdxl_parts

DEEP_VAE = {
    **VAE,
    "block_out_channels": [32] * 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
"""An autoencoder with the usual eight pixels per latent sample."""


def make_models(root: Path) -> Path:
    """Write ``tiny-sd``, ``tiny-sdxl``, ``tiny-lora``, ``tiny-control`` and ``tiny-word``; returns the folder."""
    for name, make, scale in (("tiny-sd", make_tiny_sd, 0.18215), ("tiny-sdxl", make_tiny_sdxl, 0.13025)):
        folder = make(root / "checkpoints" / name)
        _replace_vae(folder, scale)
    make_tiny_sd(root / "checkpoints" / "tiny-half", dtype=torch.float16)
    _replace_vae(root / "checkpoints" / "tiny-half", 0.18215)
    _make_lora(root / "loras" / "tiny-lora.safetensors")
    _make_control_net(root / "controlnet" / "tiny-control")
    _make_union_control_net(root / "controlnet" / "tiny-union")
    _make_adapters(root)
    _make_refiner(root / "checkpoints" / "tiny-refiner")
    _make_reading(root / "checkpoints" / "tiny-inpaint", 9)
    _make_reading(root / "checkpoints" / "tiny-edit", 8)
    for part, kind in (("unet", "diffusion_models"), ("text_encoder", "text_encoders"), ("vae", "vae")):
        shutil.copytree(root / "checkpoints" / "tiny-sd" / part, root / kind / f"lone-{part}")
    (root / "embeddings").mkdir()
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(5))
    save_file({"<word>": vectors}, root / "embeddings" / "tiny-word.safetensors")
    return root


def _replace_vae(folder: Path, scale: float) -> None:
    from diffusers import AutoencoderKL

    shutil.rmtree(folder / "vae")
    torch.manual_seed(1)
    AutoencoderKL(**{**DEEP_VAE, "scaling_factor": scale}).save_pretrained(folder / "vae")


def _make_lora(path: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    tensors: dict[str, torch.Tensor] = {}
    parts = sd_parts()
    for part, endings in (
        ("unet", ("to_q", "to_k", "to_v")),
        ("text_encoder", ("q_proj", "k_proj", "v_proj", "out_proj")),
    ):
        for name, weight in parts[part].state_dict().items():
            layer = name.removesuffix(".weight")
            if name.endswith(".weight") and layer.endswith(endings):
                place = layer if part == "unet" or layer.startswith("text_model.") else f"text_model.{layer}"
                up, down = (2, weight.shape[1]), (weight.shape[0], 2)
                tensors[f"{part}.{place}.lora_A.weight"] = torch.randn(up, generator=generator) * 0.3
                tensors[f"{part}.{place}.lora_B.weight"] = torch.randn(down, generator=generator) * 0.3
    path.parent.mkdir(parents=True)
    save_file(tensors, path)


def _make_control_net(folder: Path) -> None:
    from diffusers import ControlNetModel

    torch.manual_seed(3)
    net = ControlNetModel.from_unet(sd_parts()["unet"])
    for parameter in net.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.1)
    net.save_pretrained(folder)


def _make_union_control_net(folder: Path) -> None:
    """A ControlNet of SDXL for eight kinds of pictures."""
    from diffusers import ControlNetUnionModel

    torch.manual_seed(9)
    config = sdxl_parts()["unet"].config
    kept = (
        "block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim", "attention_head_dim",
        "transformer_layers_per_block", "use_linear_projection", "addition_embed_type", "addition_time_embed_dim",
        "projection_class_embeddings_input_dim", "norm_num_groups",
    )  # fmt: skip
    net = ControlNetUnionModel(
        **{name: config[name] for name in kept},
        num_control_type=6,
        num_trans_channel=32,
        num_trans_head=2,
        num_trans_layer=1,
        num_proj_channel=32,
    )
    for parameter in net.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.1)
    net.save_pretrained(folder)


def _make_adapters(root: Path) -> None:
    """Write the image encoder ``eye``, IP-Adapters and T2I-Adapters, as folders and as single files."""
    from diffusers import T2IAdapter

    vision().save_pretrained(root / "clip_vision" / "eye")
    tensors = {name: tensor.contiguous() for name, tensor in vision().state_dict().items()}
    save_file(tensors, root / "clip_vision" / "eye-file.safetensors")
    for name, kind, parts in (("tiny-ip", "plain", sd_parts()), ("tiny-plus", "plus", sd_parts())):
        write(root, name, weights(parts["unet"], kind, WIDTH[kind]))
    write(root, "tiny-ip-xl", weights(sdxl_parts()["unet"], "plus", WIDTH["plus"]))
    torch.manual_seed(6)
    adapter = T2IAdapter(3, [32, 64], 1, 8, "full_adapter")
    adapter.save_pretrained(root / "t2i_adapter" / "tiny-t2i")
    tensors = {name: tensor.contiguous() for name, tensor in adapter.state_dict().items()}
    save_file({**tensors, "left.over": torch.zeros(1)}, root / "t2i_adapter" / "tiny-t2i-file.safetensors")


def _make_refiner(folder: Path) -> None:
    """SDXL's refiner as a Diffusers folder: the base's without its first text encoder."""
    from diffusers import UNet2DConditionModel

    make_tiny_sdxl(folder, seed=7)
    _replace_vae(folder, 0.13025)
    for name in ("text_encoder", "tokenizer", "unet"):
        shutil.rmtree(folder / name)
    torch.manual_seed(7)
    UNet2DConditionModel(**UNET_REFINER).save_pretrained(folder / "unet")
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    index |= {"_class_name": "StableDiffusionXLImg2ImgPipeline", "requires_aesthetics_score": True}
    index |= {"text_encoder": [None, None], "tokenizer": [None, None], "force_zeros_for_empty_prompt": False}
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")
    folder.with_name(f"{folder.name}.json").write_text(json.dumps({"variant": "sdxl_refiner"}), "utf-8")


def _make_reading(folder: Path, channels: int) -> None:
    """A checkpoint whose UNet reads more than noisy latents: of 9 channels, or 8."""
    from diffusers import UNet2DConditionModel

    make_tiny_sd(folder)
    _replace_vae(folder, 0.18215)
    shutil.rmtree(folder / "unet")
    torch.manual_seed(8)
    UNet2DConditionModel(**{**UNET, "in_channels": channels}).save_pretrained(folder / "unet")
