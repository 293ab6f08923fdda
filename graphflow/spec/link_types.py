"""The types of links, and which fits where."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from graphflow.errors import NodeDefinitionError
from graphflow.values.types import class_named, type_name


@dataclass(frozen=True)
class LinkType:
    """The type of a link.

    Attributes:
        name: A value type's name, ``int``, ``float``, ``str``, ``bool``, ``json``, ``any``, ``sequence``.
        item: For a sequence: the type of its elements.
        variable: For a passed-through type: the type variable's name. Such an output has the type of the input
            that shares the name.
    """

    name: str
    item: LinkType | None = None
    variable: str | None = None

    def __str__(self) -> str:
        return f"sequence of {self.item}" if self.item is not None else self.name

    def holds(self, value: object) -> bool:
        """Tell whether a value is of this type; an int is a float, too."""
        if self.item is not None:
            return isinstance(value, tuple | list) and all(map(self.item.holds, value))
        return self.name == "any" or isinstance(value, _CLASSES.get(self.name) or class_named(self.name))


ANY = LinkType("any")
_SCALARS: dict[Any, str] = {int: "int", float: "float", str: "str", bool: "bool"}
_CLASSES: dict[str, Any] = {
    "int": int, "float": int | float, "str": str, "bool": bool,
    "json": dict | list | tuple | str | int | float | types.NoneType,
}  # fmt: skip


def link_type_of(annotation: Any, place: str) -> LinkType:
    """Return the link type of an annotation.

    Raises:
        NodeDefinitionError: The annotation is neither a value type nor something that JSON can hold.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        return link_type_of(get_args(annotation)[0], place)
    if isinstance(annotation, TypeVar):
        return LinkType("any", variable=annotation.__name__)
    if annotation is Any:
        return ANY
    if origin is Sequence:
        return LinkType("sequence", item=link_type_of(get_args(annotation)[0], place))
    if origin is Literal:
        kinds = {type(value) for value in get_args(annotation)}
        return LinkType(_SCALARS.get(kinds.pop(), "json")) if len(kinds) == 1 else LinkType("json")
    if origin in (typing.Union, types.UnionType):
        members = {link_type_of(member, place) for member in get_args(annotation) if member is not types.NoneType}
        return members.pop() if len(members) == 1 else LinkType("json")
    if origin in (list, dict, tuple) or annotation in (list, dict, tuple):
        return LinkType("json")
    if annotation in _SCALARS:
        return LinkType(_SCALARS[annotation])
    if isinstance(annotation, type):
        name = type_name(annotation)
        if name is not None:
            return LinkType(name)
    raise NodeDefinitionError(
        f"{annotation!r} is neither a value type nor something that JSON can hold",
        where=place,
        advice="register the class with @value_type, or use int, float, str, bool, Literal, list or dict",
    )


def fits(source: LinkType, target: LinkType, *, mapped: bool = False) -> bool:
    """Tell whether a link of type ``source`` may go into an input of type ``target``.

    An int goes where a float is wanted; a sequence goes into a mapped node, which then runs once per element.
    """
    if "any" in (source.name, target.name):
        return True
    if source.item is not None and target.item is not None:
        return fits(source.item, target.item)
    if source.item is not None and mapped:
        return fits(source.item, target)
    if source.item is None and target.item is not None:
        return fits(source, target.item)
    if source.name == target.name:
        return True
    if target.name == "json":
        return source.name in {"int", "float", "str", "bool"}
    return (source.name, target.name) == ("int", "float")
