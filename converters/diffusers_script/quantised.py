"""What in a script makes plain weights of a quantised file, which Diffusers would read wrongly or not at all."""

from __future__ import annotations

from graphflow.modelfiles.description import Description
from graphflow.modelfiles.gguf import BLOCKS
from graphflow.modelfiles.quantised.float8 import DTYPES as PLAIN
from graphflow.modelfiles.quantised.nunchaku import is_nunchaku
from graphflow.modelfiles.quantised.recognise import WIDE
from graphflow.modelfiles.shards import Weights, read_weights

from .carried import library
from .layout import Expression, Items, call, mapped, quoted
from .script import Script, UnsupportedError
from .single_files import stored_names

_READERS = {
    "float8": "read_scaled",
    "int8": "read_scaled",
    "nvfp4": "read_nvfp4",
    "mxfp8": "read_mxfp8",
    "convrot_w4a4": "read_four_rotated",
    "w4a8": "read_stepped",
    "awq_w4a16": "read_awq",
    "svdquant_w4a4": "read_svdquant",
}
"""Helpers that read the layers of a format."""
_UNET = "model.diffusion_model."
"""What Diffusers expects before the names of a UNet by its authors."""


def plain_copy(script: Script, description: Description, shown: str) -> Expression | None:
    """The call that makes a file with plain weights; None where Diffusers reads the model as it is.

    Args:
        script: What carries the helpers.
        description: The model.
        shown: Expression of its path.

    Raises:
        UnsupportedError: Scripts cannot read it.
    """
    path = description.path
    if path is None or path.suffix not in (".safetensors", ".gguf"):
        formats = {dtype for part in description.parts.values() for dtype in part.bytes_by_dtype}
        if strange := formats - WIDE - PLAIN - {"pickle"}:
            raise _refused(description, strange)
        return None
    weights = read_weights(path)
    if weights.is_gguf:
        return _of_gguf(script, description, weights, shown)
    if is_nunchaku(weights.headers[0].tensors):
        script.need("plain_nunchaku")
        return call("plain_nunchaku", shown, dtype="DTYPE")
    readers: dict[str, Expression] = {}
    for layer in weights.packed.values():
        if layer.label in PLAIN | WIDE:
            continue
        if layer.format not in _READERS:
            raise _refused(description, {layer.label})
        reader = _READERS[layer.format]
        script.need("dequantised", reader)
        readers[str(layer.options.get("format", ""))] = reader
        if reader == "read_scaled":
            readers[""] = reader
    return call("dequantised", shown, mapped(dict(sorted(readers.items()))), dtype="DTYPE") if readers else None


def _of_gguf(script: Script, description: Description, weights: Weights, shown: str) -> Expression:
    kinds = {str(layer.options["type"]) for layer in weights.packed.values()}
    decoders: list[tuple[str, Expression]] = []
    for number, (kind, values, size) in BLOCKS.items():
        if kind in kinds and values > 1:
            decode = kind.lower()
            if decode not in library():
                raise _refused(description, {kind})
            script.need(decode)
            decoders.append((f"{number}: ", f"({values}, {size}, {decode})"))
    script.need("plain_gguf")
    options: dict[str, Expression] = {}
    if names := stored_names(weights):
        options["names"] = script.constant("gguf_names", f'"""\n{names}\n"""')
    unet = description.parts.get("unet")
    if unet is not None and unet.keys == "ldm" and not unet.prefix:
        options["prefix"] = quoted(_UNET)
    return call("plain_gguf", shown, Items("{", tuple(decoders), "}"), **options, dtype="DTYPE")


def _refused(description: Description, formats: set[str]) -> UnsupportedError:
    told = ", ".join(sorted(formats))
    return UnsupportedError(f"{description.name} is quantised ({told}), which scripts cannot read")
