"""Folders in which PEFT keeps an adapter: its weights, and beside them a file with their scale."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import read_json
from graphflow.modelfiles.lora_metadata import KEY

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

METHODS = ("LORA", "LOHA", "LOKR")
"""Values of `peft_type` that can be merged."""

_PREFIX = "base_model"


def is_peft_folder(path: Path) -> bool:
    """Whether a folder holds an adapter as PEFT saves it."""
    return (path / WEIGHTS).is_file() and (path / CONFIG).is_file()


def model_file(path: Path) -> Path:
    """The weight file of a PEFT folder; any other path as it is."""
    return path / WEIGHTS if is_peft_folder(path) else path


def config_of(path: Path) -> Path | None:
    """The configuration that belongs to a weight file; None where it has none, or one that is a link to elsewhere."""
    config = path.with_name(CONFIG)
    if path.name != WEIGHTS or not config.is_file() or config.resolve().parent != path.resolve().parent:
        return None
    return config


def lora_metadata(path: Path) -> Mapping[str, str]:
    """Metadata of a LoRA file, with what PEFT's configuration beside it says of the scale.

    Raises:
        ModelFormatError: The configuration is no JSON object, or of a method that cannot be merged.
    """
    metadata = read_header(path).metadata
    config = config_of(path)
    if config is None:
        return metadata
    fields = read_json(config)
    method = fields.get("peft_type", METHODS[0])
    if method not in METHODS:
        raise ModelFormatError(
            f"is an adapter of the method {method!r}; what can be merged is {', '.join(METHODS)}",
            where=str(config),
            advice="use one of those",
        )
    return {**metadata, KEY: json.dumps({f"{_PREFIX}.{name}": value for name, value in fields.items()})}
