"""How the tensors of Qwen-Image 2.1's transformer and autoencoder are called in files and in Diffusers' classes."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.families.flow.names import Row, TableNames
from graphflow.families.flow.video_names import LAYERS, ends_and_middles
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import Rows

_MLP = "transformer_blocks.{}.img_mlp."
_HALVES = tuple(
    (f"{_MLP}gate_up", f"{_MLP}{name}", Rows(half, half + 1, 2)) for half, name in enumerate(("gate_layer", "proj"))
)
"""ComfyUI has two layers of a perceptron in one."""


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
    yield from ends_and_middles()
    for side, many, one, blocks_of, count in (
        ("encoder", "downsamples", "downsampler", "down_blocks", blocks),
        ("decoder", "upsamples", "upsampler", "up_blocks", blocks + 1),
    ):
        for level in range(levels):
            for number in range(count):
                for old, new in LAYERS:
                    yield (
                        f"{side}.{many}.{level}.{many}.{number}.{old}",
                        f"{side}.{blocks_of}.{level}.resnets.{number}.{new}",
                        "",
                    )
            for layer in ("resample.1", "time_conv"):
                yield f"{side}.{many}.{level}.{many}.{count}.{layer}", f"{side}.{blocks_of}.{level}.{one}.{layer}", ""
