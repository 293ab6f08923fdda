"""Four-bit integers with a scale for each row, of rotated columns; the even column in the low nibble."""

from __future__ import annotations

from graphflow.modelfiles.quantised.format import BYTES, FLOATS, Format, Found, Options, matrix, require_shape, rotation


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    rows, packed = matrix(found, BYTES)
    require_shape(found, "scale", (rows,), dtypes=FLOATS)
    rotation(options, 2 * packed)
    return rows, 2 * packed


FORMAT = Format(
    name="convrot_w4a4",
    marks=("convrot_w4a4", "int4_tensorwise"),
    roles={"weight": ("weight",), "scale": ("weight_scale",)},
    needed=frozenset({"weight", "scale"}),
    layout=_layout,
)
