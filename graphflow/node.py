"""``@node``: a function's signature becomes a node's schema.

Parameters annotated with a value type (``Latent``, ``Image``, …) are links. The rest are literals that JSON can hold;
they may also be linked from a node that makes such a value. Ranges, choices and descriptions come from
``Annotated[int, Field(ge=1, description="…")]`` and ``Literal``. ``T | None = None`` is optional, ``list[T]`` takes
several links, ``Sequence[T]`` takes one link that carries a sequence. Several outputs are a NamedTuple.
"""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from graphflow.errors import NodeDefinitionError
from graphflow.link_types import LinkType, link_type_of
from graphflow.value_types import type_name

P = ParamSpec("P")
R = TypeVar("R")
Lane = Literal["device", "cpu", "inline"]

_TYPE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")
_SPEC = "__graphflow_spec__"


@dataclass(frozen=True)
class ModelName:
    """Marks a ``str`` parameter that names a model of one kind (``checkpoint``, ``lora``, …)."""

    kind: str


@dataclass(frozen=True)
class InputFile:
    """Marks a ``str`` parameter that names a user's file (``image``, ``mask``, ``latent``, …); it counts by content."""

    kind: str


@dataclass(frozen=True)
class SeedMarker:
    """Marks an ``int`` parameter that also takes ``"random"``, which becomes a number before planning."""


@dataclass(frozen=True)
class FileNeed:
    """A file that a node will read.

    Attributes:
        param: The parameter that names it.
        name: The name.
        kind: The library's kind, or the user file's.
        model: Whether it is a model (else a user's file).
        optional: Whether the node copes without it, with a notice.
        parts: Which parts of the model this node reads; empty is all.
    """

    param: str
    name: str
    kind: str
    model: bool = True
    optional: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputSpec:
    """One parameter of a node.

    Attributes:
        name: The parameter's name.
        type: The type that a link must have.
        annotation: The Python annotation, with its metadata.
        linked: Whether it takes links only (its type is a value type).
        required: Whether it has no default.
        default: The default, where it has one.
        description: What it means.
        many: Whether it takes a list of links.
        optional: Whether None is a value.
        model_kind: The kind of model that it names, or None.
        file_kind: The kind of user file that it names, or None.
        seed: Whether ``"random"`` is a value.
    """

    name: str
    type: LinkType
    annotation: Any
    linked: bool
    required: bool
    default: Any
    description: str
    many: bool
    optional: bool
    model_kind: str | None
    file_kind: str | None
    seed: bool

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Checks literals, strictly: no text for a number, no number for a switch."""
        return TypeAdapter(self.annotation, config=ConfigDict(strict=True, arbitrary_types_allowed=True))

    @cached_property
    def choices(self) -> tuple[Any, ...]:
        """The values of a ``Literal``; empty for other types."""
        inner = _strip(self.annotation)
        return get_args(inner) if get_origin(inner) is Literal else ()

    def check(self, value: Any) -> tuple[Any, str | None]:
        """Return the literal as the function takes it, and what is wrong with it or None."""
        try:
            return self.adapter.validate_python(value), None
        except ValidationError as error:
            return value, "; ".join(_say(item, value) for item in error.errors(include_url=False))

    def parse(self, text: str) -> Any:
        """Turn text from a command line into a literal of this type.

        Raises:
            ValueError: The text is no such literal.
        """
        inner = _strip(self.annotation)
        if inner is str or (self.choices and all(isinstance(choice, str) for choice in self.choices)):
            return text
        if self.seed and text == "random":
            return text
        try:
            return json.loads(text)
        except ValueError:
            lowered = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}
            if text.lower() in lowered:
                return lowered[text.lower()]
            return text

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the literal."""
        schema = TypeAdapter(self.annotation).json_schema(mode="validation")
        if self.seed:
            schema = {"anyOf": [schema, {"const": "random"}]}
        if self.description:
            schema["description"] = self.description
        if not self.required:
            schema["default"] = self.default
        return schema


@dataclass(frozen=True)
class OutputSpec:
    """One output of a node: its name and the type that it puts on a link."""

    name: str
    type: LinkType
    description: str = ""


@dataclass(frozen=True)
class NodeSpec:
    """Everything the engine knows of a node type.

    Attributes:
        type: The name in documents, e.g. ``vae_decode``.
        version: Goes up when the result changes.
        function: The function itself.
        inputs: By name, in the order of the signature.
        outputs: In order.
        primary: The output that a bare link means, for ever.
        lane: ``device`` (one at a time, stored on disk), ``cpu`` (several at once), ``inline`` (too cheap for a thread).
        effect: Whether it writes; such a function returns ``Files``.
        generates: Whether its result is a picture that nobody has seen before, so that it must be checked.
        checks: Whether it is a safety filter.
        fold: Whether it is evaluated while planning, once its inputs are literals.
        chooser: For a switch: the name of the input (and the index in its list) that literal parameters choose.
        map: Whether it runs once per element of a sequence.
        cache: Whether its result may be reused.
        persist: Whether its result goes to the disk tier.
        category: Where lists show it.
        summary: First line of the docstring.
        doc: The whole docstring.
        pack: Which pack brought it.
        needs: Finds further files in literal parameters, e.g. embeddings named in a prompt.
        migrate: Turns the parameters of an older version into today's: (version, params) -> params.
    """

    type: str
    version: int
    function: Callable[..., Any]
    inputs: Mapping[str, InputSpec]
    outputs: tuple[OutputSpec, ...]
    primary: str
    lane: Lane
    effect: bool
    generates: bool
    checks: bool
    fold: bool
    chooser: Callable[[Mapping[str, Any]], tuple[str, int | None]] | None
    map: bool
    cache: bool
    persist: bool
    category: str
    summary: str
    doc: str
    pack: str
    needs: Callable[[Mapping[str, Any]], Iterable[FileNeed]] | None
    migrate: Callable[[int, dict[str, Any]], dict[str, Any]] | None

    @cached_property
    def output_types(self) -> dict[str, LinkType]:
        """The outputs' types by name."""
        return {output.name: output.type for output in self.outputs}

    @property
    def structured(self) -> bool:
        """Whether the function returns a NamedTuple."""
        return len(self.outputs) > 1

    def split(self, result: Any) -> dict[str, Any]:
        """Name the outputs in what the function returned."""
        if not self.structured:
            return {self.outputs[0].name: result} if self.outputs else {}
        return {output.name: getattr(result, output.name) for output in self.outputs}

    def files(self, params: Mapping[str, Any]) -> list[FileNeed]:
        """Return the files that literal parameters name."""
        needs: list[FileNeed] = []
        for spec in self.inputs.values():
            value = params.get(spec.name, spec.default)
            if not isinstance(value, str) or not value:
                continue
            if spec.model_kind:
                needs.append(FileNeed(spec.name, value, spec.model_kind))
            elif spec.file_kind:
                needs.append(FileNeed(spec.name, value, spec.file_kind, model=False))
        if self.needs is not None:
            needs.extend(self.needs(params))
        return needs


def node(
    type: str,
    *,
    version: int = 1,
    lane: Lane = "cpu",
    effect: bool = False,
    generates: bool = False,
    checks: bool = False,
    fold: bool = False,
    chooser: Callable[[Mapping[str, Any]], tuple[str, int | None]] | None = None,
    map: bool = False,
    cache: bool = True,
    persist: bool | None = None,
    primary: str | None = None,
    category: str | None = None,
    needs: Callable[[Mapping[str, Any]], Iterable[FileNeed]] | None = None,
    migrate: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a node. The function stays what it was: calling it runs it.

    See :class:`NodeSpec` for the arguments.

    Raises:
        NodeDefinitionError: The signature cannot be a schema; the message names the parameter.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        place = f"{function.__module__}.{function.__qualname__}"
        if not _TYPE_NAME.match(type):
            raise NodeDefinitionError(f"the type name {type!r} is not lower_case_with_underscores", where=place)
        hints = _hints(function, place)
        outputs = _outputs(hints.get("return"), place)
        if effect and [output.type.name for output in outputs] != ["files"]:
            raise NodeDefinitionError("a node with an effect returns Files", where=place)
        doc = inspect.getdoc(function) or ""
        if not doc:
            raise NodeDefinitionError("a node has a docstring", where=place, advice="its first line is what lists show")
        first = outputs[0].name if outputs else ""
        if primary is not None and primary not in {output.name for output in outputs}:
            raise NodeDefinitionError(f"the primary output {primary!r} is none of its outputs", where=place)
        spec = NodeSpec(
            type=type,
            version=version,
            function=function,
            inputs={
                name: _input(name, parameter, hints, place)
                for name, parameter in inspect.signature(function).parameters.items()
            },
            outputs=outputs,
            primary=primary or first,
            lane="inline" if fold else lane,
            effect=effect,
            generates=generates,
            checks=checks,
            fold=fold,
            chooser=chooser,
            map=map,
            cache=cache and not effect,
            persist=(lane == "device") if persist is None else persist,
            category=category or function.__module__.rpartition(".")[2],
            summary=doc.splitlines()[0],
            doc=doc,
            pack=function.__module__.partition(".")[0],
            needs=needs,
            migrate=migrate,
        )
        setattr(function, _SPEC, spec)
        return function

    return decorate


def spec_of(function: Callable[..., Any]) -> NodeSpec:
    """Return the spec of a node function.

    Raises:
        NodeDefinitionError: The function is no node.
    """
    spec = getattr(function, _SPEC, None)
    if not isinstance(spec, NodeSpec):
        name = getattr(function, "__qualname__", repr(function))
        raise NodeDefinitionError("this function is no node", where=name, advice='decorate it with @node("name")')
    return spec


def is_node(value: object) -> bool:
    """Tell whether a value is a node function."""
    return isinstance(getattr(value, _SPEC, None), NodeSpec)


# ------------------------------------------------------------------------------------ reading signatures


def _hints(function: Callable[..., Any], place: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:
        raise NodeDefinitionError(f"an annotation cannot be read: {error}", where=place) from error


def _outputs(annotation: Any, place: str) -> tuple[OutputSpec, ...]:
    if annotation is None or annotation is types.NoneType:
        raise NodeDefinitionError(
            "the return annotation is missing", where=place, advice="name a value type or a NamedTuple of them"
        )
    if isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        fields = typing.get_type_hints(annotation, include_extras=True)
        return tuple(OutputSpec(name, link_type_of(hint, place), _description(hint)) for name, hint in fields.items())
    kind = link_type_of(annotation, place)
    name = kind.item.name if kind.item is not None else kind.name
    return (
        OutputSpec(
            "value" if name in {"any", "int", "float", "str", "bool", "json"} else name, kind, _description(annotation)
        ),
    )


def _input(name: str, parameter: inspect.Parameter, hints: Mapping[str, Any], place: str) -> InputSpec:
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
    inner, optional = _unwrap_optional(_strip_annotated(annotation))
    many = get_origin(inner) is list and _is_value(get_args(inner)[0])
    element = get_args(inner)[0] if many else inner
    kind = link_type_of(element, where)
    markers = _metadata(annotation)
    required = parameter.default is inspect.Parameter.empty
    return InputSpec(
        name=name,
        type=kind,
        annotation=annotation,
        linked=_is_value(element),
        required=required,
        default=None if required else parameter.default,
        description=_description(annotation),
        many=many,
        optional=optional,
        model_kind=next((marker.kind for marker in markers if isinstance(marker, ModelName)), None),
        file_kind=next((marker.kind for marker in markers if isinstance(marker, InputFile)), None),
        seed=any(isinstance(marker, SeedMarker) for marker in markers),
    )


def _is_value(annotation: Any) -> bool:
    annotation = _strip_annotated(annotation)
    if get_origin(annotation) is Sequence:
        return True
    if isinstance(annotation, TypeVar) or annotation is Any:
        return True
    return isinstance(annotation, type) and type_name(annotation) is not None


def _strip_annotated(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _unwrap_optional(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        if len(members) < len(get_args(annotation)):
            rest = members[0] if len(members) == 1 else typing.Union[tuple(members)]  # noqa: UP007
            return _strip_annotated(rest), True
    return annotation, False


def _strip(annotation: Any) -> Any:
    return _unwrap_optional(_strip_annotated(annotation))[0]


def _metadata(annotation: Any) -> tuple[Any, ...]:
    """Return the metadata of an annotation and of the members of a union."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return (*metadata, *_metadata(inner))
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(marker for member in get_args(annotation) for marker in _metadata(member))
    return ()


def _description(annotation: Any) -> str:
    for marker in _metadata(annotation):
        if isinstance(marker, FieldInfo) and marker.description:
            return marker.description
    return ""


PLAIN = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "none_required": "null",
}
"""Pydantic's names of wrong types, in our words."""


def _say(error: Any, value: Any) -> str:
    """Put one pydantic error into our words."""
    context = error.get("ctx", {})
    got = shorten(error.get("input", value))
    place = "".join(f"[{part!r}]" for part in error.get("loc", ()) if isinstance(part, int))
    bounds = {
        "greater_than_equal": "≥ {ge}",
        "greater_than": "> {gt}",
        "less_than_equal": "≤ {le}",
        "less_than": "< {lt}",
        "multiple_of": "a multiple of {multiple_of}",
    }
    if error["type"] in bounds:
        return f"{place} must be {bounds[error['type']].format(**context)}, got {got}".strip()
    if error["type"] == "literal_error":
        return f"must be one of {context['expected']}, got {got}"
    if error["type"] in PLAIN:
        return f"{place} must be {PLAIN[error['type']]}, got {got}".strip()
    return f"{place} {error['msg'][0].lower()}{error['msg'][1:]}, got {got}".strip()


def shorten(value: Any, limit: int = 80) -> str:
    """Show a value in at most ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


Seed = Annotated[
    int,
    Field(ge=0, le=2**64 - 1, description='what the noise is drawn from; "random" draws one and records it'),
    SeedMarker(),
]
