"""Qwen3-VL (Qwen Team 2025, arXiv:2511.21631) in weight files: how it is told, its config, and how its tensors are called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from graphflow.errors import ModelFormatError
from graphflow.families.flow.encoder_file import EncoderFile
from graphflow.families.flow.names import T5Names
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.family import Change
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_MERGER = re.compile(r"^visual\.deepstack_merger_list\.(\d{1,2})\.norm\.weight$")
_LAYER, _BLOCK = re.compile(r"^language_model\.layers\.(\d{1,3})\."), re.compile(r"^visual\.blocks\.(\d{1,3})\.")
_MARK = "visual.deepstack_merger_list.0.norm.weight"
_SEEING_HEADS, _MERGED = 16, 2
"""Heads of every published network that sees, and how many of its patches along an edge become one token."""
_DEEPSTACK: dict[int, list[int]] = {24: [5, 11, 17], 27: [8, 16, 24]}
"""Behind which of its layers what it sees goes to the language model, too, by how many layers it has."""


def _name(key: str) -> str:
    """What transformers' class calls a tensor of a file: the published files and ComfyUI's differ in what stands before it."""
    key = key.removeprefix("model.")
    return key if key.startswith("visual.") else "language_model." + key.removeprefix("language_model.")


@dataclass(frozen=True)
class Qwen3VLNames(T5Names):
    """Names of a Qwen3-VL without the head that writes."""

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        """Yield the class's tensors that a file's tensor makes."""
        if not self.is_spare(key):
            yield _name(key), ""

    def is_spare(self, key: str) -> bool:
        """Tell the head that writes, and what is no weight."""
        return key.startswith(("lm_head.", "model.lm_head.")) or "." not in key


def _is_one(shapes: Shapes, prefix: str) -> bool:
    return any(prefix + start + _MARK in shapes for start in ("", "model."))


def _infer(shapes: Shapes, where: str) -> Inferred:
    named = {_name(name): shape for name, shape in shapes.items()}
    tokens = shape_of(named, "language_model.embed_tokens.weight", dims=2)
    first = "language_model.layers.0."
    query, key = (shape_of(named, f"{first}self_attn.{name}_proj.weight", dims=2) for name in "qk")
    norm = shape_of(named, f"{first}self_attn.q_norm.weight", dims=1)
    inner = shape_of(named, f"{first}mlp.gate_proj.weight", dims=2)
    patch = shape_of(named, "visual.patch_embed.proj.weight", dims=5)
    seeing = shape_of(named, "visual.blocks.0.mlp.linear_fc1.weight", dims=2)
    out = shape_of(named, "visual.merger.linear_fc2.weight", dims=2)
    places = shape_of(named, "visual.pos_embed.weight", dims=2)
    if not (tokens and query and key and norm and inner and patch and seeing and out and places) or query[0] % norm[0]:
        raise ModelFormatError("the Qwen3-VL text encoder lacks embeddings, layers or what sees", where=where)
    language: Config = {
        "vocab_size": tokens[0],
        "hidden_size": tokens[1],
        "intermediate_size": inner[0],
        "num_hidden_layers": _count(named, _LAYER),
        "num_attention_heads": query[0] // norm[0],
        "num_key_value_heads": key[0] // norm[0],
        "head_dim": norm[0],
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]},
    }
    depth, merged = _count(named, _BLOCK), _count(named, _MERGER)
    vision: Config = {
        "depth": depth,
        "hidden_size": patch[0],
        "intermediate_size": seeing[0],
        "num_heads": _SEEING_HEADS,
        "out_hidden_size": out[0],
        "patch_size": patch[-1],
        "temporal_patch_size": patch[2],
        "spatial_merge_size": _MERGED,
        "num_position_embeddings": places[0],
        "deepstack_visual_indexes": list(_DEEPSTACK.get(depth, range(merged))),
    }
    if math.isqrt(places[0]) ** 2 != places[0]:
        raise ModelFormatError("the Qwen3-VL text encoder's table of places is not square", where=where)
    configs: Config = {"text_config": language, "vision_config": vision}
    return Inferred("Qwen3VLModel", "qwen3_vl", {}, configs, frozenset(configs))


def _count(shapes: Shapes, numbered: re.Pattern[str]) -> int:
    return len({match[1] for name in shapes if (match := numbered.match(name))})


QWEN3_VL = EncoderFile(
    classes=("Qwen3VLModel", "Qwen3VLForConditionalGeneration"),
    prefixes=("text_encoders.qwen3vl_8b.transformer.", ""),
    is_one=_is_one,
    infer=_infer,
    names=Qwen3VLNames(),
    tokenizer="qwen3_vl",
    published=("Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen-Image-2.1:processor"),
)
"""Qwen3-VL, whose network that sees is part of it."""
