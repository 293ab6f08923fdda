"""Models of the Hugging Face Hub that are in the local cache, read without importing its library.

The cache layout is documented at https://huggingface.co/docs/huggingface_hub/guides/manage-cache:
`models--ORG--NAME/refs/REVISION` holds a commit, `snapshots/COMMIT/` the files (links into `blobs/`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from graphflow.basics.paths import user_path

_ID = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95})(?:@(?P<revision>[\w./-]{1,200}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILE_ENDINGS = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".json")


@dataclass(frozen=True, slots=True)
class HubId:
    """A model on the Hub: `org/name`, optionally `@revision` (a branch, a tag or a commit)."""

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        return self.repository if self.revision == "main" else f"{self.repository}@{self.revision}"


def parse_hub_id(name: str) -> HubId | None:
    """Read `org/name` or `org/name@revision`; None where `name` cannot be a Hub id."""
    match = _ID.fullmatch(name)
    if not match or ".." in name or "--" in match["repository"] or match["repository"].endswith(_FILE_ENDINGS):
        return None
    return HubId(match["repository"], match["revision"] or "main")


def hub_cache_dir(environment: Mapping[str, str] | None = None) -> Path:
    """Where the Hub's library keeps its cache, by its own variables."""
    variables = os.environ if environment is None else environment
    if cache := variables.get("HF_HUB_CACHE") or variables.get("HUGGINGFACE_HUB_CACHE"):
        return user_path(cache)
    if home := variables.get("HF_HOME"):
        return user_path(home) / "hub"
    base = variables.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(base) / "huggingface" / "hub"


def cached_snapshot(cache: Path, hub_id: HubId) -> tuple[Path, str] | None:
    """The snapshot folder and commit of a cached model; None where this revision is not cached.

    Args:
        cache: The cache folder, see :func:`hub_cache_dir`.
        hub_id: The model.
    """
    folder = cache / ("models--" + hub_id.repository.replace("/", "--"))
    commit = hub_id.revision
    if not _COMMIT.fullmatch(commit):
        reference = folder / "refs" / hub_id.revision
        try:
            if reference.stat().st_size > 200:
                return None
            commit = reference.read_text("ascii").strip()
        except (OSError, ValueError):
            return None
        if not _COMMIT.fullmatch(commit):
            return None
    snapshot = folder / "snapshots" / commit
    return (snapshot, commit) if snapshot.is_dir() else None


def cached_ids(cache: Path) -> list[str]:
    """`org/name` of every model in the cache that has a `main` snapshot, sorted."""
    if not cache.is_dir():
        return []
    found: list[str] = []
    for folder in cache.glob("models--*--*"):
        repository = folder.name.removeprefix("models--").replace("--", "/")
        hub_id = parse_hub_id(repository)
        if hub_id and cached_snapshot(cache, hub_id):
            found.append(repository)
    return sorted(found)
