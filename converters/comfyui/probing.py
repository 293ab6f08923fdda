"""What a rule that is a function asks of its node, found by running it on a node that has everything: inputs, outputs.

Such rules are code, so no table says the inputs of their types. What a function asks for is an input; what native input it
goes to, or how it is asked for, says its type. Branches that are not taken ask for nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

from graphflow.document.document import NodeEntry
from graphflow.spec.link_types import ANY, LinkType
from graphflow.spec.registry import Registry
from graphflow.spec.spec import InputSpec

from .building import Builder, Const, Fused, Ref, Source, Value
from .catalogue import CONTROL, default_of, find, interfaces
from .catalogue import InputSpec as CoreInput
from .rules import Made

_ROWS = 2
"""How many of inputs that are numbered are told of."""


@dataclass
class Asked:
    """One input.

    Attributes:
        widget: Whether it is a value, and no link.
        default: Its value where a file has none, if the function says it.
        kind: The kind of bundle that it takes; empty for others.
        target: The native input that it goes to unchanged, if it does.
    """

    widget: bool = False
    default: Any = None
    kind: str = ""
    target: InputSpec | None = None


@dataclass
class Probed:
    """What was found of a type.

    Attributes:
        inputs: By name: links, then values in the order in which files have them.
        controls: Inputs with a setting of what to do after each run.
        outputs: By slot: the native type of a link, the kind of a bundle, or nothing where it is not known.
    """

    inputs: dict[str, Asked] = field(default_factory=dict)
    controls: frozenset[str] = frozenset()
    outputs: list[str] = field(default_factory=list)


class _Literal(Const):
    """A value that says which input it is of."""

    __slots__ = ("name",)
    name: str

    def __init__(self, name: str, value: Any) -> None:
        super().__init__(value)
        object.__setattr__(self, "name", name)


class _Inputs(Mapping[str, Value]):
    """The inputs of a node that has whatever it is asked for."""

    def __init__(self, probe: _Probe) -> None:
        self._probe = probe

    def __getitem__(self, name: str) -> Value:
        return self._probe.value(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(self._probe.widgets)

    def __len__(self) -> int:
        return len(self._probe.widgets)


class _Parts(dict[str, Any]):
    """The parts of a bundle that has whatever it is asked for."""

    def __missing__(self, name: str) -> Value:
        return Ref(f"?.{name}")

    def get(self, name: str, default: Any = None) -> Any:
        return default


class _Probe(Source):
    """Notes what is asked for.

    Args:
        type: The node's type.
        widgets: The inputs that are values, as far as files say it.
        linked: Whether links are there.
    """

    def __init__(self, type: str, widgets: Sequence[str], *, linked: bool) -> None:
        self.asked: dict[str, Asked] = {}
        self.widgets = widgets
        self._linked = linked
        super().__init__("1", type, type, _Inputs(self))

    def note(self, name: str) -> Asked:
        """Return what is known of an input from now on."""
        return self.asked.setdefault(name, Asked(widget=name in self.widgets))

    def value(self, name: str, default: Any = None) -> Value:
        """Return a value or a link."""
        asked = self.note(name)
        if asked.widget or default is not None:
            return _Literal(name, self.literal(name, default))
        return Ref(f"?{name}") if self._linked else None

    def get(self, name: str, default: Any = None) -> Value:
        return self.value(name, default)

    def literal(self, name: str, default: Any = None) -> Any:
        asked = self.note(name)
        asked.widget = True
        asked.default = default if asked.default is None else asked.default
        alike = common_inputs().get(name)
        return default_of(alike) if asked.default is None and alike is not None and alike.widget else asked.default

    def number(self, name: str, default: float = 0) -> float:
        return float(self.literal(name, default) or 0)

    def text(self, name: str, default: str = "") -> str:
        return str(self.literal(name, default))

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.literal(name, default))

    def fused(self, name: str, kind: str) -> Fused | None:
        asked = self.note(name)
        asked.widget, asked.kind = False, _spelled(kind)
        return Fused(kind, _Parts()) if self._linked else None

    def numbered(self, prefix: str) -> list[str]:
        return [f"{prefix}{number}" for number in range(1, _ROWS + 1)]

    def part(self, name: str, kind: str) -> Fused:
        return self.fused(name, kind) or Fused(kind, _Parts())


class _Sketch(Builder):
    """Makes native nodes without looking at their values, and notes where those go."""

    def __init__(self, registry: Registry, probe: _Probe) -> None:
        super().__init__(registry)
        self._probe = probe

    def add(self, source: Source, type: str, inputs: Mapping[str, Any], **options: Any) -> Ref:
        spec = self.spec(type)
        for name, given in inputs.items():
            for value in given if isinstance(given, list) else (given,):
                target = spec.inputs.get(name)
                if isinstance(value, _Literal):
                    self._probe.note(value.name).target = target
                elif isinstance(value, Ref) and value.node.startswith("?") and value.node[1:] in self._probe.asked:
                    asked = self._probe.note(value.node[1:])
                    asked.target = asked.target or target
        id = f"{len(self.nodes)}"
        self.nodes[id] = NodeEntry(type=type)
        return self.ref(id, options.get("outputs", ""))

    def type_of(self, value: Ref) -> LinkType:
        if not value.node.startswith("?"):
            return super().type_of(value)
        asked = self._probe.asked.get(value.node[1:])
        return ANY if asked is None or asked.target is None else asked.target.type


@cache
def common_inputs() -> Mapping[str, CoreInput]:
    """Return what an input of a name is on most of ComfyUI's own types that have one."""
    found: dict[str, list[CoreInput]] = {}
    for interface in interfaces().values():
        for spec in interface.inputs.values():
            found.setdefault(spec.name, []).append(spec)
    most = {name: Counter(spec.type for spec in specs).most_common(1)[0][0] for name, specs in found.items()}
    return {name: next(spec for spec in specs if spec.type == most[name]) for name, specs in found.items()}


def probe(rule: Made, registry: Registry) -> Probed:
    """Return what a rule asks for and gives.

    Args:
        rule: The rule.
        registry: The native node types.
    """
    known = find(rule.comfy)
    orders = [order.names for order in known.orders] if known is not None else []
    longest = max(orders, key=len, default=())
    widgets = [name for name in longest if name != CONTROL]
    found = Probed(controls=frozenset(name for name, after in pairwise(longest) if after == CONTROL))
    asked: dict[str, Asked] = {}
    for linked in (True, False):
        source = _Probe(rule.comfy, widgets, linked=linked)
        sketch = _Sketch(registry, source)
        given: list[Value] = []
        with suppress(Exception):  # a function may do anything with a value that is none
            given = rule.make(sketch, source)
        for name, one in source.asked.items():
            before = asked.setdefault(name, one)
            before.target = before.target or one.target
            before.widget = before.widget or one.widget
            before.kind = before.kind or one.kind
        types = [_type(sketch, value) for value in given]
        if sum(map(bool, types)) > sum(map(bool, found.outputs)) or len(types) > len(found.outputs):
            found.outputs = types
    for name in widgets:
        asked.setdefault(name, Asked(widget=True)).widget = True
    links = [name for name in asked if not asked[name].widget]
    found.inputs = {name: asked[name] for name in (*links, *widgets)}
    found.inputs |= {name: asked[name] for name in asked if name not in found.inputs}
    return found


def _spelled(kind: str) -> str:
    """Return a kind of bundle as the name of a type."""
    return kind.replace(" ", "_")


def _type(sketch: Builder, value: Value) -> str:
    match value:
        case Ref():
            return str(sketch.type_of(value))
        case Fused():
            return _spelled(value.kind)
        case Const():
            return {bool: "bool", int: "int", float: "float", str: "str"}.get(type(value.value), "")
    return ""


__all__ = ["Asked", "Probed", "probe"]
