"""bitsandbytes: four-bit codes of a table with a scale for each block of the flat weight, and eight-bit integers."""

from __future__ import annotations

import math

from graphflow.modelfiles.quantised.format import (
    BYTES,
    Format,
    Found,
    Misfit,
    Options,
    ceiling,
    count,
    require,
    require_shape,
    whole,
)


def _four(found: Found, options: Options) -> tuple[int, ...]:
    shape = options.get("shape")
    if not isinstance(shape, list) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise Misfit(f"its quant_state says the shape {shape!r}")
    sizes = tuple(int(str(size)) for size in shape)
    values = math.prod(sizes)
    require(found["weight"].dtype in BYTES, f"weight is {found['weight'].dtype}, not {' or '.join(BYTES)}")
    require(count(found["weight"]) * 2 == values, f"weight holds {2 * count(found['weight'])} codes for {list(sizes)}")
    block = whole(options, "blocksize", 64)
    require(values % block == 0, f"its blocksize {block} does not divide {values} values")
    blocks = values // block
    nested = "nested_scale" in found
    require_shape(found, "scale", (blocks,), dtypes=BYTES if nested else ("F32",))
    require_shape(found, "table", (16,), dtypes=("F32",))
    if nested:
        require("nested_table" in found, "it has nested scales without their table")
        require_shape(
            found, "nested_scale", (ceiling(blocks, whole(options, "nested_blocksize", 256)),), dtypes=("F32",)
        )
        require_shape(found, "nested_table", (256,), dtypes=("F32",))
        offset = options.get("nested_offset", 0.0)
        require(
            isinstance(offset, int | float) and math.isfinite(offset),
            f"its quant_state says the nested_offset {offset!r}",
        )
    return sizes


def _eight(found: Found, options: Options) -> tuple[int, ...]:
    weight = found["weight"]
    require(weight.dtype == "I8" and len(weight.shape) == 2, f"weight is {weight.dtype} {list(weight.shape)}")
    require_shape(found, "scale", (weight.shape[0],), dtypes=("F32", "F16", "BF16"))
    return weight.shape


FOUR = Format(
    name="bitsandbytes_4bit",
    marks=("bitsandbytes__nf4", "bitsandbytes__fp4"),
    roles={
        "weight": ("weight",),
        "scale": ("weight.absmax",),
        "table": ("weight.quant_map",),
        "nested_scale": ("weight.nested_absmax",),
        "nested_table": ("weight.nested_quant_map",),
    },
    needed=frozenset({"weight", "scale", "table"}),
    layout=_four,
    label=lambda found, options: f"bitsandbytes_{options.get('quant_type', '4bit')}",
)

EIGHT = Format(
    name="bitsandbytes_int8",
    roles={"weight": ("weight",), "scale": ("SCB", "weight.SCB"), "order": ("weight_format", "weight.weight_format")},
    needed=frozenset({"weight", "scale"}),
    layout=_eight,
    unmarked=lambda found: found["weight"].dtype == "I8" and "scale" in found,
)
