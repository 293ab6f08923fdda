"""From a graph to a script: emitters run node by node, once to find what decides, once to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graphflow.errors import ConversionError, Problem, WorkflowError

from .emitters import EMITTERS
from .emitters.base import Emission
from .graph import Given, Graph, Linked, Node, Value
from .handles import Decoding, Sampling, Sequence
from .loading import Loader
from .reasons import reason
from .script import Facts, Script, Style, UnsupportedError

if TYPE_CHECKING:
    from graphflow.library.library import Library

IGNORED = frozenset({"embed", "quality", "tile_overlap"})
"""Inputs that change no pixel of a script's picture where an emitter does not read them."""


@dataclass(frozen=True)
class _Missing:
    """Stands for what a node that could not be written would have given."""


def build(graph: Graph, library: Library, style: Style) -> Script:
    """Write a script.

    Raises:
        WorkflowError: With every node that cannot be exported.
        ConversionError: The workflow writes nothing.
    """
    if all(not node.effect or node.type == "preview" for node in graph.nodes.values()):
        told = " but previews, which scripts leave out" if any(node.effect for node in graph.nodes.values()) else ""
        raise ConversionError(f"the workflow writes nothing{told}", advice="add a save_image node")
    pinned = dict.fromkeys(graph.several, "the parameters that it turns differ")
    facts = Facts(pinned=pinned | dict.fromkeys(graph.lost, "it goes through a computation"))
    _write(Script(graph=graph, style=style, facts=facts), library)
    script = Script(graph=graph, style=style, facts=facts)
    known, names = dict(facts.pinned), facts.helpers
    _write(script, library)
    if facts.pinned != known or not set(facts.helpers) <= set(names):
        raise ConversionError("the second pass finds what the first did not; this is a bug in the exporter")
    script.forget_unread()
    return script


def _write(script: Script, library: Library) -> None:
    """One pass over the graph: the first finds the facts by which the second writes."""
    _emit_all(script, library)
    if script.problems:
        raise WorkflowError(script.problems)
    script.facts.helpers = sorted({name for piece in script.carried() for name in piece.names})


def _emit_all(script: Script, library: Library) -> None:
    script.stage("")
    loader = Loader(script)
    made: dict[Linked, Any] = {}
    for node in script.graph.nodes.values():
        if node.type not in EMITTERS:
            place, advice = f"nodes.{node.id}", "run the workflow with graphflow instead"
            message = f"{node.type} cannot be exported to a script: {reason(node.type)}"
            script.problems.append(Problem(place, message, advice))
            results: dict[str, Any] = {}
        else:
            results = _emit(script, loader, library, node, made)
        for name in node.outputs:
            address = Linked(node.id, name)
            several = len(script.graph.readers.get(address, ())) > 1
            found = results.get(name, _Missing())
            made[address] = replace(found, shared=True) if several and isinstance(found, Sampling | Decoding) else found


def _emit(script: Script, loader: Loader, library: Library, node: Node, made: Mapping[Linked, Any]) -> dict[str, Any]:
    inputs = {name: _resolve(value, made) for name, value in node.values.items()}
    if any(isinstance(part, _Missing) for found in inputs.values() for part in _parts(found)):
        return {}
    try:
        return _run(Emission(script, loader, node, inputs, library))
    except UnsupportedError as error:
        meant = script.graph.nodes.get(error.node, node)
        script.problems.append(Problem(f"nodes.{meant.id}", f"{meant.type}: {error}"))
        return {}


class _Reads(dict[str, Any]):
    """Inputs that remember which of them an emitter read: what it does not know must be as usual."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        super().__init__(inputs)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def require_all(self, node: Node) -> None:
        """Refuse inputs that were not read and are not as usual."""
        for name, found in self.items():
            unusual = not isinstance(found, Given) or found.value != node.standard.get(name)
            if name not in self.read and unusual and name not in IGNORED:
                raise UnsupportedError(f"its input {name} is not written in scripts")


def _run(emission: Emission) -> dict[str, Any]:
    """Run an emitter, once for each element where a node that maps gets a sequence."""
    node = emission.node
    sequences = {name: items for name, found in emission.inputs.items() if (items := _elements(node, name, found))}
    if not sequences:
        reads = _Reads(emission.inputs)
        result = _named(node, EMITTERS[node.type](replace(emission, inputs=reads)))
        reads.require_all(node)
        return result
    results: list[dict[str, Any]] = []
    for index in range(max(map(len, sequences.values()))):
        chosen = {name: items[min(index, len(items) - 1)] for name, items in sequences.items()}
        reads = _Reads({**emission.inputs, **chosen})
        results.append(_named(node, EMITTERS[node.type](replace(emission, inputs=reads))))
        reads.require_all(node)
    return {name: Sequence(tuple(result.get(name) for result in results)) for name in node.outputs}


def _elements(node: Node, name: str, found: Any) -> tuple[Any, ...]:
    if not node.maps or node.kinds.get(name) == "sequence":
        return ()
    if isinstance(found, Sequence):
        return found.items
    if isinstance(found, Given) and isinstance(found.value, tuple):
        return tuple(Given(item) for item in found.value)
    return ()


def _named(node: Node, result: Any) -> dict[str, Any]:
    if isinstance(result, dict):
        return result
    return {node.outputs[0]: result} if node.outputs else {}


def _resolve(value: Value, made: Mapping[Linked, Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_resolve(part, made) for part in value)
    return made[value] if isinstance(value, Linked) else value


def _parts(found: Any) -> tuple[Any, ...]:
    if isinstance(found, Sequence):
        return found.items
    return found if isinstance(found, tuple) else (found,)
