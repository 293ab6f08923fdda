"""How Wan's autoencoder, and those built as it is, call their tensors; Diffusers' names beside the authors'."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.families.flow.names import Row

LAYERS = (
    ("residual.0", "norm1"), ("residual.2", "conv1"), ("residual.3", "norm2"), ("residual.6", "conv2"),
    ("shortcut", "conv_shortcut"),
)  # fmt: skip
"""Of a block."""


def ends_and_middles() -> Iterator[Row]:
    """Yield what is called alike whatever the levels between: the first and last layers, and the middle of each side."""
    yield from (("conv1", "quant_conv", ""), ("conv2", "post_quant_conv", ""))
    for side in ("encoder", "decoder"):
        yield f"{side}.conv1", f"{side}.conv_in", ""
        yield f"{side}.head.0", f"{side}.norm_out", ""
        yield f"{side}.head.2", f"{side}.conv_out", ""
        for number in range(2):
            for old, new in LAYERS:
                yield f"{side}.middle.{2 * number}.{old}", f"{side}.mid_block.resnets.{number}.{new}", ""
        for layer in ("norm", "to_qkv", "proj"):
            yield f"{side}.middle.1.{layer}", f"{side}.mid_block.attentions.0.{layer}", ""
