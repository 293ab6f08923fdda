"""optimum-quanto's weights, in folders of Diffusers: eight bits with a scale for each row, four and two bits in groups.

Codes of few bits stand in rows of groups; the bytes hold the first rows in their lowest bits and the last ones in their
highest. Nothing in the file says how many rows the weight itself has, so its shape is that of one row; how many bits a
code has is told from sizes, and compared with what the folder says: its `quantization_config`, or optimum-quanto's own
`quanto_qmap.json`.
"""

from __future__ import annotations

from graphflow.modelfiles.description import Config
from graphflow.modelfiles.quantised.float8 import DTYPES
from graphflow.modelfiles.quantised.format import FLOATS, Format, Found, Options, ceiling, count, require, require_shape

MAP = "quanto_qmap.json"
"""The file in which optimum-quanto says of each layer what it is quantised to."""


def config_of_map(said: Config) -> Config:
    """A `quantization_config` that says what the map of a folder does."""
    kinds = {
        layer: str(entry.get("weights"))
        for layer, entry in said.items()
        if isinstance(entry, dict) and entry.get("weights") not in (None, "none")
    }
    return {
        "quant_method": "quanto",
        "layers": {name: kind.removeprefix("q").split("_")[0] for name, kind in kinds.items()},
    }


def width(rows: int, groups: int) -> int:
    """Bits of a code, of which as many rows of bytes hold so many groups."""
    return 4 if rows * 2 >= groups else 2


def _bytes(found: Found, options: Options) -> tuple[int, ...]:
    weight = found["weight"]
    require(
        len(weight.shape) > 1 and all(weight.shape) and weight.dtype in ("I8", *DTYPES),
        f"weight is {weight.dtype} {list(weight.shape)}",
    )
    ones = (1,) * (len(weight.shape) - 1)
    require_shape(found, "scale", (weight.shape[0], *ones), (), dtypes=FLOATS)
    _as_said("int8" if weight.dtype == "I8" else "float8", options)
    return weight.shape


def _bits(found: Found, options: Options) -> tuple[int, ...]:
    weight, groups = found["weight"], count(found["scale"])
    require(
        weight.dtype == "U8" and len(weight.shape) == 2 and all(weight.shape) and weight.shape[1] % 2 == 0,
        f"weight is {weight.dtype} {list(weight.shape)}",
    )
    require(groups > 2, f"{groups} groups do not tell how many bits a code has")
    require(weight.shape[0] in (ceiling(groups, 2), ceiling(groups, 4)), f"weight has no {groups} groups")
    require_shape(found, "scale", (groups, 1), dtypes=FLOATS)
    require_shape(found, "shift", (groups, 1), dtypes=(*FLOATS, "I8", "U8"))
    _as_said(f"int{_width(found)}", options)
    return (groups * weight.shape[1],)


def _width(found: Found) -> int:
    return width(found["weight"].shape[0], count(found["scale"]))


def _as_said(kind: str, options: Options) -> None:
    said = options.get("weights_dtype", kind)
    require(said == kind, f"its codes have the sizes of {kind}, the folder says {said}")


BYTES = Format(
    name="quanto_8bit",
    roles={"weight": ("weight._data",), "scale": ("weight._scale",)},
    needed=frozenset({"weight", "scale"}),
    layout=_bytes,
    unmarked=lambda found: "scale" in found,
    label=lambda found, options: "quanto_int8" if found["weight"].dtype == "I8" else "quanto_float8",
)
BITS = Format(
    name="quanto_bits",
    roles={"weight": ("weight._data._data",), "scale": ("weight._scale",), "shift": ("weight._shift",)},
    needed=frozenset({"weight", "scale", "shift"}),
    layout=_bits,
    unmarked=lambda found: "scale" in found and "shift" in found,
    label=lambda found, options: f"quanto_int{_width(found)}",
)
