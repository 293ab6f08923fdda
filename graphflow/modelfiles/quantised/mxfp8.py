"""Microscaling eight-bit floats (OCP MX): E4M3 with a power of two for each 32 columns, in cuBLAS' tiles of 128 x 4."""

from __future__ import annotations

from graphflow.modelfiles.quantised.format import E4M3, Format, Found, Options, ceiling, matrix, require_shape

BLOCK = 32


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    rows, columns = matrix(found, E4M3)
    tiles = (128 * ceiling(rows, 128), 4 * ceiling(ceiling(columns, BLOCK), 4))
    require_shape(found, "scale", tiles, dtypes=("U8", "F8_E8M0"))
    return rows, columns


FORMAT = Format(
    name="mxfp8",
    marks=("mxfp8",),
    roles={"weight": ("weight",), "scale": ("weight_scale",)},
    needed=frozenset({"weight", "scale"}),
    layout=_layout,
)
