"""Tasks: what a worker needs to compute one step, or one element of it, and nothing more. Plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Ref:
    """A value by its address: its key in the store, or where it has none a name that is true in this run only."""

    address: str


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a sequence that is one value."""

    address: str
    index: int


@dataclass(frozen=True, slots=True)
class Series:
    """A sequence whose elements are values of their own."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal among the links of an input that takes many."""

    value: Any


Input = Ref | Item | Series | Literal

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file that a task reads.

    Attributes:
        name: The name in its parameters.
        path: Where it is.
        trusted: Whether the user may name any path so.
        kind: Of a model: the library's kind.
        fingerprint: Of a model: what it held when the run was planned.
    """

    name: str
    path: str | None
    trusted: bool
    kind: str = ""
    fingerprint: str | None = None


class Task(NamedTuple):
    """One step, or one element of a step.

    Attributes:
        step: The node's id.
        type: The node type.
        version: Its version.
        key: The key under which the result is stored, or that of the files of a node with an effect; None where it is
            stored nowhere.
        constants: Literals by input.
        inputs: What the other inputs get; several where an input takes many.
        files: The files that the literals name.
        record: For a node with an effect: what its files carry.
        needed: Outputs that somebody reads.
        stored: For a node with an effect: whether its files are stored, so that they only have to be brought.
        element: Which element of the step, from 0; None for a whole step.
        elements: Of how many.
    """

    step: str
    type: str
    version: int
    key: str | None
    constants: Mapping[str, Any] = _NOTHING
    inputs: Mapping[str, Input | tuple[Input, ...]] = _NOTHING
    files: tuple[TaskFile, ...] = ()
    record: Mapping[str, Any] | None = None
    needed: tuple[str, ...] = ()
    stored: bool = False
    element: int | None = None
    elements: int | None = None

    @property
    def name(self) -> str:
        """What it is called in its run."""
        return self.step if self.element is None else f"{self.step}[{self.element}]"

    def reads(self) -> Iterator[str]:
        """Yield the addresses that it reads."""
        for given in self.inputs.values():
            for part in given if isinstance(given, tuple) else (given,):
                if isinstance(part, Series):
                    yield from part.addresses
                elif not isinstance(part, Literal):
                    yield part.address

    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON; tuples are told from lists."""
        inputs = {
            name: [_input_to_json(part) for part in given] if isinstance(given, tuple) else _input_to_json(given)
            for name, given in self.inputs.items()
        }
        return {
            "step": self.step,
            "type": self.type,
            "version": self.version,
            "key": self.key,
            "constants": {name: _pack(value) for name, value in self.constants.items()},
            "inputs": inputs,
            "files": [asdict(file) for file in self.files],
            "record": None if self.record is None else _pack(self.record),
            "needed": list(self.needed),
            "stored": self.stored,
            "element": self.element,
            "elements": self.elements,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """Return the task that :meth:`to_json` told of."""
        inputs = {
            name: tuple(_input_from_json(part) for part in given)
            if isinstance(given, list)
            else _input_from_json(given)
            for name, given in data["inputs"].items()
        }
        return cls(
            **{
                **data,
                "constants": {name: _unpack(value) for name, value in data["constants"].items()},
                "inputs": inputs,
                "files": tuple(TaskFile(**file) for file in data["files"]),
                "record": _unpack(data["record"]),
                "needed": tuple(data["needed"]),
            }
        )


def _input_to_json(part: Input) -> dict[str, Any]:
    match part:
        case Ref(address):
            return {"value": address}
        case Item(address, index):
            return {"value": address, "item": index}
        case Series(addresses):
            return {"values": list(addresses)}
        case Literal(value):
            return {"literal": _pack(value)}


def _input_from_json(data: Mapping[str, Any]) -> Input:
    if "literal" in data:
        return Literal(_unpack(data["literal"]))
    if "values" in data:
        return Series(tuple(data["values"]))
    return Item(data["value"], data["item"]) if "item" in data else Ref(data["value"])


def _pack(value: Any) -> Any:
    """Mark tuples, and mappings that would look like marks."""
    if isinstance(value, tuple):
        return {"$tuple": [_pack(item) for item in value]}
    if isinstance(value, list):
        return [_pack(item) for item in value]
    if isinstance(value, Mapping):
        packed = {key: _pack(item) for key, item in value.items()}
        return {"$map": packed} if packed.keys() & {"$tuple", "$map"} else packed
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$tuple"}:
        return tuple(_unpack(item) for item in value["$tuple"])
    inner = value["$map"] if value.keys() == {"$map"} else value
    return {key: _unpack(item) for key, item in inner.items()}
