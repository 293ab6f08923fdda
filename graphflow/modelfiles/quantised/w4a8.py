"""Codes of four or six bits that stand for eight-bit integers, of rotated columns.

A code, through a code book or less half of its range, times the scale of its group is rounded to an integer of -127 to
127: the rounding is part of the format. A scale for each row follows, and a correction for each group.
"""

from __future__ import annotations

from graphflow.modelfiles.quantised.format import (
    BYTES,
    E4M3,
    FLOATS,
    Format,
    Found,
    Options,
    matrix,
    require,
    require_shape,
    rotation,
    whole,
)


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    rows, packed = matrix(found, BYTES)
    group = whole(options, "group_size", 16)
    relative = found["relative"]
    require(len(relative.shape) == 2, f"relative has the shape {list(relative.shape)}, it needs two axes")
    columns = relative.shape[1] * group
    require(
        columns > 0 and packed * 8 in (4 * columns, 6 * columns),
        f"{packed} bytes hold no {columns} columns of 4 or 6 bits",
    )
    require(columns % 4 == 0, f"{columns} columns are no multiple of 4")
    require_shape(found, "relative", (rows, columns // group), dtypes=(*E4M3, *FLOATS))
    require_shape(found, "channel", (rows,), dtypes=FLOATS)
    require_shape(found, "codebook", (16,), dtypes=FLOATS)
    require_shape(found, "correction", (columns // group, rows), dtypes=FLOATS)
    require("codebook" not in found or packed * 2 == columns, "it has a code book for six bits")
    rotation(options, columns)
    return rows, columns


FORMAT = Format(
    name="w4a8",
    marks=("asym_w4a8_int8",),
    roles={
        "weight": ("weight",),
        "relative": ("weight_s_rel",),
        "channel": ("weight_s_channel",),
        "codebook": ("weight_codebook",),
        "correction": ("weight_correction",),
    },
    needed=frozenset({"weight", "relative", "channel"}),
    layout=_layout,
    label=lambda found, options: "w4a8" if found["weight"].shape[1] * 2 == _layout(found, options)[1] else "w6a8",
)
