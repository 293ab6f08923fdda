"""torchao's weights in safetensors files (`torchao.prototype.safetensors`): each has its class and layout in the header.

What torchao itself is needed for is to write them; activations are not quantised here, so how it quantises these is
passed over.
"""

from __future__ import annotations

from graphflow.modelfiles.quantised.float8 import DTYPES, scale_rows
from graphflow.modelfiles.quantised.format import (
    E4M3,
    FLOATS,
    Format,
    Found,
    Options,
    ceiling,
    count,
    flag,
    matrix,
    require,
    require_shape,
)
from graphflow.modelfiles.quantised.mxfp8 import BLOCK as MX_BLOCK
from graphflow.modelfiles.quantised.nvfp4 import BLOCK as NV_BLOCK

PREFIX = "torchao_"
"""What the names of torchao's classes begin with as formats."""

_ROLES = {
    "weight": ("_weight_qdata",),
    "scale": ("_weight_scale",),
    "zero": ("_weight_zero_point",),
    "second": ("_weight_per_tensor_scale",),
    "activation": ("_weight_act_quant_scale", "_weight_act_per_tensor_scale"),
    "activation_zero": ("_weight_act_quant_zero_point",),
}


def _blocks(found: Found, options: Options, dtypes: tuple[str, ...]) -> tuple[int, ...]:
    rows, columns = matrix(found, dtypes)
    scale = found["scale"]
    require(scale.dtype in FLOATS, f"scale is {scale.dtype}, not {' or '.join(FLOATS)}")
    table = scale_rows(scale.shape, (rows, columns))
    block, wanted = options.get("block_size"), [rows // table[0], columns // table[1]]
    require(block == wanted, f"scale has one number for {wanted} values, its header says {block}")
    return rows, columns


def _integers(found: Found, options: Options) -> tuple[int, ...]:
    require_shape(found, "zero", found["scale"].shape)
    return _blocks(found, options, ("I8",))


def _floats(found: Found, options: Options) -> tuple[int, ...]:
    return _blocks(found, options, tuple(sorted(DTYPES)))


def _tiled(found: Found, options: Options, size: tuple[int, int], block: int) -> tuple[int, ...]:
    require(options.get("block_size") == block, f"its header says the block_size {options.get('block_size')!r}")
    wanted = size[0], ceiling(size[1], block)
    if flag(options, "is_swizzled_scales"):
        wanted = 128 * ceiling(wanted[0], 128), 4 * ceiling(wanted[1], 4)
    held = count(found["scale"])
    require(held == wanted[0] * wanted[1], f"scale holds {held} numbers, it needs {list(wanted)}")
    return size


def _mx(found: Found, options: Options) -> tuple[int, ...]:
    kind = options.get("elem_dtype")
    require(kind == "float8_e4m3fn", f"its numbers are {kind!r}, which is not read; float8_e4m3fn is")
    require(found["scale"].dtype in ("U8", "F8_E8M0"), f"scale is {found['scale'].dtype}")
    return _tiled(found, options, matrix(found, E4M3), MX_BLOCK)


def _nv(found: Found, options: Options) -> tuple[int, ...]:
    rows, packed = matrix(found, ("U8",))
    require(found["scale"].dtype in E4M3, f"scale is {found['scale'].dtype}")
    require_shape(found, "second", (), dtypes=("F32",))
    return _tiled(found, options, (rows, 2 * packed), NV_BLOCK)


_NEEDED = frozenset({"weight", "scale"})
INTEGERS = Format(
    name="torchao_int8",
    marks=(f"{PREFIX}Int8Tensor", f"{PREFIX}IntxUnpackedToInt8Tensor"),
    roles=_ROLES,
    needed=_NEEDED,
    layout=_integers,
)
FLOATING = Format(name="torchao_float8", marks=(f"{PREFIX}Float8Tensor",), roles=_ROLES, needed=_NEEDED, layout=_floats)
MX = Format(name="torchao_mxfp8", marks=(f"{PREFIX}MXTensor",), roles=_ROLES, needed=_NEEDED, layout=_mx)
NV = Format(name="torchao_nvfp4", marks=(f"{PREFIX}NVFP4Tensor",), roles=_ROLES, needed=_NEEDED, layout=_nv)
