"""SVDQuant (Li et al. 2024, arXiv:2411.05007): four-bit integers of smoothed columns beside a branch of low rank."""

from __future__ import annotations

from graphflow.modelfiles.quantised.format import (
    BYTES,
    FLOATS,
    Format,
    Found,
    Misfit,
    Options,
    matrix,
    require,
    require_shape,
)

GROUP = 64
_BASES = ("", "post_smoothing")
_LAYOUTS = ("", "kitchen_tile_packed_w4a4")


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    if (layout := options.get("layout", "")) not in _LAYOUTS:
        raise Misfit(f"its layout {layout!r} is not known")
    if (basis := options.get("lowrank_branch_input_basis", "")) not in _BASES:
        raise Misfit(f"its lowrank_branch_input_basis {basis!r} is not known")
    down, up = found["down"], found["up"]
    require(len(down.shape) == 2, f"down has the shape {list(down.shape)}, it needs two axes")
    columns, rank = down.shape
    if layout:
        weight = found["weight"]
        require(
            len(weight.shape) == 4 and weight.shape[1:] == (columns // GROUP, 32, 128) and weight.dtype in BYTES,
            f"weight has the shape {list(weight.shape)}, which are no tiles for {columns} columns",
        )
        tiles = weight.shape[0]
        require_shape(found, "scale", (tiles, columns // GROUP, 128), dtypes=FLOATS)
        require_shape(found, "up", (tiles, rank, 128), dtypes=FLOATS)
        rows = 128 * tiles
    else:
        rows, packed = matrix(found, BYTES)
        require(2 * packed == columns, f"weight holds {2 * packed} columns, down {columns}")
        require_shape(found, "scale", (columns // GROUP, rows), dtypes=FLOATS)
        require_shape(found, "up", (rows, rank), dtypes=FLOATS)
    require(columns % GROUP == 0, f"{columns} columns are no multiple of {GROUP}")
    require(down.dtype in FLOATS and up.dtype in FLOATS, f"down is {down.dtype}, up {up.dtype}")
    require_shape(found, "smooth", (columns,), dtypes=FLOATS)
    return rows, columns


FORMAT = Format(
    name="svdquant_w4a4",
    marks=("svdquant_w4a4",),
    roles={
        "weight": ("weight",),
        "scale": ("weight_scale",),
        "down": ("weight_proj_down", "proj_down"),
        "up": ("weight_proj_up", "proj_up"),
        "smooth": ("weight_smooth_factor", "smooth_factor"),
    },
    needed=frozenset({"weight", "scale", "down", "up", "smooth"}),
    layout=_layout,
)
