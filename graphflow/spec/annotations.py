"""Looking into annotations: what lies under ``Annotated`` and ``| None``, and what is written beside it."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic.fields import FieldInfo

from graphflow.values.types import type_name


def is_value(annotation: Any) -> bool:
    """Tell whether an annotation is a value type, so that only links give it."""
    annotation = strip_annotated(annotation)
    if get_origin(annotation) is Sequence:
        return True
    if isinstance(annotation, TypeVar) or annotation is Any:
        return True
    return isinstance(annotation, type) and type_name(annotation) is not None


def strip_annotated(annotation: Any) -> Any:
    """Return what ``Annotated`` annotates."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def unwrap_optional(annotation: Any) -> tuple[Any, bool]:
    """Return the type without ``None``, and whether ``None`` was there."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        if len(members) < len(get_args(annotation)):
            rest = members[0] if len(members) == 1 else typing.Union[tuple(members)]  # noqa: UP007
            return strip_annotated(rest), True
    return annotation, False


def inner_type(annotation: Any) -> Any:
    """Return the type without ``Annotated`` and ``None``."""
    return unwrap_optional(strip_annotated(annotation))[0]


def metadata_of(annotation: Any) -> tuple[Any, ...]:
    """Return the metadata of an annotation and of the members of a union."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return (*metadata, *metadata_of(inner))
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(marker for member in get_args(annotation) for marker in metadata_of(member))
    return ()


def description_of(annotation: Any) -> str:
    """Return the description in an annotation's ``Field``, or an empty text."""
    for marker in metadata_of(annotation):
        if isinstance(marker, FieldInfo) and marker.description:
            return marker.description
    return ""
