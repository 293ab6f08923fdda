"""ComfyUI's ``extra_model_paths.yaml``: model folders that lie anywhere, by kind.

a111:
base_path: /home/me/stable-diffusion-webui/
checkpoints: models/Stable-diffusion
loras: |
models/Lora
models/LyCORIS
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphflow.basics.paths import user_path
from graphflow.errors import SettingsError
from graphflow.library.roots import KIND_FOLDERS, Root

FILE_NAME = "extra_model_paths.yaml"
SUFFIXES = frozenset({".yaml", ".yml"})
_MAX_BYTES = 1_000_000
_KNOWN = frozenset(folder for folders in KIND_FOLDERS.values() for folder in folders)


def read_extra_paths(path: Path, *, follow_symlinks: bool = False) -> tuple[Root, ...]:
    """Return a root for each folder that the file names, in its order, those of a default section first.

    Folders of kinds that graphflow does not have are passed over.

    Args:
        path: The file.
        follow_symlinks: See :class:`~graphflow.library.roots.Root`.

    Raises:
        SettingsError: The file cannot be read, is no YAML, or has another shape.
    """
    sections = _sections(path)
    ordered = sorted(sections.items(), key=lambda item: not (isinstance(item[1], dict) and item[1].get("is_default")))
    return tuple(root for name, section in ordered for root in _roots(name, section, path, follow_symlinks))


def _sections(path: Path) -> dict[str, Any]:
    import yaml

    where = str(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SettingsError(f"the file has more than {_MAX_BYTES:,} bytes", where=where)
        data = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"the file cannot be read: {error.strerror or error}", where=where) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(f"the file is no YAML: {line}", where=where) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError(
            "the file has no sections", where=where, advice="see ComfyUI's extra_model_paths.yaml.example"
        )
    return {str(name): section for name, section in data.items() if section is not None}


def _roots(name: str, section: object, path: Path, follow_symlinks: bool) -> Iterator[Root]:
    if not isinstance(section, dict):
        raise SettingsError("the section has no folders", where=f"{path}: {name}")
    base = section.get("base_path") or ""
    if not isinstance(base, str):
        raise SettingsError("base_path is no text", where=f"{path}: {name}")
    start = path.absolute().parent / user_path(base)
    for key, value in section.items():
        if key not in _KNOWN or value is None:
            continue
        if not isinstance(value, str):
            raise SettingsError("a folder is no text", where=f"{path}: {name}.{key}")
        for line in value.splitlines():
            if line.strip():
                yield Root(start / user_path(line.strip()), follow_symlinks, folder=key)
