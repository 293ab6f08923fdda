"""Tiny networks with random weights that stand in for model files which are not there; without torch.

A family declares them (:attr:`graphflow.modelfiles.family.Family.stand_ins`). What meets other models has its real size
(widths of embeddings, channels of latents, pixels per sample), so that stand-ins and real files work together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from graphflow.modelfiles.description import DENOISERS, Config, Kind, Part, TokenizerSpec
from graphflow.modelfiles.tokenizer_config import byte_letters

START, END = "<|startoftext|>", "<|endoftext|>"
SPECIAL = (
    "<pad>", "</s>", "<bos>", "<unk>", START, END, "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|image_pad|>", "<think>", "</think>", "<s>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]",
)  # fmt: skip
"""Tokens of their own in every stand-in's vocabulary; the first ones have the ids that T5 and Gemma give them."""
TOKENS = 640
"""Rows of a stand-in's table of tokens, a few more than it has."""

_SMALL: Config = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64}
TINY_VISION: Mapping[Kind, tuple[str, Config]] = {
    "detector": (
        "YolosForObjectDetection",
        {**_SMALL, "image_size": [64, 64], "intermediate_size": 32, "num_detection_tokens": 4, "num_labels": 1},
    ),
    "segmenter": (
        "SamModel",
        {
            "vision_config": {**_SMALL, "output_channels": 16, "num_pos_feats": 8, "mlp_dim": 32, "global_attn_indexes": [0]},
            "prompt_encoder_config": {"hidden_size": 16, "image_size": 64, "mask_input_channels": 8},
            "mask_decoder_config": {
                "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
            },
        },
    ),
    "describer": ("StandIn", {}),
    "language_model": ("StandIn", {}),
    "background_remover": ("StandIn", {}),
    "transparency_decoder": ("TransparencyDecoder", {"widths": [4, 4, 8, 8], "attending": 3}),
}  # fmt: skip
"""Class and config of tiny networks that look at pictures, by kind."""


@dataclass(frozen=True, kw_only=True)
class TinyPart:
    """A tiny network.

    Attributes:
        class_name: As :attr:`graphflow.modelfiles.description.Part.class_name`.
        config: Complete keyword arguments of that class.
        tokenizer: Of a text encoder: CLIP's kind, which ends words, or pieces of text; empty for other networks.
        pad: What fills a prompt of CLIP's kind up.
        published: Where the Hub has the real tokenizer, for scripts that are to run with the real files.
    """

    class_name: str
    config: Config
    tokenizer: Literal["", "clip", "pieces"] = ""
    pad: str = END
    published: tuple[str, ...] = ()

    def part(self, name: str, maker: str, stands_for: str) -> Part:
        """The part of a description."""
        return Part(name, self.class_name, dict(self.config), files=(), maker=maker, stands_for=stands_for)

    def tokenizers(self, part: str) -> tuple[TokenizerSpec, ...]:
        """Its tokenizer, which has a token for every byte; none for other networks than text encoders."""
        if not self.tokenizer:
            return ()
        ends = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": self.pad}
        words = self.tokenizer == "clip"
        name, vocab = "" if words else "bytes", vocabulary(words=words)
        return (TokenizerSpec(part, "inline", {**ends}, vocab=vocab, merges=(), name=name, published=self.published),)


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """What stands in for a published model.

    Attributes:
        names: Matches published names of such files somewhere, in lower case.
        parts: Its networks by name: those of a whole model, of which a file may hold some, or a lone one; none where
            the family does not run it.
        variant: As in :class:`graphflow.modelfiles.description.Description`.
        task: The same.
        scheduler: The same.
    """

    names: str
    parts: Mapping[str, TinyPart]
    variant: str = ""
    task: str = "generate"
    scheduler: Config = field(default_factory=dict)

    @property
    def denoises(self) -> bool:
        """Whether it is a whole model."""
        return any(name in self.parts for name in DENOISERS)

    def of_kind(self, kind: Kind, role: str = "") -> dict[str, TinyPart]:
        """The parts that a file of a kind holds; empty where it has none of them.

        Args:
            kind: The kind.
            role: Which of its text encoders is wanted, by the name that the part has in a whole model.
        """
        if kind == "checkpoint":
            return {name: part for name, part in self.parts.items() if name not in _BESIDE} if self.denoises else {}
        if kind == "text_encoder":
            part = self.parts.get(role or "text_encoder")
            return {} if part is None else {"text_encoder": part}
        return {name: part for name, part in self.parts.items() if name in _PARTS.get(kind, ())}


_BESIDE = ("controlnet", "ip_adapter", "adapter")
"""Parts that whole models do not hold."""
_PARTS: Mapping[Kind, tuple[str, ...]] = {
    "diffusion_model": DENOISERS,
    "vae": ("vae",),
    "image_encoder": ("image_encoder",),
    "controlnet": ("controlnet", "style_projector"),
    "ip_adapter": ("ip_adapter",),
    "motion_module": ("adapter",),
    "style_model": ("style_model",),
}


@cache
def vocabulary(*, words: bool) -> Mapping[str, int]:
    """Token to id: special ones, and one for each byte; with `words`, one more for each where it ends a word."""
    letters = byte_letters()
    ended = [f"{letter}</w>" for letter in letters] if words else []
    return {token: number for number, token in enumerate((*SPECIAL, *letters, *ended))}
