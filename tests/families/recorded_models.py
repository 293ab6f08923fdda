"""Deterministic tiny weights of the recordings of newer families, from names and shapes alone."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from graphflow.cli.pickles import to_safetensors

DATA = Path(__file__).parent / "recorded"
SEED = 20250711
_DEVIATION = np.float32(np.sqrt(4 * (65536.0**2 - 1) / 12))
SEEING = {"depth": 8, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 64}
_CLIP_L, _CLIP_G = {"num_attention_heads": 4}, {"num_attention_heads": 6, "hidden_act": "gelu"}
_SIDECARS = {
    "clip_l_tiny": {"text_encoder": _CLIP_L},
    "clip_g_tiny": {"text_encoder": _CLIP_G, "tokenizer": {"pad_token": "!"}},
    "sd3_all_tiny": {"text_encoder": _CLIP_L, "text_encoder_2": _CLIP_G},
    **{
        name: {"unet": {"attention_head_dim": [1, 2, 4]}}
        for name in ("sdxl_tiny", "playground_v25_tiny", "sdxl_vpred_zsnr_tiny", "cosxl_tiny")
    },
    **{
        f"{whole}stage_{stage}_tiny": {"transformer": {"num_attention_heads": heads}}
        for stage, heads in (("c", [4, 4]), ("b", [-1, -1, 4, 4]))
        for whole in ("", "stable_cascade_")
    },
    "svd_tiny": {"image_encoder": {"num_attention_heads": 4}, "transformer": {"num_attention_heads": [1, 2, 4, 4]}},
    "clip_vision_vit_l_tiny": {"image_encoder": {"num_attention_heads": 4}},
    "clip_vision_h_tiny": {"image_encoder": {"num_attention_heads": 4}},
    "clip_vision_g_tiny": {"image_encoder": {"num_attention_heads": 4}},
    "sd21_unclip_h_tiny": {"image_encoder": {"num_attention_heads": 4}, "unet": {"attention_head_dim": [1, 2, 4, 4]}},
    "sigclip_vision_patch14_384_tiny": {"image_encoder": {"num_attention_heads": 4}},
    "qwen_2.5_vl_7b_tiny": {"text_encoder": {"vision_config": SEEING}},
}
"""What the recordings set at run time, by file."""

Array = np.ndarray[Any, np.dtype[np.float32]]


def noise(tag: str, name: str, shape: tuple[int, ...]) -> Array:
    """Return numbers of mean 0 and deviation 1 that depend on the names and the shape alone."""
    digest = hashlib.sha256(f"{SEED}/{tag}/{name}".encode()).digest()
    bits = np.random.PCG64(int.from_bytes(digest[:16], "little"))
    count = int(np.prod(shape)) if shape else 1
    words = bits.random_raw(count).astype("<u8", copy=False).view("<u2").reshape(count, 4)
    total = words.astype(np.int32).sum(axis=1, dtype=np.int32)
    return ((total - 131070).astype(np.float32) / _DEVIATION).reshape(shape)


@cache
def shapes() -> dict[str, Any]:
    """Return the files by name."""
    return {
        name: spec for path in DATA.glob("shapes*.json") for name, spec in json.loads(path.read_text("utf-8")).items()
    }


def write_model(name: str, root: Path) -> Path:
    """Write one file where ComfyUI would have it, with a sidecar where one is needed."""
    spec = shapes()[name]
    path = root / str(spec["file"])
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if "torch_pt" in spec:
            return _write_hypernetwork(spec, name, path)
        save_file(tensors_of(spec, spec.get("tag", name)), path, metadata=spec.get("metadata") or None)
        if path.stem in _SIDECARS:
            path.with_suffix(".json").write_text(json.dumps(_SIDECARS[path.stem]), "utf-8")
    return path


def _write_hypernetwork(spec: dict[str, Any], name: str, path: Path) -> Path:
    """Write it as it is published, and what `graphflow models convert` makes of that beside it."""
    data = dict(spec["torch_pt"])
    for key, tensor in tensors_of(spec, spec.get("tag", name)).items():
        width, which, tail = key.split("/", 2)
        data.setdefault(int(width), ({}, {}))[int(which)][tail] = torch.from_numpy(tensor)
    torch.save(data, path)
    to_safetensors(path, path.name, None)
    return path


def tensors_of(spec: dict[str, Any], tag: str) -> dict[str, Array]:
    """Return a file's weights."""
    if "compose" in spec:  # several parts in one file, each with a prefix
        parts = [
            (prefix, tensors_of(shapes()[name], shapes()[name].get("tag", name))) for name, prefix in spec["compose"]
        ]
        return {prefix + key: tensor for prefix, tensors in parts for key, tensor in tensors.items()}
    rules = [(re.compile(pattern), kind, argument) for pattern, kind, argument in spec.get("rules", ())]
    return {
        key: np.ascontiguousarray(_tensor(tag, key, tuple(shape), rules).astype(np.float16).astype(np.float32)).reshape(
            shape
        )
        for key, shape in spec["tensors"].items()
    }


def _tensor(tag: str, key: str, shape: tuple[int, ...], rules: list[tuple[re.Pattern[str], str, Any]]) -> Array:
    made: Array | None = None
    for pattern, kind, argument in rules:
        if not pattern.search(key):
            continue
        match kind:
            case "normal":
                made = np.float32(argument) * noise(tag, key, shape)
            case "norm":
                made = np.float32(1.0) + np.float32(argument) * noise(tag, key, shape)
            case "const":
                made = np.full(shape, argument, np.float32)
            case "scale":
                made = (_plain(tag, key, shape) if made is None else made) * np.float32(argument)
            case "abs":
                made = np.float32(argument) * (np.float32(0.5) + np.abs(noise(tag, key, shape)))
            case "array":
                made = np.array(argument, np.float32).reshape(shape)
            case _:
                raise ValueError(kind)
    return _plain(tag, key, shape) if made is None else made


def _plain(tag: str, key: str, shape: tuple[int, ...]) -> Array:
    numbers = noise(tag, key, shape)
    last = key.rsplit(".", 1)[-1]
    if last in ("scale", "gamma") or (len(shape) == 1 and last == "weight"):
        return np.float32(1.0) + np.float32(0.05) * numbers
    if len(shape) <= 1:
        return np.float32(0.02) * numbers
    if key.endswith(("token_embedding.weight", "position_embedding.weight")) or last == "pos_embed":
        return np.float32(0.5) * numbers
    return numbers * np.float32(1.0 / np.sqrt(int(np.prod(shape[1:]))))
