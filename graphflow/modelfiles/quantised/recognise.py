"""Which weights of a file are quantised, and how; what nobody knows is refused.

The result looks like the file would look unquantised: every weight has its own shape, and tensors that only help are
gone. Families recognise that, whatever the format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphflow.basics.wording import did_you_mean, some
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.header import DTYPE_BITS, Header, TensorInfo
from graphflow.modelfiles.quantised.format import Format, Misfit, PackedLayer
from graphflow.modelfiles.quantised.markers import Markers, read_markers
from graphflow.modelfiles.quantised.registry import FORMATS, MARKED

_INPUTS = frozenset({"input_scale", "scale_input", "output_scale"})
"""Scales of activations, which nothing here quantises."""

_HELPERS = frozenset(
    {
        *(leaf for known in FORMATS.values() for leaves in known.roles.values() for leaf in leaves),
        *("weight_shape", "qweight", "qzeros", "wscales", "wzeros", "wtscale", "wcscales", "scales", "g_idx"),
        *(
            "pre_quant_scale",
            "smooth_factor_orig",
            "weight_scale_inv",
            "_data",
            "_scale",
            "weight._data",
            "weight._scale",
        ),
    }
) - {"weight", "scale"}
"""Last names of tensors without which the weights beside them mean something else."""

_WORDS = ("scale", "zero", "quant", "absmax", "codebook", "correction", "smooth", "proj_", "svd_", "s_rel", "s_channel")
"""Parts of such names, beside weights of few bits."""

_HOLDERS = frozenset(leaf for known in FORMATS.values() for leaf in known.roles["weight"])
"""Last names of tensors that hold the codes of a layer."""

_PADDED = ("nvfp4", "mxfp8")
"""Formats whose weights may have up to 31 rows more than the layer has; its bias tells how many there are."""

_SAY_THEMSELVES = ("bitsandbytes", "torchao", "quanto")
"""Methods of folders whose files say how each layer is quantised."""

_AGAIN = "get the file as it was published, or in another format"


@dataclass(frozen=True, slots=True)
class Recognised:
    """A file's tensors as they would be unquantised.

    Attributes:
        tensors: Without those that only help; a quantised weight's dtype is its format, its size that of all its tensors.
        packed: The quantised weights by name.
        warnings: Sentences for the user.
    """

    tensors: Mapping[str, TensorInfo]
    packed: Mapping[str, PackedLayer]
    warnings: tuple[str, ...] = ()


def recognise_layers(
    headers: Iterable[Header], tensors: Mapping[str, TensorInfo], config: JsonValue, where: str
) -> Recognised:
    """Find the quantised weights of safetensors files.

    Args:
        headers: Of all files of the model.
        tensors: Of all these files.
        config: The `quantization_config` of a Diffusers folder; None where there is none.
        where: The model, for errors.

    Raises:
        ModelFormatError: Something is quantised in a way that is not known, or is not complete.
    """
    markers = read_markers(headers, tensors, where)
    given = _folder_options(config, where)
    siblings = _siblings(tensors)
    packed: dict[str, PackedLayer] = {}
    taken: set[str] = set(markers.keys)
    warnings: dict[str, None] = {}
    for layer, leaves in siblings.items():
        found = _layer(layer, leaves, tensors, markers, given, where)
        if found is None:
            continue
        packed[leaves.get("weight", f"{layer}.weight")] = found
        taken.update(found.tensors.values())
        if layer not in markers.layers and (warning := FORMATS[found.format].warning):
            warnings[warning] = None
    said = given.get("layers")
    for marked in (*markers.layers, *(said if isinstance(said, dict) else ())):
        if f"{marked}.weight" not in packed:
            raise ModelFormatError(f"marks a layer {marked[:200]} that is not there", where=where, advice=_AGAIN)
    taken.update(leaves[name] for leaves in siblings.values() for name in _INPUTS & set(leaves))
    _refuse_strangers(siblings, tensors, packed, taken, where)
    helpers = taken - set(packed)
    logical = {
        key: tensor if (held := packed.get(key)) is None else _logical(key, held, tensors)
        for key, tensor in tensors.items()
        if key not in helpers
    }
    logical |= {name: _logical(name, held, tensors) for name, held in packed.items() if name not in logical}
    return Recognised(logical, packed, tuple(warnings))


def _siblings(tensors: Mapping[str, TensorInfo]) -> dict[str, dict[str, str]]:
    """Layer to last name to name; what hangs below a weight (`weight.absmax`, `weight._data`) is the layer's, too."""
    found: dict[str, dict[str, str]] = {}
    for key in tensors:
        layer, dot, leaf = key.partition(".weight.")
        if dot and (leaf.startswith("_") or f"{layer}.weight" in tensors):
            leaf = f"weight.{leaf}"
        else:
            layer, _, leaf = key.rpartition(".")
        found.setdefault(layer, {})[leaf] = key
    return found


def _layer(
    layer: str,
    leaves: Mapping[str, str],
    tensors: Mapping[str, TensorInfo],
    markers: Markers,
    given: Config,
    where: str,
) -> PackedLayer | None:
    """A layer's weight, where it is quantised."""
    if not _HOLDERS & set(leaves):
        return None
    config = markers.layers.get(layer)
    if config is None:
        config = _old_marker(layer, leaves, tensors, markers)
    narrow = "weight" in leaves and tensors[leaves["weight"]].dtype not in WIDE
    if config is None and "format" in given and ("scale" in leaves or narrow):
        config = given
    known = _marked(layer, config, where) if config is not None else _unmarked(leaves, tensors)
    if known is None:
        return None
    if config is None:
        options = {} if "format" in given else _said_of(layer, given, where)
    else:
        options = {**known.settle.get(str(config.get("format")), {}), **config}
    return layer_as(known, layer, leaves, tensors, options, where)


def _said_of(layer: str, given: Config, where: str) -> Config:
    """What a folder says of a layer, where it says so of each."""
    kinds = given.get("layers")
    if not isinstance(kinds, dict):
        return given
    if layer not in kinds:
        raise ModelFormatError(
            f"its layer {layer} is quantised, and the folder does not say how", where=where, advice=_AGAIN
        )
    return {"weights_dtype": kinds[layer]}


def layer_as(
    known: Format,
    layer: str,
    leaves: Mapping[str, str],
    tensors: Mapping[str, TensorInfo],
    options: Config,
    where: str,
) -> PackedLayer:
    """A layer's weight in a format.

    Args:
        known: The format.
        layer: The layer's name.
        leaves: Its tensors by last name.
        tensors: Of the whole file.
        options: What its marker says.
        where: The model, for errors.

    Raises:
        ModelFormatError: It is not complete, or its tensors do not fit each other.
    """
    names = {role: leaves[leaf] for leaf in leaves if (role := known.role(leaf)) is not None}
    try:
        missing = sorted(known.needed - set(names))
        if missing:
            raise Misfit(f"it lacks {', '.join(known.roles[role][0] for role in missing)}")
        found = {role: tensors[key] for role, key in names.items()}
        shape = known.layout(found, options)
        label = known.label(found, options) if known.label is not None else known.name
    except Misfit as problem:
        raise ModelFormatError(
            f"its layer {layer} is no {known.name} layer: {problem}", where=where, advice=_AGAIN
        ) from problem
    return PackedLayer(format=known.name, label=label, shape=shape, tensors=names, options=options)


def _marked(layer: str, config: Config, where: str) -> Format:
    name = config.get("format")
    if name is None:
        name = "int8"  # older writers of rotated integers say their options alone
    known = MARKED.get(str(name))
    if known is None:
        raise ModelFormatError(
            f"its layer {layer} is quantised as {str(name)[:80]!r}, which is not known",
            where=where,
            advice=did_you_mean(str(name), MARKED) or f"known are {', '.join(sorted(MARKED))}",
        )
    return known


def _unmarked(leaves: Mapping[str, str], tensors: Mapping[str, TensorInfo]) -> Format | None:
    """The format that a layer without a marker has for certain."""
    if "weight" in leaves and tensors[leaves["weight"]].dtype in WIDE:
        return None
    for known in FORMATS.values():
        found = {role: tensors[key] for leaf, key in leaves.items() if (role := known.role(leaf)) is not None}
        if "weight" in found and known.unmarked(found):
            return known
    return None


def _old_marker(
    layer: str, leaves: Mapping[str, str], tensors: Mapping[str, TensorInfo], markers: Markers
) -> Config | None:
    """What `scaled_fp8` says of a layer of its part that has a scale; its dtype is that of weights stored as bytes."""
    if "weight" not in leaves or not {"scale_weight", "weight_scale"} & set(leaves):
        return None
    dtype = next((dtype for prefix, dtype in markers.old.items() if f"{layer}.".startswith(prefix)), None)
    if dtype is None or tensors[leaves["weight"]].dtype in WIDE:
        return None
    stored = tensors[leaves["weight"]].dtype
    wanted = stored if stored.startswith("F8") else dtype
    return {"format": "float8_e5m2" if wanted == "F8_E5M2" else "float8_e4m3fn"}


def _folder_options(config: JsonValue, where: str) -> Config:
    """What a Diffusers folder says of all of its layers; with a `format` where files have no markers of it."""
    if not isinstance(config, dict):
        return {}
    method = str(config.get("quant_method", ""))
    if method in _SAY_THEMSELVES:
        if "layers" in config:
            return {"layers": config["layers"]}
        said = config.get("weights_dtype", config.get("weights"))  # of Diffusers; of transformers
        return {"weights_dtype": said} if said is not None else {}
    if method in MARKED:
        return {**config, "format": method}
    raise ModelFormatError(
        f"its weights are quantised by {method or 'a method without a name'}, which is not read",
        where=where,
        advice="use the unquantised model, or a file in a format that is",
    )


def _refuse_strangers(
    siblings: Mapping[str, Mapping[str, str]],
    tensors: Mapping[str, TensorInfo],
    packed: Mapping[str, PackedLayer],
    taken: set[str],
    where: str,
) -> None:
    strange: list[str] = []
    for layer, leaves in siblings.items():
        if layer.rpartition(".")[2] in _HELPERS:
            strange.extend(leaves.values())
        weight = leaves.get("weight")
        narrow = f"{layer}.weight" in packed or (weight is not None and tensors[weight].dtype not in WIDE)
        if weight is not None and narrow and weight not in packed:
            strange.append(weight)
        for leaf, key in leaves.items():
            unknown = leaf in _HELPERS or (narrow and leaf != "weight" and any(word in leaf for word in _WORDS))
            if unknown and key not in taken:
                strange.append(key)
    if strange:
        raise ModelFormatError(
            f"its weights are quantised in a way that is not known ({some(strange)})", where=where, advice=_AGAIN
        )


def _logical(name: str, layer: PackedLayer, tensors: Mapping[str, TensorInfo]) -> TensorInfo:
    found = [tensors[key] for key in layer.tensors.values()]
    shape = layer.shape
    bias = tensors.get(f"{name.removesuffix('weight')}bias")
    if layer.format in _PADDED and bias is not None and len(bias.shape) == 1:
        shape = (min(shape[0], max(bias.shape[0], shape[0] - 31)), *shape[1:])
    return TensorInfo(layer.label, shape, tensors[layer.tensors["weight"]].start, sum(item.size for item in found))


WIDE = frozenset(
    {dtype for dtype, bits in DTYPE_BITS.items() if bits > 8 and dtype not in ("I16", "U16", "I32", "U32")}
)
"""Dtypes of weights that mean what they are."""
