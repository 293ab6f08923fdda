"""Reading a function's signature as the inputs and outputs of a node."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from graphflow.errors import NodeDefinitionError
from graphflow.spec.annotations import description_of, is_value, metadata_of, strip_annotated, unwrap_optional
from graphflow.spec.link_types import link_type_of
from graphflow.spec.spec import (
    Aliases,
    Described,
    FirstNumberMarker,
    InputFile,
    InputSpec,
    ModelName,
    OutputSpec,
    SeedMarker,
)


def hints_of(function: Callable[..., Any], place: str) -> dict[str, Any]:
    """Return the annotations of a function, names resolved.

    Raises:
        NodeDefinitionError: One of them cannot be resolved.
    """
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:
        raise NodeDefinitionError(f"an annotation cannot be read: {error}", where=place) from error


def outputs_of(annotation: Any, place: str) -> tuple[OutputSpec, ...]:
    """Read the outputs from the return annotation.

    Raises:
        NodeDefinitionError: It is missing, or no type for a link.
    """
    if annotation is None or annotation is types.NoneType:
        raise NodeDefinitionError(
            "the return annotation is missing", where=place, advice="name a value type or a NamedTuple of them"
        )
    if isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        fields = typing.get_type_hints(annotation, include_extras=True)
        return tuple(
            OutputSpec(name, link_type_of(hint, place), description_of(hint), unwrap_optional(strip_annotated(hint))[1])
            for name, hint in fields.items()
        )
    kind = link_type_of(annotation, place)
    name = kind.item.name if kind.item is not None else kind.name
    return (
        OutputSpec(
            "value" if name in {"any", "int", "float", "str", "bool", "json"} else name,
            kind,
            description_of(annotation),
            unwrap_optional(strip_annotated(annotation))[1],
        ),
    )


def first_number_of(function: Callable[..., Any], hints: Mapping[str, Any]) -> str | None:
    """Return the parameter that the engine sets to the number of the first item, or None."""
    for name in inspect.signature(function).parameters:
        if any(isinstance(marker, FirstNumberMarker) for marker in metadata_of(hints.get(name))):
            return name
    return None


def input_of(name: str, parameter: inspect.Parameter, hints: Mapping[str, Any], place: str) -> InputSpec:
    """Read one parameter.

    Raises:
        NodeDefinitionError: It is not named, not annotated, or of no type for a link or a literal.
    """
    where = f"{place}({name})"
    if parameter.kind in (
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
        inspect.Parameter.POSITIONAL_ONLY,
    ):
        raise NodeDefinitionError("a node has named parameters only", where=where)
    if name not in hints:
        raise NodeDefinitionError("the annotation is missing", where=where)
    annotation = hints[name]
    inner, optional = unwrap_optional(strip_annotated(annotation))
    many = get_origin(inner) is list and is_value(get_args(inner)[0])
    element = get_args(inner)[0] if many else inner
    kind = link_type_of(element, where)
    markers = metadata_of(annotation)
    required = parameter.default is inspect.Parameter.empty
    return InputSpec(
        name=name,
        type=kind,
        annotation=annotation,
        linked=is_value(element),
        required=required,
        default=None if required else parameter.default,
        description=description_of(annotation),
        many=many,
        optional=optional,
        model_kind=next((marker.kind for marker in markers if isinstance(marker, ModelName)), None),
        file_kind=next((marker.kind for marker in markers if isinstance(marker, InputFile)), None),
        seed=any(isinstance(marker, SeedMarker) for marker in markers),
        aliases=next((marker.names for marker in markers if isinstance(marker, Aliases)), {}),
        described=any(isinstance(marker, Described) for marker in markers),
    )
