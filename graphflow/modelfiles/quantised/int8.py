"""Eight-bit integers with a scale for the tensor, for rows or for blocks, and with ConvRot's rotation of the columns.

ConvRot: groups of columns are multiplied by a Hadamard matrix before they are quantised, which spreads outliers.
"""

from __future__ import annotations

from graphflow.modelfiles.quantised.float8 import require_group, scale_rows
from graphflow.modelfiles.quantised.format import (
    FLOATS,
    Format,
    Found,
    Options,
    count,
    flag,
    matrix,
    require,
    rotation,
)

_MARKS = ("int8_tensorwise", "int8_rowwise", "int8_blockwise", "int8_axiswise", "int8", "int8_convrot", "per_row")


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    weight, scale = found["weight"], found["scale"]
    require(
        len(weight.shape) > 1 and all(weight.shape) and weight.dtype == "I8",
        f"weight is {weight.dtype} {list(weight.shape)}, not a matrix or convolution of I8",
    )
    require(scale.dtype in FLOATS, f"scale is {scale.dtype}, not {' or '.join(FLOATS)}")
    table = scale_rows(scale.shape, weight.shape)
    require_group(options, table, weight.shape)
    if flag(options, "convrot"):
        rotation(options, matrix(found, ("I8",))[1])
        require(table[1] == 1, "its columns are rotated, and it has scales for blocks of them")
    return weight.shape


FORMAT = Format(
    name="int8",
    marks=_MARKS,
    settle={"int8_convrot": {"convrot": True}},
    roles={"weight": ("weight",), "scale": ("weight_scale", "scale_weight")},
    needed=frozenset({"weight", "scale"}),
    layout=_layout,
    unmarked=lambda found: (
        found["weight"].dtype == "I8" and "scale" in found and count(found["scale"]) in (1, *found["weight"].shape[:1])
    ),
    label=lambda found, options: "int8_convrot" if options.get("convrot") else "int8",
)
