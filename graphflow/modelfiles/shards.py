"""The tensors of one model, whether they stand in one file or in several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graphflow.basics.regular import is_there
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import JsonValue
from graphflow.modelfiles.fingerprint import file_fingerprint, folder_fingerprint
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import Header, TensorInfo, read_index
from graphflow.modelfiles.quantised.format import PackedLayer
from graphflow.modelfiles.quantised.gguf_names import recognise_gguf
from graphflow.modelfiles.quantised.nunchaku import is_nunchaku, recognise_nunchaku
from graphflow.modelfiles.quantised.recognise import recognise_layers

MAX_SHARDS = 2_000
QUANTISATION = "quantization_config"
"""What a component's config says of how its weights were quantised."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Headers of one or several files, taken together.

    Attributes:
        path: The file, or the index of the shards.
        headers: One for each file.
        tensors: All tensors by name, as the files would have them unquantised.
        metadata: Metadata of all files; the first file wins.
        packed: The quantised ones among the tensors.
        warnings: Sentences for the user.
    """

    path: Path
    headers: tuple[Header, ...]
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    packed: Mapping[str, PackedLayer] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files with tensors, sorted."""
        return tuple(header.path for header in self.headers)

    @property
    def is_gguf(self) -> bool:
        """Whether this is a GGUF file."""
        return self.headers[0].format == "gguf"

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor; empty where there is none of this name."""
        tensor = self.tensors.get(name)
        return tensor.shape if tensor else ()

    def fingerprint(self) -> str:
        """Identity of the files, see :mod:`graphflow.modelfiles.fingerprint`."""
        prints = [(header.path.name, file_fingerprint(header.path, header)) for header in self.headers]
        return prints[0][1] if len(prints) == 1 else folder_fingerprint(prints)


def read_weights(path: Path, quantisation: JsonValue = None) -> Weights:
    """Read the header of a weight file, or of all shards that an index (a `.json` file) names.

    Args:
        path: The file or index.
        quantisation: The `quantization_config` of the Diffusers folder that it stands in.

    Raises:
        ModelFormatError: A file is missing, damaged, not what its name says, or quantised in a way that is not known.
    """
    if path.suffix != ".json":
        return merge_headers(path, [read_header(path)], quantisation)
    index = read_index(path)
    names = sorted(set(index.values()))
    if len(names) > MAX_SHARDS:
        raise ModelFormatError(f"names {len(names)} files, more than {MAX_SHARDS}", where=str(path))
    missing = [name for name in names if not is_there(path.parent / name)]
    if missing:
        raise ModelFormatError(f"names files that are not there: {', '.join(missing[:3])}", where=str(path))
    headers = [read_header(path.parent / name) for name in names]
    absent = [name for name in index if not any(name in header.tensors for header in headers)]
    if absent:
        raise ModelFormatError(f"names tensors that are not there: {', '.join(absent[:3])}", where=str(path))
    return merge_headers(path, headers, quantisation)


def merge_headers(path: Path, headers: Iterable[Header], quantisation: JsonValue = None) -> Weights:
    """Take the tensors of several files together.

    Args:
        path: What they are called together, for errors.
        headers: Of all files.
        quantisation: As in :func:`read_weights`.

    Raises:
        ModelFormatError: A tensor stands in two files, or is quantised in a way that is not known.
    """
    ordered = tuple(headers)
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    for header in ordered:
        twice = next((name for name in header.tensors if name in tensors), None)
        if twice is not None:
            raise ModelFormatError(f"tensor {twice[:200]!r} stands in two files", where=str(path))
        tensors.update(header.tensors)
        metadata = {**header.metadata, **metadata}
    if ordered[0].format == "gguf":
        found = recognise_gguf(ordered[0])
    elif is_nunchaku(tensors):
        found = recognise_nunchaku(ordered, tensors, str(path))
    else:
        found = recognise_layers(ordered, tensors, quantisation, str(path))
    return Weights(path, ordered, found.tensors, metadata, found.packed, found.warnings)
