"""AWQ (Lin et al. 2023, arXiv:2306.00978): four-bit codes with a scale and a zero for each 64 columns."""

from __future__ import annotations

from graphflow.modelfiles.quantised.format import (
    BYTES,
    FLOATS,
    Format,
    Found,
    Options,
    matrix,
    require,
    require_shape,
    whole,
)


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    rows, packed = matrix(found, BYTES)
    group = whole(options, "group_size", 64)
    require(2 * packed % group == 0, f"group_size {group} does not divide {2 * packed} columns")
    for role in ("scale", "zero"):
        require_shape(found, role, (2 * packed // group, rows), dtypes=FLOATS)
    return rows, 2 * packed


FORMAT = Format(
    name="awq_w4a16",
    marks=("awq_w4a16",),
    roles={"weight": ("weight",), "scale": ("weight_scale",), "zero": ("weight_zero", "weight_zeros")},
    needed=frozenset({"weight", "scale", "zero"}),
    layout=_layout,
)
