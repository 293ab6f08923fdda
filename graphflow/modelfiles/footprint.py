"""The memory that a network takes while it computes, estimated from its config; without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


def attention_width(config: Mapping[str, Any]) -> int:
    """Width of a transformer's tokens: of all heads of its attention."""
    return int(config["num_attention_heads"] * config["attention_head_dim"])


def next_width(config: Mapping[str, Any]) -> int:
    """Width of the tokens of Lumina's kind of transformers."""
    return int(config.get("dim") or config["hidden_size"])


def first_width(config: Mapping[str, Any]) -> int:
    """Channels of a UNet's first level."""
    return int(config["block_out_channels"][0])


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What an evaluation holds at its peak, beside the weights.

    Attributes:
        numbers: Numbers for each token and channel: of a transformer joint query, key and value, and the perceptron.
        text: Tokens of a text, as long as they usually are.
        patch: Edge of a token, in samples.
        width: Channels of a token, by the network's config.
    """

    numbers: int
    text: int = 0
    patch: int = 1
    width: Callable[[Mapping[str, Any]], int] = attention_width

    def held(self, config: Mapping[str, Any], samples: float) -> float:
        """Return how many numbers that is.

        Args:
            config: The network's.
            samples: Samples of its latent, of all frames.
        """
        return (samples / self.patch**2 + self.text) * self.width(config) * self.numbers


OF_UNETS = Footprint(numbers=40, width=first_width)
"""Stable Diffusion 1.5 holds 26 numbers a sample and channel of its first level (what lives at once in a forward pass,
counted on the CPU at 128 to 256 pixels) beside what attention and convolutions need while they compute."""
