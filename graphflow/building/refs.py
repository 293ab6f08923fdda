"""What stands for a link in Python: an output of a node that has been added to a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from graphflow.basics.wording import nearest
from graphflow.spec.decorator import NodeSpec

T = TypeVar("T")

if TYPE_CHECKING:

    class Unknown(Any):  # type: ignore[misc]
        """What an address leads to is not known before it is looked up: to type checkers it fits everywhere."""
else:
    Unknown = object


ANY = 0
"""In place of the number of a graph: the address may be one of any graph."""


@dataclass(frozen=True)
class Ref(Generic[T]):
    """One output of a node in a graph; pass it to an input of another node.

    A node with several outputs has one attribute for each: ``checkpoint.vae``. Type checkers are told that it is the
    value which it stands for, so that they check links as they check calls.
    """

    node: str
    spec: NodeSpec
    output: str
    graph: int = field(default=ANY, compare=False)

    def __repr__(self) -> str:
        return f"Ref({self.node + '.' + self.output!r})"

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.spec.output_types})

    def __getattr__(self, name: str) -> Ref[Any]:
        spec: NodeSpec = object.__getattribute__(self, "spec")
        if name.startswith("__") or name not in spec.output_types:
            near = nearest(name, spec.output_types)
            hint = f"; did you mean {near!r}?" if near else f"; it has {', '.join(spec.output_types)}"
            raise AttributeError(f"{spec.type} has no output {name!r}{hint}")
        return Ref(self.node, spec, name, self.graph)

    def __iter__(self) -> Any:
        """Yield one Ref for each output, so that ``model, text_encoder, *_ = g.add(…)`` works."""
        return iter([Ref[Any](self.node, self.spec, output.name, self.graph) for output in self.spec.outputs])

    @property
    def address(self) -> str:
        """The address as a document has it."""
        return self.node if self.output == self.spec.primary else f"{self.node}.{self.output}"


@dataclass(frozen=True)
class HostRef(Unknown):
    """The outputs of an inner workflow: ``host.image`` is the address of its output ``image``."""

    node: str
    outputs: tuple[str, ...]
    graph: int = field(default=ANY, compare=False)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.outputs})

    def __getattr__(self, name: str) -> Link:
        if name.startswith("__") or name not in self.outputs:
            raise AttributeError(
                f"the inner workflow has no output {name!r}; it has {', '.join(self.outputs) or 'none'}"
            )
        return Link(f"{self.node}.{name}", self.graph)

    @property
    def address(self) -> str:
        """The address of its first output."""
        return self.node


@dataclass(frozen=True)
class Link(Unknown):
    """An address in a graph."""

    address: str
    graph: int = field(default=ANY, compare=False, repr=False)


LINKS = (Ref, HostRef, Link)
"""What may stand for a link among a node's arguments."""
