"""The tensors of one model, whether they stand in one file or in several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from graphflow.basics.regular import is_there
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.fingerprint import file_fingerprint, folder_fingerprint
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import Header, TensorInfo, read_index

MAX_SHARDS = 2_000


@dataclass(frozen=True, slots=True)
class Weights:
    """Headers of one or several files, taken together.

    Attributes:
        path: The file, or the index of the shards.
        headers: One for each file.
        tensors: All tensors by name.
        metadata: Metadata of all files; the first file wins.
    """

    path: Path
    headers: tuple[Header, ...]
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files with tensors, sorted."""
        return tuple(header.path for header in self.headers)

    @property
    def quantised(self) -> bool:
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


def read_weights(path: Path) -> Weights:
    """Read the header of a weight file, or of all shards that an index (a `.json` file) names.

    Raises:
        ModelFormatError: A file is missing, damaged or not what its name says.
    """
    if path.suffix != ".json":
        return merge_headers(path, [read_header(path)])
    index = read_index(path)
    names = sorted(set(index.values()))
    if len(names) > MAX_SHARDS:
        raise ModelFormatError(f"names {len(names)} files, more than {MAX_SHARDS}", where=str(path))
    missing = [name for name in names if not is_there(path.parent / name)]
    if missing:
        raise ModelFormatError(f"names files that are not there: {', '.join(missing[:3])}", where=str(path))
    weights = merge_headers(path, [read_header(path.parent / name) for name in names])
    absent = [name for name in index if name not in weights.tensors]
    if absent:
        raise ModelFormatError(f"names tensors that are not there: {', '.join(absent[:3])}", where=str(path))
    return weights


def merge_headers(path: Path, headers: Iterable[Header]) -> Weights:
    """Take the tensors of several files together.

    Raises:
        ModelFormatError: A tensor stands in two files.
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
    return Weights(path, ordered, tensors, metadata)
