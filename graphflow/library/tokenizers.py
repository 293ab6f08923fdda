"""Where the tokenizers of text encoders are that their weight files do not bring along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from graphflow.library.hub import HubId, cached_snapshot
from graphflow.library.roots import Root
from graphflow.modelfiles.description import Description, TokenizerSpec
from graphflow.modelfiles.fingerprint import file_fingerprint, folder_fingerprint

FOLDER = "tokenizers"
"""Folder in a model root with a folder for each tokenizer."""

FILES = ("tokenizer.json", "spiece.model", "tokenizer.model", "tekken.json", "vocab.json")
"""What a tokenizer may be read from, the best first; the last with merges.txt and tokenizer_config.json beside it."""


def with_tokenizers(description: Description, roots: Iterable[Root], hub_cache: Path) -> Description:
    """Look for tokenizers that are missing: in the model roots, then in the Hub's cache.

    What is found is part of the model's identity: another vocabulary reads prompts otherwise.
    """
    specs = [_found(spec, roots, hub_cache) for spec in description.tokenizers]
    files = [
        (f"{spec.part} tokenizer", file_fingerprint(file))
        for spec, before in zip(specs, description.tokenizers, strict=True)
        if spec is not before and spec.path is not None and (file := tokenizer_file(spec.path)) is not None
    ]
    if not files:
        return description
    fingerprint = folder_fingerprint([("", description.fingerprint or ""), *files])
    return replace(description, tokenizers=tuple(specs), fingerprint=fingerprint)


def tokenizer_file(folder: Path) -> Path | None:
    """The file of a folder that a tokenizer is read from; None where there is none."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def _found(spec: TokenizerSpec, roots: Iterable[Root], hub_cache: Path) -> TokenizerSpec:
    if spec.source != "missing":
        return spec
    for folder in _places(spec, roots, hub_cache):
        if tokenizer_file(folder) is not None:
            return replace(spec, source="folder", path=folder)
    return spec


def _places(spec: TokenizerSpec, roots: Iterable[Root], hub_cache: Path) -> Iterator[Path]:
    for root in roots:
        if not root.folder:
            yield root.path / FOLDER / spec.name
    for published in spec.published:
        repository, _, folder = published.partition(":")
        snapshot = cached_snapshot(hub_cache, HubId(repository))
        if snapshot is not None:
            yield snapshot[0] / folder
