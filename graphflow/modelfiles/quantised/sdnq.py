"""SDNQ's integers of eight and four bits and its eight-bit floats, in folders of Diffusers.

Codes of four bits are a flat row of bytes, the even column in the low nibble, signed ones stored as value + 8. Columns may be
rotated by the matrix of ConvRot. Other widths and code books are not read.
"""

from __future__ import annotations

import math

from graphflow.modelfiles.quantised.format import (
    FLOATS,
    Format,
    Found,
    Options,
    count,
    flag,
    require,
    require_shape,
    rotation,
)

_WHOLE = {"int8": ("I8",), "uint8": ("U8",), "float8_e4m3fn": ("F8_E4M3",), "float8_e5m2": ("F8_E5M2",)}
_FOUR = ("int4", "uint4")


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    weight, scale, kind = found["weight"], found["scale"], str(options.get("weights_dtype"))
    require(kind in _WHOLE or kind in _FOUR, f"weights of {kind!r} are not read; {', '.join((*_WHOLE, *_FOUR))} are")
    books = [name for name in ("use_codebook", "use_codebook_scale") if flag(options, name)]
    require(not books, f"{' and '.join(books)} is not read")
    require(
        ("zero" in found) == kind.startswith("uint"),
        f"weights of {kind} come with" + "out" * (kind[0] != "u") + " zero_point",
    )
    require(scale.dtype in FLOATS, f"scale is {scale.dtype}, not {' or '.join(FLOATS)}")
    if kind in _FOUR:
        require(len(scale.shape) in (2, 3) and all(scale.shape), f"scale has the shape {list(scale.shape)}")
        require(weight.dtype == "U8", f"weight is {weight.dtype}, not U8")
        rows, groups, values = scale.shape[0], scale.shape[1], 2 * count(weight)
        fits = values % (rows * groups) == 0
        require(fits, f"weight holds {values} codes, which are no {groups} groups of {rows} rows")
        columns = values // rows
    else:
        require(len(weight.shape) in (2, 3) and all(weight.shape), f"weight has the shape {list(weight.shape)}")
        require(weight.dtype in _WHOLE[kind], f"weight is {weight.dtype}, not {kind}")
        transposed = is_transposed(weight.shape, scale.shape, options)
        rows, columns = weight.shape[::-1] if transposed else (weight.shape[0], math.prod(weight.shape[1:]))
        one = (1, rows) if transposed else (rows, 1) if len(weight.shape) == 2 else (*weight.shape[:2], 1)
        require_shape(found, "scale", one, ())
    require_shape(found, "zero", scale.shape, dtypes=FLOATS)
    if flag(options, "use_hadamard"):
        rotation(options, columns, "hadamard_group_size")
    require(("up" in found) == ("down" in found), "it has one half of an SVD branch")
    if "up" in found:
        rank = (*found["up"].shape, 1, 1)[1]
        require_shape(found, "up", (rows, rank), dtypes=FLOATS)
        require_shape(found, "down", (rank, columns), dtypes=FLOATS)
    return rows, columns


def is_transposed(weight: tuple[int, ...], scale: tuple[int, ...], options: Options) -> bool:
    """Whether a weight lies as its product wants it, columns first."""
    return flag(options, "use_quantized_matmul") and len(weight) == 2 and scale == (1, weight[1])


FORMAT = Format(
    name="sdnq",
    marks=("sdnq",),
    roles={
        "weight": ("weight",),
        "scale": ("scale",),
        "zero": ("zero_point",),
        "up": ("svd_up",),
        "down": ("svd_down",),
    },
    needed=frozenset({"weight", "scale"}),
    layout=_layout,
    label=lambda found, options: f"sdnq_{options.get('weights_dtype')}",
)
