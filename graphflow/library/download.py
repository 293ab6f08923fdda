"""Fetching a model of the Hugging Face Hub into its local cache."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from graphflow.errors import ModelNotFoundError
from graphflow.library.hub import parse_hub_id

_TEXT = (".json", ".txt", ".model")
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.(?P<variant>[\w-]+?))?(?:-\d+-of-\d+)?\.safetensors"
    r"(?:\.index(?:\.(?P<index_variant>[\w-]+))?\.json)?"
)
_PREFERRED = ("fp16", "")


def download(name: str, cache: Path) -> None:
    """Fetch a model of the Hub: its configs, its tokenizers and one set of its weights.

    Args:
        name: `org/name` or `org/name@revision`.
        cache: The Hub's cache folder.

    Raises:
        ModelNotFoundError: The Hub cannot be reached or has no such model.
    """
    from huggingface_hub import HfApi, snapshot_download

    hub_id = parse_hub_id(name)
    if hub_id is None:
        raise ModelNotFoundError("is no Hub id", where=name)
    try:
        listed = HfApi().list_repo_files(hub_id.repository, revision=hub_id.revision)
        # In one round the commit might move between the listing and the files; then a file is missing, and is named.
        snapshot_download(
            hub_id.repository, revision=hub_id.revision, cache_dir=cache, allow_patterns=sorted(wanted_files(listed))
        )
    except Exception as error:
        raise ModelNotFoundError(
            f"cannot be downloaded: {error}", where=name, advice="check the name and the network, or use a local file"
        ) from error


def wanted_files(names: Iterable[str]) -> set[str]:
    """Choose the files of a repository that loading it needs.

    Of a pipeline that is its folders, without the single-file checkpoints that lie beside them; of several sets of
    weights in one folder the one that loading prefers (`fp16`, then the plain one). Pickle files are never fetched.

    Args:
        names: The repository's files, as paths with `/`.
    """
    listed = set(names)
    chosen: set[str] = set()
    sets: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in listed:
        path = PurePosixPath(name)
        folder = str(path.parent)
        if folder == "." and "model_index.json" in listed and path.suffix == ".safetensors":
            continue
        match = _WEIGHTS.fullmatch(path.name)
        if match:
            sets[folder][match["variant"] or match["index_variant"] or ""].add(name)
        elif path.suffix in (*_TEXT, ".safetensors"):
            chosen.add(name)
    for variants in sets.values():
        best = next((variants[variant] for variant in _PREFERRED if variant in variants), None)
        chosen.update(best if best is not None else set().union(*variants.values()))
    return chosen
