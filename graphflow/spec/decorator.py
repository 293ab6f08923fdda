"""``@node``: a function's signature becomes a node's schema.

Parameters annotated with a value type (``Latent``, ``Image``, …) are links. The rest are literals that JSON can hold;
they may also be linked from a node that makes such a value. Ranges, choices and descriptions come from
``Annotated[int, Field(ge=1, description="…")]`` and ``Literal``. ``T | None = None`` is optional, ``list[T]`` takes
several links, ``Sequence[T]`` takes one link that carries a sequence. Several outputs are a NamedTuple.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from string import Formatter
from typing import Any, ParamSpec, TypeVar, get_args

from graphflow.errors import InvalidInputError, NodeDefinitionError
from graphflow.spec.signature import first_number_of, hints_of, input_of, outputs_of
from graphflow.spec.spec import (
    Described,
    Each,
    FileNeed,
    FirstNumber,
    InputFile,
    InputSpec,
    Lane,
    Merging,
    ModelName,
    NodeSpec,
    OneOrMany,
    OutputSpec,
    Seed,
    SeedMarker,
)

P = ParamSpec("P")
R = TypeVar("R")

_TYPE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")
_NOT_PLAIN = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
_SPEC = "__graphflow_spec__"


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
    waits: str | None = None,
    unless: Mapping[str, Any] | None = None,
    merging: Merging | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a node. The function stays what it was: calling it runs it.

    One that ``waits`` needs no body but its docstring: calling it is an error, and so is planning a workflow that needs it.

    See :class:`NodeSpec` for the arguments.

    Raises:
        NodeDefinitionError: An argument is wrong, or the signature cannot be a schema; the message names the parameter.
    """
    if callable(type):  # without parentheses
        raise NodeDefinitionError(
            "a node has a type name", where=getattr(type, "__qualname__", "@node"), advice='write @node("name")'
        )

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        place = f"{function.__module__}.{function.__qualname__}"
        if not _TYPE_NAME.match(type):
            raise NodeDefinitionError(f"the type name {type!r} is not lower_case_with_underscores", where=place)
        if lane not in get_args(Lane):
            raise NodeDefinitionError(f"there is no lane {lane!r}; there are {', '.join(get_args(Lane))}", where=place)
        if not isinstance(version, int) or version < 1:
            raise NodeDefinitionError(f"a version is a whole number from 1 on, got {version!r}", where=place)
        if any(kind(function) for kind in _NOT_PLAIN):
            raise NodeDefinitionError("a node is a plain function, neither async nor a generator", where=place)
        hints = hints_of(function, place)
        outputs = outputs_of(hints.get("return"), place)
        if effect and [output.type.name for output in outputs] != ["files"]:
            raise NodeDefinitionError("a node with an effect returns Files", where=place)
        doc = inspect.getdoc(function) or ""
        if not doc:
            raise NodeDefinitionError("a node has a docstring", where=place, advice="its first line is what lists show")
        first = outputs[0].name if outputs else ""
        part = first_number_of(function, hints)
        if part is not None and (not effect or map):
            raise NodeDefinitionError("only a node with an effect is told the number of its first item", where=place)
        if primary is not None and primary not in {output.name for output in outputs}:
            raise NodeDefinitionError(f"the primary output {primary!r} is none of its outputs", where=place)
        inputs = {
            name: input_of(name, parameter, hints, place)
            for name, parameter in inspect.signature(function).parameters.items()
            if name != part
        }
        _check_waiting(waits, unless or {}, inputs, place)
        called = function if waits is None else _refusing(function)
        spec = NodeSpec(
            type=type,
            version=version,
            function=called,
            inputs=inputs,
            outputs=outputs,
            primary=primary or first,
            lane="inline" if fold else lane,
            effect=effect,
            generates=generates,
            checks=checks,
            fold=fold,
            chooser=chooser,
            map=map,
            part=part,
            cache=cache and not effect,
            persist=(lane == "device") if persist is None else persist,
            category=category or _room(function.__module__),
            summary=doc.splitlines()[0],
            doc=doc,
            pack=function.__module__.partition(".")[0],
            needs=needs,
            migrate=migrate,
            waits=waits,
            unless=unless or {},
            merging=merging,
        )
        setattr(called, _SPEC, spec)
        return called

    return decorate


def _check_waiting(waits: str | None, unless: Mapping[str, Any], inputs: Mapping[str, InputSpec], place: str) -> None:
    """Refuse what a node waits for where it names parameters that are not there."""
    named = {*unless, *(name for _, name, _, _ in Formatter().parse(waits or "") if name is not None)}
    for name in sorted(named - inputs.keys()):
        raise NodeDefinitionError(f"what it waits for names {name!r}, which is no parameter", where=place)
    if waits == "" or (unless and waits is None):
        raise NodeDefinitionError("a node that waits says what for", where=place, advice='write waits="…"')


def _refusing(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function of a node that waits: an error, unless its parameters leave it nothing to do."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def refuse(*args: P.args, **kwargs: P.kwargs) -> R:
        spec = spec_of(refuse)
        waits = spec.waiting(signature.bind(*args, **kwargs).arguments)
        if waits is None:
            return function(*args, **kwargs)
        message, advice = spec.refusal(waits)
        raise InvalidInputError(message, advice=advice)

    return refuse


def _room(module: str) -> str:
    """Return the folder that a module stands in, or its own name where it stands right in its pack."""
    parts = module.split(".")
    return parts[-2] if len(parts) > 3 else parts[-1]


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


__all__ = [
    "Described",
    "Each",
    "FileNeed",
    "FirstNumber",
    "InputFile",
    "InputSpec",
    "Lane",
    "Merging",
    "ModelName",
    "NodeSpec",
    "OneOrMany",
    "OutputSpec",
    "Seed",
    "SeedMarker",
    "is_node",
    "node",
    "spec_of",
]
