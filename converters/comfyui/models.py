"""The models that an imported workflow names: where they are, or where they were looked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from graphflow.basics.wording import nearest_names
from graphflow.document.document import Document
from graphflow.document.published import Published, published, source_of
from graphflow.errors import ModelNotFoundError
from graphflow.spec.registry import Registry

from .report import ModelNeed

if TYPE_CHECKING:
    from graphflow.library.library import Library


def model_needs(document: Document, registry: Registry, library: Library) -> tuple[ModelNeed, ...]:
    """Return every model that the document names, in order, each once.

    Args:
        document: A native document.
        registry: The native node types.
        library: Where to look.
    """
    nodes: dict[tuple[str, str], list[str]] = {}
    for id, name, kind in named_models(document, registry):
        nodes.setdefault((name, kind), []).append(id)
    known = published(document)
    return tuple(_need(name, kind, tuple(ids), library, known) for (name, kind), ids in nodes.items())


def named_models(document: Document, registry: Registry) -> Iterator[tuple[str, str, str]]:
    """Yield (node, name, kind) of each model that a literal names."""
    for id, entry in document.nodes.items():
        spec = registry.get(entry.type)
        for need in spec.files(entry.params) if spec is not None else ():
            if need.model:
                yield id, need.name, need.kind


def _need(name: str, kind: str, nodes: tuple[str, ...], library: Library, known: tuple[Published, ...]) -> ModelNeed:
    try:
        resolved = library.resolve(name, kind)  # type: ignore[arg-type]  # packs may name kinds of their own
    except ModelNotFoundError as error:
        there = [entry.name for entry in library.entries(kind)]  # type: ignore[arg-type]
        near = nearest_names(name, there or [entry.name for entry in library.entries()])
        source = source_of(name, known)
        url = source.url if source is not None else ""
        place = ""
        with suppress(ModelNotFoundError):  # a name that leads out of the folders belongs nowhere
            place = str(library.place_for(name, kind, url) or "")  # type: ignore[arg-type]
        return ModelNeed(name, kind, nodes, problem=error.message, near=tuple(near), place=place, url=url)
    if resolved.path is None:
        return ModelNeed(name, kind, nodes, problem="it is on the Hub, and not in the local cache yet")
    return ModelNeed(name, kind, nodes, path=str(resolved.path))
