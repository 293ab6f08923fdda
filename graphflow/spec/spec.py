"""What the engine knows of a node type: its inputs, its outputs, the files that it names."""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from graphflow.basics.wording import LISTED, nearest_choices, say, shorten
from graphflow.errors import NodeDefinitionError
from graphflow.spec.annotations import inner_type
from graphflow.spec.link_types import LinkType

Lane = Literal["device", "cpu", "inline"]


@dataclass(frozen=True)
class ModelName:
    """Marks a ``str`` parameter that names a model of one kind (``checkpoint``, ``lora``, …)."""

    kind: str


@dataclass(frozen=True)
class InputFile:
    """Marks a ``str`` parameter that names a user's file (``image``, ``mask``, ``latent``, …); it counts by content."""

    kind: str


@dataclass(frozen=True)
class Aliases:
    """Tells what other programs call the choices of a parameter, so that an error can name the choice that is meant.

    Attributes:
        names: From a name elsewhere to the choice here.
    """

    names: Mapping[str, str]


@dataclass(frozen=True)
class SeedMarker:
    """Marks an ``int`` parameter that also takes ``"random"``, which becomes a number before planning."""


@dataclass(frozen=True)
class Described:
    """Marks an input of a node with an effect that tells no more of it than texts, numbers and shapes: no picture."""


@dataclass(frozen=True)
class FirstNumberMarker:
    """Marks the parameter of a node with an effect that the engine sets, see :data:`FirstNumber`."""


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
        aliases: What other programs call its choices.
        described: Whether a node with an effect shows no picture of it.
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
    aliases: Mapping[str, str] = field(default_factory=dict)
    described: bool = False

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Checks literals, strictly: no text for a number, no number for a switch."""
        return TypeAdapter(
            self.annotation, config=ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
        )

    @cached_property
    def choices(self) -> tuple[Any, ...]:
        """The values of a ``Literal``; empty for other types."""
        inner = inner_type(self.annotation)
        return get_args(inner) if get_origin(inner) is Literal else ()

    def check(self, value: Any) -> tuple[Any, str | None]:
        """Return the literal as the function takes it, and what is wrong with it or None."""
        try:
            return self.adapter.validate_python(value), None
        except ValidationError as error:
            if len(self.choices) > LISTED:
                return value, f"must be one of {len(self.choices)} names, got {shorten(value)}"
            return value, "; ".join(say(item, value) for item in error.errors(include_url=False))

    def near(self, value: Any) -> list[str]:
        """Return the choices that a value which is none may stand for, the likeliest first."""
        return nearest_choices(value, map(str, self.choices), self.aliases) if isinstance(value, str) else []

    def parse(self, text: str) -> Any:
        """Turn text from a command line into a literal of this type.

        Raises:
            ValueError: The text is no such literal.
        """
        inner = inner_type(self.annotation)
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
    """One output of a node: its name and the type that it puts on a link, where ``optional`` perhaps nothing."""

    name: str
    type: LinkType
    description: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Merging:
    """How several calls of a node become one, as far as they differ in some inputs only.

    Attributes:
        varied: Names of those inputs.
        function: Takes the arguments of each call, and returns their results in the same order.
        alone: Says why a call with such literals is never merged, or returns None.
        most: Returns how many calls it pays to merge where the picture has (width, height) pixels.
        behind: Of inputs that other nodes make, such as a guider: names of the inputs of those nodes that may differ.
    """

    varied: frozenset[str]
    function: Callable[[Sequence[Mapping[str, Any]]], Sequence[Any]]
    alone: Callable[[Mapping[str, Any]], str | None]
    most: Callable[[int, int], int]
    behind: Mapping[str, frozenset[str]] = field(default_factory=dict)


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
        part: For a node with an effect: the parameter that, where it is called for one element of a sequence at a time,
            gets the number of the first item; None where it wants the whole sequence.
        cache: Whether its result may be reused.
        persist: Whether its result goes to the disk tier.
        category: Where lists show it.
        summary: First line of the docstring.
        doc: The whole docstring.
        pack: Which pack brought it.
        needs: Finds further files in literal parameters, e.g. embeddings named in a prompt.
        migrate: Turns the parameters of an older version into today's: (version, params) -> params.
        waits: What has to be built before the node runs, e.g. a family; ``{parameter}`` stands for a literal. None where it runs.
        unless: Literals, by parameter, with which a node that waits runs; a tuple stands for any of several, ``...`` for any
            but empty ones.
        merging: How several calls become one; None where they never do.
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
    part: str | None
    cache: bool
    persist: bool
    category: str
    summary: str
    doc: str
    pack: str
    needs: Callable[[Mapping[str, Any]], Iterable[FileNeed]] | None
    migrate: Callable[[int, dict[str, Any]], dict[str, Any]] | None
    waits: str | None
    unless: Mapping[str, Any]
    merging: Merging | None = None

    @cached_property
    def output_types(self) -> dict[str, LinkType]:
        """The outputs' types by name."""
        return {output.name: output.type for output in self.outputs}

    @cached_property
    def element_inputs(self) -> tuple[str, ...]:
        """The inputs that, where they get a sequence, have the node run once per element."""
        single = [spec for spec in self.inputs.values() if not spec.many]
        if self.map:
            return tuple(spec.name for spec in single if spec.type.item is None and spec.type.name != "json")
        return tuple(spec.name for spec in single if spec.type.item is not None) if self.part is not None else ()

    def split(self, result: Any) -> dict[str, Any]:
        """Name the outputs in what the function returned; sequences become tuples.

        Raises:
            NodeDefinitionError: It is something else than the function declares.
        """
        found = result._asdict() if hasattr(result, "_asdict") else {self.primary: result}
        for output in self.outputs:
            value = found.setdefault(output.name, result)
            if not (output.type.holds(value) or (output.optional and value is None)):
                code = inspect.unwrap(self.function).__code__
                raise NodeDefinitionError(
                    f"{self.type} ({code.co_filename}:{code.co_firstlineno}) returned {type(value).__name__} for its"
                    f" output {output.name!r}, which it declares as {output.type}",
                    advice="the fault is the node pack's, not the workflow's",
                )
            if output.type.item is not None:
                found[output.name] = tuple(value)
        return {output.name: found[output.name] for output in self.outputs}

    def place_of(self, error: BaseException) -> str | None:
        """Return the file and line of the pack that an error comes from; None where the function was not called.

        An error from another process brings it as ``place_in_pack``.
        """
        if (told := getattr(error, "place_in_pack", None)) is not None:
            return str(told)
        code = inspect.unwrap(self.function).__code__
        pack, found = self.function.__module__.partition(".")[0], None
        for frame, line in traceback.walk_tb(error.__traceback__):
            inside = found is not None and frame.f_globals.get("__name__", "").partition(".")[0] == pack
            if inside or frame.f_code is code:
                found = f"{frame.f_code.co_filename}:{line}"
        return found

    def waiting(self, params: Mapping[str, Any], linked: Iterable[str] = ()) -> str | None:
        """Return what a node with these literals waits for; None where it runs.

        Args:
            params: Literals; the others have their defaults.
            linked: Parameters that get their values only when the workflow runs.
        """
        if self.waits is None:
            return None
        known = {name: params.get(name, parameter.default) for name, parameter in self.inputs.items()}
        known.update((name, f"its {name}") for name in linked)
        if self.unless and all(name not in linked and _is(known[name], told) for name, told in self.unless.items()):
            return None
        return self.waits.format_map(known)

    @property
    def waits_for(self) -> str | None:
        """What a node waits for, and with which literals it runs nevertheless; None where it always runs."""
        waits = self.waiting({}, self.inputs)
        if waits is None or not self.unless:
            return waits
        return f"{waits}, unless {' and '.join(f'{name} is {_told(value)}' for name, value in self.unless.items())}"

    def refusal(self, waits: str) -> tuple[str, str]:
        """Return what to say of a node that waits for something, and the way out."""
        message = f"{self.type} waits for {waits}, and cannot run in this version"
        return message, "run_pipeline runs models of further families whole, with their Diffusers pipeline"

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


Seed = Annotated[
    int,
    Field(ge=0, le=2**64 - 1, description='what the noise is drawn from; "random" draws one and records it'),
    SeedMarker(),
]

T = TypeVar("T")

if TYPE_CHECKING:
    OneOrMany: TypeAlias = T | Sequence[T]
    Each: TypeAlias = Annotated[T, "an element"]
else:
    OneOrMany = Each = Sequence
"""Sequences on links, ``Sequence[T]`` as the engine sees it. To type checkers an input that takes ``OneOrMany[T]`` takes
what is one, too, and an output ``Each[T]`` is one of its elements, since it goes wherever these go."""

FirstNumber = Annotated[int | None, FirstNumberMarker()]
"""For a node with an effect that takes a sequence and may get it one element at a time, each as soon as it is finished:
how many items the elements before this one had; None where the node gets everything at once. No part of the schema."""


def _told(wanted: Any) -> str:
    if wanted is ...:
        return "given"
    return " or ".join(map(json.dumps, wanted if isinstance(wanted, tuple) else (wanted,)))


def _is(value: Any, wanted: Any) -> bool:
    if wanted is ...:
        return bool(value)
    return value in wanted if isinstance(wanted, tuple) else bool(value == wanted)
