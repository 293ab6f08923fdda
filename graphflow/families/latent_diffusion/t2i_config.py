"""The shape of a T2I-Adapter, read from the names and shapes of its tensors, and its original tensor names.

The original names are those of the authors' code (https://github.com/TencentARC/T2I-Adapter, Apache-2.0): one list of
residual blocks, where Diffusers has them by level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_BLOCK = re.compile(r"body\.(\d{1,3})\.")
_PER_LEVEL = 2
"""Residual blocks in a level of every published full adapter; the original names do not tell."""

_UNSHUFFLED = {256: 16, 768: 16}
"""Input widths of the first convolution that speak for SDXL's adapters, which fold 16x16 pixels into one."""


def infer_t2i_adapter(shapes: Shapes, where: str) -> Inferred:
    """Config of a `T2IAdapter`.

    Args:
        shapes: Its tensors, without `adapter.` in front.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    count = 1 + max((int(match[1]) for name in shapes if (match := _BLOCK.match(name))), default=-1)
    first = shape_of(shapes, "conv_in.weight", dims=4)
    light = not first
    if light:
        outputs = [shape_of(shapes, f"body.{index}.out_conv.weight", dims=4) for index in range(count)]
        first = shape_of(shapes, "body.0.in_conv.weight", dims=4)
        channels = [shape[0] for shape in outputs[:-1] if shape]
        layers = _count(shapes, "body.0.resnets.", "body.0.body.")
    elif is_original(shapes):
        widths = [shape_of(shapes, f"body.{index}.block2.weight", dims=4) for index in range(0, count, _PER_LEVEL)]
        channels = [shape[0] for shape in widths if shape]
        layers = _PER_LEVEL
    else:
        widths = [shape_of(shapes, f"body.{index}.resnets.0.block2.weight", dims=4) for index in range(count)]
        channels = [shape[0] for shape in widths if shape]
        layers = _count(shapes, "body.0.resnets.")
    if not first or not channels or not layers:
        raise ModelFormatError("its tensors form no T2I-Adapter", where=where, advice="download the file again")
    factor = 8 if light else _UNSHUFFLED.get(first[1], 8)
    facts: Config = {
        "in_channels": first[1] // factor**2,
        "channels": [*channels],
        "num_res_blocks": layers,
        "downscale_factor": factor,
        "adapter_type": "light_adapter" if light else "full_adapter_xl" if factor == 16 else "full_adapter",
    }
    return Inferred("T2IAdapter", "sdxl" if factor == 16 else "sd1", facts)


def is_original(shapes: Shapes) -> bool:
    """Whether the names are the authors' own."""
    return "body.0.block1.weight" in shapes or "body.0.body.0.block1.weight" in shapes


def t2i_adapter_modules(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Original to Diffusers module names."""
    layers = int(config["num_res_blocks"])
    levels = len(config["channels"])
    if config["adapter_type"] == "light_adapter":
        for level in range(levels + 1):
            yield f"body.{level}.in_conv", f"adapter.body.{level}.in_conv"
            yield f"body.{level}.out_conv", f"adapter.body.{level}.out_conv"
            for layer in range(layers):
                for name in ("block1", "block2"):
                    yield f"body.{level}.body.{layer}.{name}", f"adapter.body.{level}.resnets.{layer}.{name}"
        return
    yield "conv_in", "adapter.conv_in"
    for level in range(levels):
        yield f"body.{level * layers}.in_conv", f"adapter.body.{level}.in_conv"
        for layer in range(layers):
            for name in ("block1", "block2"):
                yield f"body.{level * layers + layer}.{name}", f"adapter.body.{level}.resnets.{layer}.{name}"


def _count(shapes: Shapes, *starts: str) -> int:
    """How many numbers follow one of these beginnings."""
    return len(
        {name.removeprefix(start).split(".")[0] for start in starts for name in shapes if name.startswith(start)}
    )
