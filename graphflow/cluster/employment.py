"""What a worker is told when it starts, and the settings that come of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.settings import Settings, load_settings


@dataclass(frozen=True, kw_only=True)
class Employment:
    """What a worker is told when it starts.

    Attributes:
        settings: The driver's settings.
        local: Whether it is on the driver's machine, whose settings are then all its own.
        device: The kind of device that keys name.
        dtype: What models compute in, likewise.
        sharing: How many workers share the machine.
        threads: How many of torch's threads it computes with; None: its share of the machine's cores.
        packs: Files with node types that the driver was given, with the SHA-256 of what each holds.
        probe: A key in the driver's store; None where nothing is kept there.
    """

    settings: Settings
    local: bool
    device: str
    dtype: str
    sharing: int
    threads: int | None
    packs: Mapping[Path, str]
    probe: str | None


def settings_of(told: Employment) -> Settings:
    """Return the settings of a worker: the driver's, but on another machine its own of what is where, and of memory."""
    changes: dict[str, Any] = {"device": told.device, "devices": (), "dtype": told.dtype, "cluster": None}
    own = told.settings
    if not told.local:
        own = load_settings()
        there = tuple(root for root in told.settings.models if root.path.is_dir() and root not in own.models)
        changes |= {
            "models": (*there, *own.models),
            "memory_bytes": own.memory_bytes,
            "hub_cache": own.hub_cache,
            "cache_dir": told.settings.cache_dir if told.settings.cache_dir.is_dir() else own.cache_dir,
        }
    if own.memory_bytes is not None:
        changes["memory_bytes"] = own.memory_bytes // told.sharing
    elif told.sharing > 1:
        from graphflow.loading.devices import main_memory

        changes["memory_bytes"] = main_memory() // 2 // told.sharing
    return told.settings.model_copy(update=changes)


def content_of(path: Path) -> str:
    """Return the SHA-256 of a file; an empty text where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
