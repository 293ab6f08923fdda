"""Weights of the recordings' text encoder, autoencoder, LoRA and embedding, made from a seed.

Every tensor depends on its name and shape alone: sums of four 16-bit uniforms of PCG64 (mean 0, deviation 1), scaled
and rounded to float16. The sizes are those of Stable Diffusion 1.5.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Array = npt.NDArray[np.float32]

SEED = 20250711
DEVIATION = np.float32(np.sqrt(4 * (65536.0**2 - 1) / 12))
WIDTH, INNER, LAYERS = 768, 3072, 12
TEXT = "cond_stage_model.transformer.text_model."
VAE = "first_stage_model."


def write_text(root: Path) -> None:
    """Write the text encoder, the LoRA `lora_a` and the embedding `rand_ti` into a model folder."""
    _save(root / "text_encoders" / "recorded.safetensors", {n: _default(n, s) for n, s in _text_shapes().items()})
    _save(
        root / "embeddings" / "rand_ti.safetensors", {"emb_params": _noise("embedding", "emb_params", (1, WIDTH)) / 2}
    )
    lora: dict[str, Array] = {}
    for layer in (0, 5, 11):
        for module, out in (
            ("self_attn_q_proj", 768),
            ("self_attn_v_proj", 768),
            ("self_attn_out_proj", 768),
            ("mlp_fc1", 3072),
        ):
            name = f"lora_te_text_model_encoder_layers_{layer}_{module}"
            down, up = f"{name}.lora_down.weight", f"{name}.lora_up.weight"
            lora[down] = _noise("lora_a", down, (4, WIDTH)) * np.float32(1 / np.sqrt(WIDTH))
            lora[up] = _noise("lora_a", up, (out, 4)) * np.float32(0.3)
            lora[f"{name}.alpha"] = np.array(4.0, dtype=np.float32)
    _save(root / "loras" / "lora_a.safetensors", lora)


def write_vae(root: Path) -> None:
    """Write the autoencoder into a model folder."""
    tensors = {name: _default(name, shape) for name, shape in _vae_shapes().items()}
    tensors[VAE + "decoder.conv_out.weight"] *= np.float32(0.6)
    tensors[VAE + "encoder.conv_out.weight"] *= np.float32(8.0)
    tensors[VAE + "quant_conv.weight"][4:] *= np.float32(0.05)
    tensors[VAE + "quant_conv.bias"][4:] = np.float32(-12.0)
    _save(root / "vae" / "recorded.safetensors", {n.removeprefix(VAE): t for n, t in tensors.items()})


def _text_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.token_embedding.weight": (49408, WIDTH),
        "embeddings.position_embedding.weight": (77, WIDTH),
        "final_layer_norm.weight": (WIDTH,),
        "final_layer_norm.bias": (WIDTH,),
    }
    for number in range(LAYERS):
        layer = f"encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}.self_attn.{name}", WIDTH, WIDTH)
        shapes |= _linear(f"{layer}.mlp.fc1", INNER, WIDTH) | _linear(f"{layer}.mlp.fc2", WIDTH, INNER)
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{layer}.{name}.weight": (WIDTH,), f"{layer}.{name}.bias": (WIDTH,)}
    return {TEXT + name: shape for name, shape in shapes.items()}


def _vae_shapes() -> dict[str, tuple[int, ...]]:
    widths = (128, 256, 512, 512)
    shapes = _conv("quant_conv", 8, 8, 1) | _conv("post_quant_conv", 4, 4, 1)
    shapes |= _conv("encoder.conv_in", 128, 3) | _conv("encoder.conv_out", 8, 512) | _norm("encoder.norm_out", 512)
    shapes |= _conv("decoder.conv_in", 512, 4) | _conv("decoder.conv_out", 3, 128) | _norm("decoder.norm_out", 128)
    for side in ("encoder", "decoder"):
        shapes |= _block(f"{side}.mid.block_1", 512, 512) | _block(f"{side}.mid.block_2", 512, 512)
        shapes |= _norm(f"{side}.mid.attn_1.norm", 512)
        for name in ("q", "k", "v", "proj_out"):
            shapes |= _conv(f"{side}.mid.attn_1.{name}", 512, 512, 1)
    before = 128
    for level, width in enumerate(widths):
        for layer in range(2):
            shapes |= _block(f"encoder.down.{level}.block.{layer}", before, width)
            before = width
        if level < 3:
            shapes |= _conv(f"encoder.down.{level}.downsample.conv", width, width)
    for level in (3, 2, 1, 0):
        for layer in range(3):
            shapes |= _block(f"decoder.up.{level}.block.{layer}", before, widths[level])
            before = widths[level]
        if level > 0:
            shapes |= _conv(f"decoder.up.{level}.upsample.conv", before, before)
    return {VAE + name: shape for name, shape in shapes.items()}


def _block(name: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
    shapes = _norm(f"{name}.norm1", into) | _conv(f"{name}.conv1", out, into)
    shapes |= _norm(f"{name}.norm2", out) | _conv(f"{name}.conv2", out, out)
    return shapes if into == out else shapes | _conv(f"{name}.nin_shortcut", out, into, 1)


def _conv(name: str, out: int, into: int, kernel: int = 3) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into, kernel, kernel), f"{name}.bias": (out,)}


def _linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _default(name: str, shape: tuple[int, ...]) -> Array:
    noise = _noise("shared", name, shape)
    if len(shape) == 1:
        return np.float32(1.0) + np.float32(0.05) * noise if name.endswith(".weight") else np.float32(0.02) * noise
    if name.endswith("token_embedding.weight"):
        return np.float32(0.5) * noise
    if name.endswith("position_embedding.weight"):
        return np.float32(0.2) * noise
    return noise * np.float32(1.0 / np.sqrt(math.prod(shape[1:])))


def _noise(tag: str, name: str, shape: tuple[int, ...]) -> Array:
    digest = hashlib.sha256(f"{SEED}/{tag}/{name}".encode()).digest()
    stream = np.random.PCG64(int.from_bytes(digest[:16], "little"))
    parts = stream.random_raw(math.prod(shape)).astype("<u8", copy=False).view("<u2").reshape(-1, 4)
    total = parts[:, 0].astype(np.int32)
    for i in (1, 2, 3):
        total += parts[:, i]
    return ((total - 131070).astype(np.float32) / DEVIATION).reshape(shape)


def _save(path: Path, tensors: Mapping[str, Array]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(tensor.astype(np.float16)) for name, tensor in tensors.items()}, path)
