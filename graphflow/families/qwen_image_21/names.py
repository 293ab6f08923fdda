"""How the tensors of Qwen-Image 2.1's transformer and autoencoder are called in files and in Diffusers' classes."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.families.flow.names import Row, TableNames
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import Rows

_MLP = "transformer_blocks.{}.img_mlp."
_HALVES = tuple(
    (f"{_MLP}gate_up", f"{_MLP}{name}", Rows(half, half + 1, 2)) for half, name in enumerate(("gate_layer", "proj"))
)
"""ComfyUI has two layers of a perceptron in one."""
_LAYERS = (
    ("residual.0", "norm1"), ("residual.2", "conv1"), ("residual.3", "norm2"), ("residual.6", "conv2"),
    ("shortcut", "conv_shortcut"),
)  # fmt: skip


def transformer_names(part: Part) -> TableNames:
    """Return the names of a transformer's tensors."""
    return TableNames(_HALVES, {}, original=True)


def vae_names(part: Part) -> TableNames:
    """Return the names of an autoencoder's tensors."""
    levels, blocks = part.config["dim_mult"], part.config["num_res_blocks"]
    assert isinstance(levels, list)
    assert isinstance(blocks, int)
    return TableNames(tuple(_vae_rows(len(levels), blocks)), {}, original=part.keys == "ldm")


def _vae_rows(levels: int, blocks: int) -> Iterator[Row]:
    yield from (("conv1", "quant_conv", ""), ("conv2", "post_quant_conv", ""))
    for side, many, one, blocks_of, count in (
        ("encoder", "downsamples", "downsampler", "down_blocks", blocks),
        ("decoder", "upsamples", "upsampler", "up_blocks", blocks + 1),
    ):
        yield f"{side}.conv1", f"{side}.conv_in", ""
        yield f"{side}.head.0", f"{side}.norm_out", ""
        yield f"{side}.head.2", f"{side}.conv_out", ""
        for number in range(2):
            for old, new in _LAYERS:
                yield f"{side}.middle.{2 * number}.{old}", f"{side}.mid_block.resnets.{number}.{new}", ""
        for layer in ("norm", "to_qkv", "proj"):
            yield f"{side}.middle.1.{layer}", f"{side}.mid_block.attentions.0.{layer}", ""
        for level in range(levels):
            for number in range(count):
                for old, new in _LAYERS:
                    yield (
                        f"{side}.{many}.{level}.{many}.{number}.{old}",
                        f"{side}.{blocks_of}.{level}.resnets.{number}.{new}",
                        "",
                    )
            for layer in ("resample.1", "time_conv"):
                yield f"{side}.{many}.{level}.{many}.{count}.{layer}", f"{side}.{blocks_of}.{level}.{one}.{layer}", ""
