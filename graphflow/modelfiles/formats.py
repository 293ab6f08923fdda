"""Headers of weight files of any format that is read."""

from __future__ import annotations

from pathlib import Path

from graphflow.modelfiles.gguf import read_gguf_header
from graphflow.modelfiles.header import Header, read_safetensors_header


def read_header(path: Path) -> Header:
    """Read the header of a `.safetensors`, `.sft` or `.gguf` file.

    Raises:
        ModelFormatError: The file is not what its name says, is damaged, incomplete or cannot be read.
    """
    return read_gguf_header(path) if path.suffix.lower() == ".gguf" else read_safetensors_header(path)
