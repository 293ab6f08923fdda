"""Which family's tiny model stands in for a file that is not there: by its name, by where it is published, by its links."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from graphflow.document.document import Document, split_address
from graphflow.document.published import Published, source_of
from graphflow.errors import GraphflowError
from graphflow.library.stand_ins import WHOLE, by_family, by_name, family_by_name, runs_nowhere
from graphflow.modelfiles.families import installed
from graphflow.spec.decorator import FileNeed
from graphflow.spec.registry import Registry

if TYPE_CHECKING:
    from graphflow.library.library import Library
    from graphflow.modelfiles.description import Description, Kind
    from graphflow.modelfiles.family import Family

T = TypeVar("T")

_MEETING: tuple[Kind, ...] = ("controlnet", "ip_adapter", "motion_module")
"""Kinds of networks that work inside a diffusion model: small ones stand in beside small ones alone."""
_TEXT_ENCODERS = ("model", "model_2", "model_3")
"""Parameters of the node that loads several text encoders, in the order of their roles."""


class StandIns:
    """Finds stand-ins for the files of one document.

    Args:
        document: The document, unfolded.
        registry: The known node types.
        library: Gives the model library.
        sources: Where models are published, as far as the document says.
    """

    def __init__(
        self, document: Document, registry: Registry, library: Callable[[], Library], sources: Iterable[Published]
    ) -> None:
        self._document = document
        self._registry = registry
        self._library = library
        self._sources = tuple(sources)

    def find(self, need: FileNeed) -> Description | None:
        """What stands in for a file; None where no family is told."""
        kind = cast("Kind", need.kind)
        if any(runs_nowhere(said) for said in self._said(need.name)):
            return None
        if kind in _MEETING and self._nearest(need.name, self._there):
            return None
        for said in self._said(need.name):
            if (found := by_name(need.name, kind, said)) is not None:
                return found
        family = self._nearest(need.name, self._families)
        if family is None:
            return None
        roles = [role.part for role in family.encoders()]
        number = _TEXT_ENCODERS.index(need.param) if need.param in _TEXT_ENCODERS and kind == "text_encoder" else 0
        return by_family(need.name, kind, family, roles[number] if number < len(roles) else "")

    def _said(self, name: str) -> Iterator[str]:
        """Yield what tells of a file: its name, and where it is published."""
        yield name
        if (source := source_of(name, self._sources)) is not None:
            yield source.url

    def _nearest(self, name: str, told: Mapping[str, T]) -> T | None:
        """What is told of the nearest node that is linked, by whatever way, to one which names a file."""
        waiting = deque(id for id, node in self._document.nodes.items() if name in _texts(node.params))
        seen = set(waiting)
        while waiting:
            here = waiting.popleft()
            if (found := told.get(here)) is not None:
                return found
            beyond = [other for other in self._neighbours.get(here, ()) if other not in seen]
            seen.update(beyond)
            waiting.extend(beyond)
        return None

    @cached_property
    def _neighbours(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for id, node in self._document.nodes.items():
            for link in node.links.values():
                for address in [link] if isinstance(link, str) else link:
                    other = split_address(address)[0]
                    found.setdefault(id, []).append(other)
                    found.setdefault(other, []).append(id)
        return found

    @cached_property
    def _families(self) -> dict[str, Family]:
        """By node: the family of the whole model that it names, or whose name it says."""
        found: dict[str, Family] = {}
        for id, name, value, kind in self._literals():
            family = self._family_of(value, kind) if kind else installed().get(value) if name == "family" else None
            if family is not None:
                found.setdefault(id, family)
        return found

    @cached_property
    def _there(self) -> dict[str, bool]:
        """By node that names a whole model: whether that is there, not stood in for."""
        return {id: self._is_there(value, kind) for id, _, value, kind in self._literals() if kind}

    def _literals(self) -> Iterator[tuple[str, str, str, Kind | None]]:
        """Yield node, parameter and value of each text, and its kind where it names a whole model."""
        for id, node in self._document.nodes.items():
            spec = self._registry.get(node.type)
            for name, value in node.params.items():
                parameter = None if spec is None else spec.inputs.get(name)
                if parameter is not None and isinstance(value, str):
                    yield id, name, value, next((kind for kind in WHOLE if kind == parameter.model_kind), None)

    def _is_there(self, name: str, kind: Kind) -> bool:
        try:
            return not self._library().describe(name, kind).stands_in
        except GraphflowError:
            return False

    def _family_of(self, name: str, kind: Kind) -> Family | None:
        for said in self._said(name):
            if (family := family_by_name(said)) is not None:
                return family
        try:
            return installed().get(self._library().describe(name, kind).family or "")
        except GraphflowError:
            return None


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a literal."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(part)
