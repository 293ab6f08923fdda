"""Native nodes made one by one from ComfyUI nodes; every literal is checked against the node type that takes it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import JsonValue

from graphflow.basics.wording import LISTED
from graphflow.document.document import NodeEntry
from graphflow.spec.link_types import ANY, LinkType, fits
from graphflow.spec.registry import Registry
from graphflow.spec.spec import InputSpec, NodeSpec

from .fields import quote


class _Nothing:
    """Stands for the value of an output that is known only when the node has run."""


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class Ref:
    """An output of a native node; ``constant`` is its value where that is known now."""

    node: str
    output: str = ""
    constant: Any = NOTHING

    @property
    def address(self) -> str:
        """The link as documents write it."""
        return f"{self.node}.{self.output}" if self.output else self.node


@dataclass(frozen=True, slots=True)
class Const:
    """A literal."""

    value: Any


@dataclass(frozen=True, slots=True)
class Fused:
    """What becomes part of the node that takes it, e.g. an operation on latents, or a bundle of values.

    Attributes:
        kind: What it is, e.g. ``latent operation``.
        parts: Its values.
        ids: The ComfyUI nodes that it stands for.
    """

    kind: str
    parts: Mapping[str, Any]
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """An output of a node that is not supported."""


Value: TypeAlias = Ref | Const | Fused | Lost | None


class RefusedError(Exception):
    """A node cannot be said in native nodes, for the reason given."""


class MissingError(RefusedError):
    """A node lacks an input that it needs."""


@dataclass
class Source:
    """A ComfyUI node that is being translated.

    Attributes:
        id: Its id in the flat prompt.
        type: Its type.
        title: What the user calls it.
        inputs: Literals and what stands behind links, by name.
        defaults: ComfyUI's defaults of inputs that the file lacks.
        used: Names of inputs that the rule has looked at.
        remarks: What the result does otherwise.
        notes: What it does as ComfyUI does, although the file says otherwise.
    """

    id: str
    type: str
    title: str
    inputs: Mapping[str, Value]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def get(self, name: str, default: Any = None) -> Value:
        """Return an input: what the file has, else ComfyUI's default, else ``default`` as a literal."""
        self.used.add(name)
        value = self.inputs.get(name)
        if value is not None:
            return value
        found = self.defaults.get(name, default)
        return None if found is None else Const(found)

    def literal(self, name: str, default: Any = None) -> Any:
        """Return an input whose value must be known now.

        Raises:
            RefusedError: It is computed by another node.
        """
        value = self.get(name, default)
        if isinstance(value, Const):
            return value.value
        if isinstance(value, Ref) and value.constant is not NOTHING:
            return value.constant
        if value is None or isinstance(value, Lost):
            return default
        raise RefusedError(f"{name} is computed while running, but has to be known when the workflow is read")

    def number(self, name: str, default: float = 0) -> float:
        """Return a literal number.

        Raises:
            RefusedError: It is no finite number, or computed.
        """
        value = self.literal(name, default)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise RefusedError(f"{name} is no number: {quote(value)}") from error
        if not math.isfinite(number):
            raise RefusedError(f"{name} is no finite number")
        return number

    def text(self, name: str, default: str = "") -> str:
        """Return a literal text.

        Raises:
            RefusedError: It is computed.
        """
        value = self.literal(name, default)
        return value if isinstance(value, str) else str(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a literal yes or no.

        Raises:
            RefusedError: It is computed.
        """
        return truth(self.literal(name, default))

    def fused(self, name: str, kind: str) -> Fused | None:
        """Return an input that has to be a part of a kind, or None where it is missing.

        Raises:
            RefusedError: It is something else.
        """
        value = self.get(name)
        if value is None or isinstance(value, Lost):
            return None
        if isinstance(value, Fused) and value.kind == kind:
            return value
        raise RefusedError(f"{name} is no {kind}")

    def part(self, name: str, kind: str) -> Fused:
        """Return an input that has to be there and a part of a kind.

        Raises:
            RefusedError: It is missing, or something else.
        """
        found = self.fused(name, kind)
        if found is None:
            raise RefusedError(f"{name} is missing")
        return found

    def numbered(self, prefix: str) -> list[str]:
        """Return the names of inputs that begin alike, ``image2`` before ``image10``."""
        return sorted((name for name in self.inputs if name.startswith(prefix)), key=lambda name: (len(name), name))

    def remark(self, text: str) -> None:
        """Say what the result does otherwise."""
        if text not in self.remarks:
            self.remarks.append(text)


class Builder:
    """The native nodes made so far.

    Args:
        registry: The native node types.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.nodes: dict[str, NodeEntry] = {}
        self.direct: dict[str, tuple[str, str]] = {}
        self._ids: dict[str, str] = {}
        self._given: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._current: list[str] = []

    def spec(self, type: str) -> NodeSpec:
        """Return a native node type.

        Raises:
            RefusedError: This installation does not have it.
        """
        spec = self.registry.get(type)
        if spec is None:
            raise RefusedError(f"the native node {type} is not in this version of graphflow")
        return spec

    def begin(self) -> None:
        """Start on the next ComfyUI node."""
        self._current = []

    def undo(self) -> None:
        """Take back the nodes made for the current ComfyUI node."""
        for id in self._current:
            del self.nodes[id]
        self._current = []

    @property
    def current(self) -> tuple[str, ...]:
        """Ids of the nodes made for the current ComfyUI node."""
        return tuple(self._current)

    def add(
        self,
        source: Source,
        type: str,
        inputs: Mapping[str, Any],
        *,
        suffix: str = "",
        ids: Iterable[str] = (),
        outputs: str = "",
    ) -> Ref:
        """Make a native node.

        Args:
            source: The ComfyUI node that it stands for.
            type: The native type.
            inputs: By native name: values from :meth:`Source.get`, lists of them, or literals; None is left out, ``Const(None)`` is a literal.
            suffix: Sets it apart where one ComfyUI node becomes several.
            ids: Further ComfyUI nodes that are part of it.
            outputs: The output that the returned reference names; empty for the primary one.

        Raises:
            RefusedError: The type is not there, or does not take one of the values.
        """
        spec = self.spec(type)
        params: dict[str, Any] = {}
        links: dict[str, str | list[str]] = {}
        for name, value in inputs.items():
            if value is None or isinstance(value, Lost):
                continue
            target = spec.inputs.get(name)
            if target is None:
                raise RefusedError(f"{type} has no input {name}")
            if isinstance(value, list) and any(isinstance(item, Ref | Lost | Fused) for item in value):
                links[name] = self._links(spec, target, value)
            elif isinstance(value, Ref):
                self._link(source, spec, target, value, params, links)
            elif isinstance(value, Fused):
                raise RefusedError(f"{name} takes no {value.kind}")
            else:
                literal = value.value if isinstance(value, Const) else value
                if literal is not None or target.optional:
                    params[name] = self.literal(spec, target, literal)
        for name, target in spec.inputs.items():
            if target.required and name not in params and name not in links and not isinstance(inputs.get(name), Lost):
                raise MissingError(f"its input for {name} is missing")
        id = self._fresh(source.id, suffix)
        kept: list[JsonValue] = list(dict.fromkeys([source.id, *ids]))
        self.nodes[id] = NodeEntry(
            type=type,
            params=params,
            links=links,
            version=spec.version,
            title=source.title if source.title != source.type and not suffix else None,
            meta={"comfyui": {"ids": kept, "type": source.type}},
        )
        self._current.append(id)
        return self.ref(id, outputs)

    def ref(self, id: str, output: str = "") -> Ref:
        """Return a reference to an output of a node that was made; the primary one is written without its name."""
        spec = self.spec(self.nodes[id].type)
        return Ref(id, "" if output in ("", spec.primary) else output)

    def literal(self, spec: NodeSpec, target: InputSpec, value: Any) -> Any:
        """Return a literal as the native input takes it.

        Raises:
            RefusedError: It does not take it.
        """
        if target.linked:
            raise RefusedError(f"{target.name} takes a link, but is {quote(value)}")
        if target.seed and value == "random":
            return value
        value = coerced(value, target.type)
        _, wrong = target.check(value)
        if wrong is not None and len(target.choices) > LISTED and isinstance(value, str):
            near = target.near(value)
            advice = f"; the nearest are {', '.join(near)}" if near else ""
            raise RefusedError(
                f"{target.name} {quote(value)} is none of the {len(target.choices)} there are here{advice}"
            )
        if wrong is not None:
            raise RefusedError(f"{spec.type}.{target.name} cannot be {quote(value)}: {wrong}")
        return value

    def _link(
        self,
        source: Source,
        spec: NodeSpec,
        target: InputSpec,
        value: Ref,
        params: dict[str, Any],
        links: dict[str, str | list[str]],
    ) -> None:
        """Link, with a conversion between kinds of numbers and texts where ComfyUI's nodes convert by themselves."""
        kind = self.type_of(value)
        kind = kind.item if spec.map and kind.item is not None else kind
        wanted = target.type.name
        if target.seed and isinstance(value.constant, int) and value.constant < 0:  # torch counts these from 2**64
            params[target.name] = value.constant % 2**64
            return
        if not target.linked and kind.name != wanted and kind != ANY and (kind.name, wanted) != ("int", "float"):
            if value.constant is not NOTHING:
                params[target.name] = self.literal(spec, target, value.constant)
                return
            value = self._converted(source, value, wanted, target.name)
        self._check_type(spec, target, value)
        links[target.name] = [value.address] if target.many else value.address

    def _converted(self, source: Source, value: Ref, wanted: str, name: str) -> Ref:
        node = {"int": "to_int", "float": "to_float", "str": "to_text"}.get(wanted)
        if node is None or self.registry.get(node) is None:
            return value
        return self.add(source, node, {"value": value}, suffix=f"{name}-{wanted}")

    def _check_type(self, spec: NodeSpec, target: InputSpec, value: Ref) -> None:
        kind = self.type_of(value)
        each = target.many and kind.item is not None and fits(kind.item, target.type)
        if not each and not fits(kind, target.type, mapped=spec.map):
            raise RefusedError(f"its input for {target.name} is linked to {kind}, where it takes {target.type}")

    def _links(self, spec: NodeSpec, target: InputSpec, values: list[Any]) -> list[str]:
        if not target.many:
            raise RefusedError(f"{target.name} takes one link, not {len(values)}")
        addresses = []
        for value in values:
            if isinstance(value, Ref):
                self._check_type(spec, target, value)
                addresses.append(value.address)
            elif value is not None and not isinstance(value, Lost):
                raise RefusedError(f"{target.name} takes links")
        return addresses

    def type_of(self, value: Ref) -> LinkType:
        """Return the type that an output puts on a link."""
        entry = self.nodes[value.node]
        spec = self.registry.get(entry.type)
        if spec is None:
            return ANY
        return spec.output_types.get(value.output or spec.primary, ANY)

    def _fresh(self, id: str, suffix: str) -> str:
        """Return a native id: the ComfyUI id where its letters allow it."""
        base = self._ids.get(id)
        if base is None:
            base = _spelled(id) or "_"
            base = base if re.match(r"[A-Za-z0-9_]", base) else f"_{base}"
            base = self._ids[id] = self._unused(base)
            self._given.add(base)
        wanted = f"{base}~{_spelled(suffix)}" if suffix else base
        return wanted if wanted not in self.nodes else self._unused(wanted)

    def _unused(self, id: str) -> str:
        found, number = id, self._numbers.get(id, 1)
        while found in self.nodes or found in self._given:
            number += 1
            found = f"{id}~{number}"
        self._numbers[id] = number  # the lower ones stay taken
        return found


def _spelled(text: str) -> str:
    """Return a text in the letters that native ids have."""
    return re.sub(r"[^A-Za-z0-9_:~-]", "_", text)[:200]


def truth(value: Any) -> bool:
    """Return a ComfyUI switch value: booleans, numbers, and texts such as ``enable``."""
    if isinstance(value, str):
        return value.strip().lower() in {"true", "yes", "on", "enable", "enabled", "1"}
    return bool(value)


def coerced(value: Any, kind: LinkType) -> Any:
    """Return a literal as the wanted kind, as ComfyUI does for widget values; what cannot be is returned unchanged."""
    try:
        if kind.name == "int" and isinstance(value, float | str | bool):
            return int(value) if not isinstance(value, str) else int(float(value)) if "." in value else int(value)
        if kind.name == "float" and isinstance(value, int | str):
            return float(value)
        if kind.name == "bool" and isinstance(value, int | str):
            return truth(value)
        if kind.name == "str" and isinstance(value, int | float):
            return str(value)
    except (ValueError, OverflowError):
        return value
    return value
