"""Weights of the recordings, made from a seed: every tensor depends on its name and shape alone.

Values are sums of four 16-bit uniforms of PCG64 (mean 0, deviation 1, at most 3.47), scaled and rounded to
float16. In both UNets the first skip connection is wired to the output so that the network behaves like a denoiser:
noise is about 0.95 * x / rms(x) plus a random function of x, time and text.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Array = npt.NDArray[np.float32]

SEED = 20250711
UNET = "model.diffusion_model."
VAE = "first_stage_model."
SHAPES = Path(__file__).parent / "data" / "shapes.json"
DEVIATION = np.float32(np.sqrt(4 * (65536.0**2 - 1) / 12))
WIDTH, TEXT_WIDTH, RANK = 320, 768, 4

LAST_BLOCK = {"tiny": 3, "sd15": 11}
"""Number of the last output block of each UNet."""


def tiny_unet() -> dict[str, Array]:
    """Return the small UNet's tensors by their names in the original layout, without the prefix."""
    tensors = {name.removeprefix(UNET): tensor for name, tensor in _unet("tiny").items()}
    return {name: tensor.astype(np.float16).astype(np.float32) for name, tensor in tensors.items()}


def write_models(root: Path, *only: str) -> None:
    """Write a folder with the recordings' models (3.6 GB), or those named, but for those that are there already."""
    models: dict[str, Callable[[], dict[str, Array]]] = {
        "checkpoints/sd15_rand": lambda: _unet("sd15") | _text_and_vae(),
        "checkpoints/sd15_tinyunet_rand": lambda: _unet("tiny") | _text_and_vae(),
        "controlnet/control_sd15_rand": _control_net,
        "loras/lora_a": lambda: _lora("lora_a", _first_layers(), alpha=4.0),
        "loras/lora_b": lambda: _lora("lora_b", _second_layers(), alpha=2.0),
        "embeddings/rand_ti": lambda: {
            "emb_params": np.float32(0.5) * noise("embedding", "emb_params", [1, TEXT_WIDTH])
        },
    }
    for name, make in models.items():
        path = root / f"{name}.safetensors"
        if path.exists() or (only and name not in only):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(".part")
        save_file({key: tensor.astype(np.float16) for key, tensor in make().items()}, whole)
        whole.replace(path)


def _unet(tag: str) -> dict[str, Array]:
    tensors = {name: _tensor(tag, name, shape) for name, shape in _shapes()[f"unet_{tag}"].items()}
    for name, tensor in tensors.items():
        if ".attn2.to_out.0.weight" in name:
            tensor *= np.float32(2.0)  # so that the text matters
    _wire({name.removeprefix(UNET): tensor for name, tensor in tensors.items()}, LAST_BLOCK[tag])
    return tensors


def _text_and_vae() -> dict[str, Array]:
    shapes = _shapes()["clip_l"] | _shapes()["vae"]
    tensors = {
        name: _tensor("shared", name, shape)
        for name, shape in shapes.items()
        if not name.endswith("text_projection.weight")
    }
    tensors[VAE + "decoder.conv_out.weight"] *= np.float32(0.6)
    tensors[VAE + "encoder.conv_out.weight"] *= np.float32(8.0)
    tensors[VAE + "quant_conv.weight"][4:] *= np.float32(0.05)
    tensors[VAE + "quant_conv.bias"][4:] = np.float32(-12.0)
    return tensors


def _control_net() -> dict[str, Array]:
    tensors = {name: _tensor("controlnet", name, shape) for name, shape in _shapes()["controlnet_sd15"].items()}
    for name, tensor in tensors.items():
        if ".zero_convs." in f".{name}" or "middle_block_out" in name:
            tensor *= np.float32(0.3)
    return tensors


def _lora(tag: str, layers: Iterable[tuple[str, list[int]]], *, alpha: float) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for name, shape in layers:
        out, into, *kernel = shape
        down, up = f"{name}.lora_down.weight", f"{name}.lora_up.weight"
        tensors[down] = noise(tag, down, [RANK, into, *kernel]) * np.float32(1 / np.sqrt(into))
        tensors[up] = noise(tag, up, [out, RANK, *kernel]) * np.float32(0.3)
        tensors[f"{name}.alpha"] = np.array(alpha, dtype=np.float32)
    return tensors


def _first_layers() -> Iterator[tuple[str, list[int]]]:
    """Names of the layers that `lora_a` patches, in kohya's manner, and their weights' shapes."""
    for level, width in enumerate((320, 640, 1280)):
        block = f"lora_unet_down_blocks_{level}_attentions_0_transformer_blocks_0_"
        for name in ("attn1_to_q", "attn1_to_k", "attn1_to_v", "attn1_to_out_0"):
            yield block + name, [width, width]
        for name in ("attn2_to_k", "attn2_to_v"):
            yield block + name, [width, TEXT_WIDTH]
    yield "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k", [1280, TEXT_WIDTH]
    last = "lora_unet_up_blocks_3_attentions_2_"
    yield f"{last}transformer_blocks_0_attn1_to_q", [WIDTH, WIDTH]
    yield f"{last}transformer_blocks_0_attn2_to_v", [WIDTH, TEXT_WIDTH]
    yield f"{last}transformer_blocks_0_ff_net_0_proj", [8 * WIDTH, WIDTH]
    yield f"{last}proj_in", [WIDTH, WIDTH, 1, 1]
    for layer in (0, 5, 11):
        block = f"lora_te_text_model_encoder_layers_{layer}_"
        for name in ("self_attn_q_proj", "self_attn_v_proj", "self_attn_out_proj"):
            yield block + name, [TEXT_WIDTH, TEXT_WIDTH]
        yield f"{block}mlp_fc1", [4 * TEXT_WIDTH, TEXT_WIDTH]


def _second_layers() -> Iterator[tuple[str, list[int]]]:
    """The same of `lora_b`, which shares some with `lora_a`; the text encoder's lack a kind."""
    block = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_"
    yield f"{block}attn1_to_q", [640, 640]
    yield f"{block}attn2_to_v", [640, TEXT_WIDTH]
    block = "lora_unet_up_blocks_1_attentions_1_transformer_blocks_0_"
    yield f"{block}attn1_to_v", [1280, 1280]
    yield f"{block}attn2_to_out_0", [1280, 1280]
    yield f"{block}ff_net_2", [1280, 5120]
    yield "lora_unet_up_blocks_2_attentions_0_proj_out", [640, 640, 1, 1]
    for layer in (5, 8):
        block = f"lora_te_text_model_encoder_layers_{layer}_"
        yield f"{block}self_attn_k_proj", [TEXT_WIDTH, TEXT_WIDTH]
        yield f"{block}self_attn_v_proj", [TEXT_WIDTH, TEXT_WIDTH]
        yield f"{block}mlp_fc2", [TEXT_WIDTH, 4 * TEXT_WIDTH]


@cache
def _shapes() -> Mapping[str, dict[str, list[int]]]:
    parts: dict[str, dict[str, list[int]]] = json.loads(SHAPES.read_text("utf-8"))
    return parts


def noise(tag: str, name: str, shape: list[int]) -> Array:
    """Return the numbers that recordings were made from: of a tensor of a model, or in place of an embedding."""
    digest = hashlib.sha256(f"{SEED}/{tag}/{name}".encode()).digest()
    stream = np.random.PCG64(int.from_bytes(digest[:16], "little"))
    count = math.prod(shape)
    parts = stream.random_raw(count).astype("<u8", copy=False).view("<u2").reshape(count, 4)
    total = parts[:, 0].astype(np.int32)
    for i in (1, 2, 3):
        total += parts[:, i]
    return ((total - 131070).astype(np.float32) / DEVIATION).reshape(shape)


def _tensor(tag: str, name: str, shape: list[int]) -> Array:
    drawn = noise(tag, name, shape)
    if len(shape) == 1:
        return np.float32(1.0) + np.float32(0.05) * drawn if name.endswith(".weight") else np.float32(0.02) * drawn
    if name.endswith("token_embedding.weight"):
        return np.float32(0.5) * drawn
    if name.endswith("position_embedding.weight"):
        return np.float32(0.2) * drawn
    return drawn * np.float32(1.0 / np.sqrt(math.prod(shape[1:])))


def _wire(tensors: Mapping[str, Array], last_block: int) -> None:
    """Lead plus and minus each latent channel through ten channels to the output."""
    last = f"output_blocks.{last_block}"
    enter, enter_bias = tensors["input_blocks.0.0.weight"], tensors["input_blocks.0.0.bias"]
    skip, skip_bias = tensors[f"{last}.0.skip_connection.weight"], tensors[f"{last}.0.skip_connection.bias"]
    block, block_bias = tensors[f"{last}.0.out_layers.3.weight"], tensors[f"{last}.0.out_layers.3.bias"]
    attention, attention_bias = tensors[f"{last}.1.proj_out.weight"], tensors[f"{last}.1.proj_out.bias"]
    norm, norm_bias = tensors["out.0.weight"], tensors["out.0.bias"]
    leave, leave_bias = tensors["out.2.weight"], tensors["out.2.bias"]
    leave *= np.float32(0.17)
    first = skip.shape[1] - WIDTH
    for channel in range(4):
        for j in range(10):
            wire = 10 * channel + j
            sign = np.float32(1.0 if j % 2 == 0 else -1.0)
            enter[wire], enter_bias[wire] = 0, 0
            enter[wire, channel, 1, 1] = sign
            skip[wire], skip_bias[wire] = 0, 0
            skip[wire, first + wire] = 1
            block[wire] *= np.float32(0.02)
            attention[wire] *= np.float32(0.02)
            block_bias[wire] = attention_bias[wire] = 0
            norm[wire], norm_bias[wire] = 1, 0
            leave[:, wire] = 0
            leave[channel, wire, 1, 1] = sign * np.float32(0.95 / 5.0)
    leave_bias[:] = 0
