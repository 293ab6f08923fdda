"""What Nunchaku calls layers: several of Diffusers' are one there, and one is two."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DOUBLE = {
    "qkv_proj": "attn.to_qkv",
    "qkv_proj_context": "attn.add_qkv_proj",
    "out_proj": "attn.to_out.0",
    "out_proj_context": "attn.to_add_out",
    "mlp_fc1": "ff.net.0.proj",
    "mlp_fc2": "ff.net.2",
    "mlp_context_fc1": "ff_context.net.0.proj",
    "mlp_context_fc2": "ff_context.net.2",
    "norm_q": "attn.norm_q",
    "norm_k": "attn.norm_k",
    "norm_added_q": "attn.norm_added_q",
    "norm_added_k": "attn.norm_added_k",
}
_SINGLE = {
    "qkv_proj": "attn.to_qkv",
    "norm_q": "attn.norm_q",
    "norm_k": "attn.norm_k",
    "mlp_fc1": "proj_mlp",
    "out_proj": "proj_out",
    "attn.to_out": "proj_out",
    "mlp_fc2": "proj_out",
}
_PARTS = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "add_qkv_proj": ("add_q_proj", "add_k_proj", "add_v_proj"),
    "feed_forward.net.0.proj": ("feed_forward.w3", "feed_forward.w1"),
    "feed_forward.net.2": ("feed_forward.w2",),
}
"""Layers of one by the names of the file, in the order of their rows."""
_BLOCK = re.compile(r"^(single_)?transformer_blocks\.\d{1,4}\.")
_SHIFTED = re.compile(
    r"^transformer_blocks\.\d{1,4}\.((ff|ff_context|img_mlp|txt_mlp)\.net\.2|mlp_(context_)?fc2)$"
    r"|^single_transformer_blocks\.\d{1,4}\.mlp_fc2$"
)
_MODULATIONS = {
    ".norm.linear": 3,
    ".norm1.linear": 6,
    ".norm1_context.linear": 6,
    ".img_mod.1": 6,
    ".txt_mod.1": 6,
}
"""Layers whose rows are interleaved, and how many there are for each channel."""


def targets_of(module: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Diffusers' names of the layers that a module of the file is, and which of how many equal parts of its rows."""
    if block := _BLOCK.match(module):
        names = _SINGLE if block[1] else _DOUBLE
        rest = module[block.end() :]
        module = block[0] + names.get(rest, rest)
    for name, targets in _PARTS.items():
        if module.endswith("." + name):
            stem = module.removesuffix(name)
            for number, target in enumerate(targets):
                yield stem + target, (number, len(targets))
            return
    yield module, (0, 1)


def interleaved(module: str) -> int:
    """How many rows of a modulation stand side by side for each channel; 0 where it is none that is known."""
    known = (rows for name, rows in _MODULATIONS.items() if module.endswith(name))
    return next(known, 0)


def is_shifted(module: str) -> bool:
    """Whether a layer is behind a GELU, to whose output kernels of integers add a number that its bias makes up for."""
    return _SHIFTED.match(module) is not None


def comes_last(module: str) -> bool:
    """Whether the columns of a layer stand behind those of attention, to whose output its own is added."""
    return module.endswith(".mlp_fc2")
