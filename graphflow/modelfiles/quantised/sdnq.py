"""SDNQ's integers of eight and four bits and its eight-bit floats, in folders of Diffusers.

Codes of four bits are a flat row of bytes, the even column in the low nibble, signed ones stored as value + 8. Other
widths are not read.
"""

from __future__ import annotations

from graphflow.modelfiles.quantised.format import FLOATS, Format, Found, Misfit, Options, count, require, require_shape

_WHOLE = {"int8": ("I8",), "uint8": ("U8",), "float8_e4m3fn": ("F8_E4M3",), "float8_e5m2": ("F8_E5M2",)}
_FOUR = ("int4", "uint4")


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    weight, scale, kind = found["weight"], found["scale"], options.get("weights_dtype")
    require(scale.dtype in FLOATS, f"scale is {scale.dtype}, not {' or '.join(FLOATS)}")
    if kind in _FOUR:
        require(len(scale.shape) in (2, 3) and all(scale.shape), f"scale has the shape {list(scale.shape)}")
        require(weight.dtype == "U8", f"weight is {weight.dtype}, not U8")
        rows = scale.shape[0]
        values, groups = 2 * count(weight), scale.shape[1]
        require(
            values % (rows * groups) == 0, f"weight holds {values} codes, which are no {groups} groups of {rows} rows"
        )
        rows, columns = rows, values // rows
    elif kind in _WHOLE:
        require(len(weight.shape) == 2 and all(weight.shape), f"weight has the shape {list(weight.shape)}")
        require(weight.dtype in _WHOLE[str(kind)], f"weight is {weight.dtype}, not {kind}")
        rows, columns = weight.shape[::-1] if options.get("use_quantized_matmul") is True else weight.shape
        require(
            count(scale) in (1, rows) or columns * rows % count(scale) == 0, f"scale has the shape {list(scale.shape)}"
        )
    else:
        raise Misfit(f"SDNQ's weights of {kind!r} are not read; {', '.join((*_WHOLE, *_FOUR))} are")
    require_shape(found, "zero", scale.shape, dtypes=FLOATS)
    require(("up" in found) == ("down" in found), "it has one half of an SVD branch")
    if "up" in found:
        rank = found["up"].shape[-1]
        require_shape(found, "up", (rows, rank), dtypes=FLOATS)
        require_shape(found, "down", (rank, columns), dtypes=FLOATS)
    return rows, columns


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
