"""Weights of the recordings' small U-Net, made from a seed: every tensor depends on its name and shape alone.

Values are sums of four 16-bit uniforms of PCG64 (mean 0, deviation 1, at most 3.47), scaled and rounded to
float16. The first skip connection is wired to the output so that the network behaves like a denoiser:
noise is about 0.95 * x / rms(x) plus a random function of x, time and text.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

SEED = 20250711
TAG = "tiny"
PREFIX = "model.diffusion_model."
SHAPES = Path(__file__).parent / "data" / "tiny_unet_shapes.json"
DEVIATION = np.float32(np.sqrt(4 * (65536.0**2 - 1) / 12))
WIDTH, LAST_BLOCK = 320, 3


def tiny_unet() -> dict[str, Array]:
    """Return the tensors by their names in the original layout, without the prefix."""
    shapes: dict[str, list[int]] = json.loads(SHAPES.read_text())
    tensors = {name: _tensor(name, shape) for name, shape in shapes.items()}
    for name, tensor in tensors.items():
        if ".attn2.to_out.0.weight" in name:
            tensor *= np.float32(2.0)
    _wire(tensors)
    return {name: tensor.astype(np.float16).astype(np.float32) for name, tensor in tensors.items()}


def _noise(name: str, shape: list[int]) -> Array:
    digest = hashlib.sha256(f"{SEED}/{TAG}/{PREFIX}{name}".encode()).digest()
    stream = np.random.PCG64(int.from_bytes(digest[:16], "little"))
    count = math.prod(shape)
    parts = stream.random_raw(count).astype("<u8", copy=False).view("<u2").reshape(count, 4)
    total = parts[:, 0].astype(np.int32)
    for i in (1, 2, 3):
        total += parts[:, i]
    return ((total - 131070).astype(np.float32) / DEVIATION).reshape(shape)


def _tensor(name: str, shape: list[int]) -> Array:
    noise = _noise(name, shape)
    if len(shape) > 1:
        return noise * np.float32(1.0 / np.sqrt(math.prod(shape[1:])))
    if name.endswith(".weight"):
        return np.float32(1.0) + np.float32(0.05) * noise
    return np.float32(0.02) * noise


def _wire(tensors: dict[str, Array]) -> None:
    """Lead plus and minus each latent channel through ten channels to the output."""
    last = f"output_blocks.{LAST_BLOCK}"
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
