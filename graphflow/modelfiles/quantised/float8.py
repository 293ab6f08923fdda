"""Eight-bit floats, plain casts and with scales: of the tensor, of rows, of blocks.

Scaled files are older ones of ComfyUI (`scaled_fp8`, `scale_weight`), its newer ones (`comfy_quant`), musubi-tuner's
and Black Forest Labs' `fp8r`; all of them mean stored x scale.
"""

from __future__ import annotations

from graphflow.modelfiles.quantised.format import FLOATS, Format, Found, Misfit, Options, count, require

DTYPES = frozenset({"F8_E4M3", "F8_E5M2"})
"""Dtypes of the weights; those of plain casts mean what they are."""
_NAMES = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}


def _layout(found: Found, options: Options) -> tuple[int, ...]:
    weight = found["weight"]
    said = _NAMES.get(str(options.get("dtype", "")))
    require(
        weight.dtype in DTYPES or (weight.dtype == "U8" and said is not None),
        f"weight is {weight.dtype}, not {' or '.join(sorted(DTYPES))}",
    )
    require(said is None or weight.dtype in (said, "U8"), f"weight is {weight.dtype}, its marker says {said}")
    require("scale" in found or said is None, "it lacks weight_scale")
    if "scale" in found:
        scale = found["scale"]
        require(scale.dtype in FLOATS, f"scale is {scale.dtype}, not {' or '.join(FLOATS)}")
        require_group(options, scale_rows(scale.shape, weight.shape), weight.shape)
    return weight.shape


def scale_rows(scale: tuple[int, ...], weight: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a table of scales for a weight: (1, 1) for all, (N, 1) by row, (N, G) or (M, G) by block.

    Raises:
        Misfit: No such table fits the weight.
    """
    shape = scale
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    shape = shape if len(shape) > 1 else (*shape, 1) if shape else (1, 1)
    rows = weight[0] if weight else 1
    if shape == (1, rows) and len(scale) == 2 and rows > 1 and (len(weight) != 2 or weight[1] % rows):
        shape = (rows, 1)
    fits = len(shape) == 2 and all(shape) and rows % shape[0] == 0
    if not fits or (shape[1] > 1 and (len(weight) != 2 or weight[1] % shape[1])):
        raise Misfit(f"scale has the shape {list(scale)}, which fits no rows or blocks of {list(weight)}")
    if shape[0] not in (1, rows) and shape[1] == 1:
        raise Misfit(f"scale has the shape {list(scale)}, which is neither one number nor one for each of {rows} rows")
    return shape[0], shape[1]


def require_group(options: Options, table: tuple[int, int], weight: tuple[int, ...]) -> None:
    """Refuse scales for blocks of columns that are not as wide as the marker says.

    Raises:
        Misfit: They are not.
    """
    if table[1] > 1 and "group_size" in options:
        wide, said = weight[1] // table[1], options["group_size"]
        require(wide == said, f"scale has one number for {wide} columns, its marker says group_size {said}")


def _unmarked(found: Found) -> bool:
    weight, scale = found["weight"], found.get("scale")
    if weight.dtype not in DTYPES or "second" in found:
        return False
    return scale is None or (scale.dtype in FLOATS and (count(scale) in (1, *weight.shape[:1]) or len(scale.shape) > 1))


def _label(found: Found, options: Options) -> str:
    if "scale" not in found:
        return found["weight"].dtype
    return "fp8_scaled"


FORMAT = Format(
    name="float8",
    marks=(
        *_NAMES,
        *(f"{name}_{kind}" for name in _NAMES for kind in ("rowwise", "blockwise", "axiswise", "block3d")),
    ),
    settle={
        mark: {"dtype": name}
        for name in _NAMES
        for mark in (name, *(f"{name}_{kind}" for kind in ("rowwise", "blockwise", "axiswise", "block3d")))
    },
    roles={"weight": ("weight",), "scale": ("weight_scale", "scale_weight"), "second": ("weight_scale_2",)},
    layout=_layout,
    unmarked=_unmarked,
    label=_label,
)
