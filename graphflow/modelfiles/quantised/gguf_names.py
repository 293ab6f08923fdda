"""GGUF files as the file would look unquantised: llama.cpp's names of text encoders become those of transformers.

Image models keep the names of their authors. What llama.cpp changes in the numbers is noted, to be undone: rows of
queries and keys of LLaMA are interleaved, and the norms of Gemma have one added.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import JsonValue
from graphflow.modelfiles.header import Header, TensorInfo
from graphflow.modelfiles.quantised.format import PackedLayer
from graphflow.modelfiles.quantised.recognise import Recognised

FORMAT = "gguf"
T5 = "t5encoder"
"""The architecture of T5's encoder in files that are written."""

_NAMELESS = ("", "pig", "cow")
"""Architectures of converters that do not say one."""

_ATTENTION = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
}
_LLAMA = {**_ATTENTION, "ffn_norm": "post_attention_layernorm"}
_GEMMA = {
    **_ATTENTION,
    "ffn_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_T5 = {
    **{f"attn_{letter}": f"layer.0.SelfAttention.{letter}" for letter in "qkvo"},
    "attn_norm": "layer.0.layer_norm",
    "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
    "ffn_gate": "layer.1.DenseReluDense.wi_0",
    "ffn_up": "layer.1.DenseReluDense.wi_1",
    "ffn_down": "layer.1.DenseReluDense.wo",
    "ffn_norm": "layer.1.layer_norm",
}
_LANGUAGE = dict.fromkeys(("llama", "qwen2", "qwen2vl", "qwen3", "qwen3vl"), _LLAMA) | dict.fromkeys(
    ("gemma2", "gemma3"), _GEMMA
)
_LANGUAGE_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_T5_STEM = "encoder.block."
_T5_TOP = {"token_embd": "shared", "enc.output_norm": "encoder.final_layer_norm", "output": "lm_head"}
_BLOCK = re.compile(r"^(?:enc\.)?blk\.(\d{1,4})\.(.+)$")


def recognise_gguf(header: Header) -> Recognised:
    """Give every tensor of a GGUF file the name that it has in safetensors files.

    Raises:
        ModelFormatError: Names are those of llama.cpp, and of an architecture that is not known.
    """
    architecture = _architecture(header)
    packed: dict[str, PackedLayer] = {}
    logical: dict[str, TensorInfo] = {}
    for key, tensor in header.tensors.items():
        name = _name(key, architecture)
        if name is None:
            continue
        if name in packed:
            raise ModelFormatError(f"has two tensors for {name[:200]}", where=str(header.path))
        logical[name] = tensor
        packed[name] = PackedLayer(
            format=FORMAT,
            label=tensor.dtype,
            shape=tensor.shape,
            tensors={"weight": key},
            options={"type": tensor.dtype, **_undo(key, tensor, architecture, header)},
        )
    return Recognised(logical, packed)


def is_t5(names: Collection[str]) -> bool:
    """Whether tensors, by the names of transformers, are those of T5's encoder."""
    return f"{_T5_STEM}0.{_T5['attn_q']}.weight" in names


def t5_name(name: str) -> str | None:
    """The name that llama.cpp has for a tensor of T5's encoder; None for a second copy of its embedding."""
    module, _, leaf = name.rpartition(".")
    if module == "encoder.embed_tokens":
        return None
    top = next((short for short, long in _T5_TOP.items() if long == module), None)
    if top is not None:
        return f"{top}.{leaf}"
    number, _, inner = module.removeprefix(_T5_STEM).partition(".")
    short = next((short for short, long in _T5.items() if long == inner), inner)
    return f"enc.blk.{number}.{short}.{leaf}"


def _architecture(header: Header) -> str:
    """The text encoder's architecture; empty for models of images, whose names nobody changes."""
    said = header.metadata.get("general.architecture", "")
    keys = header.tensors
    if "enc.blk.0.attn_q.weight" in keys:
        return "t5"
    if "blk.0.attn_q.weight" not in keys:
        return ""
    if said in _LANGUAGE:
        return said
    known = ", ".join(sorted(_LANGUAGE))
    what = f"of the architecture {said!r}" if said not in _NAMELESS else "that does not say its architecture"
    raise ModelFormatError(f"is a language model {what}; known are {known}", where=str(header.path))


def _name(key: str, architecture: str) -> str | None:
    """A tensor's name in safetensors files; None for what these do not have."""
    if not architecture:
        return key
    module, _, leaf = key.rpartition(".")
    top, inner, stem = (
        (_T5_TOP, _T5, _T5_STEM) if architecture == "t5" else (_LANGUAGE_TOP, _LANGUAGE[architecture], "model.layers.")
    )
    if module in top:
        return f"{top[module]}.{leaf}"
    if module == "rope_freqs":
        return None
    match = _BLOCK.match(module)
    if match is not None and match[2] in inner:
        return f"{stem}{match[1]}.{inner[match[2]]}.{leaf}"
    return key.replace("dec.", "decoder.", 1) if key.startswith("dec.") else key


def _undo(key: str, tensor: TensorInfo, architecture: str, header: Header) -> Mapping[str, JsonValue]:
    module = key.rpartition(".")[0]
    if architecture.startswith("gemma") and module.endswith("norm"):
        return {"added": 1.0}
    if architecture == "llama" and module.endswith((".attn_q", ".attn_k")):
        kind = "head_count" if module.endswith("_q") else "head_count_kv"
        said = header.metadata.get(f"llama.attention.{kind}", header.metadata.get("llama.attention.head_count", ""))
        heads = int(said) if said.isdecimal() else 0
        if not heads or not tensor.shape or tensor.shape[0] % (2 * heads):
            raise ModelFormatError(f"says {said!r} heads, which do not fit {key}", where=str(header.path))
        return {"heads": heads}
    return {}
