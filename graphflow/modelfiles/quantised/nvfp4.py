"""NVIDIA's four-bit floats: E2M1 codes, an E4M3 scale for each 16 columns, and one for the tensor.

ComfyUI's order has the scales in cuBLAS' tiles of 128 x 4 and the even column in the high nibble; ModelOpt's, which
Black Forest Labs and Diffusers write, has plain rows and the even column in the low nibble. Where 128 divides the rows
and 64 the columns both look alike, so a marker decides, and shapes never do.
"""

from __future__ import annotations

from graphflow.modelfiles.quantised.format import BYTES, E4M3, Format, Found, Options, ceiling, matrix, require_shape

BLOCK = 16
_ROLES = {"weight": ("weight",), "scale": ("weight_scale",), "second": ("weight_scale_2",), "input": ("input_scale",)}


def _tiled(found: Found, options: Options) -> tuple[int, ...]:
    rows, packed = matrix(found, BYTES)
    columns = 2 * packed
    tiles = (128 * ceiling(rows, 128), 4 * ceiling(ceiling(columns, BLOCK), 4))
    require_shape(found, "scale", tiles, dtypes=E4M3)
    require_shape(found, "second", (), dtypes=("F32",))
    return rows, columns


def _plain(found: Found, options: Options) -> tuple[int, ...]:
    rows, packed = matrix(found, BYTES)
    require_shape(found, "scale", (rows, ceiling(2 * packed, BLOCK)), dtypes=E4M3)
    require_shape(found, "second", (), dtypes=("F32",))
    return rows, 2 * packed


FORMAT = Format(
    name="nvfp4",
    marks=("nvfp4",),
    roles=_ROLES,
    needed=frozenset({"weight", "scale", "second"}),
    layout=_tiled,
)

PLAIN = Format(
    name="nvfp4_plain",
    marks=("nvfp4_modelopt",),
    roles=_ROLES,
    needed=frozenset({"weight", "scale", "second", "input"}),
    layout=_plain,
    unmarked=lambda found: (
        found["weight"].dtype in BYTES
        and {"scale", "second", "input"} <= set(found)
        and found["scale"].shape == (found["weight"].shape[0], found["weight"].shape[-1] * 2 // BLOCK)
    ),
    warning=(
        "nothing marks its nvfp4 weights, so they are read in ModelOpt's order (scales in rows, even columns in low"
        " nibbles), as Diffusers does; ComfyUI's order has markers"
    ),
)
