"""Nunchaku's files as they would look unquantised: SVDQuant (arXiv:2411.05007) and AWQ, in the order of its kernels.

Layers of several are taken apart, and halves of one put together, so that all have Diffusers' names. What the kernels
expect to be folded into biases is noted, to be undone. Layout: the packers of https://github.com/nunchaku-tech/nunchaku
and https://github.com/mit-han-lab/deepcompressor (both Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from graphflow.basics.wording import some
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import JsonValue
from graphflow.modelfiles.header import Header, TensorInfo, parse_json_object
from graphflow.modelfiles.quantised.format import (
    FLOATS,
    Format,
    Found,
    Options,
    PackedLayer,
    ceiling,
    require,
    require_shape,
)
from graphflow.modelfiles.quantised.nunchaku_names import comes_last, interleaved, is_shifted, targets_of
from graphflow.modelfiles.quantised.recognise import WIDE, Recognised, layer_as

TILE = 128
"""Rows that a kernel takes at once."""
VECTOR = "nunchaku_vector"
"""Format of biases, in the order of rows in a tile."""
PLAIN = "renamed"
"""Format of tensors that only stand under another name, or with others in one."""
BESIDE = "_beside"
"""What roles end with of a second layer, whose columns stand beside those of the first."""
SHIFTED = "_shifted"
"""What roles end with of the weight that a bias makes up for."""

_KNOWN = re.compile(r"^(Nunchaku)?(Flux(?!2)|QwenImage|ZImage|SDXL|T5)")
"""Nunchaku's classes whose layers are known."""
_TYPES = {"int4": "int4", "fp4_e2m1_all": "fp4", "nvfp4": "fp4"}
INT4 = "nunchaku_int4"
_UNUSED = frozenset({"smooth_factor_orig", "smooth_orig"})


def _svdquant(found: Found, options: Options) -> tuple[int, ...]:
    rows, columns = _sizes(found, "I8", 1, 2)
    four = found["scale"].dtype == "F8_E4M3"
    said = options.get("dtype")
    require(said in (None, "fp4" if four else "int4"), f"wscales are {found['scale'].dtype}, the header says {said}")
    require_shape(found, "scale", (columns // (16 if four else 64), rows), dtypes=("F8_E4M3",) if four else FLOATS)
    require(four or not {"row", "second"} & set(found), "it has the scales of floats beside those of integers")
    require(rows % TILE == columns % TILE == 0, f"{rows} rows and {columns} columns are no multiples of {TILE}")
    require_shape(found, "smooth", (columns,), dtypes=FLOATS)
    require_shape(found, "row", (rows,), dtypes=FLOATS)
    require_shape(found, "second", (), dtypes=FLOATS)
    require(("up" in found) == ("down" in found), "it has one half of a branch of low rank")
    if "up" in found:
        rank = found["up"].shape[-1] if found["up"].shape else 0
        require(rank > 0 and rank % 16 == 0, f"its rank {rank} is no multiple of 16")
        require_shape(found, "up", (rows, rank), dtypes=FLOATS)
        require_shape(found, "down", (columns, rank), dtypes=FLOATS)
    return rows, columns


def _awq(found: Found, options: Options) -> tuple[int, ...]:
    wide = found["weight"].dtype == "I32"
    rows, columns = _sizes(found, "I32" if wide else "I16", 4, 2 if wide else 1)
    size = int(str(options["group_size"]))
    require(columns % 64 == columns % size == 0, f"{columns} columns are no multiple of {max(64, size)}")
    groups = columns // size
    padded = ceiling(groups, 1024 // size) * (1024 // size)
    for role in ("scale", "zero"):
        require_shape(found, role, (groups, rows), (padded, rows), dtypes=FLOATS)
    return rows, columns


def _sizes(found: Found, dtype: str, rows: int, columns: int) -> tuple[int, int]:
    weight = found["weight"]
    require(
        weight.dtype == dtype and len(weight.shape) == 2 and all(weight.shape),
        f"qweight is {weight.dtype} {list(weight.shape)}, not a matrix of {dtype}",
    )
    return weight.shape[0] * rows, weight.shape[1] * columns


SVDQUANT = Format(
    name="nunchaku_svdquant",
    roles={
        "weight": ("qweight",),
        "scale": ("wscales",),
        "smooth": ("smooth_factor", "smooth"),
        "down": ("proj_down", "lora_down"),
        "up": ("proj_up", "lora_up"),
        "row": ("wcscales",),
        "second": ("wtscale",),
    },
    needed=frozenset({"weight", "scale", "smooth"}),
    layout=_svdquant,
    label=lambda found, options: "nunchaku_fp4" if found["scale"].dtype == "F8_E4M3" else INT4,
)
AWQ = Format(
    name="nunchaku_awq",
    roles={"weight": ("qweight",), "scale": ("wscales", "scales"), "zero": ("wzeros", "scaled_zeros")},
    needed=frozenset({"weight", "scale", "zero"}),
    layout=_awq,
)


def is_nunchaku(tensors: Mapping[str, TensorInfo]) -> bool:
    """Whether weights stand under the name that packed ones have there."""
    return any(key.endswith(".qweight") for key in tensors)


def recognise_nunchaku(headers: Iterable[Header], tensors: Mapping[str, TensorInfo], where: str) -> Recognised:
    """Give every tensor the name and shape that it has unquantised.

    Raises:
        ModelFormatError: A layer is not complete or not known, or the file is for a model whose layers are not.
    """
    dtype = _dtype(headers, where)
    modules: dict[str, dict[str, str]] = {}
    for key in tensors:
        module, _, leaf = key.rpartition(".")
        modules.setdefault(module, {})[leaf] = key
    _refuse_strangers(modules, tensors, where)
    makes: dict[str, list[tuple[str, tuple[int, int]]]] = {}
    for module in sorted(modules, key=comes_last):
        for target, part in targets_of(module):
            makes.setdefault(target, []).append((module, part))
    logical: dict[str, TensorInfo] = {}
    packed: dict[str, PackedLayer] = {}
    for target, sources in makes.items():
        names = [module for module, _ in sources]
        number, parts = sources[0][1]
        if len(names) > 2 or (len(names) == 2 and not all("qweight" in modules[module] for module in names)):
            raise ModelFormatError(f"has several layers for {target}: {', '.join(names)}"[:300], where=where)
        options: Options = {"part": number, "parts": parts}
        for leaf, layer in _tensors({name: modules[name] for name in names}, tensors, dtype, options, where):
            name = f"{target}.{leaf}".removeprefix(".")
            info = [tensors[key] for role, key in layer.tensors.items() if not role.endswith(SHIFTED)]
            size = sum(tensor.size for tensor in info) // parts
            logical[name] = TensorInfo(layer.label, layer.shape, info[0].start, size)
            if layer.format != PLAIN or layer.tensors["weight"] != name or parts > 1:
                packed[name] = layer
    return Recognised(logical, packed)


def _tensors(
    modules: Mapping[str, Mapping[str, str]],
    tensors: Mapping[str, TensorInfo],
    dtype: str | None,
    options: Options,
    where: str,
) -> Iterator[tuple[str, PackedLayer]]:
    """The tensors of a layer that one or two modules of the file make, or a part of their rows, by last name."""
    first = next(iter(modules))
    if "qweight" not in modules[first]:
        for leaf, key in modules[first].items():
            yield leaf, _plain(key, tensors[key], options, where)
        return
    layers = {module: _layer(module, leaves, tensors, dtype, where) for module, leaves in modules.items()}
    one = layers[first]
    if len({(layer.shape[0], layer.format) for layer in layers.values()}) > 1:
        raise ModelFormatError(f"has layers that do not fit each other: {', '.join(modules)}", where=where)
    options = {**one.options, **options}
    yield (
        "weight",
        replace(
            one,
            shape=(_part(one.shape[0], options, first, where), sum(layer.shape[1] for layer in layers.values())),
            tensors={
                f"{role}{BESIDE * number}": key
                for number, layer in enumerate(layers.values())
                for role, key in layer.tensors.items()
            },
            options=options,
        ),
    )
    biases = [leaves["bias"] for leaves in modules.values() if "bias" in leaves]
    if biases:
        yield "bias", _bias(biases, layers, tensors, options, where)
    elif shifted := [module for module in modules if is_shifted(module) and one.label == INT4]:
        raise ModelFormatError(f"its layer {shifted[0]} lacks its bias", where=where)


def _bias(
    biases: list[str],
    layers: Mapping[str, PackedLayer],
    tensors: Mapping[str, TensorInfo],
    options: Options,
    where: str,
) -> PackedLayer:
    one = next(iter(layers.values()))
    for key in biases:
        if tensors[key].shape != one.shape[:1] or tensors[key].dtype not in FLOATS:
            raise ModelFormatError(f"{key} is {tensors[key].dtype} {list(tensors[key].shape)}", where=where)
    if one.format == AWQ.name and "interleaved" not in options:
        return _plain(biases[0], tensors[biases[0]], options, where)
    roles = {f"weight{BESIDE * number}": key for number, key in enumerate(biases)}
    for module, layer in layers.items():
        if is_shifted(module) and layer.label == INT4:  # what the shift adds is known from the weight alone
            roles |= {f"{role}{SHIFTED}": layer.tensors[role] for role in ("weight", "scale", "smooth")}
    return PackedLayer(
        format=VECTOR,
        label=tensors[biases[0]].dtype,
        shape=(_part(one.shape[0], options, biases[0], where),),
        tensors=roles,
        options={**options, "format": one.format},
    )


def _plain(key: str, tensor: TensorInfo, options: Options, where: str) -> PackedLayer:
    shape = tensor.shape
    if options["parts"] != 1:
        shape = (_part((*shape, 1)[0], options, key, where), *shape[1:])
    return PackedLayer(format=PLAIN, label=tensor.dtype, shape=shape, tensors={"weight": key}, options=options)


def _part(rows: int, options: Options, name: str, where: str) -> int:
    parts = int(str(options["parts"]))
    if rows % parts:
        raise ModelFormatError(f"{name} has {rows} rows for {parts} layers", where=where)
    return rows // parts


def _layer(
    module: str, leaves: Mapping[str, str], tensors: Mapping[str, TensorInfo], dtype: str | None, where: str
) -> PackedLayer:
    known = AWQ if tensors[leaves["qweight"]].dtype in ("I16", "I32") else SVDQUANT
    allowed = {leaf for names in known.roles.values() for leaf in names} | {"qweight", "bias"}
    if strange := sorted(set(leaves) - allowed - (_UNUSED if known is SVDQUANT else frozenset())):
        raise ModelFormatError(
            f"its layer {module} is quantised in a way that is not known ({some([leaves[leaf] for leaf in strange])})",
            where=where,
            advice="files of GPTQ and AWQ are not read; Nunchaku's are",
        )
    options: dict[str, JsonValue] = {"dtype": dtype}
    if known is AWQ and "scales" in leaves:
        options = {"group_size": 128}
    elif known is AWQ:
        options = {"group_size": 64, "interleaved": interleaved(module)}
        if not options["interleaved"]:
            raise ModelFormatError(f"the order of the rows of its layer {module} is not known", where=where)
    return layer_as(known, module, leaves, tensors, options, where)


def _dtype(headers: Iterable[Header], where: str) -> str | None:
    """The type of the weights that the header says; None where it does not."""
    for header in headers:
        name = header.metadata.get("model_class", "")
        if name and not _KNOWN.match(name):
            raise ModelFormatError(
                f"is for Nunchaku's {name[:80]!r}, the order of whose layers is not known",
                where=where,
                advice="known are its files of FLUX.1, Qwen-Image, Z-Image, SDXL and T5; or use the unquantised model",
            )
        text = header.metadata.get("quantization_config")
        if not text:
            continue
        config = parse_json_object(text, f"{where} (quantization_config)")
        weight = config.get("weight")
        said = weight.get("dtype") if isinstance(weight, dict) else None
        if config.get("method", "svdquant") != "svdquant" or (said is not None and said not in _TYPES):
            raise ModelFormatError(
                f"is quantised by {config.get('method')!r} as {said!r}, which is not read"[:200],
                where=where,
                advice=f"svdquant with weights of {', '.join(_TYPES)} is",
            )
        return _TYPES[str(said)] if said is not None else None
    return None


def _refuse_strangers(modules: Mapping[str, Mapping[str, str]], tensors: Mapping[str, TensorInfo], where: str) -> None:
    helpers = {leaf for known in (SVDQUANT, AWQ) for names in known.roles.values() for leaf in names} | _UNUSED
    strange = [
        key
        for leaves in modules.values()
        if "qweight" not in leaves
        for leaf, key in leaves.items()
        if leaf in helpers or tensors[key].dtype not in WIDE
    ]
    if strange:
        raise ModelFormatError(
            f"its weights are quantised in a way that is not known ({some(strange)})",
            where=where,
            advice="Nunchaku's layers stand together under a qweight; get the file as it was published",
        )
