"""Language models in GGUF files: llama.cpp's names, and what its converter changes in the numbers, undone."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from graphflow.errors import ModelFormatError
from graphflow.loading.mapped import MappedFiles
from graphflow.modelfiles.shards import read_weights

HEADS, KEYS = 4, 2
WIDTH = 64
Q8_0, F32 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.F32
LAYER = "model.layers.0"


def write(path: Path, architecture: str, tensors: dict[str, np.ndarray], *, heads: bool = True) -> None:
    writer = gguf.GGUFWriter(None, architecture)
    if heads:
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KEYS)
    for name, tensor in tensors.items():
        kind = F32 if tensor.ndim == 1 else Q8_0
        writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file(path=path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries or keys as llama.cpp's converter has them: halves of a head by turns."""
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def model(architecture: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tensors by llama.cpp's names, and by those of transformers."""
    random = np.random.default_rng(3)
    rows = {"attn_q": WIDTH, "attn_k": WIDTH // 2, "attn_v": WIDTH // 2, "attn_output": WIDTH, "ffn_down": WIDTH}
    there = {"attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj", "attn_output": "o_proj"}
    theirs, ours = {}, {}
    for name, count in rows.items():
        weight = random.standard_normal((count, WIDTH), np.float32)
        weight = gguf.quants.dequantize(gguf.quants.quantize(weight, Q8_0), Q8_0)
        inner = f"self_attn.{there[name]}" if name in there else "mlp.down_proj"
        ours[f"{LAYER}.{inner}.weight"] = weight
        heads = {"attn_q": HEADS, "attn_k": KEYS}.get(name)
        theirs[f"blk.0.{name}.weight"] = interleaved(weight, heads) if architecture == "llama" and heads else weight
    gemma = architecture.startswith("gemma")
    norms = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "pre_feedforward_layernorm" if gemma else "post_attention_layernorm",
    }
    for name, inner in norms.items():
        norm = random.integers(-64, 64, WIDTH).astype(np.float32) / 32  # one more is exact
        ours[f"{LAYER}.{inner}.weight"] = norm
        theirs[f"blk.0.{name}.weight"] = norm + 1 if gemma else norm
    ours["model.embed_tokens.weight"] = theirs["token_embd.weight"] = ours[f"{LAYER}.mlp.down_proj.weight"]
    return theirs, ours


@pytest.mark.parametrize("architecture", ["llama", "qwen2vl", "qwen3", "gemma2", "gemma3"])
def test_a_language_model_has_the_names_and_numbers_of_transformers(architecture: str, tmp_path: Path) -> None:
    theirs, ours = model(architecture)
    path = tmp_path / "model.gguf"
    write(path, architecture, theirs)
    files = MappedFiles([path], path.name)
    assert set(files.names) == set(ours)
    for name, expected in ours.items():
        assert torch.equal(files.dense(name).float(), torch.from_numpy(expected)), name


@pytest.mark.parametrize(
    ("architecture", "heads", "problem"),
    [("mamba", True, "language model of the architecture 'mamba'"), ("llama", False, "'' heads, which do not fit")],
)
def test_a_language_model_that_is_not_known_is_refused(
    architecture: str, heads: bool, problem: str, tmp_path: Path
) -> None:
    write(tmp_path / "model.gguf", architecture, model(architecture)[0], heads=heads)
    with pytest.raises(ModelFormatError, match=problem):
        read_weights(tmp_path / "model.gguf")
